"""A greedy cover that looks at every row before each choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def cover(
    rows: Sequence[frozenset[int]],
    worth: dict[int, float],
    cost: Sequence[int],
    *,
    frame: int,
    ahead: float,
    most: int,
) -> list[tuple[int, int]]:
    """Return the rows in the order of choice, each with how many of its items no row before it had."""
    order: list[tuple[int, int]] = []
    covered: set[int] = set()
    waiting: list[int] = []
    taken = seen = spent = 0
    while len(order) < most and (waiting or taken < len(rows)):
        while taken < len(rows) and (not waiting or seen + cost[taken] <= ahead * spent):
            waiting.append(taken)
            seen += cost[taken]
            taken += 1
        gains = {i: sum(worth[item] for item in sorted(rows[i] - covered)) / (cost[i] + frame) for i in waiting}
        best = min(waiting, key=lambda i: (-gains[i], i))
        waiting.remove(best)
        order.append((best, len(rows[best] - covered)))
        covered |= rows[best]
        spent += cost[best]
    return order


def rows_with(rows: Sequence[frozenset[int]]) -> Counter[int]:
    """Count the rows that have each item."""
    return Counter(item for row in rows for item in row)
