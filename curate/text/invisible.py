"""Invisible characters: Unicode's Default_Ignorable_Code_Point, which NFKC_Casefold drops.

Zero-width spaces and joiners, the soft hyphen, direction marks, variation selectors, tags, Hangul fillers. Where texts
are compared they do not count. Where one is searched for what has no normal form (phrases, quotation marks, its first
hundred characters), it is searched without them, and the places are counted in the text as it is.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np

from curate.kernels.buffers import Bytes, Flags, Int32s, Text, frozen
from curate.kernels.compile import inline, kernel
from curate.kernels.utf8 import POINTS, Places, code_point
from curate.kernels.vector import WIDTH, trailing, within32

RANGES: Final = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
"""First and last code points, unassigned ones among them: DerivedCoreProperties.txt of Unicode 14.0 and of 16.0."""

PATTERN: Final = "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in RANGES) + "]+"
"""A run of them, for every regular expression."""


@functools.cache
def invisible() -> Flags:
    """Return which code points they are."""
    table = np.zeros(POINTS, np.bool_)
    for first, last in RANGES:
        table[first : last + 1] = True
    return frozen(table)


def has_invisible(text: Text, index: Int32s) -> Flags:
    r"""Tell which strings of `text` at `index` have an invisible character.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> has_invisible(view(pa.array(["so", "s\u200bo", ""])), np.arange(3, dtype=np.int32)).tolist()
    [False, True, False]
    """
    found = _has_invisible(text.data, text.offsets, invisible())
    return found[index] if found.any() else np.zeros(len(index), np.bool_)


@kernel
def _has_invisible(data: Bytes, offsets: Int32s, table: Flags) -> Flags:
    """Tell which strings have one; the others are read as if they were one string."""
    answer = np.zeros(len(offsets) - 1, np.bool_)
    string, end = 0, int(offsets[-1])
    at = next_invisible(data, int(offsets[0]), end, table)
    while at < end:
        while offsets[string + 1] <= at:
            string += 1
        answer[string] = True
        at = next_invisible(data, int(offsets[string + 1]), end, table)
    return answer


def stripped(text: Text, index: Int32s) -> Text:
    r"""Return the strings of `text` at `index` without invisible characters.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> bytes(stripped(view(pa.array(["s\u200bo", "", "\ufeffa"])), np.arange(3, dtype=np.int32)).data)
    b'soa'
    """
    data, offsets = _stripped(text.data, text.offsets, frozen(index), invisible())
    return Text(frozen(data), frozen(offsets))


@kernel
def _stripped(data: Bytes, offsets: Int32s, index: Int32s, table: Flags) -> tuple[Bytes, Int32s]:
    total = 0
    for place in index:
        total += offsets[place + 1] - offsets[place]
    copy, ends, written = np.empty(total, np.uint8), np.zeros(len(index) + 1, np.int32), 0
    for i in range(len(index)):
        at, end = int(offsets[index[i]]), int(offsets[index[i] + 1])
        while at < end:
            stop = min(next_invisible(data, at, end, table), end)
            for k in range(at, stop):
                copy[written + k - at] = data[k]
            written += stop - at
            at = stop + (code_point(data, stop, end)[1] if stop < end else 0)
        ends[i + 1] = written
    return copy[:written], ends


@inline
def next_invisible(data: Bytes, at: int, end: int, table: Flags) -> int:
    """Return where the next one from `at` on begins, or a place from `end` on."""
    safe = min(end, len(data) - 2 * WIDTH - 2)  # `likely` reads two bytes past its 32
    while at < safe:
        if within32(data, at, 0xC2, 0xF3) | within32(data, at + WIDTH, 0xC2, 0xF3):
            marks = likely(data, at) | likely(data, at + WIDTH) << WIDTH
            while marks and at + trailing(marks) < end:
                if table[code_point(data, at + trailing(marks), end)[0]]:
                    return at + trailing(marks)
                marks &= marks - 1
        at += 2 * WIDTH
    while at < end:  # the last bytes of the data are read one by one
        if data[at] >= 0xC2 and table[code_point(data, at, end)[0]]:
            return at
        at += 1
    return at


@inline
def likely(data: Bytes, at: int) -> int:
    """Mark, of the 32 bytes from `at`, those that may begin a character of `RANGES`; few do in any script."""
    marks = within32(data, at, 0xC2, 0xE1) | within32(data, at, 0xF0, 0xF3)
    last = within32(data, at + 2, 0x8B, 0x8F) | within32(data, at + 2, 0xA0, 0xAF)
    marks |= within32(data, at, 0xE2, 0xE2) & last  # not the quotation marks and dashes beside them
    marks |= within32(data, at, 0xE3, 0xE3) & within32(data, at + 1, 0x85, 0x85)
    after = within32(data, at + 1, 0xB8, 0xBB) | within32(data, at + 1, 0xBE, 0xBF)
    return marks | within32(data, at, 0xEF, 0xEF) & after


def places_among_all(text: Text, index: Int32s, start: Int32s, end: Int32s) -> Places:
    r"""Count all characters up to spans that were counted in visible ones; span `i` is in the string at `index[i]`.

    Linear where the spans of a string are neighbours. An empty span stays as it is.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> zero, one, two = (np.array([number], np.int32) for number in range(3))
    >>> [places.tolist() for places in places_among_all(view(pa.array(["\u200ba\u200bb\u200b"])), zero, zero, two)]
    [[1], [4]]
    """
    index, start, end = (frozen(np.ascontiguousarray(column, np.int32)) for column in (index, start, end))
    return Places(*_places_among_all(text.data, text.offsets, index, start, end, invisible()))


@kernel
def _places_among_all(
    data: Bytes, offsets: Int32s, index: Int32s, start: Int32s, end: Int32s, table: Flags
) -> tuple[Int32s, Int32s]:
    first, last = start.copy(), end.copy()
    longest = 0
    for place in index:
        longest = max(longest, offsets[place + 1] - offsets[place])
    shown = np.empty(longest, np.int32)  # where the visible characters of a text are among all
    text = -1
    for i in range(len(index)):
        if index[i] != text:
            text = index[i]
            at, count, seen = offsets[text], 0, 0
            while at < offsets[text + 1]:
                point, width = code_point(data, at, offsets[text + 1])
                shown[seen] = count
                seen += not table[point]
                count += 1
                at += width
        if end[i] > start[i]:
            first[i], last[i] = shown[start[i]], shown[end[i] - 1] + 1
    return first, last
