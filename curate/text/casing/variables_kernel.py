"""Where a small "i" is the English pronoun, and where a letter by itself is a variable."""

from __future__ import annotations

from typing import Final

from curate.kernels.buffers import Bytes
from curate.kernels.compile import inline
from curate.kernels.utf8 import is_blank
from curate.kernels.vector import WIDTH, trailing, within32
from curate.text.casing.lexicon import (
    COUNTED,
    ENGLISH,
    JOINS,
    LEADS,
    OPENS,
    PROTECTED,
    REST,
    SINGULAR,
    VERB,
    CaseTables,
    apostrophe,
    is_word_byte,
    known_for,
    word_end,
    word_start,
)

AROUND: Final = 120
"""Bytes on either side of an "i" in which words tell whether it is English."""

SMALL_I, APOSTROPHE, HYPHEN, DOT = 0x69, 0x27, 0x2D, 0x2E


@inline
def is_pronoun(data: Bytes, i: int, start: int, end: int, marks: Bytes, known: CaseTables) -> bool:
    """Tell whether the small "i" at `i` is plainly the English pronoun.

    It is between blanks or before 'm, 've, 'd, 'll; a verb of the first person follows, or a word that leads to a
    clause comes before; and other words near it are English. Never so beside signs, or where one counts by "i".
    """
    if data[i] != SMALL_I or marks[i - start] & PROTECTED or (i > start and not is_blank(data[i - 1])) or i + 2 >= end:
        return False
    quote = apostrophe(data, i + 1, end)
    if quote:
        stop = word_end(data, i, end, known)
        tail, size = i + 1 + quote, stop - (i + 1 + quote)
        if size == 1:
            return data[tail] == 0x6D or data[tail] == 0x64  # m d
        return size == 2 and data[tail] | data[tail + 1] << 8 in (0x6576, 0x6C6C)  # ve ll
    if data[i + 1] != 0x20:
        return False
    stop = word_end(data, i + 2, end, known)
    if stop == i + 2:
        return False
    verb = known_for(data, i + 2, stop, known) & VERB != 0
    leads, before = False, i - 1
    if before > start and is_word_byte(data[before - 1]):
        leads = known_for(data, word_start(data, start, before, known), before, known) & LEADS != 0
    # "i is", "i reaches", "i and j": one that counts.
    if not verb and (not leads or data[stop - 1] == 0x73 or known_for(data, i + 2, stop, known) & REST):
        return False
    return int(verb) + int(leads) + _english(data, max(start, i - AROUND), min(end, i + AROUND), stop, known) >= 3


@inline
def _english(data: Bytes, i: int, end: int, beside: int, known: CaseTables) -> int:
    """Count the words of `data[i:end]` that only English has, but for the one that ends at `beside`.

    It is -9 where letters of other languages are, or an "i" that counts.
    """
    count, first = 0, i
    while i < end:
        if not is_word_byte(data[i]):
            i += 1
            continue
        stop = i
        while stop < end and is_word_byte(data[stop]):
            if data[stop] >= 0xC3 and data[stop] <= 0xDF:
                return -9
            stop += 1
        if stop - i == 1 and data[i] == SMALL_I and stop < end and is_counter(data, i, first, end, known):
            return -9
        count += stop != beside and known_for(data, i, stop, known) & ENGLISH != 0
        i = stop
    return count


@inline
def is_counter(data: Bytes, i: int, start: int, end: int, known: CaseTables) -> bool:
    """Tell whether the "i" at `i` plainly counts: beside a sign or another variable, after "each", before "is"."""
    if data[i + 1] in (0x2C, 0x2B, 0x3D, 0x29, 0x5D):  # , + = ) ]
        return True
    before = i - 1
    if before > start and data[before] == 0x20:
        if known_for(data, word_start(data, start, before, known), before, known) & COUNTED:
            return True
        if data[before - 1] in (0x3D, 0x2B, 0x3C, 0x3E, 0x2A):  # = + < > *
            return True
    if i + 2 >= end or data[i + 1] != 0x20:
        return False
    stop = word_end(data, i + 2, end, known)
    if stop == i + 2:
        return data[stop] in (0x3D, 0x2B, 0x3C, 0x3E, 0x2A)
    word = known_for(data, i + 2, stop, known)
    if word & SINGULAR:
        return True
    joins = stop + 2 < end and data[stop] == 0x20 and (word & JOINS) != 0
    return joins and 0x6A <= data[stop + 1] <= 0x6E and not is_word_byte(data[stop + 2])  # "i and j", up to n


@inline
def counts_near(data: Bytes, i: int, start: int, end: int, known: CaseTables) -> bool:
    """Tell whether an "i" around `i`, or that at `i`, plainly counts."""
    first, last = max(start, i - AROUND), min(end, i + AROUND)
    for block in range(first, last - 1, WIDTH):
        found = lone_letters(data, block, last)
        while found:
            k = block + trailing(found)
            lone = data[k] == SMALL_I and k + 1 < last and (k == first or not is_word_byte(data[k - 1]))
            lone = lone and not is_word_byte(data[k + 1]) and not apostrophe(data, k + 1, last)
            if lone and is_counter(data, k, first, last, known):
                return True
            found &= found - 1
    return False


@inline
def protect_variables(data: Bytes, start: int, end: int, marks: Bytes, known: CaseTables) -> None:
    """Protect small letters by themselves, but for "a", an initial ("f."), and an "i" that does not count."""
    for block in range(start, end, WIDTH):
        found = lone_letters(data, block, end)
        while found:
            i = block + trailing(found)
            if is_variable(data, i, start, end, marks, known):
                marks[i - start] = PROTECTED
            found &= found - 1


@inline
def lone_letters(data: Bytes, i: int, end: int) -> int:
    """Mark, of 32 bytes from `i` and before `end`, small letters beside no other of these that may be in a word.

    The last 32 bytes of the data are all marked.
    """
    inside = (1 << min(WIDTH, end - i)) - 1
    if i + WIDTH > len(data):
        return inside
    small = within32(data, i, 0x61, 0x7A)
    word = small | within32(data, i, 0x41, 0x5A) | within32(data, i, 0x30, 0x39) | within32(data, i, 0x80, 0xFF)
    word &= inside
    return small & inside & ~(word << 1 | word >> 1)


@inline
def is_variable(data: Bytes, i: int, start: int, end: int, marks: Bytes, known: CaseTables) -> bool:
    """Tell whether a small letter by itself that is to be protected is at `i`."""
    if not 0x62 <= data[i] <= 0x7A:
        return False
    before = int(data[i - 1]) if i > start else 0x20
    after = int(data[i + 1]) if i + 1 < end else 0x20
    if is_word_byte(before) or is_word_byte(after) or before in (APOSTROPHE, HYPHEN, DOT) or after == HYPHEN:
        return False
    if after == DOT and i + 3 < end and not marks[i + 3 - start] & OPENS and not is_blank(data[i + 3]):
        return False
    return after != APOSTROPHE and (data[i] != SMALL_I or counts_near(data, i, start, end, known))
