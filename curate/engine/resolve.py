"""The decisions that need all rows at once: duplicate ids, groups, the sample, the test split and the final order.

Only numbers are in memory here, about 150 bytes a row; the texts stay in the partitions. Every `RowStates` is made in
this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.barrier import (
    BatchKeys,
    GroupPlace,
    GroupResults,
    Reached,
    Reference,
    StoredLists,
    content_hashes,
    decide,
    key_columns,
    read_references,
)
from curate.engine.pipeline import Phase, only
from curate.engine.reuse.decided_rows import Sign
from curate.engine.reuse.plan import ReusePlan
from curate.engine.state import Fate, Order, RowStates
from curate.kernels.hashing import Hashes, order_of, ranks
from curate.kernels.memory import give_back
from curate.mix.plan import Share, Stock
from curate.mix.plan import plan as shares_of
from curate.mix.sample import ORDER, SAMPLE, copies, key, split_off
from curate.mix.spec import MixtureSpec
from curate.mix.takes.selection import Budget, Selection
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS, Group, Resolved


def resolve(
    phase: Phase,
    states: RowStates,
    best: NDArray[np.float64] | None,
    batches: Sequence[BatchKeys],
    plan: ReusePlan | None = None,
    sign: Sign | None = None,
) -> tuple[RowStates, GroupResults]:
    """Resolve the groups of one phase of a build; sampling comes later.

    `states` are those of `resolve_ids`, `best` the best score of each row, if rows have scores, and `batches` the keys
    that the groups need. What a `plan` takes from an earlier build is not decided again; where it knows only some rows,
    `sign` makes the keys of others.
    """
    return _resolve_groups(phase, states, batches, best, plan or ReusePlan(()), sign)


def best_scores_of(frame: pl.DataFrame) -> NDArray[np.float64] | None:
    """Return the best score of each row, from the keys of all rows; None if there is none."""
    return frame["best_score"].to_numpy() if "best_score" in frame.columns else None


def paired(states: RowStates) -> RowStates:
    """Return the states of rated rows after their Pairing: each row that is still kept was paired."""
    return replace(states, fate=np.where(states.fate == Fate.KEPT, Fate.PAIRED, states.fate).astype(np.uint8))


Choose: TypeAlias = Callable[[int, Selection, Share, NDArray[np.int64], NDArray[np.uint64]], NDArray[np.uint64]]
"""Lets the selection of a source, by number, choose among rows: given its share, the rows and the rank of each, it
returns the place of each row."""


def sample(
    mixture: MixtureSpec, states: RowStates, prompt: NDArray[np.uint64] | None, choose: Choose | None = None
) -> tuple[RowStates, tuple[Share, ...]]:
    """Plan the mixture over the rows that are left; return copies, fates and test rows, and the shares.

    Without `choose`, rows of a source with a selection are sampled as others are.
    """
    alive = states.fate == Fate.KEPT
    of_source = [np.flatnonzero(alive & (states.source == i)) for i in range(len(mixture.sources))]
    stock = {
        source.name: Stock(len(rows), int(states.tokens[rows].sum()))
        for source, rows in zip(mixture.sources, of_source, strict=True)
    }
    shares = shares_of(mixture, stock)
    count = np.zeros(len(alive), np.int64)
    for number, (share, rows) in enumerate(zip(shares, of_source, strict=True)):
        rank = _ranks(states, rows, states.occurrence[rows], key(mixture.seed, share.source, SAMPLE))
        take = mixture.sources[number].take
        if choose is not None and share.rest and isinstance(take, Selection):
            rank = choose(number, take, share, rows, rank)
        count[rows] = copies(share, rank, states.tokens[rows])
    fate = states.fate.copy()
    fate[alive & (count == 0)] = Fate.UNSAMPLED
    test = np.zeros(len(alive), np.bool_)
    if prompt is not None:
        sampled = np.flatnonzero(count)
        test[sampled] = split_off(prompt[sampled], count[sampled], mixture.test, mixture.seed)
    return replace(states, copies=count, fate=fate, test=test), shares


def choose_rows(
    take: Selection,
    label: str,
    share: Share,
    batches: Sequence[BatchKeys],
    row: NDArray[np.int64],
    rank: NDArray[np.uint64],
    tokens: NDArray[np.int64],
    references: Sequence[Reference] = (),
) -> tuple[NDArray[np.uint64], pl.DataFrame]:
    """Let a selection choose among rows, by their numbers in `batches`, ascending; `label` is that of its keys.

    `references` are the rows that it is held against.

    Returns the place of each row, those that were not chosen behind the others by `rank`, and a line for each row that
    goes in, in order: its `place`, its `row`, and why.
    """
    by_rank = order_of(rank)
    every: list[BatchKeys] = [*batches, *(one.keys.called(label) for one in references)]
    extra = np.arange(sum(one.keys.rows for one in references))
    beside = sum(one.rows for one in batches) + extra
    columns, _ = key_columns(every, label, np.concatenate([row, beside]))
    none = np.zeros(len(extra), np.int64)
    own = {"row": row, "tokens": tokens, "rank": rank}
    known = {name: np.concatenate([column, none.astype(column.dtype)]) for name, column in own.items()}
    keys = pl.DataFrame({**known, **columns})[np.concatenate([by_rank, len(row) + extra])]
    if references:
        keys = keys.with_columns(reference=np.arange(keys.height) >= len(row))
    rows = share.unit == "rows"
    budget = Budget(rows=share.rest) if rows else Budget(tokens=share.rest)
    chosen = take.choose(keys, StoredLists(every, label, np.concatenate([row[by_rank], beside])), budget)
    place = len(row) + np.arange(len(row), dtype=np.int64)
    place[chosen.lines] = np.arange(len(chosen.lines))
    size = tokens[by_rank][chosen.lines]
    fits = np.arange(1, len(size) + 1) if rows else np.cumsum(size)
    inside = int(np.searchsorted(fits, share.rest, side="right"))
    table = chosen.why.head(inside).select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("place"),
        pl.Series("row", row[by_rank][chosen.lines[:inside]]),
        pl.Series("tokens", size[:inside]),
        pl.all(),
    )
    ranked = np.empty(len(row), np.uint64)
    ranked[by_rank] = place.astype(np.uint64)
    return ranked, table


def delivered(shares: tuple[Share, ...], states: RowStates) -> list[tuple[Share, int]]:
    """Return each share with the rows or tokens it delivers; tokens may be fewer than planned, as rows stay whole."""
    found = []
    for number, share in enumerate(shares):
        count = states.copies * (states.source == number)
        found.append((share, int(count.sum() if share.unit == "rows" else (count * states.tokens).sum())))
    return found


def order(mixture: MixtureSpec, states: RowStates, *, test: bool) -> Order:
    """Return one split in its final order: that of a keyed hash, so that any stretch of it is a fair sample."""
    row = np.flatnonzero((states.copies > 0) & (states.test == test))
    times = states.copies[row]
    copy = np.zeros(len(row), np.int64)
    if (times > 1).any():
        row = np.repeat(row, times)
        copy = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    del times  # one array less: at 100 million rows each is 0.8 GB
    rank = np.empty(len(row), np.uint64)
    for i, source in enumerate(mixture.sources):
        own = np.flatnonzero(states.source[row] == i)
        number = states.occurrence[row[own]] + (copy[own].astype(np.uint64) << np.uint64(32))
        rank[own] = _ranks(states, row[own], number, key(mixture.seed, source.name, ORDER))
    by_rank = np.argsort(rank)
    if (np.diff(rank[by_rank]) == 0).any():
        by_rank = np.lexsort((states.key.low[row], states.key.high[row], rank))
    row, copy = row[by_rank], copy[by_rank]
    return Order(row, copy, rank[by_rank])


def relocated_copies(splits: Iterable[Order], relocated: NDArray[np.bool_]) -> Order:
    """Return the copies of relocated rows in all splits, by row of the build."""
    whole = Order(*(np.concatenate(columns) for columns in zip(*splits, strict=True)))
    found = np.flatnonzero(relocated[whole.row])
    return whole.pick(found[np.argsort(whole.row[found], kind="stable")])


def _ranks(states: RowStates, rows: NDArray[np.int64], number: NDArray[np.uint64], with_key: int) -> NDArray[np.uint64]:
    return ranks(Hashes(states.key.high[rows], states.key.low[rows]), number, with_key)


def resolve_ids(frame: pl.DataFrame, source: NDArray[np.int16]) -> RowStates:
    """Number the rows of one source with equal content, and keep one of those with different content under one id.

    It keeps the row with the lowest content hash, so that no order of rows matters, and quarantines the others.
    `frame` has the keys of all rows (`curate.engine.partition`), `source` the number of each row's source.
    """
    rows = frame.height
    place = frame["dropped_by"].to_numpy().astype(np.int16)
    fate = np.where(place < 0, np.uint8(Fate.KEPT), np.uint8(Fate.DROPPED))
    occurrence, kept = numbered_ids(frame, source)
    if "occurrence" in frame.columns:  # rows of which others were set aside: theirs count too
        occurrence = frame["occurrence"].fill_null(pl.Series(occurrence)).to_numpy()
    fate[kept >= 0] = Fate.QUARANTINED
    place[kept >= 0] = -1
    return RowStates(
        source=source,
        key=Hashes(frame["key_high"].to_numpy(), frame["key_low"].to_numpy()),
        occurrence=occurrence,
        fate=fate,
        place=place,
        grouped=np.zeros(rows, np.bool_),
        kept=kept,
        copies=np.zeros(rows, np.int64),
        test=np.zeros(rows, np.bool_),
        tokens=frame["tokens"].to_numpy(),
        bytes=frame["bytes"].to_numpy(),
        parts=frame["parts"].to_numpy(),
    )


def numbered_ids(frame: pl.DataFrame, source: NDArray[np.int16]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Number the rows of one source with equal content, and find those that have the id of a row with other content.

    Returns the number of each row, from 0, and for the latter the row that keeps the id (-1 for other rows).
    """
    occurrence, kept = np.zeros(frame.height, np.uint64), np.full(frame.height, -1, np.int64)
    suspects = _repeated(frame["key_low"].to_numpy())
    if len(suspects):
        identity, content = ["source", "key_high", "key_low"], ["content_high", "content_low"]
        sharing = (
            frame[suspects]
            .select("key_high", "key_low", *content, row=pl.Series(suspects), source=pl.Series(source[suspects]))
            .sort(*content, "row")
            .with_columns(
                first=pl.col("row").first().over(identity),
                same=pl.all_horizontal(pl.col(name) == pl.col(name).first().over(identity) for name in content),
            )
        )
        numbered = sharing.filter("same").with_columns(number=pl.int_range(pl.len()).over(identity))
        occurrence[numbered["row"].to_numpy()] = numbered["number"].to_numpy()
        clash = sharing.filter(~pl.col("same"))
        kept[clash["row"].to_numpy()] = clash["first"].to_numpy()
    return occurrence, kept


def _repeated(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the positions of words that occur more than once, ascending."""
    by_word = np.argsort(words)
    same = words[by_word][1:] == words[by_word][:-1]
    mask = np.zeros(len(words), np.bool_)
    mask[by_word[1:][same]] = True
    mask[by_word[:-1][same]] = True
    return np.flatnonzero(mask)


def _resolve_groups(
    phase: Phase,
    states: RowStates,
    batches: Sequence[BatchKeys],
    best: NDArray[np.float64] | None,
    plan: ReusePlan,
    sign: Sign | None,
) -> tuple[RowStates, GroupResults]:
    """Let each group decide over the rows that reached it, in the order of the pipeline."""
    rows = known = sum(batch.rows for batch in batches)
    drops = [pl.DataFrame(schema={"step": pl.String, **DROP_COLUMNS})]
    hits = [pl.DataFrame(schema={"step": pl.String, **HIT_COLUMNS})]
    tables: dict[tuple[str, str], pl.DataFrame] = {}
    names: list[pa.Array] = [pa.array([], pa.string())]
    hashes: dict[str, list[str]] = {}
    copied: dict[tuple[str, str], Path] = {}
    for stage, group in only(phase.stages, Group):
        at = [{found.label: found.place for found in pipeline}.get(stage.label, -1) for pipeline in phase.pipelines]
        place = GroupPlace(stage.label, group, np.array(at, np.int16))
        references = list(read_references(place))
        if stage.label in plan.groups:
            group_known = plan.groups[stage.label]
            answer = Resolved(group_known.drops, group_known.hits)
            copied |= {(place.label, name): path for name, path in group_known.tables.items()}
        elif sign is not None and stage.label in plan.decided:
            answer = plan.decided[stage.label].decide(place, _reached(phase, states, place, best), sign)
        else:
            answer = decide(place, batches, _reached(phase, states, place, best), references, rows)
            give_back()
        # The rows that groups were held against are numbered on, group after group.
        own = pl.when(pl.col("kept") >= rows).then(known - rows).otherwise(0)
        dropped = answer.drops.with_columns(kept=pl.col("kept") + own)
        states = _with_drops(states, place, dropped)
        drops.append(dropped.select(pl.lit(place.label).alias("step"), *DROP_COLUMNS))
        hits.append(answer.hits.select(pl.lit(place.label).alias("step"), *HIT_COLUMNS))
        tables |= {(place.label, name): table for name, table in answer.tables.items()}
        names += [one.names for one in references]
        hashes |= {place.label: content_hashes(references)} if references else {}
        known += sum(one.keys.rows for one in references)
    results = GroupResults(
        drops=pl.concat(drops).sort("row"),
        hits=pl.concat(hits).sort("row", maintain_order=True),
        tables=tables,
        references=pa.concat_arrays(names),
        against=hashes,
        copied=copied,
    )
    return states, results


def _reached(phase: Phase, states: RowStates, place: GroupPlace, best: NDArray[np.float64] | None) -> Reached:
    """Return the rows that neither quarantine nor an earlier step stopped before the group."""
    at = place.places[states.source]
    reached = (at >= 0) & (states.fate != Fate.QUARANTINED)
    reached &= (states.fate == Fate.KEPT) | (states.place > at)
    row = np.flatnonzero(reached)
    source = states.source[row]
    rank = _ranks(states, row, states.occurrence[row], key(phase.mixture.seed, place.label, SAMPLE))
    protect = np.array([source.protect for source in phase.mixture.sources])
    return Reached(row, source, rank, protect[source], None if best is None else best[row])


def _with_drops(states: RowStates, place: GroupPlace, drops: pl.DataFrame) -> RowStates:
    """Return the states after a group dropped rows."""
    row = drops["row"].to_numpy()
    if not len(row):
        return states
    fate, at = states.fate.copy(), states.place.copy()
    grouped, kept = states.grouped.copy(), states.kept.copy()
    fate[row] = Fate.DROPPED
    at[row] = place.places[states.source[row]]
    grouped[row] = True
    kept[row] = drops["kept"].to_numpy()
    return replace(states, fate=fate, place=at, grouped=grouped, kept=kept)
