"""Greedy cover, lazily evaluated: which row adds most, for what it costs, to the rows that were chosen before.

What a row adds can only shrink as others are chosen. So a heap of what rows added when they were last looked at is
enough: if the first of it, looked at again, still comes first, it is the best of all (Minoux, "Accelerated greedy
algorithms for maximizing submodular set functions", 1978).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel
from curate.kernels.hash_table import key_slot, knows
from curate.mix.takes._heap import rise, sink


class RowItems(NamedTuple):
    """What rows have that can be covered: row `i` has `items[offsets[i]:offsets[i + 1]]`, by number.

    `alone` is what the items of a row that no other row has are worth together. `cost` is over 0, and what a row adds
    for its cost is multiplied by `factor`.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    alone: NDArray[np.float64]
    cost: NDArray[np.int64]
    factor: NDArray[np.float64]


class Numbered(NamedTuple):
    """The items of rows, one after the other: how many each has (`size`), and how many words it has `alone`."""

    items: NDArray[np.int32]
    size: NDArray[np.int64]
    alone: NDArray[np.int64]


@kernel
def number_words(
    words: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    last: NDArray[np.int64],
    shared: NDArray[np.uint64],
    table: NDArray[np.uint64],
    rows_with: NDArray[np.int64],
) -> Numbered:
    """Give each word that the filter `shared` knows the number of its slot in `table`, and count the rows with it.

    The words of a row are distinct and over 0. Words that the filter does not know are the row's alone. `last` is a
    further item of each row, -1 if it has none.
    """
    rows = len(offsets) - 1
    items = np.empty(offsets[rows] - offsets[0] + rows, np.int32)
    size, alone = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    at = 0
    for i in range(rows):
        start = at
        for k in range(offsets[i], offsets[i + 1]):
            if not knows(shared, words[k]):
                alone[i] += 1
                continue
            slot = key_slot(table, words[k])
            table[slot] = words[k]
            rows_with[slot] += 1
            items[at] = slot
            at += 1
        if last[i] >= 0:
            items[at] = last[i]
            at += 1
        size[i] = at - start
    return Numbered(items[:at].copy(), size, alone)


@inline
def _worth(i: int, rows: RowItems, weight: NDArray[np.float64], frame: int, covered: NDArray[np.bool_]) -> float:
    """Return what row `i` adds to the chosen rows for its cost."""
    gain = rows.alone[i]
    for k in range(rows.offsets[i], rows.offsets[i + 1]):
        if not covered[rows.items[k]]:
            gain += weight[rows.items[k]]
    return gain / (rows.cost[i] + frame) * rows.factor[i]


@kernel
def cover(
    rows: RowItems, weight: NDArray[np.float64], frame: int, ahead: float, most_rows: int, most_cost: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose rows until one of the limits is reached; return their lines in order, and how many items each added.

    Before each choice rows are looked at, in their order, as long as those seen cost no more than `ahead` times as much
    as those chosen, and one in any case. The best that is left, for its cost and `frame`, is chosen.
    """
    count = len(rows.cost)
    key, line = np.empty(count), np.empty(count, np.int64)
    looked = np.full(count, -1, np.int64)
    covered = np.zeros(len(weight), np.bool_)
    order, added = np.empty(count, np.int64), np.empty(count, np.int64)
    size = taken = chosen = 0
    seen = spent = np.int64(0)
    while chosen < most_rows and spent < most_cost and (size > 0 or taken < count):
        while taken < count and (size == 0 or seen + rows.cost[taken] <= ahead * spent):
            key[size], line[size] = _worth(taken, rows, weight, frame, covered), taken
            looked[taken] = chosen
            seen += rows.cost[taken]
            taken += 1
            size += 1
            rise(size - 1, key, line)
        i = line[0]
        if looked[i] != chosen:
            looked[i] = chosen
            key[0] = _worth(i, rows, weight, frame, covered)
            sink(size, key, line)
            continue
        size -= 1
        key[0], line[0] = key[size], line[size]
        sink(size, key, line)
        new = 0
        for k in range(rows.offsets[i], rows.offsets[i + 1]):
            new += not covered[rows.items[k]]
            covered[rows.items[k]] = True
        order[chosen], added[chosen] = i, new
        chosen += 1
        spent += rows.cost[i]
    return order[:chosen], added[:chosen]
