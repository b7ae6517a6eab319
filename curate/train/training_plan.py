"""Everything that is known before training: settings, rows, steps. Nothing large is downloaded or allocated here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from curate.errors import CallError
from curate.preflight.chat_template import ChatTokenizer, chat_tokenizer
from curate.preflight.hardware import Machine, Model, check_extra, check_room, machine, model_of
from curate.preflight.preflight import LOST_SHARE, Fit, check, counted
from curate.preflight.recipes import Recipe, Stage, recipe_of, stage_of
from curate.preflight.row_lengths import measured, schema_of, stored
from curate.result.build import Build
from curate.train.settings import OURS, Adapter, Resolved, config_of, resolve


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a training comes to: `settings` is what TRL is told, `fit` what of the build is trained."""

    stage: Stage
    build: Build
    model: Model
    recipe: Recipe
    settings: Resolved
    machine: Machine
    fit: Fit
    tokenizer: ChatTokenizer = field(repr=False)

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.fit.steps(self.settings.batch)

    @property
    def told(self) -> list[tuple[str, object, str]]:
        """Every setting, its value, and who decided it: what you gave, the recipe, `curate`, or TRL by default."""
        here = {"devices": f"{self.machine.processes} x {self.machine.kind}", "rows a step": self.settings.batch}
        given = here | {"steps an epoch": self.steps} | self.settings.trainer | self.settings.model
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
) -> Plan:
    """Check all that can be checked before training, what costs least first; arguments are those of `train`.

    `store` keeps the measured rows in a file.
    """
    check_extra()
    chosen = recipe_of(recipe, stage)
    found = build if isinstance(build, Build) else Build(build)
    takes = stage_of(found.kind)
    if takes != stage:
        message = f"{found.path} holds {found.kind} rows, which {stage} does not train on: give it to {takes}"
        raise CallError(message)
    found.verify()
    on_cpu = str((settings or {}).get("use_cpu")).lower() == "true"
    here = machine(use_cpu=on_cpu)
    if adapter == "qlora":
        here.check_four_bits()
    told = resolve(chosen, settings or {}, here, batch=batch, adapter=adapter)
    sized = model_of(model)
    limit = told.trainer["max_length"]
    check_room(sized, here, limit, use_cpu=on_cpu)
    tokenizer = chat_tokenizer(model, chat_template)
    rows = measured(found, tokenizer, limit)
    kept = stored(rows, schema_of(found.kind), store) if store else rows
    fit = counted(found, kept, limit, packing=told.trainer.get("packing", False))
    check(fit, max_lost)
    return Plan(
        stage=stage, build=found, model=sized, recipe=chosen, settings=told, machine=here, fit=fit, tokenizer=tokenizer
    )
