"""Spherical k-means that gives the same clusters on any machine.

Dhillon and Modha, "Concept decompositions for large sparse text data using clustering" (2001), from seeds that
Arthur and Vassilvitskii's "k-means++" (2007) draws: each with a chance in proportion to its distance.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from curate.kernels.buffers import Float32s, Float64s, Int32s, Int64s, frozen
from curate.kernels.compile import kernel
from curate.kernels.hashing import GOLDEN, mix
from curate.mix.takes._cosine import STEPS, grid_cosine, margin
from curate.steps.base import KeyLists
from curate.steps.vector_keys import READ, read_vectors
from curate.text.embeddings.pooling import unit_length

SAMPLE: Final = 50_000
"""Rows that decide where clusters are."""

SEEDED: Final = 32
"""Rows that one seed is drawn from, for each cluster."""

ROUNDS: Final = 10
"""How often clusters are made anew, at most."""

BLOCK: Final = 2048
"""Rows assigned at once."""


def spherical_kmeans(lists: KeyLists, line: Int64s, count: int) -> Float32s:
    """Return the centres of clusters, of unit length; fewer than `count` where rows have fewer distinct vectors.

    Args:
        lists: Reads the vectors.
        line: The lines of the rows, which have a vector each, in a random order: the first `SAMPLE` decide.
        count: Clusters.
    """
    sample = read_vectors(lists, line[:SAMPLE])
    centre = sample[_seeds(frozen(sample[: SEEDED * count]), count)]
    before = np.full(len(sample), -1, np.int32)
    for _ in range(ROUNDS):
        of_row = nearest(sample, centre)
        if (of_row == before).all():
            break
        before = of_row
        moved = unit_length(_sums(frozen(sample), frozen(of_row), len(centre)))
        centre = np.where(moved.any(axis=1, keepdims=True), moved, centre)
    return centre


def assigned(lists: KeyLists, line: Int64s, centre: Float32s) -> Int32s:
    """Return the nearest centre of each row."""
    parts = [nearest(read_vectors(lists, line[at : at + READ]), centre) for at in range(0, len(line), READ)]
    return np.concatenate([np.zeros(0, np.int32), *parts])


def nearest(vectors: Float32s, centre: Float32s) -> Int32s:
    """Return the nearest centre of each vector by the cosine on the grid, the first of equals."""
    parts = (vectors[at : at + BLOCK] for at in range(0, len(vectors), BLOCK))
    with ThreadPoolExecutor(pl.thread_pool_size(), "curate") as pool:
        return np.concatenate([np.zeros(0, np.int32), *pool.map(partial(_nearest, frozen(centre)), parts)])


def _nearest(centre: Float32s, vectors: Float32s) -> Int32s:
    return _verified(frozen(vectors @ centre.T), frozen(vectors), centre, margin(vectors.shape[1]))


@kernel
def _verified(products: Float32s, vectors: Float32s, centre: Float32s, error: float) -> Int32s:
    found = np.zeros(len(vectors), np.int32)
    for i in range(len(vectors)):
        most = products[i, 0]
        for j in range(1, len(centre)):
            most = max(most, products[i, j])
        best = -2 * STEPS
        for j in range(len(centre)):
            if products[i, j] >= most - 2 * error:
                cosine = grid_cosine(vectors, i, centre, j)
                if cosine > best:
                    best, found[i] = cosine, j
    return found


@kernel
def _seeds(vectors: Float32s, count: int) -> Int64s:
    """Draw seeds, the first row among them; a row's chance is its distance (1 less the cosine) to the nearest seed."""
    chosen = np.zeros(min(count, len(vectors)), np.int64)
    apart = np.full(len(vectors), 2 * STEPS, np.int64)
    for drawn in range(1, len(chosen)):
        total = 0
        for i in range(len(vectors)):
            apart[i] = min(apart[i], STEPS - grid_cosine(vectors, i, vectors, chosen[drawn - 1]))
            total += apart[i]
        if total == 0:
            return chosen[:drawn]
        left = np.int64(mix(np.uint64(drawn) * GOLDEN) >> np.uint64(1)) % total
        i = 0
        while left >= apart[i]:
            left -= apart[i]
            i += 1
        chosen[drawn] = i
    return chosen


@kernel
def _sums(vectors: Float32s, of_row: Int32s, count: int) -> Float64s:
    """Return the sum of the vectors of each cluster, in the order of rows."""
    sums = np.zeros((count, vectors.shape[1]))
    for i in range(len(vectors)):
        total = sums[of_row[i]]
        for k in range(vectors.shape[1]):
            total[k] += np.float64(vectors[i, k])
    return sums
