"""The command line: `build` and `check` take a mixture file, the other commands build folders.

Exit codes: 0 done, 1 the data or the build failed, 2 the call was wrong, 130 interrupted.
"""

from __future__ import annotations

import gc
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer
from rich.text import Text

from curate.cli.console import DEBUG, Commands, Lazy, show_parts, surprise
from curate.cli.options import Count, Debug, Flatten, Folder, Without, setting_of
from curate.cli.push import push
from curate.cli.recut import recut
from curate.cli.training import lengths, preflight, train
from curate.errors import CallError, EmptyBuildError
from curate.io.stores.urls import below

if TYPE_CHECKING:
    from rich.console import RenderableType

    from curate import mixture as declared
    from curate.cli import mixture_recipes
    from curate.compare import diff as diffs
    from curate.compare import terminal as diff_report
    from curate.engine import pipeline
    from curate.engine.executors import threads as executors
    from curate.engine.warm_up import start as warm_up
    from curate.preview import check as checks
    from curate.report import check as check_report
    from curate.report import recipe_list, terminal
    from curate.report import terminal_rows as row_report
    from curate.result import bucket
    from curate.result import build as folder
else:
    mixture_recipes = Lazy("curate.cli.mixture_recipes")
    checks = Lazy("curate.preview.check")
    diffs = Lazy("curate.compare.diff")
    bucket = Lazy("curate.result.bucket")
    folder = Lazy("curate.result.build")
    check_report = Lazy("curate.report.check")
    diff_report = Lazy("curate.compare.terminal")
    pipeline = Lazy("curate.engine.pipeline")
    executors = Lazy("curate.engine.executors.threads")
    warm_up = Lazy("curate.engine.warm_up.start")
    recipe_list = Lazy("curate.report.recipe_list")

    row_report = Lazy("curate.report.terminal_rows")
    terminal = Lazy("curate.report.terminal")

FEW_CYCLES: Final = 100_000
"""Objects made before Python looks for cycles, 700 as it comes: a command makes many objects and few cycles."""

app = typer.Typer(
    cls=Commands,
    name="curate",
    help="Turn raw instruction and preference data into training-ready mixtures, and account for every row on the way.",
    epilog="Exit codes: 0 done, 1 the data or the build failed, 2 the call was wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Place: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="PATH[:NAME]",
        help="A Python file that declares mixtures, NAME one of them; or a recipe, such as tulu2.",
        show_default=False,
    ),
]
Settings: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the recipe.", show_default=False)
]


def _version(wanted: bool) -> None:  # noqa: FBT001  typer's signature
    if wanted:
        import importlib.metadata  # brings along all that reads mail

        typer.echo(f"curate {importlib.metadata.version('curate')}")
        raise typer.Exit


@app.callback()
def everything(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options before a command."""


@app.command()
def build(
    path: Place,
    *,
    given: Settings = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="The build folder, or a URL (s3://bucket/name); for several mixtures, the folder of these. "
            "Default: build/NAME.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Number of threads. Default: one per core.")] = None,
    resume: Annotated[bool, typer.Option(help="Resume an interrupted build.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing build.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the folder of each build.")] = False,
    from_: Annotated[
        str | None, typer.Option("--from", help="An earlier build, whose scores are used where a step is as it was.")
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Threads of this machine, or Ray; the bytes are the same.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Where Ray is, HOST:PORT. Default: it is started here, with --threads workers.")
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Build the mixtures that a file declares, in order."""
    found = _mixtures(path, given)
    targets = _targets(found, out)
    for target in targets:
        bucket.check_place(target, overwrite=overwrite)
    every = [stage.step for mixture in found for stage in pipeline.all_stages(mixture)]
    with warm_up.compiling_beside(every, executors.cores() if threads is None else threads):
        for mixture, target in zip(found, targets, strict=True):
            try:
                made = mixture.build(
                    target, threads=threads, resume=resume, overwrite=overwrite, quiet=quiet, from_=from_,
                    engine=engine, address=address,
                )  # fmt: skip
            except EmptyBuildError:
                if not quiet:
                    show_parts(*_funnel(folder.Build(target)))
                raise
            if quiet:
                typer.echo(made.place)
                for note in made.notes:
                    typer.echo(f"note: {note}", err=True)
                continue
            show_parts(*_funnel(made), *terminal.published(made), *terminal.findings(made), _next(made))


def _funnel(made: folder.Build) -> list[RenderableType]:
    return [Text(made.name, style="bold"), terminal.funnel_table(made), *terminal.notes(made)]


def _targets(found: list[declared.Mixture], out: str | None) -> list[str]:
    """Return the folder of each mixture's build; raises `CallError` if two share one."""
    if out is not None and len(found) == 1:
        return [out]
    names = [mixture.name for mixture in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CallError(
            f"two mixtures of this file are named {twice[0]!r}; rename one, or build each by its variable, PATH:NAME"
        )
    return [below(out or "build", name) for name in names]


def _next(made: folder.Build) -> Text:
    splits = ", ".join(f"{name} {split['rows']:,}" for name, split in made.manifest["splits"].items())
    text = Text.assemble("\nThe build is in ", (made.place, "bold"), f": {splits} rows.\n")
    text.append(f"Open {made.path / 'report.html'}, or see dropped rows: curate show {made.place}\n")
    return text


@app.command(name="recipes")
def list_recipes(*, debug: Debug = False) -> None:  # noqa: ARG001
    """List the recipes that come with curate: published mixtures, with their sizes, sources and licences."""
    show_parts(*recipe_list.recipe_parts(mixture_recipes.recipes()))


@app.command()
def check(
    path: Place,
    *,
    given: Settings = None,
    rows: Annotated[int, typer.Option(min=1, help="How many rows of each source to read.")] = 2_000,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Read the first rows of each source and preview the build; writes nothing."""
    with mixture_recipes.without_builds():
        mixtures = _mixtures(path, given)
    found = [checks.check(mixture, rows) for mixture in mixtures]
    for one in found:
        show_parts(Text(f"{one.name}: {one.kind} rows\n", style="bold underline"), *check_report.check_parts(one))
    if any(one.stops or any(test.failed for test in one.tests) for one in found):
        raise typer.Exit(1)


@app.command()
def show(
    build_folder: Folder,
    *,
    step: Annotated[str | None, typer.Option(help="Rows that this step dropped.")] = None,
    source: Annotated[str | None, typer.Option(help="Rows of this source.")] = None,
    reason: Annotated[str | None, typer.Option(help="Rows dropped for this reason.")] = None,
    n: Count = 10,
    fate: Annotated[
        Literal["dropped", "kept", "quarantined", "unsampled"], typer.Option(help="The fate of the rows.")
    ] = "dropped",
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show rows of a build, with hits highlighted."""
    made = folder.Build(build_folder)
    found = row_report.show(made, fate, step=step, reason=reason, source=source, n=n)
    if not found:
        show_parts(Text("no rows to show"))
    show_parts(*found)
    if fate == "dropped" and source is reason is None:
        show_parts(*terminal.findings(made, step))


@app.command()
def diff(
    before: Folder,
    after: Annotated[
        str, typer.Argument(metavar="DIR", help="The build folder to compare with it.", show_default=False)
    ],
    *,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page of it, as in diff.html: charts, and rows to browse."),
    ] = None,
    n: Count = 5,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show which rows entered, left or changed from one build to another, and why."""
    found = diffs.diff(folder.Build(before), folder.Build(after))
    show_parts(*diff_report.diff_parts(found, n))
    if page is not None:
        show_parts(Text(f"The page is in {found.save(page)}"))


@app.command()
def export(
    build_folder: Folder,
    *,
    to: Annotated[
        Literal["trl", "axolotl", "llama-factory", "open-instruct", "openai", "jsonl"],
        typer.Option(help="The trainer; jsonl for everything else."),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The folder. Default: export/NAME-TRAINER.")] = None,
    split: Annotated[Literal["train", "test"] | None, typer.Option(help="One split. Default: all.")] = None,
    drop_rows_with: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="Leave out rows that have this part; repeat for more.")
    ] = None,
    without: Without = None,
    flatten: Flatten = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing export.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write the rows of a build for a trainer, with its settings and a ledger of what became of each row."""
    made = folder.Build(build_folder).export(
        to, out, split=split, drop_rows_with=drop_rows_with or (), without=without or (), flatten=flatten or (),
        overwrite=overwrite,
    )  # fmt: skip
    files = ", ".join(made.record["files"])
    show_parts(terminal.frame_table(made.counts), *map(Text, made.notes))
    show_parts(Text(f"The export is in {made.path}: {files}"))


for command in (recut, push, preflight, train, lengths):
    app.command()(command)


def _mixtures(place: str, given: list[str] | None) -> list[declared.Mixture]:
    return mixture_recipes.mixtures_in(place, dict(map(setting_of, given or ())))


def main() -> None:
    """Run the command line; the entry point of `curate`."""
    gc.set_threshold(FEW_CYCLES)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a character that the terminal cannot show is no error
    if DEBUG not in sys.argv:
        sys.excepthook = surprise
    try:
        typer.main.get_command(app)()
    finally:
        gc.freeze()  # the memory of cycles goes with the process: 0.1 s
