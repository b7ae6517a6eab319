"""The arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from curate.cli.console import DEBUG
from curate.errors import CallError

Folder: TypeAlias = Annotated[
    str, typer.Argument(metavar="DIR", help="A build folder, or its URL.", show_default=False)
]
ChatTemplate: TypeAlias = Annotated[
    str | None, typer.Option(help="tulu, zephyr, chatml, or a Jinja file. Default: the tokenizer's own.")
]
Without: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="PART", help="Leave this part out of its rows; repeat for more.")
]
Flatten: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="PART", help="Write reasoning or calls into the text, in tags.")
]
Lost: TypeAlias = Annotated[float, typer.Option(min=0, max=1, help="The share of rows that may be left out.")]
Count: TypeAlias = Annotated[int, typer.Option("-n", min=1, help="How many rows to show.")]
Debug: TypeAlias = Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")]
"""`Commands.main` reads it from the command line, so that it applies to parsing errors too."""


def setting_of(text: str) -> tuple[str, str]:
    """Split NAME=VALUE.

    >>> setting_of("dedup = 0.9")
    ('dedup', '0.9')
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise CallError(f"--set {text}: write NAME=VALUE")
    return name.strip(), value.strip()
