"""TRL's settings: those of the recipe, the hardware, and the user (by TRL's names)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeAlias, Union, get_args, get_type_hints

import msgspec

from curate.errors import CallError, did_you_mean
from curate.preflight.hardware import Machine
from curate.preflight.recipes import Recipe, Stage

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
    """Return TRL's settings; the user's override the recipe's.

    Raises `CallError` for an unknown name, a value of the wrong type, a setting of `OURS`, and a batch that the devices
    cannot share.
    """
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
    each = trainer.setdefault("per_device_train_batch_size", 1)
    steps = trainer.get("gradient_accumulation_steps") or here.share(batch or recipe.batch, each)
    trainer["gradient_accumulation_steps"] = steps
    origin = dict.fromkeys([*trainer, *model], "curate") | dict.fromkeys(recipe.settings(), "recipe")
    return TrainerSettings(trainer, model, each * steps * here.processes, origin | dict.fromkeys(wanted, "you"))


def config_of(stage: Stage) -> Any:  # noqa: ANN401  of TRL
    """Return TRL's settings class of a stage."""
    from trl import DPOConfig, SFTConfig

    return SFTConfig if stage == "sft" else DPOConfig


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
    return hint if hint.startswith("did") else "its SFTConfig, DPOConfig and ModelConfig list them"
