"""The commands about training: `preflight`, `train` and `lengths`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from curate.cli.console import Lazy, show_parts
from curate.cli.options import ChatTemplate, Debug, Flatten, Folder, Lost, Without, setting_of
from curate.errors import CallError

if TYPE_CHECKING:
    from curate.preflight import preflight as preflights
    from curate.preflight import recipes
    from curate.report import preflight as preflight_report
    from curate.report import terminal
    from curate.report import training as reports
    from curate.result import build as folder
    from curate.train import answer_lengths as answers
    from curate.train import trainer as training
    from curate.train import training_plan as plans
else:
    folder = Lazy("curate.result.build")
    preflights = Lazy("curate.preflight.preflight")
    recipes = Lazy("curate.preflight.recipes")
    preflight_report = Lazy("curate.report.preflight")
    reports = Lazy("curate.report.training")
    terminal = Lazy("curate.report.terminal")
    answers = Lazy("curate.train.answer_lengths")
    plans = Lazy("curate.train.training_plan")
    training = Lazy("curate.train.trainer")


def preflight(
    build_folder: Folder,
    *,
    tokenizer: Annotated[str, typer.Option(help="A folder, or an id on the Hub.")],
    recipe: Annotated[str | None, typer.Option(help="Take the limit, batch and packing of this recipe.")] = None,
    max_length: Annotated[int | None, typer.Option(min=1, help="Tokens per row.")] = None,
    chat_template: ChatTemplate = None,
    packing: Annotated[bool, typer.Option("--packing", help="Pack conversations into blocks.")] = False,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows (or blocks) per step.")] = None,
    without: Without = None,
    flatten: Flatten = None,
    max_lost: Lost = 0.05,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show what training would see of a build: tokens, rows that are cut or left out, steps."""
    _silence()
    found = folder.Build(build_folder)
    chosen = recipes.recipe_of(recipe, recipes.stage_of(found.kind)) if recipe else None
    limit, rows = (max_length, batch) if chosen is None else (max_length or chosen.max_length, batch or chosen.batch)
    if limit is None:
        raise CallError("the limit of tokens per row is missing: give --max-length, or a --recipe")
    packs = packing or (chosen is not None and chosen.packing)
    measured = preflights.preflight(
        found, tokenizer=tokenizer, limit=limit, chat_template=chat_template, packing=packs, without=without or (),
        flatten=flatten or (),
    )  # fmt: skip
    show_parts(*preflight_report.preflight_parts(measured, rows))
    preflights.check(measured, max_lost)


def train(
    stage: Annotated[
        Literal["sft", "dpo", "kto"],
        typer.Argument(help="sft trains on conversations, dpo on pairs, kto on answers with a label."),
    ],
    build_folder: Folder,
    *,
    model: Annotated[str, typer.Option(help="A folder, or an id on the Hub.")],
    recipe: Annotated[str, typer.Option(help="tulu2, tulu3, zephyr or zephyr-handbook; kto.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The model's folder.")] = None,
    chat_template: ChatTemplate = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows per step. Default: the recipe's.")] = None,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters only.")] = False,
    qlora: Annotated[bool, typer.Option("--qlora", help="Train adapters over 4-bit weights.")] = False,
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, by TRL's name.")
    ] = None,
    without: Without = None,
    flatten: Flatten = None,
    max_lost: Lost = 0.05,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the last checkpoint in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show the settings, without training.")
    ] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train a model on a build with a published recipe by TRL; on several GPUs: `accelerate launch -m curate.train`."""
    _silence()
    settings = dict(setting_of(text) for text in given or ())
    adapter: Literal["lora", "qlora"] | None = "qlora" if qlora else "lora" if lora else None
    if dry_run:
        found = plans.plan(
            stage, build_folder, model=model, recipe=recipe, chat_template=chat_template, batch=batch, adapter=adapter,
            settings=settings, without=without or (), flatten=flatten or (), max_lost=max_lost,
        )  # fmt: skip
        show_parts(
            *preflight_report.preflight_parts(found.preflight, found.settings.batch),
            preflight_report.settings_table(found.setting_rows),
        )
        return
    if out is None:
        raise CallError("the model's folder is missing: give --out, or --dry-run for a preview")
    training.train(
        stage, build_folder, model=model, recipe=recipe, out=out, chat_template=chat_template, batch=batch,
        adapter=adapter, settings=settings, without=without or (), flatten=flatten or (), max_lost=max_lost,
        resume=resume,
    )  # fmt: skip
    show_parts(*(Text(note) for note in reports.notes_of(out)))
    show_parts(Text(f"The model is in {out}. Open {out / 'training.html'}"))


def lengths(
    prompts: Annotated[
        Path, typer.Argument(metavar="FILE", help="Rows with prompts, or a text file with one prompt per line.")
    ],
    *,
    model: Annotated[list[str], typer.Option(help="A trained model; repeat to compare several.")],
    build_folder: Annotated[
        Path | None, typer.Option("--build", help="A build of pairs, to show its length bias.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Tokens per answer.")] = 512,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Measure how long models' answers are, next to the length bias of a build."""
    _silence()
    data = folder.Build(build_folder).length_bias(bands=0) if build_folder else None
    show_parts(terminal.frame_table(answers.answer_lengths(prompts, model, limit=limit)))
    if data is not None:
        show_parts(Text("\nHow well length alone predicts the chosen answer, and how much longer it is:\n"))
        show_parts(terminal.frame_table(data.select("source", "pairs", "longer", "auc", "mean_words", "mean_tokens")))


def _silence() -> None:
    """Silence warnings for TRL's own developers, and the progress bars of small tables."""
    warnings.simplefilter("ignore", FutureWarning)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
