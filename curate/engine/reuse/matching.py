"""Which step of an earlier build is the same as one of now: its scores and edits are then those of now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from curate.engine.manifest import canonical
from curate.engine.pipeline import Stage
from curate.steps.base import Bound, Edit, Filter, Group, Step

OURS: Final = "curate."
"""Steps of other modules run again: nothing says whether their code is as it was."""


KINDS: Final[dict[type[Step], str]] = {Filter: "filter", Edit: "edit", Group: "group"}


class EarlierStep(NamedTuple):
    """A step of an earlier build, as its manifest has it.

    `edits` are the edits before it, and `filters` the filters, each as one text.
    """

    label: str
    kind: str
    step: Mapping[str, Any]
    holds: Mapping[str, str]
    bounds: tuple[Bound, ...]
    edits: tuple[str, ...]
    filters: tuple[str, ...]


class Match(NamedTuple):
    """A stage of now and the same step of an earlier build, with the bounds that moved: those of only one of them."""

    stage: Stage
    earlier: EarlierStep
    moved: frozenset[Bound]


def earlier_steps(steps: Iterable[Mapping[str, Any]], source: str) -> list[EarlierStep]:
    """Return the pipeline of a source in an earlier build, from the steps of its manifest."""
    found: list[EarlierStep] = []
    edits: list[str] = []
    filters: list[str] = []
    for one in steps:
        label, holds = one["label"], one.get("holds", {})
        if ":" in label and label.partition(":")[0] != source:
            continue
        bounds = tuple(Bound(**bound) for bound in one.get("bounds", ()))
        found.append(EarlierStep(label, one["kind"], one["step"], holds, bounds, tuple(edits), tuple(filters)))
        _add(one["kind"], label, one["step"], holds, edits, filters)
    return found


def matches(stages: Sequence[Stage], earlier: Sequence[EarlierStep], stored: Mapping[str, pa.DataType]) -> list[Match]:
    """Return the stages of a source's pipeline that an earlier build ran on the same texts.

    A group is the same only under the same label, which its order of rows depends on.

    `stored` has the columns of its ledger. All that a step declares, but for limits, decides which scores it gives.
    """
    found = []
    edits: list[str] = []
    filters: list[str] = []
    for stage in stages:
        step = stage.step
        kind = next((name for kind, name in KINDS.items() if isinstance(step, kind)), "")
        holds = dict(step.data_hashes())
        declared = json.loads(json.dumps(canonical(step)))
        if kind and type(step).__module__.startswith(OURS):
            moving = step.bound_fields if isinstance(step, Filter) else frozenset()
            before = (tuple(edits), tuple(filters) if isinstance(step, Filter) and step.reads_scores else None)
            same = [
                one
                for one in earlier
                if (one.edits, one.filters if before[1] is not None else None) == before
                and (one.kind, _says(one.step, one.holds, moving)) == (kind, _says(declared, holds, moving))
                and (kind != "filter" or columns_of(stored, one.label))
                and (kind != "group" or one.label == stage.label)
            ]
            if same:
                best = next((one for one in same if one.label == stage.label), same[0])
                bounds = step.bounds() if isinstance(step, Filter) else ()
                found.append(Match(stage, best, frozenset(bounds) ^ frozenset(best.bounds)))
        _add(kind, stage.label, declared, holds, edits, filters)
    return found


def _add(
    kind: str, label: str, step: Mapping[str, Any], holds: Mapping[str, str], edits: list[str], filters: list[str]
) -> None:
    """Note what later steps depend on: the edits before them and, for some, the scores before them."""
    says = _says(step, holds, frozenset())
    if kind == "edit":
        edits.append(says)
    elif kind == "filter":
        filters.append(f"{label} {says}")


def _says(step: Mapping[str, Any], holds: Mapping[str, str], moving: frozenset[str]) -> str:
    """Return all that the scores or edits of a step depend on; of limits only which are set."""
    fields = {name: value is None if name in moving else value for name, value in step.items()}
    fields.pop("allow_large_drop", None)
    return json.dumps([fields, dict(holds)], sort_keys=True)


def columns_of(schema: Mapping[str, pa.DataType], label: str) -> dict[str, pa.DataType]:
    """Return the score columns of a step in a ledger, by name, with their types.

    >>> columns_of({"shape.words": pa.int32(), "shape-2.words": pa.int32()}, "shape")
    {'words': DataType(int32)}
    """
    prefix = f"{label}."
    return {name.removeprefix(prefix): kind for name, kind in schema.items() if name.startswith(prefix)}
