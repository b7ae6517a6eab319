"""Greedy facility location, lazily evaluated: which row adds most to how well rows are represented.

What a row adds can only shrink, so the first of a heap that stays first when looked at again is the best of all
(Minoux, 1978; see `curate.mix.takes._cover_kernel`). Gains are whole numbers: no order of adding changes them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curate.kernels.buffers import Float64s, Int32s, Int64s
from curate.kernels.compile import inline, kernel
from curate.mix.takes._cosine import STEPS
from curate.mix.takes._heap import rise, sink
from curate.mix.takes._neighbours import Graph


class Located(NamedTuple):
    """Rows in the order of choice.

    `adds` is how much each adds, in steps of the grid, and `represents` how many rows it is nearest to of those chosen.
    """

    row: Int64s
    adds: Int64s
    represents: Int64s


@inline
def _gain(i: int, graph: Graph, weight: Int64s, best: Int32s) -> int:
    """Return what row `i` adds to the chosen rows."""
    gain = weight[i] * (STEPS - best[i])
    for k in range(graph.start[i], graph.start[i + 1]):
        j = graph.row[k]
        gain += weight[j] * max(0, graph.cosine[k] - best[j])
    return gain


@kernel
def locate(graph: Graph, weight: Int64s, factor: Float64s, cost: Int64s, most_rows: int, most_cost: int) -> Located:
    """Choose rows until one of the limits is reached, or none is left that adds anything.

    Row `i` is counted `weight[i]` times, and what it adds is multiplied by `factor[i]`; of equals the first is chosen.
    """
    count = len(weight)
    best, looked = np.zeros(count, np.int32), np.zeros(count, np.int64)
    key, line = np.empty(count), np.empty(count, np.int64)
    for i in range(count):
        key[i], line[i] = _gain(i, graph, weight, best) * factor[i], i
        rise(i, key, line)
    row, adds, represents = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    size, chosen, spent = count, 0, np.int64(0)
    while chosen < most_rows and spent < most_cost and size > 0 and key[0] > 0:
        i = line[0]
        if looked[i] != chosen:
            looked[i] = chosen
            key[0] = _gain(i, graph, weight, best) * factor[i]
            sink(size, key, line)
            continue
        size -= 1
        key[0], line[0] = key[size], line[size]
        sink(size, key, line)
        row[chosen], adds[chosen], represents[chosen] = i, _gain(i, graph, weight, best), 0
        if best[i] < STEPS:
            represents[chosen] += weight[i]
            best[i] = STEPS
        for k in range(graph.start[i], graph.start[i + 1]):
            j = graph.row[k]
            if graph.cosine[k] > best[j]:
                represents[chosen] += weight[j]
                best[j] = graph.cosine[k]
        chosen += 1
        spent += cost[i]
    return Located(row[:chosen], adds[:chosen], represents[:chosen])
