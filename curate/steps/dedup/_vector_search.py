"""Which vectors are near an earlier one that is kept: all pairs, by products of matrices, each match verified.

A product in float32 adds in an order of its own, which depends on the machine. So it only finds candidates, by a limit
that is lower by more than its error; their cosines are computed again in float64, in the order of dimensions. No pair
is missed, and the answer is the same on any machine and any number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from curate.kernels.buffers import Float32s, Float64s, Int64s
from curate.kernels.compile import inline, kernel
from curate.steps.dedup._candidates import Nearest

BLOCK: Final = 1024
"""Rows decided at once."""

TILE: Final = 4096
"""Kept rows that a block is multiplied with at once: 16 MB of products a thread, which stay in the cache."""


class Best(NamedTuple):
    """For each row of a block the place of the most similar vector, and their cosine (-1: none is near enough)."""

    place: Int64s
    cosine: Float64s
    comparisons: int


def nearest_vectors(vectors: Float32s, protected: int, threshold: float) -> Nearest:
    """Find the rows whose cosine to an earlier row that is kept is `threshold` or more.

    Each gets the most similar one, the earliest of equals. The first `protected` rows are kept. `vectors` are rows of
    about unit length by priority; they are overwritten: those of kept rows move to the front, so that memory is that of
    the vectors and 16 MB a thread. `comparisons` counts the cosines in float64.
    """
    rows = len(vectors)
    error = vectors.shape[1] * 2.0**-22  # twice what float32 can be off by, plus the rounding of lengths
    kept, score = np.full(rows, -1, np.int64), np.zeros(rows)
    row_of = np.arange(rows)
    comparisons, held = 0, protected
    with ThreadPoolExecutor(pl.thread_pool_size(), "curate") as pool:
        for first in range(protected, rows, BLOCK):
            block = vectors[first : first + BLOCK].copy()
            tiles = ((at, vectors[at : min(at + TILE, held)]) for at in range(0, held, TILE))
            best = Best(np.full(len(block), -1), np.full(len(block), -1.0), 0)
            for at, one in pool.map(partial(_search, block, threshold, error), tiles):
                better = one.cosine > best.cosine
                best.place[better], best.cosine[better] = one.place[better] + at, one.cosine[better]
                comparisons += one.comparisons
            near = np.where(best.place < 0, -1, row_of[best.place])
            comparisons += _decide(block, block @ block.T, near, best.cosine, first, threshold, error)
            kept[first : first + len(block)] = near
            score[first : first + len(block)] = best.cosine
            stay = np.flatnonzero(near < 0)
            vectors[held : held + len(stay)], row_of[held : held + len(stay)] = block[stay], first + stay
            held += len(stay)
    return Nearest(kept, np.minimum(score, 1.0), comparisons)


def _search(block: Float32s, threshold: float, error: float, tile: tuple[int, Float32s]) -> tuple[int, Best]:
    at, vectors = tile
    products = block @ vectors.T
    most = products.max(axis=1)
    rows = np.flatnonzero(most >= threshold - error)
    place, cosine = np.full(len(block), -1), np.full(len(block), -1.0)
    comparisons = _verify(block, vectors, products, most, rows, threshold, error, place, cosine)
    return at, Best(place, cosine, comparisons)


@inline
def _cosine(a: Float32s, i: int, b: Float32s, j: int) -> float:
    """Return the cosine of two rows; exactly 1 if they are equal."""
    product, left, right = 0.0, 0.0, 0.0
    for k in range(a.shape[1]):
        x, y = np.float64(a[i, k]), np.float64(b[j, k])
        product += x * y
        left += x * x
        right += y * y
    return product / np.sqrt(left * right)


@kernel
def _verify(
    block: Float32s,
    vectors: Float32s,
    products: Float32s,
    most: Float32s,
    rows: Int64s,
    threshold: float,
    error: float,
    place: Int64s,
    cosine: Float64s,
) -> int:
    """Write the most similar vector of each of these rows; return how many cosines were computed."""
    comparisons = 0
    for row in rows:
        least = max(threshold - error, np.float64(most[row]) - 2 * error)
        for j in range(len(vectors)):
            if products[row, j] >= least:
                comparisons += 1
                found = _cosine(block, row, vectors, j)
                if found >= threshold and found > cosine[row]:
                    place[row], cosine[row] = j, found
    return comparisons


@kernel
def _decide(
    block: Float32s, products: Float32s, near: Int64s, cosine: Float64s, first: int, threshold: float, error: float
) -> int:
    """Compare the rows of a block with those before them that are kept; update what is nearest to each."""
    comparisons = 0
    for i in range(len(block)):
        for j in range(i):
            if near[j] < 0 and products[i, j] >= threshold - error:
                comparisons += 1
                found = _cosine(block, i, block, j)
                if found >= threshold and found > cosine[i]:
                    near[i], cosine[i] = first + j, found
    return comparisons
