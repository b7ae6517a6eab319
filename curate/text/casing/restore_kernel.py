"""The kernels of `curate.text.casing.restore`: texts without case, their words and signs, and their new letters."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Bytes, Flags, Int32s, Text
from curate.kernels.compile import inline, kernel
from curate.kernels.utf8 import code_point, is_blank
from curate.kernels.vector import WIDTH, ones, within32
from curate.text.casing.lexicon import (
    BLANK,
    DIGIT,
    LOWER,
    OPENS,
    OTHER,
    PLANE,
    PROTECTED,
    UPPER,
    CaseTables,
    is_letter,
    is_word_byte,
    kind_at,
    known_for,
)
from curate.text.casing.lexicon import ENGLISH as ENGLISH_WORD
from curate.text.casing.protected_kernel import mark
from curate.text.casing.scoring_kernel import CasingTable, seek
from curate.text.casing.sentences_kernel import is_shortened
from curate.text.casing.variables_kernel import protect_variables

WORDS: Final = 4
"""Words of a text at least: fewer are often a name, an abbreviation or a heading."""
KNOWN: Final = 0.75
ENGLISH: Final = 0.1
"""Shares of a text's words that the table knows, and that only English has (`marks.ENGLISH`), at least. The table has
words of other languages too, as names: French that is all in the table has none of the others."""

RARE, FEW = 64, 8
"""A text may have no case if one in `RARE` of its ASCII letters is a capital, at most, or one in `FEW` is small: those
may be in protected spans. In prose with case one in 25 is a capital."""

SPEAKABLE: Final = 5
"""Letters of a word without a vowel that is taken for an abbreviation, at most."""

VOWELS: Final = (0x61, 0x65, 0x69, 0x6F, 0x75, 0x79)
LINE_FEED, HASH, APOSTROPHE, CLOSE = 0x0A, 0x23, 0x27, 0x29
STAR, PLUS, COMMA, HYPHEN, DOT = 0x2A, 0x2B, 0x2C, 0x2D, 0x2E
SMALL, CAPITALS, MIXED = range(3)


class CaseTokens(NamedTuple):
    """Words and signs of texts, `data[starts[i]:stops[i]]`, as sentences and texts; some are empty, to part others."""

    starts: Int32s
    stops: Int32s
    sentences: Int32s
    ends: Int32s


@kernel
def cases(data: Bytes, offsets: Int32s, index: Int32s) -> Bytes:
    """Return the case that each text has at most: `SMALL` or `CAPITALS`, by its ASCII letters, else `MIXED`."""
    cases = np.full(len(index), MIXED, np.uint8)
    for k in range(len(index)):
        i, end = int(offsets[index[k]]), int(offsets[index[k] + 1])
        capitals = letters = 0
        while i < end:
            count = min(end - i, WIDTH)
            if i + WIDTH <= len(data):
                valid = (1 << count) - 1
                upper = ones(within32(data, i, 0x41, 0x5A) & valid)
                capitals += upper
                letters += upper + ones(within32(data, i, 0x61, 0x7A) & valid)
            else:
                for at in range(i, end):
                    capitals += 0x41 <= data[at] <= 0x5A
                    letters += 0x41 <= data[at] & 0xDF <= 0x5A
            i += count
        if letters and capitals * RARE <= letters:
            cases[k] = SMALL
        elif letters and (letters - capitals) * FEW <= letters:
            cases[k] = CAPITALS
    return cases


@kernel
def lowered(data: Bytes, offsets: Int32s, index: Int32s, ends: Int32s, small: NDArray[np.uint16]) -> Bytes:
    """Return the texts in small letters, one after the other."""
    out = np.empty(ends[-1], np.uint8)
    for k in range(len(index)):
        start, at = offsets[index[k]], ends[k]
        for i in range(ends[k + 1] - at):
            out[at + i] = data[start + i]
        while at < ends[k + 1]:
            point, width = code_point(out, at, ends[k + 1])
            if point < PLANE and small[point]:
                _put(out, at, width, small[point])
            at += width
    return out


@kernel
def mark_texts(data: Bytes, offsets: Int32s, index: Int32s, user: Flags, ends: Int32s, known: CaseTables) -> Bytes:
    """Return what `mark` says of each byte of the texts, one text after the other."""
    marks = np.empty(ends[-1], np.uint8)
    for k in range(len(index)):
        start, end, here = int(offsets[index[k]]), int(offsets[index[k] + 1]), marks[ends[k] : ends[k + 1]]
        mark(data, start, end, here, user[k], known)
        protect_variables(data, start, end, here, known)
        i = start
        while i < end:
            first = _line_opens(data, start, end, i, known)
            if first < end and not here[first - start] & PROTECTED:
                here[first - start] |= OPENS
            while i < end and data[i] != LINE_FEED:
                i += 1
            i += 1
    return marks


@inline
def _line_opens(data: Bytes, start: int, end: int, i: int, known: CaseTables) -> int:
    """Return where the first letter of the line at `i` is, if it opens a sentence; else `end`.

    It does in a list, after an empty line, and after a line that ends with a sign; else the line goes on with a
    sentence that was broken.
    """
    feeds, before = 0, i - 1
    while before >= start and is_blank(data[before]):
        feeds += data[before] == LINE_FEED
        before -= 1
    opens = before < start or feeds > 1 or (not is_word_byte(data[before]) and data[before] not in (COMMA, HYPHEN))
    while i < end and data[i] != LINE_FEED:
        kind, width = kind_at(data, i, end, known)
        stop = i + width
        if kind == DIGIT or is_letter(kind):
            while stop < end and 0x30 <= data[stop] <= 0x39:
                stop += 1
            if stop >= end or data[stop] not in (DOT, CLOSE) or stop + 1 >= end or not is_blank(data[stop + 1]):
                return i if opens and is_letter(kind) else end
            opens, stop = True, stop + 1  # "1." or "a)"
        elif kind == OTHER:
            opens |= width > 1 or data[i] in (HYPHEN, STAR, PLUS, HASH)
        i = stop
    return end


@kernel
def scan(
    data: Bytes,
    offsets: Int32s,
    index: Int32s,
    marks: Bytes,
    ends: Int32s,
    known: CaseTables,
    table: CasingTable,
    tokens: CaseTokens,
    case: int,
) -> int:
    """Fill `tokens`; return how many offsets of sentences there are.

    A text with letters of both cases has none. Another begins with an empty token, and one represents each protected
    stretch and for the end of a line.
    """
    starts, stops, sentences, bounds = tokens.starts, tokens.stops, tokens.sentences, tokens.ends
    slots, words, word_offsets = table.slots, table.word_data, table.word_offsets
    count, parts = 0, 0
    for k in range(len(index)):
        start, end = int(offsets[index[k]]), int(offsets[index[k] + 1])
        shift = ends[k] - start
        bounds[k + 1] = count
        if _has_kind(data, start, marks, ends[k], ends[k + 1], known, LOWER if case == CAPITALS else UPPER):
            continue
        sentences[parts], starts[count], stops[count] = count, start, start
        parts, count = parts + 1, count + 1
        i = start
        while i < end:
            stop = _gap_end(data, i, end, marks, shift)
            if stop > i:
                starts[count], stops[count] = i, i
                count += 1
                i = stop + is_shortened(data, i, stop, end, marks, shift, known)
                continue
            if marks[shift + i] & OPENS:
                sentences[parts] = count
                parts += 1
            kind, width = kind_at(data, i, end, known)
            stop = after = i + width
            if kind == OTHER:
                while width == 1 and after < end and data[after] == data[i]:
                    after += 1
                stop = after
            elif kind != BLANK:
                stop = _word_end(data, i, end, marks, shift, known, slots, words, word_offsets)
                # An abbreviation's stop is part of it or left out: after the sign, a sentence would seem to open.
                after = stop + is_shortened(data, i, stop, end, marks, shift, known)
                stop = after if after > stop and seek(data, i, after, slots, words, word_offsets) >= 0 else stop
            if kind != BLANK:
                starts[count], stops[count] = i, stop
                count += 1
            i = after
        bounds[k + 1] = count
    sentences[parts] = count
    return parts + 1


@inline
def _gap_end(data: Bytes, i: int, end: int, marks: Bytes, shift: int) -> int:
    """Return where the protected bytes and line feeds from `i` on end."""
    while i < end and (marks[shift + i] & PROTECTED or data[i] == LINE_FEED):
        i += 1
    return i


@inline
def _word_end(
    data: Bytes,
    start: int,
    end: int,
    marks: Bytes,
    shift: int,
    known: CaseTables,
    slots: Int32s,
    words: Bytes,
    offsets: Int32s,
) -> int:
    """Return where the word at `start` ends: the longest of its parts, joined by signs, that the table knows.

    Else its first part, which ends at the first sign.
    """
    i, first, best = start, 0, 0
    while i < end and not marks[shift + i] & PROTECTED:
        kind, width = kind_at(data, i, end, known)
        if not is_letter(kind) and kind != DIGIT:
            first = first or i
            if seek(data, start, i, slots, words, offsets) >= 0:
                best = i
            joins = data[i] in (APOSTROPHE, HYPHEN, DOT) and i + 1 < end
            if not joins or not _goes_on(data, i + 1, end, known):
                break
        i += width
    if i >= end or marks[shift + i] & PROTECTED:
        first = first or i
        if seek(data, start, i, slots, words, offsets) >= 0:
            best = i
    return best or first


@inline
def _goes_on(data: Bytes, i: int, end: int, known: CaseTables) -> bool:
    kind = kind_at(data, i, end, known)[0]
    return is_letter(kind) or kind == DIGIT


@kernel
def write(
    text: Text,
    index: Int32s,
    marks: Bytes,
    ends: Int32s,
    known: CaseTables,
    table: CasingTable,
    tokens: CaseTokens,
    words: Int32s,
    chosen: Int32s,
    small: NDArray[np.uint16],
    case: int,
) -> tuple[Bytes, Flags]:
    """Return the bytes of the texts in their new case, one after the other, and which of the texts differ."""
    data, offsets = text.data, text.offsets
    forms, form_offsets = table.form_data, table.form_offsets
    out, differs = np.empty(ends[-1], np.uint8), np.zeros(len(index), np.bool_)
    for k in range(len(index)):
        start, at = int(offsets[index[k]]), int(ends[k])
        for i in range(ends[k + 1] - at):
            out[at + i] = data[start + i]
        low, high = tokens.ends[k], tokens.ends[k + 1]
        if not _is_prose(data, tokens.starts, tokens.stops, words, low, high, known):
            continue
        for token in range(low, high):
            i, size = tokens.starts[token] - start + at, tokens.stops[token] - tokens.starts[token]
            form = chosen[token]
            if form >= 0:
                for n in range(size if form_offsets[form + 1] - form_offsets[form] == size else 0):
                    out[i + n] = forms[form_offsets[form] + n]
            elif size:
                opens = marks[i] & OPENS != 0
                _write_unknown(out, i, i + size, case == CAPITALS, opens, known, small)
        for i in range(ends[k + 1] - at):
            differs[k] |= out[at + i] != data[start + i]
    return out, differs


@inline
def _has_kind(data: Bytes, start: int, marks: Bytes, low: int, high: int, known: CaseTables, wanted: int) -> bool:
    """Tell whether a text has a letter of a kind that is not protected."""
    i = low
    while i < high:
        kind, width = kind_at(data, start + i - low, start + high - low, known)
        if kind == wanted and not marks[i] & PROTECTED:
            return True
        i += width
    return False


@inline
def _is_prose(
    data: Bytes, starts: Int32s, stops: Int32s, words: Int32s, low: int, high: int, marked: CaseTables
) -> bool:
    """Tell whether a text has words enough, enough that the table knows, and enough that only English has."""
    count = known = english = 0
    for token in range(low, high):
        byte = data[starts[token]] if stops[token] > starts[token] else np.uint8(0)
        if 0x41 <= byte & 0xDF <= 0x5A or byte >= 0xC3:
            count += 1
            known += words[token] >= 0
            english += known_for(data, starts[token], stops[token], marked) & ENGLISH_WORD != 0
    return count >= WORDS and known >= KNOWN * count and english >= ENGLISH * count


@inline
def _write_unknown(
    out: Bytes,
    start: int,
    end: int,
    capitals: bool,  # noqa: FBT001
    opens: bool,  # noqa: FBT001
    known: CaseTables,
    small: NDArray[np.uint16],
) -> None:
    """Write a word that the table does not know: small, but for its first letter if it `opens` a sentence."""
    letters = vowels = 0
    keeps = False
    i = int(start)
    while i < end:
        point, width = code_point(out, i, end)
        kind = kind_at(out, i, end, known)[0]
        letters += 1
        for vowel in VOWELS:
            vowels += int(point | 0x20 == vowel)
        vowels += int(point > 0x7F)
        keeps |= kind == DIGIT or (kind == UPPER and small[point] == 0)
        i += width
    if capitals and not keeps and (vowels or letters > SPEAKABLE):
        i = start
        while i < end:
            point, width = code_point(out, i, end)
            if kind_at(out, i, end, known)[0] == UPPER and not (opens and i == start):
                _put(out, i, width, small[point])
            i += width
    elif not capitals and opens:
        point, width = code_point(out, start, end)
        if kind_at(out, start, end, known)[0] == LOWER:
            _put(out, start, width, known.capitals[point])


@inline
def _put(out: Bytes, i: int, width: int, point: int | np.integer) -> None:
    """Write a character of `width` bytes at `i`."""
    rest = np.int64(point)
    if width == 1:
        out[i] = rest
        return
    for k in range(width - 1, 0, -1):
        out[i + k] = 0x80 | rest & 0x3F
        rest >>= 6
    out[i] = (0xC0 if width == 2 else 0xE0) | rest
