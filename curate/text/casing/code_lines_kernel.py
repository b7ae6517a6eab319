"""Lines that are code though no fence says so, and headings: their case is not touched."""

from __future__ import annotations

from typing import Final

from curate.kernels.buffers import Bytes
from curate.kernels.compile import inline
from curate.kernels.utf8 import is_blank
from curate.text.casing.lexicon import CODE, CaseTables, cover, is_word_byte, known_for

ENOUGH: Final = 3
"""Points from which on a line is code."""
FAR_IN: Final = 4
"""Blanks before a line that is set apart; a tab counts as many."""


@inline
def protect_lines(data: Bytes, start: int, end: int, marks: Bytes, known: CaseTables) -> None:
    """Protect the lines of `data[start:end]` that look like code, or like a heading or comment after a sign."""
    i = start
    while i < end:
        stop, indent = i, 0
        while stop < end and data[stop] != 0x0A:
            stop += 1
        first = i
        while first < stop and is_blank(data[first]):
            indent += 4 if data[first] == 0x09 else 1
            first += 1
        last = stop
        while last > first and is_blank(data[last - 1]):
            last -= 1
        if last > first and (_is_sign(data, first, last) or _points(data, first, last, indent, known) >= ENOUGH):
            cover(marks, first - start, last - start)
        i = stop + 1


@inline
def _is_sign(data: Bytes, start: int, end: int) -> bool:
    """Tell whether a line begins with a sign of headings, comments, prompts or tables."""
    first = data[start]
    second = data[start + 1] if start + 1 < end else 0x20
    if first in (0x23, 0x7C, 0x25):  # # | %
        return True
    if first == second and first in (0x2F, 0x2D, 0x3E):  # // -- >>
        return True
    return (first == 0x24 and second == 0x20) or (first == 0x2F and second == 0x2A)  # $ /*


@inline
def _points(data: Bytes, start: int, end: int, indent: int, known: CaseTables) -> int:
    """Count what makes the line `data[start:end]` look like code: two for a sure sign, one for others."""
    points = int(indent >= FAR_IN)
    last = data[end - 1]
    stop = start
    while stop < end and is_word_byte(data[stop]):
        stop += 1
    if 0x61 <= data[start] <= 0x7A and known_for(data, start, stop, known) & CODE:
        points += 2 if last in (0x3A, 0x3B, 0x7B, 0x7D, 0x29) else 1  # : ; { } )
    if last == 0x7B:
        points += 2
    elif last == 0x3B or data[start] == 0x7D:
        points += 1
    before = 0x20
    for i in range(start, end - 1):
        points += _pair_points(before, int(data[i]), int(data[i + 1]))
        before = int(data[i])
    return points


@inline
def _pair_points(before: int, byte: int, after: int) -> int:
    """Count what `byte` between its neighbours makes of a line."""
    if after == 0x3D and byte in (0x3D, 0x21, 0x2B, 0x2D, 0x2A, 0x3C, 0x3E, 0x3A):  # == != += -= *= <= >= :=
        return 2
    if (byte == after and byte in (0x3A, 0x26, 0x7C)) or (after == 0x3E and byte in (0x2D, 0x3D)):  # :: && || -> =>
        return 2
    if byte in (0x28, 0x5B):  # f() f( a[
        if not is_word_byte(before):
            return 0
        return 2 if byte == 0x28 and after == 0x29 else int(before < 0x80 and after != 0x73)
    if byte == 0x2F and after == 0x2F and is_blank(before):  # // after code
        return 2
    if byte == 0x2D:  # -x
        return int(before == 0x20 and is_word_byte(after))
    return int(byte == 0x3D or (byte == 0x5F and is_word_byte(before) and is_word_byte(after)))  # = a_b
