"""Which completions of a rated row make a pair: the choices behind `binarize`, in one kernel."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel
from curate.kernels.hashing import mix

WORST, NEXT_BEST, ALL_LOWER, RANDOM_OTHER, LENGTH_MATCHED = range(1, 6)

MADE, NONE_GOOD_ENOUGH, ALL_TIED, DRAWN_TIED, BELOW_MARGIN = range(5)
"""The outcome of a row."""

ROUGH: Final = 1e-9
"""Tolerance of the margin: 0.3 - 0.1 is below 0.2 by 3e-17."""


class RankedCompletions(NamedTuple):
    """The scored completions of all rows, each text once; row `i` has those from `offsets[i]` to `offsets[i + 1]`.

    Within a row they go from best to worst, then by `rank`, a keyed hash. `length` (characters): for `LENGTH_MATCHED`.
    """

    offsets: NDArray[np.int64]
    score: NDArray[np.float64]
    rank: NDArray[np.uint64]
    length: NDArray[np.int32]


class Pairs(NamedTuple):
    """For each pair its row, the positions of both completions, and its draw, a keyed hash."""

    row: NDArray[np.int32]
    chosen: NDArray[np.int64]
    rejected: NDArray[np.int64]
    draw: NDArray[np.uint64]


@inline
def _draw(rank: NDArray[np.uint64], chosen: int, rejected: int) -> np.uint64:
    return np.uint64(mix(rank[chosen] + mix(rank[rejected])))


@inline
def _lower(score: NDArray[np.float64], chosen: int, start: int, end: int, margin: float, ties: bool) -> int:  # noqa: FBT001
    """Return the first completion from `start` that may be rejected for `chosen`; all after it may be too."""
    while start < end and (score[chosen] - score[start] < margin or (not ties and score[chosen] == score[start])):
        start += 1
    return start


@inline
def _pick(
    rank: NDArray[np.uint64], length: NDArray[np.int32], chosen: int, first: int, last: int, strategy: int
) -> int:
    """Return one of the completions from `first` to `last`, never `chosen`; -1 if there is none."""
    if first >= last or strategy == NEXT_BEST:
        return first if first < last else -1
    if strategy == WORST:
        return last - 1
    picked, nearest, best = -1, 0, np.uint64(0)
    for r in range(first, last):
        if r == chosen:
            continue
        away = abs(int(length[chosen]) - int(length[r])) if strategy == LENGTH_MATCHED else 0
        this = _draw(rank, chosen, r)
        if picked < 0 or away < nearest or (away == nearest and this < best):
            picked, nearest, best = r, away, this
    return picked


@inline
def _why_none(score: NDArray[np.float64], begin: int, end: int, at_least: float, drawn_tied: bool, ties: bool) -> int:  # noqa: FBT001
    if score[begin] < at_least:
        return NONE_GOOD_ENOUGH
    if not ties and score[begin] == score[end - 1]:
        return ALL_TIED
    return DRAWN_TIED if drawn_tied else BELOW_MARGIN


@kernel
def choose(
    ranked: RankedCompletions,
    at_least: float,
    strategy: int,
    margin: float,
    ties: bool,  # noqa: FBT001
    most: int,
) -> tuple[Pairs, NDArray[np.int8]]:
    """Pair the completions of each row; NaN for `at_least` chooses only the best, `most` is the space for pairs.

    Returns also the outcome of each row: `MADE` for one with fewer than two completions too.
    """
    offsets, score, rank, length = ranked
    row, draw = np.empty(most, np.int32), np.empty(most, np.uint64)
    chosen, rejected = np.empty(most, np.int64), np.empty(most, np.int64)
    outcome = np.full(len(offsets) - 1, MADE, np.int8)
    k = 0
    for i in range(len(offsets) - 1):
        begin, end, before, drawn_tied = offsets[i], offsets[i + 1], k, False
        if end - begin < 2:
            continue
        lower = begin
        for c in range(begin, begin + 1 if np.isnan(at_least) else end):
            if score[c] < at_least:
                break
            lower = _lower(score, c, max(lower, c + 1), end, margin, ties)
            first, last = lower, end
            if strategy != ALL_LOWER:
                first = _pick(rank, length, c, begin if strategy == RANDOM_OTHER else lower, end, strategy)
                last = first + 1 if first >= lower else first
                drawn_tied |= 0 <= first < lower and score[first] == score[c]
            for r in range(first, last):
                row[k], chosen[k], rejected[k], draw[k] = i, c, r, _draw(rank, c, r)
                k += 1
        if k == before:
            outcome[i] = _why_none(score, begin, end, at_least, drawn_tied, ties)
    return Pairs(row[:k], chosen[:k], rejected[:k], draw[:k]), outcome
