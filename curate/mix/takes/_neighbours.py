"""The nearest neighbours of each row: all pairs of rows, or above `EXACT` rows those of cells that are near each other.

Rows are cut into blocks, and pairs of blocks are multiplied, each once. A row's list is a set that no order of pairs
changes, as its entries have an order of their own: by cosine on the grid, then by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from curate.kernels.buffers import Float32s, Int32s, Int64s, frozen
from curate.kernels.compile import inline, kernel
from curate.mix.takes._clusters import assigned, spherical_kmeans
from curate.mix.takes._cosine import STEPS, grid_cosine, margin
from curate.steps.base import KeyLists
from curate.steps.vector_keys import read_vectors

EXACT: Final = 100_000
"""Rows up to which all pairs are compared: 20 s of processor at 256 dimensions. It grows with the square."""

BLOCK: Final = 2048
"""Rows of a block: 16 MB of products a thread."""

CELL: Final = 1024
"""Rows of a cell, on average."""

CELLS: Final = 4096
"""The most cells."""

MEET: Final = 16
"""Blocks of its own and the nearest cells that a block is compared with."""

SCANNED: Final = 32
"""Products looked at together for one that is high enough."""

LOW: Final = (1 << 32) - 1
"""The lower half of an entry of a list."""


class Blocks(NamedTuple):
    """Rows in blocks: block `b` has `vectors[ends[b]:ends[b + 1]]`; row `i` of these is row `number[i]` of all.

    `pairs` are the blocks compared with each other, the lower first.
    """

    vectors: Float32s
    number: Int64s
    ends: Int64s
    pairs: Sequence[tuple[int, int]]


class Graph(NamedTuple):
    """Which rows each row can represent: row `i` has `row[start[i]:start[i + 1]]`, with their cosines on the grid.

    A row can represent those in whose list it is; itself it represents in any case and is not listed.
    """

    start: Int64s
    row: Int32s
    cosine: Int32s


def neighbour_graph(lists: KeyLists, line: Int64s, most: int) -> Graph:
    """Return who represents whom if each row has a list of the `most` rows nearest to it.

    Args:
        lists: Reads the vectors.
        line: The lines of the rows, which have a vector each; the numbers of rows are places in it.
        most: The longest that a list may be. Only cosines over 0 count.
    """
    blocks = _all_pairs(lists, line) if len(line) <= EXACT else _near_cells(lists, line)
    start, row, cosine = _reversed(frozen(_lists(blocks, most)), frozen(blocks.number))
    return Graph(frozen(start), frozen(row), frozen(cosine))


def _all_pairs(lists: KeyLists, line: Int64s) -> Blocks:
    """Cut rows into blocks of which each is compared with each."""
    ends = np.append(np.arange(0, len(line), BLOCK), len(line))
    count = len(ends) - 1
    pairs = [(a, a + apart) for apart in range(count) for a in range(count - apart)]
    return Blocks(read_vectors(lists, line), np.arange(len(line)), ends, pairs)


def _near_cells(lists: KeyLists, line: Int64s) -> Blocks:
    """Cut the rows of each cell into blocks, which are compared with those of their own and the nearest cells."""
    centre = spherical_kmeans(lists, line, min(-(-len(line) // CELL), CELLS))
    of_row = assigned(lists, line, centre)
    number = np.argsort(of_row, kind="stable")
    starts = [
        (cell, at)
        for cell, (first, last) in enumerate(_spans(np.bincount(of_row, minlength=len(centre))))
        for at in range(first, last, BLOCK)
    ]
    of_cell: list[list[int]] = [[] for _ in range(len(centre))]
    for block, (cell, _) in enumerate(starts):
        of_cell[cell].append(block)
    near = _order_of_cells(frozen(centre))[:, :MEET].tolist()
    pairs = set()
    for block, (cell, _) in enumerate(starts):
        own = of_cell[cell]
        place = own.index(block)
        others = [*own[place:], *own[:place], *(one for other in near[cell] if other != cell for one in of_cell[other])]
        pairs |= {(min(block, other), max(block, other)) for other in others[:MEET]}
    ends = np.array([*(at for _, at in starts), len(line)])
    ordered = sorted(pairs, key=lambda pair: (pair[1] - pair[0], pair))
    return Blocks(read_vectors(lists, line[number]), number, ends, ordered)


def _spans(size: Int64s) -> list[tuple[int, int]]:
    """Return start and end of parts of these sizes."""
    ends = np.append(0, np.cumsum(size)).tolist()
    return list(pairwise(ends))


def _order_of_cells(centre: Float32s) -> Int64s:
    """Return for each cell all of them, the nearest first."""
    return np.argsort(-_all_cosines(centre), axis=1, kind="stable")


@kernel
def _all_cosines(vectors: Float32s) -> Int32s:
    found = np.empty((len(vectors), len(vectors)), np.int32)
    for i in range(len(vectors)):
        for j in range(i + 1):
            found[i, j] = found[j, i] = grid_cosine(vectors, i, vectors, j)
    return found


def _lists(blocks: Blocks, most: int) -> Int64s:
    """Return the list of each row, its entries from high to low: the cosine, and in the lower half `LOW` less the row.

    0 is no entry. A block is changed by one thread at a time.
    """
    rows = len(blocks.vectors)
    entries = np.zeros((rows, most), np.int64)
    error = margin(blocks.vectors.shape[1])
    least = np.full(rows, 1.0 / STEPS - error, np.float32)
    locks = [Lock() for _ in blocks.ends[1:]]
    with ThreadPoolExecutor(pl.thread_pool_size(), "curate") as pool:
        for _ in pool.map(partial(_compare, blocks, locks, error, least, entries), blocks.pairs):
            pass
    return entries


def _compare(
    blocks: Blocks, locks: Sequence[Lock], error: float, least: Float32s, entries: Int64s, pair: tuple[int, int]
) -> None:
    """Enter the rows of two blocks in each other's lists."""
    a, b = pair
    first, last, low, high = (int(end) for end in blocks.ends[[a, a + 1, b, b + 1]])
    products = blocks.vectors[first:last] @ blocks.vectors[low:high].T
    with locks[a]:
        if a == b:
            _enter(products, first, low, blocks.vectors, blocks.number, error, least, entries)
            return
        with locks[b]:
            _enter(products, first, low, blocks.vectors, blocks.number, error, least, entries)


@inline
def _insert(entries: Int64s, i: int, entry: int) -> None:
    """Insert an entry in a list, whose last one it drives out, if it is higher than that."""
    k = entries.shape[1] - 1
    if entry <= entries[i, k]:
        return
    while k > 0 and entries[i, k - 1] < entry:
        entries[i, k] = entries[i, k - 1]
        k -= 1
    entries[i, k] = entry


@kernel
def _enter(
    products: Float32s,
    first: int,
    low: int,
    vectors: Float32s,
    number: Int64s,
    error: float,
    least: Float32s,
    entries: Int64s,
) -> None:
    """Look at the products of rows from `first` with rows from `low`, and enter those that are high enough.

    `least` is the product from which a pair may belong in the list of a row.
    """
    width = products.shape[1]
    for i in range(products.shape[0]):
        p = first + i
        start = i + 1 if first == low else 0
        for at in range(start, width, SCANNED):
            end = min(at + SCANNED, width)
            found = 0
            for j in range(at, end):
                found += products[i, j] >= min(least[p], least[low + j])
            if found == 0:
                continue
            for j in range(at, end):
                q = low + j
                if products[i, j] < min(least[p], least[q]):
                    continue
                cosine = grid_cosine(vectors, p, vectors, q)
                if cosine <= 0:
                    continue
                _insert(entries, p, (cosine << 32) | (LOW - number[q]))
                _insert(entries, q, (cosine << 32) | (LOW - number[p]))
                least[p] = max(1, entries[p, -1] >> 32) / STEPS - error
                least[q] = max(1, entries[q, -1] >> 32) / STEPS - error


@kernel
def _reversed(entries: Int64s, number: Int64s) -> tuple[Int64s, Int32s, Int32s]:
    """Return for each row those in whose list it is, and their cosines."""
    rows, most = entries.shape
    start = np.zeros(rows + 1, np.int64)
    for p in range(rows):
        for k in range(most):
            if entries[p, k] > 0:
                start[LOW - (entries[p, k] & LOW) + 1] += 1
    for i in range(rows):
        start[i + 1] += start[i]
    row, cosine = np.empty(start[rows], np.int32), np.empty(start[rows], np.int32)
    at = start[:-1].copy()
    for p in range(rows):
        for k in range(most):
            if entries[p, k] > 0:
                i = LOW - (entries[p, k] & LOW)
                row[at[i]], cosine[at[i]] = number[p], entries[p, k] >> 32
                at[i] += 1
    return start, row, cosine
