"""Which rows are semantic duplicates, the slow way: every vector held against every one that stays."""

from __future__ import annotations

import math
from typing import NamedTuple


class Vector(NamedTuple):
    """A row by its priority, lowest first, whether it is protected, and its vector."""

    row: int
    priority: tuple[float, ...]
    protect: bool
    vector: tuple[float, ...]


def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    lengths = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return min(1.0, sum(x * y for x, y in zip(a, b, strict=True)) / lengths)


def survivors(rows: list[Vector], threshold: float) -> dict[int, tuple[int, float]]:
    """Return the dropped rows, each with the most similar kept row, the earliest of equals, and their cosine."""
    kept: list[Vector] = []
    dropped = {}
    for row in sorted((each for each in rows if any(each.vector)), key=lambda each: (not each.protect, each.priority)):
        near = max(((cosine(row.vector, one.vector), -k) for k, one in enumerate(kept)), default=(-1.0, 0))
        if row.protect or near[0] < threshold:
            kept.append(row)
        else:
            dropped[row.row] = (kept[-near[1]].row, near[0])
    return dropped
