"""`curate recut`: what would change in a build if bounds moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.console import Lazy, show_parts
from curate.cli.options import Count, Debug, Folder, setting_of
from curate.errors import CallError

if TYPE_CHECKING:
    from curate.cli import mixture_recipes
    from curate.report import recut as recut_report
    from curate.result import build as folder
else:
    folder = Lazy("curate.result.build")
    mixture_recipes = Lazy("curate.cli.mixture_recipes")
    recut_report = Lazy("curate.report.recut")


def recut(
    build_folder: Folder,
    *,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STEP[.BOUND]=NUMBER",
            help="Move a bound (shape.too_few_words=5) or a threshold (dedup=0.9); none: no limit. Repeat for more.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="STEP", help="Leave this step out; repeat for more.")
    ] = None,
    mixture: Annotated[
        str | None,
        typer.Option(
            metavar="PATH[:NAME]", help="The mixture of the build, for steps that decide by more than it holds."
        ),
    ] = None,
    compute: Annotated[
        bool, typer.Option(help="Let dedup and others decide again where other rows reach them.")
    ] = True,
    n: Count = 5,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show what would change in a build if bounds moved or steps were left out; nothing is built."""
    made = folder.Build(build_folder)
    moved: dict[str, Any] = dict.fromkeys(without or ())
    for name, value in map(setting_of, given or ()):
        label, reason = _place(name, made.steps)
        if reason is None:
            moved[label] = _number(name, value)
        else:
            moved.setdefault(label, {})[reason] = _number(name, value)
    declared = None
    if mixture is not None:
        found = [one for one in mixture_recipes.mixtures_in(mixture, {}) if one.name == made.name]
        if not found:
            raise CallError(f"{mixture} declares no mixture {made.name!r}, from which {build_folder} was built")
        declared = found[0]
    show_parts(*recut_report.recut_parts(made.recut(moved, mixture=declared, compute=compute), n))


def _place(name: str, steps: Iterable[str]) -> tuple[str, str | None]:
    """Return the label of a step, and the bound of it that a name has behind the label."""
    label = max((step for step in steps if name == step or name.startswith(f"{step}.")), key=len, default="")
    if not label:
        label, _, reason = name.rpartition(".")
        return (label, reason) if label else (name, None)
    return label, name[len(label) + 1 :] or None


def _number(name: str, value: str) -> float | None:
    if value == "none":
        return None
    try:
        return int(value) if value.lstrip("-").isdigit() else float(value)
    except ValueError as error:
        raise CallError(f"--set {name}={value}: write a number, or none for no limit") from error
