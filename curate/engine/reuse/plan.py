"""What a build takes from an earlier one: scores and edits of rows, and what groups decided on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.pipeline import Phase, Stage, only, pairing
from curate.engine.reuse.decided_rows import DecidedRows, decided_rows
from curate.engine.reuse.earlier import Earlier
from curate.engine.reuse.known_rows import KnownSource
from curate.engine.reuse.matching import Match, columns_of
from curate.engine.reuse.stored_lines import StoredSource
from curate.errors import CurateError
from curate.kernels.hashing import Hashes
from curate.steps.base import Filter, Group

Found: TypeAlias = tuple[StoredSource, Sequence[Match]]
"""The ledger of a source, and the stages that are as they were."""


class OtherRowsError(CurateError):
    """Other rows reach a group than those that an earlier build has decided on."""


class KnownGroup(NamedTuple):
    """What an earlier build decided: `drops` and `hits` as `Resolved` has them, and the files of tables by name."""

    drops: pl.DataFrame
    hits: pl.DataFrame
    tables: Mapping[str, Path]


@dataclass(frozen=True)
class ReusePlan:
    """What is known of the rows of each source (None: nothing), and what groups decided, by label.

    Of the groups in `decided`, which decide on each row alone, this is known of some rows. All that holds if the
    sources have the same `rows`, in the same order: the keys and contents of each. `types` are those of the scores of
    filters, by label and name.
    """

    known: tuple[KnownSource | None, ...]
    groups: Mapping[str, KnownGroup] = field(default_factory=dict)
    decided: Mapping[str, DecidedRows] = field(default_factory=dict)
    rows: tuple[tuple[Hashes, NDArray[np.uint64]], ...] = ()
    types: Mapping[str, Mapping[str, pa.DataType]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def without_groups(self) -> ReusePlan:
        """Return a plan in which all groups decide again."""
        known = (one if one is None else one._replace(unsigned=frozenset()) for one in self.known)
        return replace(self, known=tuple(known), groups={}, decided={}, rows=())

    @property
    def unsigned(self) -> tuple[str, ...]:
        """The labels of the groups that need no keys of all rows."""
        return (*self.groups, *self.decided)

    def check_rows(self, keys: pl.DataFrame, source: NDArray[np.int16]) -> None:
        """Raise `OtherRowsError` if groups are to decide as they did, and rows are not the same."""
        for number, (key, content) in enumerate(self.rows):
            own = keys.filter(pl.Series(source == number))
            for name, expected in (("key_high", key.high), ("key_low", key.low), ("content_low", content)):
                if not np.array_equal(own[name].to_numpy(), expected):
                    raise OtherRowsError(f"source {number} has other rows than before")


def plan_reuse(earlier: Earlier, phase: Phase) -> ReusePlan:
    """Return what the final phase of a build takes from an earlier one."""
    found: list[Found | None] = []
    for source, pipeline in zip(phase.mixture.sources, phase.pipelines, strict=True):
        if pairing(phase.mixture, source) is None:
            found.append(earlier.stored(source.name, pipeline))
            continue
        found.append(None)
        earlier.notes.append(f"{earlier.path}: rows of source {source.name!r} are paired; all steps run on all of them")
    whole = [one for one in found if one is not None]
    groups: dict[str, KnownGroup] = {}
    decided: dict[str, DecidedRows] = {}
    if len(whole) == len(found) and _same_sources(earlier, phase):
        groups = _groups(earlier, phase, whole)
        decided = decided_rows(earlier, phase, whole, groups)
    unsigned = frozenset({*groups, *decided})
    known = (None if one is None else one[0].known(one[1])._replace(unsigned=unsigned) for one in found)
    rows = tuple(stored.identity() for stored, _ in whole) if unsigned else ()
    notes = [*earlier.notes, *_notes(earlier, phase, found, unsigned)]
    types = {
        match.stage.label: columns_of(
            {name: column.type for name, column in stored.columns.items()}, match.earlier.label
        )
        for stored, matched in whole
        for match in matched
    }
    return ReusePlan(tuple(known), groups, decided, rows, types, tuple(notes))


def _notes(earlier: Earlier, phase: Phase, found: Sequence[Found | None], groups: frozenset[str]) -> list[str]:
    """Say for each source which steps are as they were, and which run on all of its rows."""
    notes = []
    for source, pipeline, one in zip(phase.mixture.sources, phase.pipelines, found, strict=True):
        if one is None:
            continue
        same = [match.stage.label for match in one[1] if not isinstance(match.stage.step, Group)]
        same += [label for label in groups if any(stage.label == label for stage in pipeline)]
        new = [stage.label for stage in pipeline if stage.label not in same]
        rest = f"; {', '.join(new)} on all rows" if new else ""
        notes.append(f"{earlier.path}: source {source.name!r}: {', '.join(same) or 'no step'} as before{rest}")
    return notes


def _same_sources(earlier: Earlier, phase: Phase) -> bool:
    """Whether a build had the sources of now, in the same order, and the seed, which orders rows."""
    manifest, mixture = earlier.manifest, phase.mixture
    sources = [(one["name"], bool(one["protect"])) for one in manifest["sources"]]
    return [(one.name, one.protect) for one in mixture.sources] == sources and manifest["seed"] == mixture.seed


def _groups(earlier: Earlier, phase: Phase, found: Sequence[Found]) -> dict[str, KnownGroup]:
    """Return the groups that decide as they did, the first ones of the pipeline: others depend on those before."""
    groups: dict[str, KnownGroup] = {}
    first = [0, *accumulate(stored.rows for stored, _ in found)]
    before = [step for step in earlier.manifest["steps"] if step["kind"] == "group"]
    for (stage, group), step in zip(only(phase.stages, Group), before, strict=False):
        files = step.get("tables", [])
        if stage.label != step["label"] or group.against() or any(earlier.changed(file) for file in files):
            break
        through = (_same_rows(stage.label, *one, own) for one, own in zip(found, phase.pipelines, strict=True))
        if not all(through):
            break
        parts = [(stored, start) for (stored, _), start in zip(found, first, strict=False)]
        groups[stage.label] = KnownGroup(
            pl.concat([stored.drops(stage.label, start) for stored, start in parts]),
            pl.concat([stored.hits(stage.label, start) for stored, start in parts]),
            {Path(file["file"]).stem: earlier.path / file["file"] for file in files},
        )
    return groups


def _same_rows(label: str, stored: StoredSource, found: Sequence[Match], pipeline: Sequence[Stage]) -> bool:
    """Whether filters let the same rows of a source through to a group as they did, with the same texts."""
    place = next((stage.place for stage in pipeline if stage.label == label), None)
    if place is None:
        return True
    matched = {match.stage.label: match for match in found}
    filters = only(pipeline[:place], Filter)
    if not {label, *(stage.label for stage, _ in filters)} <= matched.keys():
        return False
    dropped = np.zeros(len(stored.before[label]), np.bool_)
    for stage, step in [] if stored.protect else filters:
        dropped |= stored.outside(matched[stage.label].earlier.label, step.bounds())
    return bool((dropped == stored.before[label])[stored.ran].all())
