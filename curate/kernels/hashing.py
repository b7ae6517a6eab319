"""The hashes behind identity, sampling order and exact duplicates: MurmurHash3 x64-128 over UTF-8 bytes.

Nothing about a machine enters a hash, so the same bytes give the same ids, ranks and keys everywhere.
Source: Austin Appleby's MurmurHash3_x64_128 (public domain), with a 64-bit seed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Bytes, Int32s, Int64s, Text, UInt64s, frozen
from curate.kernels.compile import inline, kernel, load64

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: odd, and a product with it spreads the bits of a key."""

C1: Final = np.uint64(0x87C37B91114253D5)
C2: Final = np.uint64(0x4CF5AD432745937F)


class Hashes(NamedTuple):
    """128 bits for each of n things, as two uint64 arrays."""

    high: UInt64s
    low: UInt64s


@inline
def rotate(word: np.uint64, bits: int) -> np.uint64:
    """Rotate a 64-bit word to the left."""
    return np.uint64((word << np.uint64(bits)) | (word >> np.uint64(64 - bits)))


@inline
def mix(word: np.uint64) -> np.uint64:
    """Spread a 64-bit word over all its bits (MurmurHash3's finaliser, a bijection)."""
    word ^= word >> np.uint64(33)
    word *= np.uint64(0xFF51AFD7ED558CCD)
    word ^= word >> np.uint64(33)
    word *= np.uint64(0xC4CEB9FE1A85EC53)
    return np.uint64(word ^ (word >> np.uint64(33)))


@inline
def hash_bytes(data: Bytes, start: int, end: int, seed: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Hash `data[start:end]` to 128 bits."""
    high = low = np.uint64(seed)
    i = start
    while i + 16 <= end:
        high ^= rotate(load64(data, i) * C1, 31) * C2
        high = (rotate(high, 27) + low) * np.uint64(5) + np.uint64(0x52DCE729)
        low ^= rotate(load64(data, i + 8) * C2, 33) * C1
        low = (rotate(low, 31) + high) * np.uint64(5) + np.uint64(0x38495AB5)
        i += 16
    first = second = np.uint64(0)
    for k in range(min(8, end - i)):
        first |= np.uint64(data[i + k]) << np.uint64(8 * k)
    for k in range(8, end - i):
        second |= np.uint64(data[i + k]) << np.uint64(8 * (k - 8))
    low ^= rotate(second * C2, 33) * C1
    high ^= rotate(first * C1, 31) * C2
    length = np.uint64(end - start)
    high ^= length
    low ^= length
    high += low
    low += high
    high = mix(high)
    low = mix(low)
    high += low
    return high, np.uint64(low + high)


@kernel
def _hash_strings(data: Bytes, offsets: Int32s, seed: np.uint64) -> tuple[UInt64s, UInt64s]:
    count = len(offsets) - 1
    high = np.empty(count, np.uint64)
    low = np.empty(count, np.uint64)
    for i in range(count):
        high[i], low[i] = hash_bytes(data, offsets[i], offsets[i + 1], seed)
    return high, low


def hash_strings(text: Text, seed: int = 0) -> Hashes:
    """Hash every string of `text`; a null hashes as the empty string.

    >>> from curate.kernels.buffers import view
    >>> import pyarrow as pa
    >>> hashes = hash_strings(view(pa.array(["hello", "world", "hello"])))
    >>> hex(hashes.high[0]), bool(hashes.low[0] == hashes.low[2]), bool(hashes.low[0] == hashes.low[1])
    ('0xcbd8a7b341bd9b02', True, False)
    """
    return Hashes(*_hash_strings(text.data, text.offsets, np.uint64(seed)))


@kernel
def _combine(high: UInt64s, low: UInt64s, more_high: UInt64s, more_low: UInt64s) -> None:
    for i in range(len(high)):
        high[i] = mix(rotate(high[i], 5) ^ more_high[i]) + low[i]
        low[i] = mix(rotate(low[i], 7) ^ more_low[i]) + high[i]


def combine(hashes: Hashes, more: Hashes) -> Hashes:
    """Fold `more` into `hashes`, element by element; the order of folding matters."""
    folded = Hashes(hashes.high.copy(), hashes.low.copy())
    _combine(folded.high, folded.low, frozen(more.high), frozen(more.low))
    return folded


@kernel
def _fold_lists(offsets: Int32s, item_high: UInt64s, item_low: UInt64s) -> tuple[UInt64s, UInt64s]:
    count = len(offsets) - 1
    high = np.empty(count, np.uint64)
    low = np.empty(count, np.uint64)
    base = offsets[0]
    for i in range(count):
        a = b = np.uint64(offsets[i + 1] - offsets[i])
        for k in range(offsets[i] - base, offsets[i + 1] - base):
            a = mix(rotate(a, 5) ^ item_high[k]) + b
            b = mix(rotate(b, 7) ^ item_low[k]) + a
        high[i], low[i] = mix(a), mix(b)
    return high, low


def fold_lists(offsets: Int32s, items: Hashes) -> Hashes:
    """Hash lists from the hashes of their items; `items` starts at the item `offsets[0]`. Order and length count."""
    return Hashes(*_fold_lists(offsets, items.high, items.low))


def order_of(words: NDArray[np.integer]) -> Int64s:
    """Return the order that sorts `words`; equal ones keep their places, whatever the machine.

    NumPy's vectorised sort is five times as fast as its stable one, and ranks are hardly ever equal.

    >>> order_of(np.array([3, 1, 3, 2])).tolist()
    [1, 3, 0, 2]
    """
    order = np.argsort(words)
    if (words[order[1:]] == words[order[:-1]]).any():
        order = np.argsort(words, kind="stable")
    return order


@kernel
def _ranks(high: UInt64s, low: UInt64s, number: UInt64s, key: np.uint64) -> UInt64s:
    out = np.empty(len(high), np.uint64)
    for i in range(len(high)):
        out[i] = mix(mix(mix(high[i] ^ key) + low[i]) + number[i])
    return out


def ranks(identities: Hashes, number: UInt64s, key: int) -> UInt64s:
    """Return a keyed 64-bit rank for each identity and its `number` (its occurrence, or its copy).

    Ranks of one key are a fixed random order of all identities there are: taking the lowest n is a uniform sample, and
    the sample of n is part of the sample of n + 1.
    """
    return _ranks(frozen(identities.high), frozen(identities.low), number, np.uint64(key))
