"""Everything known before training: settings, rows, steps. No weights are downloaded or allocated here."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, Union, get_args, get_type_hints

import msgspec

from curate.errors import CallError, did_you_mean
from curate.preflight.changed_parts import Changes, changes_of
from curate.preflight.chat_template import ChatTokenizer, chat_tokenizer
from curate.preflight.hardware import Machine, ModelInfo, check_extra, check_room, machine, model_of
from curate.preflight.preflight import LOST_SHARE, Preflight, check, counted
from curate.preflight.recipes import Recipe, Stage, recipe_of, stage_of
from curate.preflight.row_lengths import measured, schema_of, stored
from curate.result.build import Build


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A planned training: `settings` are TRL's, `preflight` has the rows that are trained."""

    stage: Stage
    build: Build
    model: ModelInfo
    recipe: Recipe
    settings: TrainerSettings
    machine: Machine
    changes: Changes
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
    without: Collection[str] = (),
    flatten: Collection[str] = (),
    max_lost: float = LOST_SHARE,
    store: Path | None = None,
) -> TrainingPlan:
    """Check everything that can be checked before training, cheapest first.

    Args:
        stage: `"sft"` trains on conversations, `"dpo"` on pairs, `"kto"` on answers with a label.
        build: A build, or its folder.
        model: A folder, or an id on the Hub.
        recipe: The name of one of `curate.preflight.recipes.RECIPES`.
        chat_template: `"tulu"`, `"zephyr"`, `"chatml"` or a Jinja file. Default: the model's own.
        batch: Rows per step over all devices. Default: the recipe's.
        adapter: `"lora"` trains adapters, `"qlora"` over 4-bit weights.
        settings: Anything else, by TRL's names (`SFTConfig`, `DPOConfig`, `KTOConfig`, `ModelConfig`).
        without: Parts that rows are trained without, as of `curate.preflight.preflight.preflight`.
        flatten: Parts that are trained as text of their message.
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
    changes = changes_of(without, flatten)
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
    check_room(sized, here, limit, reference=stage != "sft", use_cpu=on_cpu)
    tokenizer = chat_tokenizer(model, chat_template)
    rows = measured(found, tokenizer, limit, changes=changes)
    kept = stored(rows, schema_of(found.kind), store) if store else rows
    given = chosen_settings.trainer
    weights = (given.get("desirable_weight", 1.0), given.get("undesirable_weight", 1.0))
    packing = given.get("packing", False)
    measured_rows = counted(found, kept, limit, packing=packing, weights=weights, changes=changes)
    check(measured_rows, max_lost)
    return TrainingPlan(
        stage=stage,
        build=found,
        model=sized,
        recipe=chosen,
        settings=chosen_settings,
        machine=here,
        changes=changes,
        preflight=measured_rows,
        tokenizer=tokenizer,
    )


Adapter: TypeAlias = Literal["lora", "qlora"]

ADAPTERS: Final[dict[Adapter, dict[str, object]]] = {
    "lora": {"use_peft": True, "lora_target_modules": ["all-linear"]},
    "qlora": {"use_peft": True, "lora_target_modules": ["all-linear"], "load_in_4bit": True, "dtype": "bfloat16"},
}
"""QLoRA as in its paper (arXiv:2305.14314): 4-bit weights, adapters on every linear layer."""

OURS: Final[dict[str, str]] = {
    "output_dir": "out=",
    "model_name_or_path": "model=",
    "use_peft": "adapter=",
    "load_in_4bit": "adapter=",
    "chat_template_path": "chat_template=",
    "resume_from_checkpoint": "resume=",
    "assistant_only_loss": "nothing: only answers are trained",
    "completion_only_loss": "nothing: only answers are trained",
    "dataset_kwargs": "nothing: the build is the data",
    "dataset_text_field": "nothing: the build is the data",
    "truncation_mode": "nothing: curate preflight counts rows that are cut at their end",
    "trust_remote_code": "nothing: code shipped with a model is never run",
}
"""Settings that `curate` decides, and the argument to use instead."""


class TrainerSettings(NamedTuple):
    """Settings of TRL's trainer and `ModelConfig`, the rows per step, and the origin of each setting."""

    trainer: dict[str, Any]
    model: dict[str, Any]
    batch: int
    origin: dict[str, str]


def trainer_settings(
    recipe: Recipe, given: Mapping[str, object], here: Machine, *, batch: int | None, adapter: Adapter | None
) -> TrainerSettings:
    """Return TRL's settings, the user's over the recipe's; raises `CallError` for what TRL or the devices refuse."""
    from trl import ModelConfig

    known = get_type_hints(ModelConfig) | get_type_hints(config_of(recipe.stage))
    of_model = {one.name for one in fields(ModelConfig)} - {"trust_remote_code"}
    wanted = {name: _value(name, value, known) for name, value in given.items()}
    base = recipe.settings() | {
        "bf16": here.bf16,
        "use_cpu": here.kind == "cpu",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would replace a NaN by the mean
        "save_steps": 0.2,  # five times in a run
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,  # one line per step is written instead
        "dataloader_pin_memory": here.kind == "cuda",
    }
    trainer: dict[str, Any] = base | {name: value for name, value in wanted.items() if name not in of_model}
    model = dict(ADAPTERS[adapter]) if adapter else {}
    model |= {name: value for name, value in wanted.items() if name in of_model}
    each = trainer.setdefault("per_device_train_batch_size", KTO_ROWS if recipe.stage == "kto" else 1)
    if recipe.stage == "kto" and trainer["loss_type"] == "kto":
        _check_neighbours(each, trainer)
    steps = trainer.get("gradient_accumulation_steps") or here.share(batch or recipe.batch, each)
    trainer["gradient_accumulation_steps"] = steps
    origin = dict.fromkeys([*trainer, *model], "curate") | dict.fromkeys(recipe.settings(), "recipe")
    return TrainerSettings(trainer, model, each * steps * here.processes, origin | dict.fromkeys(wanted, "you"))


KTO_ROWS: Final = 4
"""Rows per device that TRL's documentation of KTO asks for at least: they are what its KL term is estimated from."""


def _check_neighbours(each: int, trainer: Mapping[str, Any]) -> None:
    """Raise `CallError` if rows have no neighbours to estimate the KL term from, in the order of the data."""
    if each < 2:
        raise CallError(
            f"per_device_train_batch_size={each}: KTO estimates its KL term from the other rows of a device; give 2 or "
            f"more, better {KTO_ROWS}"
        )
    order = trainer.get("train_sampling_strategy", "sequential")
    if order != "sequential":
        raise CallError(
            f"train_sampling_strategy={order!r}: KTO needs 'sequential', as rows stay with their neighbours"
        )


def config_of(stage: Stage) -> Any:  # noqa: ANN401  of TRL
    """Return TRL's settings class of a stage."""
    from trl import DPOConfig, KTOConfig, SFTConfig

    return {"sft": SFTConfig, "dpo": DPOConfig, "kto": KTOConfig}[stage]


def _value(name: str, value: object, known: Mapping[str, Any]) -> object:
    """Convert a setting to its type; text from the command line may be JSON."""
    if name in OURS:
        raise CallError(f"{name} cannot be set: use {OURS[name]}")
    if name not in known or name.startswith("_"):
        raise CallError(f"TRL has no setting {name!r}; {_near(name, known)}")
    try:
        if isinstance(value, str) and value[:1] in {"[", "{"}:
            value = json.loads(value)
        return msgspec.convert(value, _without_text(known[name]), strict=False)
    except ValueError as error:  # of msgspec, or of json
        raise CallError(f"{name}={value!r}: {str(error)[:1].lower()}{str(error)[1:]}") from error


def _without_text(kind: Any) -> Any:  # noqa: ANN401  a type
    """Return a type without `str` if it names an Enum too, so that only the Enum's values pass."""
    choices = get_args(kind)
    if not any(isinstance(one, type) and issubclass(one, Enum) for one in choices):
        return kind
    return Union[tuple(one for one in choices if one is not str)]  # noqa: UP007  of as many as there are


def _near(name: str, known: Mapping[str, Any]) -> str:
    """Return a hint; listing all names would be over a hundred."""
    hint = did_you_mean(name, known)
    return hint if hint.startswith("did") else "its SFTConfig, DPOConfig, KTOConfig and ModelConfig list them"
