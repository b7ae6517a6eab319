"""A heap of lines in two arrays, for kernels: the highest key first, and of equal keys the earlier line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline


@inline
def _before(a: int, b: int, key: NDArray[np.float64], line: NDArray[np.int64]) -> bool:
    return key[a] > key[b] or (key[a] == key[b] and line[a] < line[b])


@inline
def _swap(a: int, b: int, key: NDArray[np.float64], line: NDArray[np.int64]) -> None:
    key[a], key[b] = key[b], key[a]
    line[a], line[b] = line[b], line[a]


@inline
def sink(size: int, key: NDArray[np.float64], line: NDArray[np.int64]) -> None:
    """Let the first entry of a heap sink to its place."""
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _before(child + 1, child, key, line):
            child += 1
        if not _before(child, at, key, line):
            return
        _swap(child, at, key, line)
        at = child


@inline
def rise(at: int, key: NDArray[np.float64], line: NDArray[np.int64]) -> None:
    """Let the last entry of a heap rise to its place."""
    while at > 0 and _before(at, (at - 1) // 2, key, line):
        _swap(at, (at - 1) // 2, key, line)
        at = (at - 1) // 2
