"""Groups that decide again: over the rows that reach them now, from the texts in the build folder.

Where a text is not there, or a group is not known in full, rows stay as they were, and are named as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.barrier import GroupPlace, MemoryKeys, Reached, decide, read_references
from curate.engine.executors.threads import run_all
from curate.kernels.hashing import Hashes, ranks
from curate.mix.sample import SAMPLE, key
from curate.result.bounds import RecutStep
from curate.result.folder import table
from curate.result.stored_rows import FilterVerdicts, StoredRows
from curate.rows.edits import apply_edits
from curate.rows.segments import segments
from curate.rows.sides import best_scores
from curate.rows.take import take
from curate.steps.base import Group
from curate.steps.decontaminate.decontaminate import Decontaminate
from curate.steps.dedup.dedup import Dedup
from curate.steps.dedup.exact_dedup import ExactDedup, ExcludePrompts
from curate.steps.dedup.semantic_dedup import SemanticDedup

ONE_BY_ONE: Final = (Decontaminate, ExcludePrompts)
"""Groups that decide on a row by what it says alone, once their totals are known."""

ONE_OF_SEVERAL: Final = (Dedup, ExactDedup, SemanticDedup)
"""Groups that keep one of several like rows, and drop a row only for one that is kept."""

DROPS: Final = pl.Schema(
    {"row": pl.Int64, "reason": pl.String, "score": pl.Float64, "bound": pl.Float64, "match": pl.String}
)
"""The rows that a group drops."""

UNDECIDED: Final = "{} would have to decide on it"
NO_TEXT: Final = "{} decides by its text, which is not in the build folder"
MATCH_LEFT: Final = "the row that it repeats left, and {} may find another among rows without a text here"


@dataclass
class Verdicts:
    """What becomes of each row at the steps: `place` of the step that drops it (-1: none), and why.

    `stored` marks rows that are dropped as the ledger says; for the others dropped by a filter `filters` has reasons,
    and for those dropped by a group `drops` (`row`, `reason`, `score`, `bound`, `match`).
    """

    rows: StoredRows
    filters: FilterVerdicts
    place: NDArray[np.int16]
    stored: NDArray[np.bool_]
    drops: list[pl.DataFrame]
    unknown: list[pl.DataFrame]

    @classmethod
    def of(cls, rows: StoredRows, *, compute: bool) -> Verdicts:
        """Let filters and groups decide, in the order of the pipeline."""
        filters = rows.filtered([step.bounds for step in rows.steps])
        found = cls(rows, filters, filters.place.copy(), np.zeros(len(rows), np.bool_), [], [])
        for step in rows.steps:
            if step.kind == "group" and not step.out:
                found.decide(step, compute=compute)
        return found

    def decide(self, step: RecutStep, *, compute: bool) -> None:
        """Let one group decide: as it did, or again where other rows reach it, or by other settings."""
        rows, at = self.rows, step.place
        passing = rows.of(step)
        reached = passing & ((self.place < 0) | (self.place > at))
        before = passing & ((rows.dropped_at < 0) | (rows.dropped_at >= at))
        dropped = (rows.dropped_at == at) & reached
        same = step.group == step.declared
        if same and isinstance(step.group, ONE_OF_SEVERAL) and not (reached & ~before).any():
            same = not self.repeats(dropped, before & ~reached).any()  # then every row that is kept stays so
        elif same:
            same = (reached == before).all()
        if same:
            self.as_stored(dropped)
        elif not compute or step.group is None:
            self.as_stored(dropped)
            self.leave(step, self.undecided(step, reached, before, dropped), UNDECIDED)
        else:
            self.decide_again(step, step.group, reached, before, dropped)

    def as_stored(self, rows: NDArray[np.bool_]) -> None:
        """Drop rows as the ledger says."""
        self.place[rows] = self.rows.dropped_at[rows]
        self.stored[rows] = True

    def leave(self, step: RecutStep, rows: NDArray[np.bool_], why: str) -> None:
        """Leave rows as they were, and name them as unknown."""
        self.as_stored(rows & (self.rows.dropped_at >= 0))
        which = np.flatnonzero(rows)
        text = pl.lit(why.format(step.label))
        self.unknown.append(pl.DataFrame({"row": which}).with_columns(step=pl.lit(step.label), why=text))

    def undecided(
        self, step: RecutStep, reached: NDArray[np.bool_], before: NDArray[np.bool_], dropped: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return the rows that cannot be decided from the ledger."""
        if step.moved or not isinstance(step.group, (*ONE_OF_SEVERAL, *ONE_BY_ONE)):
            return reached
        lost = self.repeats(dropped, before & ~reached)
        return (reached & ~before) | (lost if isinstance(step.group, ONE_OF_SEVERAL) else False)

    def repeats(self, dropped: NDArray[np.bool_], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of the dropped rows repeat one of the rows `among`: it was kept in their place."""
        rows, found = self.rows, np.zeros(len(self.rows), np.bool_)
        kept = rows.frame.filter(pl.Series(among)).select(pl.format("{}/{}", "source", "id").alias("name"))["name"]
        found[dropped] = rows.frame["match"].filter(pl.Series(dropped)).is_in(kept.implode()).fill_null(value=False)
        return found

    def decide_again(
        self,
        step: RecutStep,
        group: Group,
        reached: NDArray[np.bool_],
        before: NDArray[np.bool_],
        dropped: NDArray[np.bool_],
    ) -> None:
        """Let a group decide over the rows whose text is stored; the others stay as they were."""
        rows = self.rows
        need = reached if step.group != step.declared or not isinstance(group, ONE_BY_ONE) else reached & ~before
        if isinstance(group, Decontaminate) and group != step.declared and _stricter(group, step.declared):
            hits = table(rows.made.path, step.label, "hits").select("source", "id").unique()
            held = rows.frame.select("source", "id").join(hits.with_columns(hit=True), on=["source", "id"], how="left")
            need = reached & (~before | held["hit"].fill_null(value=False).to_numpy())
        text = rows.text_known(step.place)
        missing = need & ~text
        self.as_stored(dropped & ~need)
        drops = _resolved(rows, step, group, need & text)
        if isinstance(group, ONE_OF_SEVERAL) and missing.any():
            drops = self.with_missing(step, group, drops, dropped & text, missing, before & ~reached)
        which = drops["row"].to_numpy()
        self.place[which], self.stored[which] = step.place, False
        self.drops.append(drops.with_columns(place=pl.lit(step.place, pl.Int16)))
        if missing.any():
            self.leave(step, missing, NO_TEXT)

    def with_missing(
        self,
        step: RecutStep,
        group: Group,
        drops: pl.DataFrame,
        dropped: NDArray[np.bool_],
        missing: NDArray[np.bool_],
        left: NDArray[np.bool_],
    ) -> pl.DataFrame:
        """Keep the drops for rows whose text is missing: what the ledger says of them still holds.

        Rows that repeat a row that left may repeat one without a text, too: they are unknown.
        """
        frame = self.rows.frame
        kept = missing & (self.rows.dropped_at < 0)
        again = np.full(len(frame), -np.inf)
        again[drops["row"].to_numpy()] = drops["score"].to_numpy()
        score = frame["score"].fill_null(-np.inf).to_numpy()
        held = dropped & self.repeats(dropped, kept) & (score >= group.bound) & (score >= again)
        which = np.flatnonzero(held)
        own = frame[which].select("reason", "score", "match").with_columns(row=pl.Series(which))
        own = own.with_columns(bound=pl.lit(group.bound, pl.Float64)).select(drops.columns)
        lost = self.repeats(dropped, left) & (again < 0)
        if lost.any():
            row = pl.DataFrame({"row": np.flatnonzero(lost)})
            text = pl.lit(MATCH_LEFT.format(step.label))
            self.unknown.append(row.with_columns(step=pl.lit(step.label), why=text))
        return pl.concat([drops.join(own, on="row", how="anti"), own])


def _stricter(group: Decontaminate, declared: Group | None) -> bool:
    """Return whether a group finds no row that it did not find as declared: only its threshold is higher."""
    return (
        isinstance(declared, Decontaminate)
        and replace(group, threshold=declared.threshold) == declared
        and group.threshold > declared.threshold
    )


class SignedRows(NamedTuple):
    """Rows with the keys of a group, and the best score of each where they have any."""

    row: NDArray[np.int64]
    keys: MemoryKeys
    best: NDArray[np.float64] | None


def _signed(
    rows: StoredRows, step: RecutStep, group: Group, texts: tuple[NDArray[np.int64], pa.RecordBatch]
) -> list[SignedRows]:
    """Return the keys of a batch of stored rows, which get the edits that they lack."""
    row, body = texts
    lacks = rows.text_at[row].astype(np.int64) * len(rows.made.sources) + rows.source[row]
    found = []
    for one in np.unique(lacks).tolist():
        mine = np.flatnonzero(lacks == one).astype(np.int32)
        part = body if len(mine) == len(row) else take(body, mine)
        for edit in rows.edits_before(int(row[mine[0]]), step.place):
            seen = segments(part, edit.reads, edit.reads_parts)
            part, _ = apply_edits(part, seen, edit.edit(seen))
        keys = group.sign(segments(part, group.reads, group.reads_parts))
        found.append(SignedRows(row[mine], MemoryKeys(len(mine), {step.label: keys}), best_scores(part)))
    return found


def _resolved(rows: StoredRows, step: RecutStep, group: Group, wanted: NDArray[np.bool_]) -> pl.DataFrame:
    """Return the rows that a group drops of those wanted: `row`, `reason`, `score`, `bound`, `match`."""
    work = partial(_signed, rows, step, group)
    signed = [one for found in run_all(work, rows.texts(wanted), pl.thread_pool_size()) for one in found]
    if not signed:
        return pl.DataFrame(schema=DROPS)
    row = np.concatenate([one.row for one in signed])
    with_key = key(int(rows.made.manifest["seed"]), step.label, SAMPLE)
    rank = ranks(Hashes(rows.key.high[row], rows.key.low[row]), rows.occurrence[row], with_key)
    best = [one.best for one in signed if one.best is not None]
    whole = np.concatenate(best) if len(best) == len(signed) else None
    reached = Reached(np.arange(len(row)), rows.source[row], rank, rows.protect[row], whole)
    place = GroupPlace(step.label, group, np.zeros(0, np.int16))
    references = list(read_references(place))
    totals = None
    if isinstance(group, Decontaminate):
        stored = table(rows.made.path, step.label, "totals").partition_by("name", as_dict=True)
        totals = {str(name): counts["count"].to_numpy() for (name,), counts in stored.items()}
    found = decide(place, [one.keys for one in signed], reached, references, len(row), totals).drops
    names = [rows.names[row], *(pl.Series("name", one.names).cast(pl.String) for one in references)]
    outside = pl.Series(np.arange(sum(map(len, names))) >= len(row))
    known = pl.concat(names)
    known = (
        pl.DataFrame({"name": known, "outside": outside})
        .select(pl.when("outside").then(pl.format("against/{}", "name")).otherwise("name"))
        .to_series()
    )
    kept = found["kept"].set(found["kept"] < 0, None)
    match = pl.select(pl.coalesce(known.gather(kept), found["match"])).to_series()
    return found.select(
        pl.Series("row", row[found["row"].to_numpy()]),
        "reason",
        "score",
        bound=pl.lit(group.bound, pl.Float64),
        match=match,
    ).cast(DROPS)
