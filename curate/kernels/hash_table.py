"""Open-addressing hash tables and Bloom filters over 64-bit keys, as NumPy arrays that kernels read.

Every table has a power of two of slots, more than it has keys. A search begins at `home(key)` and goes on slot by slot.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curate.kernels.buffers import Int32s, Int64s, UInt64s, frozen
from curate.kernels.compile import inline, kernel
from curate.kernels.hashing import GOLDEN

BITS: Final = 16
"""Bits of a Bloom filter for each key in it: 1 in 70 of the others passes."""


class HashTable(NamedTuple):
    """Numbers `keys` from 0. Each of `slots` holds the number of a key, or -1 if it is empty."""

    keys: UInt64s
    slots: Int32s


def table_of(keys: UInt64s, room: int = 2) -> HashTable:
    """Return a table that numbers distinct keys by their places, with at least `room` slots for each.

    >>> table = table_of(np.array([7, 9], np.uint64))
    >>> sorted(table.slots.tolist())
    [-1, -1, 0, 1]
    """
    slots = np.full(1 << max(room * len(keys) - 1, 1).bit_length(), -1, np.int32)
    store(frozen(keys), slots)
    return HashTable(frozen(keys), frozen(slots))


def bloom_of(keys: UInt64s) -> UInt64s:
    """Return a Bloom filter of `keys`."""
    bloom = empty_bloom(len(keys))
    add(bloom, frozen(keys))
    return frozen(bloom)


def empty_bloom(count: int) -> UInt64s:
    """Return a Bloom filter with room for `count` keys."""
    return np.zeros(1 << max(count * BITS // 64, 2).bit_length(), np.uint64)


@inline
def home(key: np.uint64, size: int) -> int:
    """Return the first slot to look at for `key` in a table of `size` slots."""
    return int(np.int64((key * GOLDEN) >> np.uint64(32)) & (size - 1))


@inline
def find(table: HashTable, key: np.uint64) -> int:
    """Return the number of `key`; -1 where the table lacks it."""
    slot = home(key, len(table.slots))
    number = table.slots[slot]
    while number >= 0 and table.keys[number] != key:
        slot = (slot + 1) & (len(table.slots) - 1)
        number = table.slots[slot]
    return int(number)


@kernel
def store(keys: UInt64s, slots: Int32s) -> None:
    """Write the numbers of distinct keys into empty slots."""
    for number in range(len(keys)):
        slot = home(keys[number], len(slots))
        while slots[slot] >= 0:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = number


@inline
def key_slot(keys: UInt64s, key: np.uint64) -> int:
    """Return the slot of `key` in a table of keys, or the empty slot (0) where it belongs. Of 0 it is an empty one."""
    slot = home(key, len(keys))
    while keys[slot] != np.uint64(0) and keys[slot] != key:
        slot = (slot + 1) & (len(keys) - 1)
    return slot


@inline
def stamped_slot(keys: UInt64s, stamps: Int32s, stamp: int, key: np.uint64, size: int) -> int:
    """Return the slot of `key` among the first `size`, or the one where it belongs: without the current `stamp`.

    A new stamp empties the table at no cost.
    """
    slot = home(key, size)
    while stamps[slot] == stamp and keys[slot] != key:
        slot = (slot + 1) & (size - 1)
    return slot


@kernel
def slots_of(table: UInt64s, keys: UInt64s) -> Int64s:
    """Enter `keys` (0 is not one) in a table of keys, and return their slots."""
    slots = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        slots[i] = key_slot(table, keys[i])
        table[slots[i]] = keys[i]
    return slots


@inline
def bits_of(key: np.uint64) -> np.uint64:
    """Return the two bits of `key` in a word of a Bloom filter."""
    return np.uint64(
        (np.uint64(1) << (key & np.uint64(63))) | (np.uint64(1) << ((key >> np.uint64(6)) & np.uint64(63)))
    )


@inline
def knows(bloom: UInt64s, key: np.uint64) -> bool:
    """Tell whether `key` may be one of those added to `bloom`."""
    bits = bits_of(key)
    return (bloom[(key >> np.uint64(12)) & np.uint64(len(bloom) - 1)] & bits) == bits


@kernel
def add(bloom: UInt64s, keys: UInt64s) -> None:
    """Add `keys` to a Bloom filter."""
    for key in keys:
        bloom[(key >> np.uint64(12)) & np.uint64(len(bloom) - 1)] |= bits_of(key)


@kernel
def enter_twice(keys: UInt64s, once: UInt64s, twice: UInt64s) -> int:
    """Add keys to the Bloom filter `once`, those that it knows to `twice`; return how many were new to `twice`."""
    count = 0
    for key in keys:
        place, bits = (key >> np.uint64(12)) & np.uint64(len(once) - 1), bits_of(key)
        if (once[place] & bits) == bits:
            count += (twice[place] & bits) != bits
            twice[place] |= bits
        else:
            once[place] |= bits
    return count
