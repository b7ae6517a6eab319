"""Where a sentence opens; marked only where it is plain.

A sentence opens at the first letter of a text, and at a letter after a full stop, exclamation or question mark and
white space. Not so after an abbreviation, an ellipsis, an initial or a number that counts a list, and not at a word
that may be a variable. Sentence starts do not depend on language; where a stop is doubtful (after a short word that may
be an abbreviation, a number, a name) a word that opens English sentences must follow.
"""

from __future__ import annotations

from typing import Final

from curate.kernels.buffers import Bytes
from curate.kernels.compile import inline
from curate.kernels.utf8 import is_blank
from curate.text.casing.lexicon import (
    ABBREVIATION,
    BLANK,
    CERTAIN,
    DIGIT,
    LOWER,
    OPENER,
    OPENS,
    PROTECTED,
    REST,
    SHORT,
    UPPER,
    VERB,
    CaseTables,
    is_letter,
    is_word_byte,
    kind_at,
    known_for,
    word_end,
    word_start,
)

VERSE_LINES: Final = 4
VERSE_WIDTH: Final = 60
"""A poem has this many lines, and is no wider on average, in bytes; text broken at a margin is wider."""
BRIEF: Final = 3
"""Letters: a shorter word, or one of as many, before a full stop may be an abbreviation."""
LONG: Final = 7
"""Blanks: a first sentence with as many is a whole one."""
INDENT: Final = 4
"""Blanks after a line feed; what is so far in is code, or set apart."""

LINE_FEED, BANG, DOT, COLON, QUESTION, SMALL_I = 0x0A, 0x21, 0x2E, 0x3A, 0x3F, 0x69


@inline
def is_verse(data: Bytes, start: int, end: int, marks: Bytes, known: CaseTables) -> bool:
    """Tell whether a text is a poem or list in small letters: most lines begin so, are short, and have no stop."""
    lines = small = stopped = width = 0
    i = start
    while i < end:
        first = i
        while i < end and data[i] != LINE_FEED:
            i += 1
        last = i
        while last > first and is_blank(data[last - 1]):
            last -= 1
        while first < last and not is_word_byte(data[first]):
            first += 1
        if first < last and not marks[first - start] & PROTECTED:
            lines += 1
            width += last - first
            small += kind_at(data, first, last, known)[0] == LOWER
            stopped += data[last - 1] in (DOT, BANG, QUESTION)
        i += 1
    return lines >= VERSE_LINES and small * 2 > lines and stopped * 2 < lines and width < lines * VERSE_WIDTH


@inline
def open_sentences(
    data: Bytes,
    start: int,
    end: int,
    marks: Bytes,
    user: bool,  # noqa: FBT001
    known: CaseTables,
) -> None:
    """Mark with `OPENS` the first letters of sentences in `data[start:end]`, none of which is protected.

    In a user's turn no sentence opens after a line feed: what is there in small letters is given to be worked on.
    """
    turkish = _is_turkish(data, start, end)
    small = large = depth = 0
    line = start
    while line < end and data[line] != LINE_FEED:
        line += 1
    i = start
    while i < end:
        byte = data[i]
        if byte not in (DOT, BANG, QUESTION):
            depth = 0 if byte == LINE_FEED else depth + (byte == 0x28) - (byte == 0x29)
            i += 1
            continue
        stop, dots = i, 0
        while stop < end and (data[stop] == DOT or data[stop] == BANG or data[stop] == QUESTION):
            dots += data[stop] == DOT
            stop += 1
        if dots < 2 and depth <= 0 and i > start and stop < end and not marks[i - start] & PROTECTED:
            to = after_blanks(data, stop, end, known)
            if to > stop and _may_open(data, to, start, end, marks, turkish, known):
                word = known_for(data, to, word_end(data, to, end, known), known)
                if _closes(data, i, start, marks, word, known) and not _on_new_line(data, stop, to, user):
                    marks[to - start] |= OPENS
                    lower = kind_at(data, to, end, known)[0] == LOWER
                    small += lower
                    large += not lower and to < line
        i = stop
    first = after_blanks(data, start, end, known)
    if _may_open(data, first, start, end, marks, turkish, known) and (
        kind_at(data, first, end, known)[0] == UPPER
        or _is_sentence(data, first, start, end, marks, large > 0 and small == 0, known)
    ):
        marks[first - start] |= OPENS


@inline
def _on_new_line(data: Bytes, stop: int, to: int, user: bool) -> bool:  # noqa: FBT001
    """Tell whether what is between a stop and a word keeps it from opening: a line feed, or a far indent."""
    for i in range(stop, to):
        if data[i] == LINE_FEED and (user or to - i > INDENT or (i + 1 < to and data[to - 1] == 0x09)):
            return True
    return False


@inline
def after_blanks(data: Bytes, i: int, end: int, known: CaseTables) -> int:
    """Return where the white space at `i` ends; in Spanish also the sign that turns a question or a cry around."""
    while i < end:
        kind, width = kind_at(data, i, end, known)
        if kind != BLANK:
            if i + 1 < end and data[i] == 0xC2 and (data[i + 1] == 0xBF or data[i + 1] == 0xA1):  # ¿ ¡
                return i + 2
            return i
        i += width
    return end


@inline
def _is_turkish(data: Bytes, start: int, end: int) -> bool:
    """Tell whether a text has a letter of Turkish, in which the capital of "i" is another one."""
    i = start
    while i + 1 < end and not (data[i] == 0xC4 and data[i + 1] in (0xB0, 0xB1, 0x9E, 0x9F)):  # İ ı Ğ ğ
        i += 1
    return i + 1 < end


@inline
def _may_open(
    data: Bytes,
    i: int,
    start: int,
    end: int,
    marks: Bytes,
    turkish: bool,  # noqa: FBT001
    known: CaseTables,
) -> bool:
    """Tell whether the word at `i` may open a sentence: letters, then what follows words, and no variable."""
    if i >= end or marks[i - start] & PROTECTED:
        return False
    kind = kind_at(data, i, end, known)[0]
    if kind not in (LOWER, UPPER):
        return False
    if data[i] == SMALL_I and (turkish or (i + 1 < end and data[i + 1] == 0x6A)):  # Dutch ij is one letter
        return False
    stop = word_end(data, i, end, known)
    word = known_for(data, i, stop, known)
    if not _is_spelt(data, i, stop, end, word, marks, start, known):
        return False
    after = data[stop] if stop < end else LINE_FEED
    if after == DOT:
        return not word & ABBREVIATION and (word & CERTAIN != 0 or stop - i > BRIEF)
    if after == COLON:
        return stop - i > BRIEF
    if after >= 0x80 or is_blank(after):
        k = stop
        while k < end and is_blank(data[k]) and data[k] != LINE_FEED:
            k += 1
        sign = data[k] if k < end else LINE_FEED
        if sign == LINE_FEED and i > start and data[i - 1] == LINE_FEED and not word & CERTAIN:
            return False  # a word that is a line
        return sign not in (0x3D, 0x3C, 0x3E, 0x2B, 0x5E, 0x7C)  # = < > + ^ |
    return after in (0x2C, BANG, QUESTION, 0x2D, 0x29, 0x27, 0x22)  # , ! ? - ) ' "


@inline
def _is_spelt(data: Bytes, i: int, stop: int, end: int, word: int, marks: Bytes, start: int, known: CaseTables) -> bool:
    """Tell whether `data[i:stop]` is a word and no variable: it has a vowel, or it is "a" or "i" before a word."""
    width = kind_at(data, i, end, known)[1]
    if stop - i > width:
        for k in range(i, stop):
            if data[k] >= 0x80 or is_vowel(data[k]):
                return True
        return word != 0
    if stop >= end or not is_blank(data[stop]):
        return False
    if width > 1:
        greek = data[i] == 0xCE or data[i] == 0xCF
        return not greek or (stop + 1 < end and (data[stop + 1] == 0xCE or data[stop + 1] == 0xCF))
    if data[i] | 0x20 == SMALL_I:
        after = word_end(data, stop + 1, end, known)
        verb = known_for(data, stop + 1, after, known)
        return after > stop + 2 and (verb & VERB != 0 or (verb & REST == 0 and data[after - 1] != 0x73))
    if data[i] | 0x20 != 0x61 or stop + 2 >= end or marks[stop + 1 - start] & PROTECTED:
        return False
    return is_word_byte(data[stop + 1]) and is_word_byte(data[stop + 2])


@inline
def is_vowel(byte: int) -> bool:
    """Tell whether a byte is a vowel of ASCII, y too."""
    return byte | 0x20 in (0x61, 0x65, SMALL_I, 0x6F, 0x75, 0x79)


@inline
def _is_sentence(
    data: Bytes,
    i: int,
    start: int,
    end: int,
    marks: Bytes,
    doubtful: bool,  # noqa: FBT001
    known: CaseTables,
) -> bool:
    """Tell whether what begins at `i`, at the start of a text, is a sentence: two words or more, and a stop.

    It may be the rest of one that somebody else began: a word that begins such rests opens nothing if the text is
    `doubtful`, since its other sentences have their capital, or brief.
    """
    stop = word_end(data, i, end, known)
    flags = known_for(data, i, stop, known)
    certain, rest = flags & CERTAIN != 0, flags & REST != 0
    if (doubtful and rest) or (not certain and stop < end and data[stop] in (0x2C, 0x3A, 0x3B)):  # , : ;
        return False
    blanks, k = 0, i
    while k < end and data[k] != LINE_FEED:
        blanks += data[k] == 0x20
        stops = data[k] in (DOT, BANG, QUESTION) and (k + 1 >= end or is_blank(data[k + 1]))
        stops = stops and blanks > 0 and not marks[k - start] & PROTECTED
        if stops and (data[k] != DOT or k + 1 >= end or _closes(data, k, start, marks, 0, known)):
            return blanks >= LONG or not rest or data[k] == QUESTION
        k += 1
    return False


@inline
def _closes(data: Bytes, i: int, start: int, marks: Bytes, flags: int, known: CaseTables) -> bool:
    """Tell whether the sign at `i` closes a sentence; `flags` are those of the word that comes next."""
    before = i - 1
    while before > start and data[before] & 0xC0 == 0x80:
        before -= 1
    kind = kind_at(data, before, i, known)[0]
    if kind == BLANK or (data[i] == BANG and _is_factor(data, before, start)):
        return False
    first = word_start(data, start, i, known)
    if first > start and first < i and data[first - 1] == DOT and i - first <= BRIEF:
        return False
    certain = flags & CERTAIN != 0
    opener = certain or flags & OPENER != 0
    if kind == DIGIT:
        long = before > start and 0x30 <= data[before - 1] <= 0x39
        return (
            data[i] == DOT
            and (opener if long else certain and not _is_joined(data, before, start, known))
            and not _is_item(data, before, start)
        )
    if marks[before - start] & PROTECTED or not is_letter(kind):
        return opener and not _is_item(data, before, start)
    named = kind_at(data, first, i, known)[0] == UPPER and first > start + 1
    named = named and (is_word_byte(data[first - 2]) or data[first - 2] == 0x2C)
    if data[i] != DOT:
        return opener or not named
    letters = capitals = vowels = 0
    k = first
    while k < i:
        kind, width = kind_at(data, k, i, known)
        letters += is_letter(kind)
        capitals += kind == UPPER
        vowels += width > 1 or is_vowel(data[k])
        k += width
    word = known_for(data, first, i, known)
    if letters == 1 or word & ABBREVIATION:
        return False
    usual = letters > BRIEF or word & SHORT != 0 or (letters == BRIEF and (opener or i - first < 2 * BRIEF))
    usual = usual and not (letters <= BRIEF and _is_measured(data, first, start))
    return certain or (vowels > 0 and usual and capitals < max(letters, 2))


@inline
def _is_factor(data: Bytes, i: int, start: int) -> bool:
    """Tell whether a factorial is of what ends at `i`: a single letter, or one or a figure before a bracket."""
    bracket = data[i] == 0x29
    if bracket and i > start:
        i -= 1
        if 0x30 <= data[i] <= 0x39:
            return True
    letter = 0x61 <= data[i] | 0x20 <= 0x7A
    return letter and (i == start or not (is_word_byte(data[i - 1]) or data[i - 1] == 0x27)) and data[i] != 0x49  # I


@inline
def _is_measured(data: Bytes, i: int, start: int) -> bool:
    """Tell whether a figure comes before the word at `i`, after one blank or hyphen at most: "5-1/2 in"."""
    before = i - 1
    if before > start and (data[before] == 0x20 or data[before] == 0x2D):
        before -= 1
    return before >= start and 0x30 <= data[before] <= 0x39


@inline
def _is_joined(data: Bytes, i: int, start: int, known: CaseTables) -> bool:
    """Tell whether "and" or the like comes before the figure at `i`, as before the last item of a list."""
    if i - 1 <= start or data[i - 1] != 0x20:
        return False
    return known_for(data, word_start(data, start, i - 1, known), i - 1, known) & REST != 0


@inline
def _is_item(data: Bytes, i: int, start: int) -> bool:
    """Tell whether the number or sign that ends at `i` counts a list: at the start of a line, or after a stop."""
    while i >= start and not is_blank(data[i]):
        i -= 1
    while i >= start and (data[i] == 0x20 or data[i] == 0x09):
        i -= 1
    return i < start or not is_word_byte(data[i])


@inline
def is_shortened(data: Bytes, start: int, i: int, end: int, marks: Bytes, shift: int, known: CaseTables) -> bool:
    """Tell whether the word `data[start:i]` is an abbreviation ("e.g", "inc") with a stop that ends no sentence."""
    if i + 2 >= end or data[i] != DOT:
        return False  # as after most words: the rest is a function of its own, lest it burden the loop over these
    return _is_abbreviation(data, start, i, end, marks, shift, known)


@inline
def _is_abbreviation(data: Bytes, start: int, i: int, end: int, marks: Bytes, shift: int, known: CaseTables) -> bool:
    if data[i + 1] != 0x20 or marks[shift + i] & PROTECTED:
        return False
    dotted = i - 2 > start and data[i - 2] == DOT and is_word_byte(data[i - 1])
    if not dotted and not known_for(data, start, i, known) & ABBREVIATION:
        return False
    return kind_at(data, i + 2, end, known)[0] in (LOWER, UPPER) and not marks[shift + i + 2] & OPENS
