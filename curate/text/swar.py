"""Eight bytes at a time: the arithmetic that lets a kernel read text by words of 64 bits.

A mask has bit 7 set in each byte that it marks, and no other bit.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.text.kernel import inline, load64

ONES: Final = np.uint64(0x0101010101010101)
HIGH: Final = np.uint64(0x8080808080808080)
POINTS: Final = 1 << 21
"""Length of a table over code points: 21 bits, so that no four bytes, however wrong, point past its end."""
CHARACTERS: Final = (range(0, 0xD800, 0x80), range(0xE000, 0x40000, 0x80), range(0xE0000, 0xE1000, 0x80))
"""Where characters are, by first code points of blocks of 128. No UTF-8 holds surrogates; planes 4 to 13 are empty, and
15 and 16 are private. Tables that ask Python about each character are built in a quarter of the time."""

REPLACEMENT: Final = 0xFFFD


@inline
def load(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """Return up to eight bytes from `start`, little-endian; zeros stand for what lies past `end`."""
    count = end - start
    if count >= 8:
        return load64(data, start)
    if start + 8 <= len(data):
        return np.uint64(load64(data, start) & ((np.uint64(1) << np.uint64(8 * count)) - np.uint64(1)))
    word = np.uint64(0)
    for k in range(count):
        word |= np.uint64(data[start + k]) << np.uint64(8 * k)
    return word


@inline
def within(word: np.uint64, low: int, high: int) -> np.uint64:
    """Mark the bytes of `low` to `high`; every byte of `word`, `low` and `high` is below 128."""
    reach = word + np.uint64(0x80 - low) * ONES
    beyond = word + np.uint64(0x7F - high) * ONES
    return np.uint64(reach & ~beyond & HIGH)


@inline
def leading(mask: np.uint64) -> int:
    """Return how many bytes come before the first marked one; 8 when none is."""
    lowest = (mask & (np.uint64(0) - mask)) >> np.uint64(7)
    return np.int64((((lowest - np.uint64(1)) & ONES) * ONES) >> np.uint64(56))  # type: ignore[return-value]


@inline
def marked(mask: np.uint64) -> int:
    """Return how many bytes are marked."""
    return np.int64(((mask >> np.uint64(7)) * ONES) >> np.uint64(56))  # type: ignore[return-value]


@inline
def code_point(data: NDArray[np.uint8], start: int, end: int) -> tuple[np.int64, int]:
    """Decode the UTF-8 character at `start`: its code point and its bytes. One cut off by `end` is a lone U+FFFD."""
    lead = np.int64(data[start])
    if lead < 0x80:
        return lead, 1
    width = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if start + width > end:
        return np.int64(REPLACEMENT), 1
    point = lead & (0x7F >> width)
    for k in range(1, width):
        point = (point << 6) | (np.int64(data[start + k]) & 0x3F)
    return point, width
