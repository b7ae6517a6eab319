"""What only all rows together can tell: duplicate ids, groups, the sample, the test split and the final order.

Nothing but numbers meets here, about 150 bytes a row; the texts stay in the pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.engine.barrier import Place, Reached, Sheet, Verdicts, settle_groups
from curate.engine.phases import Half
from curate.engine.pipeline import Stage, only
from curate.kernels.hashing import Hashes, ranks
from curate.mix.plan import Share, Stock, plan
from curate.mix.sample import ORDER, SAMPLE, copies, key, split_off
from curate.mix.spec import Mixture
from curate.steps.base import Group


class Fate(IntEnum):
    """What became of a row; every row read has exactly one."""

    KEPT = 0
    DROPPED = 1
    UNSAMPLED = 2
    QUARANTINED = 3
    PAIRED = 4


class Standing(NamedTuple):
    """Where every row that could be read stands: arrays over rows, in the order of sources, pieces and lines.

    `place` is the step a row fell to (its position in its source's pipeline, -1: none), and `grouped` whether that is a
    group. `kept` is the row that a duplicate fell to, or the row whose id it repeats (-1: none).
    """

    source: NDArray[np.int16]
    key: Hashes
    occurrence: NDArray[np.uint64]
    fate: NDArray[np.uint8]
    place: NDArray[np.int16]
    grouped: NDArray[np.bool_]
    kept: NDArray[np.int64]
    copies: NDArray[np.int64]
    test: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    bytes: NDArray[np.int64]


class Order(NamedTuple):
    """Rows of one split in their final order; `copy` counts the copies of a row from 0."""

    row: NDArray[np.int64]
    copy: NDArray[np.int64]
    rank: NDArray[np.uint64]

    def pick(self, which: slice | NDArray[np.int64]) -> Order:
        """Return a part of it."""
        return Order(self.row[which], self.copy[which], self.rank[which])


def stand(
    half: Half, frame: pl.DataFrame, source: NDArray[np.int16], sheets: Sequence[Sheet]
) -> tuple[Standing, Verdicts]:
    """Settle ids and groups of one half of a build; sampling is still to come.

    `frame` has the keys of all rows (`curate.engine.partition`), `source` the number of each row's source, and `sheets` what
    the groups signed them with.
    """
    rows = frame.height
    standing = Standing(
        source=source,
        key=Hashes(frame["key_high"].to_numpy(), frame["key_low"].to_numpy()),
        occurrence=np.zeros(rows, np.uint64),
        fate=np.where(frame["fell"].to_numpy() < 0, Fate.KEPT, Fate.DROPPED).astype(np.uint8),
        place=frame["fell"].to_numpy().astype(np.int16),
        grouped=np.zeros(rows, np.bool_),
        kept=np.full(rows, -1, np.int64),
        copies=np.zeros(rows, np.int64),
        test=np.zeros(rows, np.bool_),
        tokens=frame["tokens"].to_numpy(),
        bytes=frame["bytes"].to_numpy(),
    )
    _settle_ids(standing, frame)
    best = frame["best_score"].to_numpy() if "best_score" in frame.columns else None
    return standing, _settle_groups(half, standing, sheets, best)


def choose(mixture: Mixture, standing: Standing, prompt: NDArray[np.uint64] | None) -> tuple[Share, ...]:
    """Plan the mixture over what the steps left, and mark copies, fates and test rows; returns the shares.

    Raises `ShortageError`.
    """
    alive = standing.fate == Fate.KEPT
    of_source = [np.flatnonzero(alive & (standing.source == i)) for i in range(len(mixture.sources))]
    names = [source.name for source in mixture.sources]
    stock = {
        name: Stock(len(rows), int(standing.tokens[rows].sum())) for name, rows in zip(names, of_source, strict=True)
    }
    shares = plan(mixture, stock)
    for share, rows in zip(shares, of_source, strict=True):
        rank = _ranks(standing, rows, standing.occurrence[rows], key(mixture.seed, share.source, SAMPLE))
        standing.copies[rows] = copies(share, rank, standing.tokens[rows])
    standing.fate[alive & (standing.copies == 0)] = Fate.UNSAMPLED
    if prompt is not None:
        going = np.flatnonzero(standing.copies)
        standing.test[going] = split_off(prompt[going], standing.copies[going], mixture.test, mixture.seed)
    return shares


def delivered(shares: tuple[Share, ...], standing: Standing) -> list[tuple[Share, int]]:
    """Return each share with the rows or tokens that go in; of tokens, fewer than planned, as rows go in whole."""
    found = []
    for number, share in enumerate(shares):
        count = standing.copies * (standing.source == number)
        found.append((share, int(count.sum() if share.unit == "rows" else (count * standing.tokens).sum())))
    return found


def order(mixture: Mixture, standing: Standing, *, test: bool) -> Order:
    """Return one split in its final order: that of a keyed hash, so that any stretch of it is a fair sample."""
    rows = np.flatnonzero((standing.copies > 0) & (standing.test == test))
    row = np.repeat(rows, standing.copies[rows])
    first = np.cumsum(standing.copies[rows]) - standing.copies[rows]
    copy = np.arange(len(row)) - np.repeat(first, standing.copies[rows])
    number = standing.occurrence[row] + (copy.astype(np.uint64) << np.uint64(32))
    rank = np.empty(len(row), np.uint64)
    for i, source in enumerate(mixture.sources):
        own = np.flatnonzero(standing.source[row] == i)
        rank[own] = _ranks(standing, row[own], number[own], key(mixture.seed, source.name, ORDER))
    by_rank = np.argsort(rank)
    if (np.diff(rank[by_rank]) == 0).any():
        by_rank = np.lexsort((standing.key.low[row], standing.key.high[row], rank))
    return Order(row[by_rank], copy[by_rank], rank[by_rank])


def lifting(splits: Iterable[Order], lifted: NDArray[np.bool_]) -> Order:
    """Return the copies of lifted rows in all splits, by row of the build."""
    whole = Order(*(np.concatenate(columns) for columns in zip(*splits, strict=True)))
    found = np.flatnonzero(lifted[whole.row])
    return whole.pick(found[np.argsort(whole.row[found], kind="stable")])


def moved(standing: Standing) -> NDArray[np.bool_]:
    """Return which rows have copies that do not lie in the bucket their piece put them in."""
    return (standing.copies > 1) | ((standing.copies > 0) & (standing.occurrence > 0))


def _ranks(
    standing: Standing, rows: NDArray[np.int64], number: NDArray[np.uint64], with_key: int
) -> NDArray[np.uint64]:
    return ranks(Hashes(standing.key.high[rows], standing.key.low[rows]), number, with_key)


def _settle_ids(standing: Standing, frame: pl.DataFrame) -> None:
    """Number rows of one source that say the same; of rows that say different things under one id, keep one.

    The one kept is that with the lowest content hash, so that no order of rows matters; the others are quarantined.
    """
    suspects = _repeated(standing.key.low)
    if not len(suspects):
        return
    identity = ["source", "key_high", "key_low"]
    content = ["content_high", "content_low"]
    met = (
        frame[suspects]
        .select("key_high", "key_low", *content, row=pl.Series(suspects), source=pl.Series(standing.source[suspects]))
        .sort(*content, "row")
        .with_columns(
            first=pl.col("row").first().over(identity),
            same=pl.all_horizontal(pl.col(name) == pl.col(name).first().over(identity) for name in content),
        )
    )
    numbered = met.filter("same").with_columns(number=pl.int_range(pl.len()).over(identity))
    standing.occurrence[numbered["row"].to_numpy()] = numbered["number"].to_numpy()
    clash = met.filter(~pl.col("same"))
    rows = clash["row"].to_numpy()
    standing.fate[rows] = Fate.QUARANTINED
    standing.place[rows] = -1
    standing.kept[rows] = clash["first"].to_numpy()


def _repeated(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the positions of words that occur more than once, ascending."""
    by_word = np.argsort(words)
    same = words[by_word][1:] == words[by_word][:-1]
    mask = np.zeros(len(words), np.bool_)
    mask[by_word[1:][same]] = True
    mask[by_word[:-1][same]] = True
    return np.flatnonzero(mask)


def _settle_groups(
    half: Half, standing: Standing, sheets: Sequence[Sheet], best: NDArray[np.float64] | None
) -> Verdicts:
    """Let each group decide over the rows that reached it, in the order of the pipeline."""
    protect = np.array([source.protect for source in half.mixture.sources])
    places = [
        Place(stage.label, group, np.array([_place(pipeline, stage) for pipeline in half.pipelines], np.int16))
        for stage, group in only(half.stages, Group)
    ]

    def reach(place: Place) -> Reached:
        at = place.places[standing.source]
        reached = (at >= 0) & (standing.fate != Fate.QUARANTINED)
        reached &= (standing.fate == Fate.KEPT) | (standing.place > at)
        row = np.flatnonzero(reached)
        source = standing.source[row]
        with_key = key(half.mixture.seed, place.label, SAMPLE)
        rank = _ranks(standing, row, standing.occurrence[row], with_key)
        return Reached(row, source, rank, protect[source], None if best is None else best[row])

    def fall(place: Place, falls: pl.DataFrame) -> None:
        fell = falls["row"].to_numpy()
        standing.fate[fell] = Fate.DROPPED
        standing.place[fell] = place.places[standing.source[fell]]
        standing.grouped[fell] = True
        standing.kept[fell] = falls["kept"].to_numpy()

    return settle_groups(places, sheets, reach, fall)


def _place(pipeline: tuple[Stage, ...], stage: Stage) -> int:
    return next((found.place for found in pipeline if found.label == stage.label), -1)
