"""Characters as kernels read them: where they are among the code points, and how UTF-8 spells them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline

POINTS: Final = 1 << 21
"""Length of a table over code points: 21 bits, so that no four bytes, however wrong, point past its end."""
CHARACTERS: Final = (range(0, 0xD800, 0x80), range(0xE000, 0x40000, 0x80), range(0xE0000, 0xE1000, 0x80))
"""Where characters are, by first code points of blocks of 128. No UTF-8 holds surrogates; planes 4 to 13 are empty, and
15 and 16 are private. Tables that ask Python about each character are built in a quarter of the time."""

REPLACEMENT: Final = 0xFFFD


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


@inline
def is_blank(byte: int | np.integer) -> bool | np.bool:
    """Tell whether a byte is ASCII white space."""
    return byte == 0x20 or 0x09 <= byte <= 0x0D


@inline
def count_characters(data: NDArray[np.uint8], start: int, end: int) -> int:
    """Count the code points of `data[start:end]`."""
    count = 0
    for i in range(start, end):
        count += data[i] & 0xC0 != 0x80
    return count


@inline
def skip_characters(data: NDArray[np.uint8], start: int, end: int, count: int) -> int:
    """Return where the code point number `count` begins, or `end`."""
    i = start
    while i < end:
        if data[i] & 0xC0 != 0x80:
            if count == 0:
                return i
            count -= 1
        i += 1
    return end
