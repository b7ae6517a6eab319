"""Hash tables and Bloom filters over 64-bit hashes, as NumPy arrays that kernels read."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import frozen
from curate.kernels.compile import inline, kernel

SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: spreads the bits of a hash over a table."""

BITS: Final = 16
"""Bits of a Bloom filter for each n-gram in it: 1 in 70 of the others passes."""


class Table(NamedTuple):
    """Numbers `keys` from 0: an open-addressing table whose `slots`, a power of two, hold numbers; an empty one -1."""

    keys: NDArray[np.uint64]
    slots: NDArray[np.int32]


def table_of(keys: NDArray[np.uint64], room: int = 2) -> Table:
    """Return a table that numbers distinct keys by their places, with `room` slots or more for each.

    >>> table = table_of(np.array([7, 9], np.uint64))
    >>> sorted(table.slots.tolist())
    [-1, -1, 0, 1]
    """
    slots = np.full(1 << max(room * len(keys) - 1, 1).bit_length(), -1, np.int32)
    store(frozen(keys), slots)
    return Table(frozen(keys), frozen(slots))


def bloom_of(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a Bloom filter that knows `keys`."""
    bloom = np.zeros(1 << max(len(keys) * BITS // 64, 2).bit_length(), np.uint64)
    add(bloom, frozen(keys))
    return frozen(bloom)


@inline
def find(table: Table, key: np.uint64) -> int:
    """Return the number of `key`; -1 where the table lacks it."""
    place = (key * SPREAD) >> np.uint64(32)
    mask = np.uint64(len(table.slots) - 1)
    number = table.slots[place & mask]
    while number >= 0 and table.keys[number] != key:
        place += np.uint64(1)
        number = table.slots[place & mask]
    return int(number)


@kernel
def store(keys: NDArray[np.uint64], slots: NDArray[np.int32]) -> None:
    """Write the numbers of distinct keys into empty slots."""
    mask = np.uint64(len(slots) - 1)
    for number in range(len(keys)):
        place = (keys[number] * SPREAD) >> np.uint64(32)
        while slots[place & mask] >= 0:
            place += np.uint64(1)
        slots[place & mask] = number


@inline
def bits_of(key: np.uint64) -> np.uint64:
    """Return the two bits, of a word of a Bloom filter, that stand for `key`."""
    return np.uint64(
        (np.uint64(1) << (key & np.uint64(63))) | (np.uint64(1) << ((key >> np.uint64(6)) & np.uint64(63)))
    )


@inline
def knows(bloom: NDArray[np.uint64], key: np.uint64) -> bool:
    """Tell whether `key` may be among those that were added to `bloom`."""
    bits = bits_of(key)
    return (bloom[(key >> np.uint64(12)) & np.uint64(len(bloom) - 1)] & bits) == bits


@kernel
def add(bloom: NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
    """Let a Bloom filter know `keys`."""
    for key in keys:
        bloom[(key >> np.uint64(12)) & np.uint64(len(bloom) - 1)] |= bits_of(key)
