"""Characters as kernels read them: where they are among the code points, and how UTF-8 spells them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curate.kernels.buffers import Bytes, Int32s, Text, frozen
from curate.kernels.compile import inline, kernel

POINTS: Final = 1 << 21
"""Length of a table over code points: 21 bits, so that no four bytes, however wrong, point past its end."""
CHARACTERS: Final = (range(0, 0xD800, 0x80), range(0xE000, 0x40000, 0x80), range(0xE0000, 0xE1000, 0x80))
"""Where characters are, by first code points of blocks of 128. No UTF-8 holds surrogates; planes 4 to 13 are empty, and
15 and 16 are private. Tables that ask Python about each character are built in a quarter of the time."""

REPLACEMENT: Final = 0xFFFD


@inline
def code_point(data: Bytes, start: int, end: int) -> tuple[np.int64, int]:
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
def count_characters(data: Bytes, start: int, end: int) -> int:
    """Count the code points of `data[start:end]`."""
    count = 0
    for i in range(start, end):
        count += data[i] & 0xC0 != 0x80
    return count


@inline
def skip_characters(data: Bytes, start: int, end: int, count: int) -> int:
    """Return where the code point number `count` begins, or `end`."""
    i = start
    while i < end:
        if data[i] & 0xC0 != 0x80:
            if count == 0:
                return i
            count -= 1
        i += 1
    return end


class Places(NamedTuple):
    """Where each of n spans starts and ends in its text, in characters (Unicode code points)."""

    start: Int32s
    end: Int32s


def character_places(text: Text, index: Int32s, start: Int32s, stop: Int32s) -> Places:
    """Return the places in characters of spans given in bytes; span `i` is in the string of `text` at `index[i]`.

    Linear in the text where the spans of a text are in the order in which they stop; each is counted from its text's
    start where they are not.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> one = np.array([1], np.int32)
    >>> [places.tolist() for places in character_places(view(pa.array(["", "\u00e9a"])), one, one * 2, one * 3)]
    [[1], [2]]
    """
    spans = (frozen(np.ascontiguousarray(column, np.int32)) for column in (index, start, stop))
    return Places(*_character_places(text.data, text.offsets, *spans))


@kernel
def _character_places(
    data: Bytes, offsets: Int32s, index: Int32s, start: Int32s, stop: Int32s
) -> tuple[Int32s, Int32s]:
    first, last = np.empty(len(index), np.int32), np.empty(len(index), np.int32)
    text, at, count = -1, 0, 0
    for i in range(len(index)):
        base = offsets[index[i]]
        if index[i] != text or base + stop[i] < at:
            text, at, count = index[i], base, 0
        count += count_characters(data, at, base + stop[i])
        at = base + stop[i]
        first[i] = count - count_characters(data, base + start[i], at)
        last[i] = count
    return first, last
