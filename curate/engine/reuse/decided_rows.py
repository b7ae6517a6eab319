"""A group that decides on each row alone: what an earlier build decided holds, and only new rows need keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.engine.barrier import GroupPlace, MemoryKeys, Reached, decide
from curate.engine.pipeline import Phase, Stage, only
from curate.engine.reuse.earlier import Earlier
from curate.engine.reuse.matching import Match
from curate.engine.reuse.stored_lines import StoredSource
from curate.steps.base import Edit, Group, Resolved
from curate.steps.row_by_row import RowByRow

Sign: TypeAlias = Callable[[str, Group, NDArray[np.int64]], tuple[NDArray[np.int64], Sequence[MemoryKeys]]]
"""Gives the keys of rows: the row of each line of keys, and the keys, batch by batch."""


class DecidedRows(NamedTuple):
    """What an earlier build decided, by row of the build: of the rows of `mask` `known` says all, of others nothing.

    `totals` are those of all rows.
    """

    group: RowByRow
    mask: NDArray[np.bool_]
    known: Resolved
    totals: Mapping[str, NDArray[np.int64]]

    def decide(self, place: GroupPlace, reached: Reached, sign: Sign) -> Resolved:
        """Decide on the rows that reached the group; keys are made of those on which nothing was decided."""
        known = self.mask[reached.row]
        row, keys = sign(place.label, self.group, reached.row[~known])
        at = np.searchsorted(reached.row, row)
        best = None if reached.best_score is None else reached.best_score[at]
        part = Reached(np.arange(len(row)), reached.source[at], reached.rank[at], reached.protect[at], best)
        fresh = _renamed(decide(place, keys, part, (), len(row), self.totals), row)
        stays = np.zeros(len(self.mask), np.bool_)
        stays[reached.row[known]] = True
        return self.group.joined([_only(self.known, stays), fresh])


def _renamed(found: Resolved, row: NDArray[np.int64]) -> Resolved:
    """Return decisions with the numbers that rows have in the build."""

    def named(frame: pl.DataFrame) -> pl.DataFrame:
        if "row" not in frame.columns:
            return frame
        return frame.with_columns(row=pl.Series(row[frame["row"].to_numpy()], dtype=frame.schema["row"]))

    return Resolved(named(found.drops), named(found.hits), {name: named(one) for name, one in found.tables.items()})


def _only(found: Resolved, rows: NDArray[np.bool_]) -> Resolved:
    """Return the decisions on the rows that are marked."""

    def those(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.Series(rows[frame["row"].to_numpy()], dtype=pl.Boolean))

    return Resolved(those(found.drops), those(found.hits), {name: those(one) for name, one in found.tables.items()})


def decided_rows(
    earlier: Earlier,
    phase: Phase,
    found: Sequence[tuple[StoredSource, Sequence[Match]]],
    others: Collection[str],
) -> dict[str, DecidedRows]:
    """Return, by label, what was decided of rows that are as they were; `found` has the lines of every source.

    Left out are groups of `others`, and those behind which texts change: their rows are not on disk as they saw them.
    """
    declared = {step["label"]: step for step in earlier.manifest["steps"]}
    answer: dict[str, DecidedRows] = {}
    for stage, group in only(phase.stages, Group):
        if not isinstance(group, RowByRow) or group.against() or stage.label in others:
            continue
        pairs = zip(found, phase.pipelines, strict=True)
        if stage.label in declared and all(_as_it_was(stage.label, *one, pipeline) for one, pipeline in pairs):
            decided = _decided(earlier, declared[stage.label], group, [stored for stored, _ in found])
            answer |= {} if decided is None else {stage.label: decided}
    return answer


def _as_it_was(label: str, stored: StoredSource, found: Sequence[Match], pipeline: Sequence[Stage]) -> bool:
    """Whether a group sees the rows of a source with the texts of then, which stay so to the end of the pipeline."""
    stage = next((stage for stage in pipeline if stage.label == label), None)
    if stage is None:
        return label not in {step.label for step in stored.steps}
    if any(isinstance(later.step, Edit) for later in pipeline[stage.place :]):
        return False
    return label in {match.stage.label for match in found}


def _decided(
    earlier: Earlier, step: Mapping[str, Any], group: RowByRow, stored: Sequence[StoredSource]
) -> DecidedRows | None:
    """Return what was decided of the rows of all sources; None if tables do not say it."""
    if any(earlier.changed(file) for file in step.get("tables", ())):
        return None
    tables = {(earlier.path / file["file"]).stem: earlier.path / file["file"] for file in step.get("tables", ())}
    if not {"hits", "totals"} <= tables.keys():
        return None
    label: str = step["label"]
    first = [0, *accumulate(one.rows for one in stored)]
    starts = list(zip(stored, first, strict=False))
    hits = pl.concat([one.hits(label, start) for one, start in starts])
    table = pl.read_parquet(tables["hits"])
    same = ("reason", "side", "turn", "start", "end")
    names = table.select(*same, match=pl.format("{}/{}", "eval", "item"))
    if not names.equals(hits.select(*same, "match").cast(names.schema)):
        return None
    table = table.select(pl.Series("row", hits["row"]), pl.exclude("source", "id"))
    totals = pl.read_parquet(tables["totals"]).partition_by("name", as_dict=True, maintain_order=True)
    return DecidedRows(
        group,
        np.concatenate([one.reached(label) for one in stored]),
        Resolved(pl.concat([one.drops(label, start) for one, start in starts]), hits, {"hits": table}),
        {str(name): one["count"].to_numpy() for (name,), one in totals.items()},
    )
