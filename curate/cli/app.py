"""The command line: `build` and `check` take a mixture file, the other commands build folders.

Exit codes: 0 done, 1 the data or the build failed, 2 the call was wrong, 130 interrupted.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer
from rich.text import Text

from curate.cli.console import DEBUG, Commands, Lazy, show_parts, surprise
from curate.cli.mixture_file import run_file, split_place
from curate.errors import CallError, did_you_mean

if TYPE_CHECKING:
    from curate import mixture as declared
    from curate.engine import workspace
    from curate.preflight import preflight as fits
    from curate.preflight import recipes
    from curate.preview import check as checks
    from curate.report import check as check_report
    from curate.report import diff as diff_report
    from curate.report import preflight as fit_report
    from curate.report import terminal
    from curate.report import terminal_rows as row_report
    from curate.report import terminal_table as frames
    from curate.report import training as reports
    from curate.result import build as folder
    from curate.result import diff as diffs
    from curate.train import answer_lengths as answers
    from curate.train import trainer as training
    from curate.train import training_plan as plans
else:
    declared = Lazy("curate.mixture")
    checks = Lazy("curate.preview.check")
    diffs = Lazy("curate.result.diff")
    folder = Lazy("curate.result.build")
    fits = Lazy("curate.preflight.preflight")
    recipes = Lazy("curate.preflight.recipes")
    workspace = Lazy("curate.engine.workspace")
    check_report = Lazy("curate.report.check")
    diff_report = Lazy("curate.report.diff")
    fit_report = Lazy("curate.report.preflight")
    frames = Lazy("curate.report.terminal_table")
    row_report = Lazy("curate.report.terminal_rows")
    reports = Lazy("curate.report.training")
    terminal = Lazy("curate.report.terminal")
    answers = Lazy("curate.train.answer_lengths")
    plans = Lazy("curate.train.training_plan")
    training = Lazy("curate.train.trainer")

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
        show_parts(Text(mixture.name, style="bold"), terminal.funnel_table(made), *terminal.findings(made), _next(made))


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
        show_parts(Text(f"{one.name}: {one.kind} rows\n", style="bold underline"), *check_report.check_parts(one))
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
        show_parts(Text("no rows to show"))
    show_parts(*found)
    if fate == "dropped" and source is reason is None:
        show_parts(*terminal.findings(made, step))


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
    show_parts(*diff_report.diff_parts(found, n))


Folder: TypeAlias = Annotated[Path, typer.Argument(metavar="DIR", help="A build folder.", show_default=False)]
ChatTemplate: TypeAlias = Annotated[
    str | None, typer.Option(help="tulu, zephyr, chatml, or a Jinja file. Default: the tokenizer's own.")
]


@app.command()
def fit(
    build_folder: Folder,
    *,
    tokenizer: Annotated[str, typer.Option(help="A folder, or an id on the Hub.")],
    recipe: Annotated[str | None, typer.Option(help="Take limit, batch and packing from this recipe.")] = None,
    max_length: Annotated[int | None, typer.Option(min=1, help="Tokens a row may have.")] = None,
    chat_template: ChatTemplate = None,
    packing: Annotated[bool, typer.Option("--packing", help="Pack conversations into blocks.")] = False,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows (or blocks) a step.")] = None,
    max_lost: Annotated[float, typer.Option(min=0, max=1, help="The share of rows that may be left out.")] = 0.05,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Say what training would see of a build: tokens, rows that are cut or left out, steps."""
    _hush()
    found = folder.Build(build_folder)
    chosen = recipes.recipe_of(recipe, recipes.stage_of(found.kind)) if recipe else None
    limit, rows = (max_length, batch) if chosen is None else (max_length or chosen.max_length, batch or chosen.batch)
    if limit is None:
        message = "how many tokens may a row have? Give --max-length, or a --recipe that says"
        raise CallError(message)
    packs = packing or (chosen is not None and chosen.packing)
    told = fits.fit(found, tokenizer=tokenizer, limit=limit, chat_template=chat_template, packing=packs)
    show_parts(*fit_report.fit_parts(told, rows))
    fits.check(told, max_lost)


@app.command()
def train(
    stage: Annotated[Literal["sft", "dpo"], typer.Argument(help="sft takes conversations, dpo pairs.")],
    build_folder: Folder,
    *,
    model: Annotated[str, typer.Option(help="A folder, or an id on the Hub.")],
    recipe: Annotated[str, typer.Option(help="tulu2, tulu3, zephyr or zephyr-handbook.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The model's folder.")] = None,
    chat_template: ChatTemplate = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows a step, in place of the recipe's.")] = None,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters only.")] = False,
    qlora: Annotated[bool, typer.Option("--qlora", help="Train adapters over weights in four bits.")] = False,
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, by TRL's name of it.")
    ] = None,
    max_lost: Annotated[float, typer.Option(min=0, max=1, help="The share of rows that may be left out.")] = 0.05,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, show the settings, train nothing.")
    ] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train a model on a build with a published recipe, by TRL; `accelerate launch -m curate.train` for many GPUs."""
    _hush()
    settings = dict(_setting(text) for text in given or ())
    adapter: Literal["lora", "qlora"] | None = "qlora" if qlora else "lora" if lora else None
    if dry_run:
        found = plans.plan(
            stage, build_folder, model=model, recipe=recipe, chat_template=chat_template, batch=batch, adapter=adapter,
            settings=settings, max_lost=max_lost,
        )  # fmt: skip
        show_parts(*fit_report.fit_parts(found.fit, found.settings.batch), fit_report.settings_table(found.told))
        return
    if out is None:
        message = "where shall the model go? Give --out, or --dry-run to see what would be done"
        raise CallError(message)
    training.train(
        stage, build_folder, model=model, recipe=recipe, out=out, chat_template=chat_template, batch=batch,
        adapter=adapter, settings=settings, max_lost=max_lost, resume=resume,
    )  # fmt: skip
    show_parts(*(Text(note) for note in reports.notes_of(out)))
    show_parts(Text(f"The model is in {out}. Open {out / 'training.html'}"))


@app.command()
def lengths(
    prompts: Annotated[Path, typer.Argument(metavar="FILE", help="Rows to ask, or a text file with a prompt a line.")],
    *,
    model: Annotated[list[str], typer.Option(help="A trained model; more than once to hold them side by side.")],
    build_folder: Annotated[Path | None, typer.Option("--build", help="A build of pairs, for its length bias.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Tokens an answer may have.")] = 512,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Say how long the answers of models are, beside how much longer the chosen answers of a build are."""
    _hush()
    data = folder.Build(build_folder).length_bias(bands=0) if build_folder else None
    show_parts(frames.frame_table(answers.answer_lengths(prompts, model, limit=limit)))
    if data is not None:
        show_parts(Text("\nHow well length alone tells which answer was chosen, and how much longer that one is:\n"))
        show_parts(frames.frame_table(data.select("source", "pairs", "longer", "auc", "mean_words", "mean_tokens")))


def _hush() -> None:
    """Keep what TRL stands on from warning its own developers, and from drawing a bar for each small table."""
    warnings.simplefilter("ignore", FutureWarning)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def _setting(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not given:
        message = f"--set {text}: write NAME=VALUE"
        raise CallError(message)
    return name.strip(), value.strip()


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
