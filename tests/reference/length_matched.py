"""Rows chosen by the bin that is most behind its share, in exact fractions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

Bin = tuple[int, int]
"""The place of a length, and a kind."""


def follow(rows: Sequence[Bin], to: Sequence[Bin], most: int) -> list[int]:
    """Return the rows in the order of choice."""
    waiting: dict[Bin, list[int]] = {one: [] for one in sorted({*rows, *to})}
    for i, one in enumerate(rows):
        waiting[one].append(i)
    share = {one: Fraction(Counter(to)[one], len(to)) for one in waiting}
    given = dict.fromkeys(waiting, 0)
    order: list[int] = []
    while True:
        for one in [one for one in waiting if not waiting[one] and (share[one] or given[one])]:
            left = [other for other in waiting if waiting[other]]
            if left:
                near = min(left, key=lambda other: (abs(other[0] - one[0]), other[1] != one[1], other))
                share[near] += share.pop(one)
                given[near] += given.pop(one)
                share[one], given[one] = Fraction(0), 0
        left = [one for one in waiting if waiting[one]]
        if not left or len(order) == most:
            return order
        best = max(left, key=lambda one: ((len(order) + 1) * share[one] - given[one], -left.index(one)))
        order.append(waiting[best].pop(0))
        given[best] += 1
