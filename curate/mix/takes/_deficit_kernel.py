"""Choices of rows that keep to the shares of a reference: the next row is of the bin that is most behind its share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel


class Bins(NamedTuple):
    """Bins in the order that settles ties: the place of each by `length`, its `kind`, and its rows in the reference.

    The lines of bin `b` are `lines[first[b]:first[b + 1]]`, in the order in which they are chosen.
    """

    length: NDArray[np.int64]
    kind: NDArray[np.int64]
    wanted: NDArray[np.int64]
    first: NDArray[np.int64]
    lines: NDArray[np.int64]


@inline
def _nearest(
    b: int, length: NDArray[np.int64], kind: NDArray[np.int64], at: NDArray[np.int64], first: NDArray[np.int64]
) -> int:
    """Return the bin with rows left whose length is nearest: rather of the same kind, then shorter; -1 for none."""
    best, away = -1, np.int64(0)
    for k in range(len(length)):
        if at[k] == first[k + 1]:
            continue
        far = 2 * abs(length[k] - length[b]) + (kind[k] != kind[b])
        if best < 0 or far < away:
            best, away = k, far
    return best


@kernel
def follow(bins: Bins, cost: NDArray[np.int64], most_rows: int, most_cost: int) -> NDArray[np.int64]:
    """Choose lines until one of the limits is reached, and return them in order.

    After t lines, a bin is behind by t times its share of `wanted` less the lines that it gave; the bin that is behind
    most, of equal ones the first, gives the next line. A bin without lines leaves what it wanted, and what it gave, to
    the nearest that has some.
    """
    count = len(bins.lines)
    wanted, given, at = bins.wanted.copy(), np.zeros(len(bins.wanted), np.int64), bins.first[:-1].copy()
    total = np.int64(0)
    for b in range(len(wanted)):
        total += wanted[b]
    for b in range(len(wanted)):
        to = _nearest(b, bins.length, bins.kind, at, bins.first)
        if at[b] == bins.first[b + 1] and to >= 0:
            wanted[to] += wanted[b]
            wanted[b] = 0
    order = np.empty(min(count, most_rows), np.int64)
    chosen, spent = 0, np.int64(0)
    while chosen < len(order) and spent < most_cost:
        best, behind = -1, np.int64(0)
        for b in range(len(wanted)):
            if at[b] < bins.first[b + 1]:
                own = (chosen + 1) * wanted[b] - given[b] * total
                if best < 0 or own > behind:
                    best, behind = b, own
        order[chosen] = bins.lines[at[best]]
        spent += cost[order[chosen]]
        chosen += 1
        at[best] += 1
        given[best] += 1
        if at[best] == bins.first[best + 1]:
            to = _nearest(best, bins.length, bins.kind, at, bins.first)
            if to >= 0:
                wanted[to] += wanted[best]
                given[to] += given[best]
                wanted[best] = given[best] = 0
    return order[:chosen]
