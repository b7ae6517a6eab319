"""Everything known before training: settings, rows, steps. No weights are downloaded or allocated here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from curate.errors import CallError
from curate.preflight.chat_template import ChatTokenizer, chat_tokenizer
from curate.preflight.hardware import Machine, ModelInfo, check_extra, check_room, machine, model_of
from curate.preflight.preflight import LOST_SHARE, Preflight, check, counted
from curate.preflight.recipes import Recipe, Stage, recipe_of, stage_of
from curate.preflight.row_lengths import measured, schema_of, stored
from curate.result.build import Build
from curate.train.settings import OURS, Adapter, TrainerSettings, config_of, trainer_settings


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A planned training: `settings` are TRL's, `preflight` has the rows that are trained."""

    stage: Stage
    build: Build
    model: ModelInfo
    recipe: Recipe
    settings: TrainerSettings
    machine: Machine
    preflight: Preflight
    tokenizer: ChatTokenizer = field(repr=False)

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.preflight.steps(self.settings.batch)

    @property
    def setting_rows(self) -> list[tuple[str, object, str]]:
        """Every setting, its value and its origin: you, the recipe, the machine, `curate`, or TRL's default."""
        here = {"devices": f"{self.machine.processes} x {self.machine.kind}", "rows per step": self.settings.batch}
        given = here | {"steps per epoch": self.steps} | self.settings.trainer | self.settings.model
        others = [one for one in fields(config_of(self.stage)) if one.name not in {*given, *OURS}]
        whole = {one.name: one.default if one.default_factory is MISSING else one.default_factory() for one in others}
        origin = dict.fromkeys(whole, "trl") | dict.fromkeys(given, "machine") | self.settings.origin
        return [(name, value, origin[name]) for name, value in (given | whole).items()]


def plan(
    stage: Stage,
    build: Build | str | Path,
    *,
    model: str,
    recipe: str,
    chat_template: str | None = None,
    batch: int | None = None,
    adapter: Adapter | None = None,
    settings: Mapping[str, object] | None = None,
    max_lost: float = LOST_SHARE,
    store: Path | None = None,
) -> TrainingPlan:
    """Check everything that can be checked before training, cheapest first.

    Args:
        stage: `"sft"` trains on conversations, `"dpo"` on pairs.
        build: A build, or its folder.
        model: A folder, or an id on the Hub.
        recipe: The name of one of `curate.preflight.recipes.RECIPES`.
        chat_template: `"tulu"`, `"zephyr"`, `"chatml"` or a Jinja file. Default: the model's own.
        batch: Rows per step over all devices. Default: the recipe's.
        adapter: `"lora"` trains adapters, `"qlora"` over 4-bit weights.
        settings: Anything else, by TRL's names (`SFTConfig`, `DPOConfig`, `ModelConfig`).
        max_lost: The share of rows that may be left out because the limit leaves nothing to train on.
        store: A file for the measured rows. Default: they are not kept.

    Returns:
        The settings, rows and steps of the training.

    Raises:
        CallError: The call is wrong.
        BuildFolderError: The data of the build changed.
        PreflightError: Training would be silently wrong.
    """
    check_extra()
    chosen = recipe_of(recipe, stage)
    found = build if isinstance(build, Build) else Build(build)
    takes = stage_of(found.kind)
    if takes != stage:
        raise CallError(f"{found.path} holds {found.kind} rows, which {stage} does not train on: use {takes}")
    found.verify()
    on_cpu = str((settings or {}).get("use_cpu")).lower() == "true"
    here = machine(use_cpu=on_cpu)
    if adapter == "qlora":
        here.check_four_bits()
    chosen_settings = trainer_settings(chosen, settings or {}, here, batch=batch, adapter=adapter)
    sized = model_of(model)
    limit = chosen_settings.trainer["max_length"]
    check_room(sized, here, limit, use_cpu=on_cpu)
    tokenizer = chat_tokenizer(model, chat_template)
    rows = measured(found, tokenizer, limit)
    kept = stored(rows, schema_of(found.kind), store) if store else rows
    measured_rows = counted(found, kept, limit, packing=chosen_settings.trainer.get("packing", False))
    check(measured_rows, max_lost)
    return TrainingPlan(
        stage=stage,
        build=found,
        model=sized,
        recipe=chosen,
        settings=chosen_settings,
        machine=here,
        preflight=measured_rows,
        tokenizer=tokenizer,
    )
