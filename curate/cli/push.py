"""`curate push`: a build becomes a data set on the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from curate.cli.console import DEBUG, Lazy, show_parts
from curate.cli.options import Folder

if TYPE_CHECKING:
    from curate.result import build as folder
else:
    folder = Lazy("curate.result.build")


def push(
    build_folder: Folder,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The data set.", show_default=False)],
    *,
    public: Annotated[bool, typer.Option("--public", help="For everyone. Default: for you alone.")] = False,
    revision: Annotated[str | None, typer.Option(help="A branch, made if it is not there. Default: main.")] = None,
    with_ledger: Annotated[
        bool, typer.Option("--with-ledger", help="The ledger too: it quotes what matched and what could not be read.")
    ] = False,
    with_dropped: Annotated[
        bool, typer.Option("--with-dropped", help="Texts of dropped rows too, which may be secrets.")
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,  # noqa: ARG001
) -> None:
    """Push a build to the Hub: data, card, manifest and page, in one commit; the token is HF_TOKEN."""
    made = folder.Build(build_folder).push(
        repository, private=not public, revision=revision, with_ledger=with_ledger, with_dropped=with_dropped
    )
    show_parts(*(Text(f"note: {note}") for note in made.notes))
    gone = f", {len(made.deleted):,} deleted" if made.deleted else ""
    did = f"{len(made.sent):,} files sent{gone}" if made.sent or made.deleted else "it has this build already"
    show_parts(Text(f"{did}: {made.url} ({'private' if made.private else 'public'})"))
