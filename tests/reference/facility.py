"""Greedy facility location that looks at every row before each choice."""

from __future__ import annotations

import math
from collections.abc import Sequence

Vector = tuple[float, ...]
STEPS = 1 << 20


def cosine(a: Vector, b: Vector) -> int:
    """Return the cosine of two vectors of unit length in steps of 2^-20."""
    return min(STEPS, math.floor(math.fsum(x * y for x, y in zip(a, b, strict=True)) * STEPS + 0.5))


def neighbours(rows: Sequence[Vector], most: int) -> list[list[int]]:
    """Return for each row the rows most similar to it, their cosine over 0; of equals the earlier."""
    near = [sorted((-cosine(own, one), j) for j, one in enumerate(rows) if j != i) for i, own in enumerate(rows)]
    return [[j for less, j in each[:most] if less < 0] for each in near]


def locate(rows: Sequence[Vector], factor: Sequence[float], most: int) -> list[tuple[int, int, int]]:
    """Return the rows that add something, in the order of choice, with what each adds and how many it represents."""
    place = {rows[i]: i for i in sorted(range(len(rows)), key=lambda i: (factor[i], -i))}  # of copies, the best
    distinct = sorted(place, key=lambda one: place[one])
    lists = neighbours(distinct, most)
    near = {one: {one, *(distinct[j] for j in lists[i])} for i, one in enumerate(distinct)}
    can = [{j: cosine(row, other) for j, other in enumerate(rows) if row in near[other]} for row in rows]
    best = [0] * len(rows)
    order: list[tuple[int, int, int]] = []
    while rows:
        gains = [sum(max(0, found - best[j]) for j, found in each.items()) for each in can]
        i = max(range(len(rows)), key=lambda i: (gains[i] * factor[i], -i))
        if gains[i] * factor[i] <= 0:
            break
        order.append((i, gains[i], sum(found > best[j] for j, found in can[i].items())))
        best = [max(before, can[i].get(j, 0)) for j, before in enumerate(best)]
    return order
