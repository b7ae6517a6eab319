"""The command line: `build` and `check` take a mixture file, `show` and `diff` build folders.

Exit codes: 0 done, 1 the data or the build failed, 2 the call was wrong, 130 interrupted.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn, TypeAlias

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperGroup

from curate.build.script import run_file, split_place
from curate.errors import CallError, CurateError, did_you_mean


class Lazy(ModuleType):
    """A module that loads when first used.

    `curate --help` takes 0.15 s; the rooms, which bring polars, pyarrow and numba, would add 0.7 s.
    """

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module holds
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:
    from curate import mixture as declared
    from curate.build import check as checks
    from curate.build import diff as diffs
    from curate.build import folder, workspace
    from curate.report import check as check_report
    from curate.report import diff as diff_report
    from curate.report import rows as row_report
    from curate.report import terminal
else:
    declared = Lazy("curate.mixture")
    checks = Lazy("curate.build.check")
    diffs = Lazy("curate.build.diff")
    folder = Lazy("curate.build.folder")
    workspace = Lazy("curate.build.workspace")
    check_report = Lazy("curate.report.check")
    diff_report = Lazy("curate.report.diff")
    row_report = Lazy("curate.report.rows")
    terminal = Lazy("curate.report.terminal")

DEBUG: Final = "--debug"
INTERRUPTED: Final = 130
"""The exit code of what a person stopped: 128 and the number of the signal."""

UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Controls and direction marks: a message may quote what users wrote, and a terminal would obey it."""

WIDE: Final = 200
"""Columns, where there is no terminal: a table in a log is not folded."""

KEPT_WORK: Final = "interrupted; the work so far is kept, run the same command to go on"


class Output(Console):
    """Standard output; a reader that has had enough (`curate show DIR | head`) ends the command without a word."""

    def on_broken_pipe(self) -> None:
        """Throw away what is still to be written."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


class Commands(TyperGroup):
    """Runs a command; an error is one message on standard error, after a traceback only with `--debug`."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002, ARG002  typer's signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002
        **extra: object,
    ) -> Any:  # noqa: ANN401
        """Run the command that `args` (the command line) names, and exit."""
        line = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(line, prog_name or "curate", complete_var, False, windows_expand_args, **extra)  # noqa: FBT003
        except typer.TyperException as error:
            told = error.format_message().rstrip(".")  # empty after the help that no arguments ask for
            fail(f"{told}; see curate {_command(line)}--help" if told else "", error.exit_code)
        except (CurateError, OSError) as error:
            if DEBUG in line:
                traceback.print_exception(error)
            fail(message_of(error), 2 if isinstance(error, CallError) else 1)
        if code == INTERRUPTED:
            sys.stderr.write(f"\n{KEPT_WORK if _command(line) == 'build ' else 'interrupted'}\n")
        sys.exit(code or 0)


def _command(line: list[str]) -> str:
    return f"{line[0]} " if line and line[0] in {"build", "check", "show", "diff"} else ""


def message_of(error: Exception) -> str:
    """Return what an error says, for a person.

    >>> message_of(PermissionError(13, "Permission denied", "a.py"))
    'a.py: Permission denied'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error)


def fail(message: str, code: int) -> NoReturn:
    """Write an error, if there is one to write, and exit with `code`."""
    if not message:
        sys.exit(code)
    shown = UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", message)
    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), shown), soft_wrap=True)
    sys.exit(code)


def surprise(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say of an error that nobody foresaw, in place of a traceback, what to do."""
    del trace
    told = f"{kind.__name__}: {error}" if str(error) else kind.__name__
    sys.stderr.write(
        f"error: {told}\nThis is a defect of curate. Run the command again with {DEBUG}, and report what it says.\n"
    )


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
        metavar="PATH[:NAME]", help="A Python file that declares mixtures; NAME takes one of them.", show_default=False
    ),
]
Count: TypeAlias = Annotated[int, typer.Option("-n", min=1, help="How many rows to show.")]
Debug: TypeAlias = Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")]
"""`Commands.main` reads it from the line itself, so that errors in reading the line obey it too."""


def _version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"curate {importlib.metadata.version('curate')}")
        raise typer.Exit


@app.callback()
def everything(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that go before a command."""


@app.command()
def build(
    path: Place,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The build folder; of several mixtures, the folder that holds theirs. Default: build/NAME.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many work at once. Default: one for each core.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Take up what an interrupted build left.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a build that lies there.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the folder of each build, and nothing else.")
    ] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Build the mixtures that a file declares, in order."""
    found = mixtures_in(path)
    targets = _targets(found, out)
    for target in targets:
        workspace.check_target(target, overwrite=overwrite)
    for mixture, target in zip(found, targets, strict=True):
        made = mixture.build(target, threads=threads, resume=resume, overwrite=overwrite, quiet=quiet)
        if quiet:
            typer.echo(str(target))
            continue
        _print(Text(mixture.name, style="bold"), terminal.funnel_table(made), *terminal.findings(made), _next(made))


def _targets(found: list[declared.Mixture], out: Path | None) -> list[Path]:
    """Return the folder of each mixture's build; raises `CallError` where two would share one."""
    if out is not None and len(found) == 1:
        return [out]
    names = [mixture.name for mixture in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = (
            f"two mixtures of this file are named {twice[0]!r}; rename one, or build each by its variable, PATH:NAME"
        )
        raise CallError(message)
    return [(out or Path("build")) / name for name in names]


def _next(made: folder.Build) -> Text:
    splits = ", ".join(f"{name} {split['rows']:,}" for name, split in made.manifest["splits"].items())
    text = Text.assemble("\nThe build is in ", (str(made.path), "bold"), f": {splits} rows.\n")
    if not any(split["rows"] for split in made.manifest["splits"].values()):
        text.append("No row was kept. The funnel says where they went.\n", style="bold")
    text.append(f"Open {made.path / 'report.html'}, or see what fell: curate show {made.path}\n")
    return text


@app.command()
def check(
    path: Place,
    *,
    rows: Annotated[int, typer.Option(min=1, help="How many rows of each source to read.")] = 2_000,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Read the first rows of each source and say what a build would do; writes nothing."""
    found = [checks.check(mixture, rows) for mixture in mixtures_in(path)]
    for one in found:
        _print(Text(f"{one.name}: {one.kind} rows\n", style="bold underline"), *check_report.check_parts(one))
    if any(one.stops or any(test.failed for test in one.tests) for one in found):
        raise typer.Exit(1)


@app.command()
def show(
    build_folder: Annotated[Path, typer.Argument(metavar="DIR", help="A build folder.", show_default=False)],
    *,
    step: Annotated[str | None, typer.Option(help="Rows that this step dropped.")] = None,
    source: Annotated[str | None, typer.Option(help="Rows of this source.")] = None,
    reason: Annotated[str | None, typer.Option(help="Rows dropped for this reason.")] = None,
    n: Count = 10,
    fate: Annotated[
        Literal["dropped", "kept", "quarantined", "unsampled"], typer.Option(help="What became of the rows.")
    ] = "dropped",
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show rows of a build, with what was found in them marked."""
    made = folder.Build(build_folder)
    found = row_report.show(made, fate, step=step, reason=reason, source=source, n=n)
    if not found:
        _print(Text("no rows to show"))
    _print(*found)
    if fate == "dropped" and source is reason is None:
        _print(*terminal.findings(made, step))


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="DIR", help="A build folder.", show_default=False)],
    after: Annotated[
        Path, typer.Argument(metavar="DIR", help="The build folder to hold against it.", show_default=False)
    ],
    *,
    n: Count = 5,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Say which rows entered, left or changed from one build to another, and why."""
    found = diffs.diff(folder.Build(before), folder.Build(after))
    _print(*diff_report.diff_parts(found, n))


def _print(*parts: RenderableType) -> None:
    """Print to standard output: folded at the width of a terminal, elsewhere not at all."""
    console = Output(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text) and not console.is_terminal)


def mixtures_in(place: str) -> list[declared.Mixture]:
    """Return the mixtures of a file (`path.py`), in order, or the one that `path.py:name` names.

    Raises `CallError` for a file that is not there, cannot be run or declares no such mixture.
    """
    path, name = split_place(place)
    module = run_file(path)
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, declared.Mixture) and not key.startswith("_")
    }
    if not found:
        message = f"{path} declares no mixture at its top level: mixture = c.Mixture(...)"
        raise CallError(message)
    if name is None:
        return list({id(mixture): mixture for mixture in found.values()}.values())
    chosen = found.get(name) or next((mixture for mixture in found.values() if mixture.name == name), None)
    if chosen is None:
        known = [*found, *(mixture.name for mixture in found.values())]
        message = f"{path} declares no mixture {name!r}; {did_you_mean(name, known)}"
        raise CallError(message)
    return [chosen]


def main() -> None:
    """Run the command line; the entry point of `curate`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a letter that the terminal cannot show is no error
    if DEBUG not in sys.argv:
        sys.excepthook = surprise
    typer.main.get_command(app)()
