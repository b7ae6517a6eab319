"""Reads from the ledger of an earlier build what it has of steps that are the same now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.reuse.known_rows import KnownLines, KnownSource, StoredStep
from curate.engine.reuse.matching import EarlierStep, Match
from curate.engine.reuse.one_step import HIT
from curate.kernels.hashing import Hashes
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS, Bound, Edit, Filter, Scores, decide

IDENTITY: Final = ("key_high", "key_low", "content")
LINES: Final = frozenset({*IDENTITY, "edited", "evidence", "fate", "step", "reason", "score", "match"})
"""What is read of the ledger beside scores."""


class FlatItems(NamedTuple):
    """The items of lists, flat, with the line of each."""

    line: NDArray[np.int64]
    items: pa.Array

    @classmethod
    def of(cls, lists: pa.ListArray) -> FlatItems:
        """Return the items of all lists."""
        return cls(np.asarray(pc.list_parent_indices(lists)).astype(np.int64), pc.list_flatten(lists))


@dataclass(frozen=True, eq=False)
class StoredSource:
    """The ledger of a source in an earlier build: its columns, the pipeline that its rows went through, and `protect`.

    `hidden` marks, for each step, the lines that a filter dropped before the last edit up to it: the ledger is silent
    on what the step found in them. `before` marks those that a filter dropped before the step.
    """

    steps: Sequence[EarlierStep]
    columns: Mapping[str, pa.Array]
    protect: bool
    hidden: Mapping[str, NDArray[np.bool_]]
    before: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def read(cls, path: Path, steps: Sequence[EarlierStep], *, protect: bool) -> StoredSource:
        """Read the ledger of a source."""
        own = tuple(f"{step.label}." for step in steps)
        wanted = [name for name in pq.read_schema(path).names if name in LINES or name.startswith(own)]
        table = pq.read_table(path, columns=wanted).combine_chunks()
        columns = {name: _array(table[name]) for name in table.column_names}
        rows = len(columns["key_low"])
        dropped = silent = np.zeros(rows, np.bool_)
        hidden, before = {}, {}
        for step in steps:
            silent = silent | dropped if step.kind == "edit" else silent
            hidden[step.label], before[step.label] = silent, dropped
            if step.bounds and not protect:
                scores = {bound.score: _numbers(columns[f"{step.label}.{bound.score}"]) for bound in step.bounds}
                dropped = dropped | (decide(Scores(scores), step.bounds, rows).bound >= 0)
        return cls(steps, columns, protect, hidden, before)

    @cached_property
    def ran(self) -> NDArray[np.int64]:
        """The lines of rows that went through the steps."""
        return np.flatnonzero(np.asarray(self.columns["key_low"].is_valid()))

    @property
    def rows(self) -> int:
        """How many rows went through the steps."""
        return len(self.ran)

    def known(self, found: Sequence[Match]) -> KnownSource:
        """Return what the ledger has of the steps of `found`."""
        evidence, edited = FlatItems.of(self.columns["evidence"]), FlatItems.of(self.columns["edited"])
        known = {}
        for match in found:
            hidden = self.hidden[match.earlier.label]
            if isinstance(match.stage.step, Filter):
                known[match.stage.label] = _filter(match, self.columns, hidden, evidence)
            elif isinstance(match.stage.step, Edit):
                again = hidden.copy()
                again[edited.line[np.asarray(pc.equal(edited.items, match.earlier.label))]] = True
                known[match.stage.label] = StoredStep(hidden, again, {}, np.zeros(0, np.int64), pa.array([], HIT))
        return KnownSource(KnownLines.of(*self.identity(), self.ran), known)

    def outside(self, label: str, bounds: Sequence[Bound]) -> NDArray[np.bool_]:
        """Return which lines are outside of bounds on the scores of a filter."""
        scores = {bound.score: _numbers(self.columns[f"{label}.{bound.score}"]) for bound in bounds}
        return decide(Scores(scores), tuple(bounds), len(self.columns["key_low"])).bound >= 0

    def reached(self, label: str) -> NDArray[np.bool_]:
        """Return which of the rows that went through the steps a group decided on."""
        labels = [step.label for step in self.steps]
        earlier = pa.array(labels[: labels.index(label)] if label in labels else labels, pa.string())
        fate = self.columns["fate"]
        gone = pc.and_(pc.equal(fate, "dropped"), pc.is_in(self.columns["step"], earlier))
        gone = pc.or_(gone, pc.equal(fate, "quarantined"))
        return ~np.asarray(pc.fill_null(gone, fill_value=False))[self.ran] & (label in labels)

    def drops(self, label: str, first: int) -> pl.DataFrame:
        """Return the rows that a group dropped, numbered from `first`; the row that is kept is named by its match."""
        mask = np.asarray(pc.fill_null(pc.equal(self.columns["step"], label), fill_value=False))
        mask &= np.asarray(pc.equal(self.columns["fate"], "dropped"))
        line = np.flatnonzero(mask)
        found = {name: pl.Series(self.columns[name].take(pa.array(line))) for name in ("reason", "score", "match")}
        row = pl.Series(first + np.searchsorted(self.ran, line), dtype=pl.Int64)
        return pl.DataFrame({"row": row, **found}).with_columns(kept=pl.lit(-1, pl.Int64)).select(*DROP_COLUMNS)

    def hits(self, label: str, first: int) -> pl.DataFrame:
        """Return the evidence of a group, by rows numbered from `first`."""
        evidence = FlatItems.of(self.columns["evidence"])
        hits = np.flatnonzero(np.asarray(pc.equal(evidence.items.field("step"), label)))
        found = evidence.items.take(pa.array(hits))
        row = pl.Series(first + np.searchsorted(self.ran, evidence.line[hits]), dtype=pl.Int64)
        columns = {name: pl.Series(found.field(name)) for name in HIT_COLUMNS if name != "row"}
        return pl.DataFrame({"row": row, **columns}).cast(dict(HIT_COLUMNS.items()))

    def identity(self) -> tuple[Hashes, NDArray[np.uint64]]:
        """Return the keys and contents of rows that went through the steps; a null content is the row's key."""
        high, low, content = (np.asarray(self.columns[name].fill_null(0))[self.ran] for name in IDENTITY)
        own = np.asarray(self.columns["content"].is_valid())[self.ran]
        return Hashes(high, low), np.where(own, content, low)


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _filter(
    match: Match, columns: Mapping[str, pa.Array], hidden: NDArray[np.bool_], evidence: FlatItems
) -> StoredStep:
    """Return what is known of a filter; rows outside of a moved bound are its business again, for their evidence."""
    label = match.earlier.label
    prefix = f"{label}."
    own = {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}
    known = {name: column if pa.types.is_string(column.type) else _numbers(column) for name, column in own.items()}
    again = np.zeros(len(hidden), np.bool_)
    for bound in match.moved:
        again |= decide(Scores(known), (bound,), len(hidden)).bound >= 0
    hits = np.flatnonzero(np.asarray(pc.equal(evidence.items.field("step"), label)))
    found = evidence.items.take(pa.array(hits))
    named = pa.repeat(pa.scalar(match.stage.label, pa.string()), len(hits))
    fields = [named, *(found.field(field.name).cast(field.type) for field in list(HIT)[1:])]
    return StoredStep(hidden, again, known, evidence.line[hits], pa.StructArray.from_arrays(fields, fields=list(HIT)))


def _numbers(column: pa.Array) -> NDArray[np.float64] | NDArray[np.int32]:
    """Return scores; a line without any, of a row that went through no step, has 0."""
    found: NDArray[np.float64] | NDArray[np.int32] = np.asarray(column.fill_null(0))
    return found
