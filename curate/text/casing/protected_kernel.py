"""Which bytes of a text must keep their case: code, formulas, addresses, names of things, quotations, texts to work on.

`mark` is what kernels call; it also says where sentences open. It reads the text alone, in a few passes over
its bytes, and in doubt a stretch is protected: text that stays as it was is never wrong.
"""

from __future__ import annotations

from typing import Final

from curate.kernels.buffers import Bytes
from curate.kernels.compile import inline
from curate.kernels.utf8 import is_blank
from curate.text.casing.code_lines_kernel import protect_lines
from curate.text.casing.lexicon import TASK, CaseTables, cover, is_word_byte, known_for
from curate.text.casing.sentences_kernel import is_verse, open_sentences
from curate.text.code_fences import fence_end, run_of

FAR: Final = 8000
"""Bytes within which a brace or a formula is closed; one that is not protects nothing."""
NEAR: Final = 400
"""Bytes within which a tag, a formula between dollars or words in single quotation marks are closed."""

TAB, LINE_FEED, RETURN, SPACE = 0x09, 0x0A, 0x0D, 0x20
QUOTE, HASH, DOLLAR, APOSTROPHE, COLON, LESS, GREATER, AT = 0x22, 0x23, 0x24, 0x27, 0x3A, 0x3C, 0x3E, 0x40
BACKSLASH, BACKTICK, LEFT, RIGHT, TILDE, DOT, SLASH = 0x5C, 0x60, 0x7B, 0x7D, 0x7E, 0x2E, 0x2F


@inline
def mark(
    data: Bytes,
    start: int,
    end: int,
    marks: Bytes,
    user: bool,  # noqa: FBT001
    known: CaseTables,
) -> None:
    """Write a byte for each byte of the text `data[start:end]` to `marks[0:end - start]`: `PROTECTED`, `OPENS` or 0.

    `user` says that it is a user's turn, in which a text to be worked on (after "Sentence:" and the like) is protected
    too. Nothing past `end` is read. `marks` is scratch space of the caller, at least `end - start` long, and need not
    be cleared. `known` is `tables()`, handed to the kernel as it is. A poem in small letters is protected as a whole.
    """
    for i in range(end - start):
        marks[i] = 0
    protect_spans(data, start, end, marks)
    protect_lines(data, start, end, marks, known)
    protect_names(data, start, end, marks)
    if user:
        protect_given(data, start, end, marks, known)
    if is_verse(data, start, end, marks, known):
        cover(marks, 0, end - start)
    else:
        open_sentences(data, start, end, marks, user, known)


@inline
def protect_spans(data: Bytes, start: int, end: int, marks: Bytes) -> None:
    """Protect what is between signs: code, formulas, tags, braces, quotation marks."""
    i = start
    left = 16 * (end - start) + FAR  # bytes that may be read in vain, so that no text takes more than linear time
    while i < end:
        byte = data[i]
        stop = seen = i
        if left > 0:
            if byte in (BACKTICK, TILDE):
                stop, seen = _code_end(data, start, end, i)
            elif byte in (QUOTE, APOSTROPHE):
                stop, seen = _quote_end(data, start, end, i)
            elif byte in (0xE2, 0xC2):
                stop, seen = _curly_end(data, start, end, i)
            elif byte in (DOLLAR, BACKSLASH):
                stop, seen = _formula_end(data, end, i)
            elif byte in (LESS, LEFT):
                stop, seen = _tag_end(data, end, i) if byte == LESS else _brace_end(data, end, i)
        if stop > i:
            cover(marks, i - start, stop - start)
            i = stop
        else:
            left -= seen - i
            i += 1


@inline
def _ends_paragraph(data: Bytes, i: int, end: int) -> bool:
    """Tell whether an empty line follows the line feed at `i`."""
    if data[i] != LINE_FEED:
        return False
    k = i + 1
    while k < end and (data[k] == SPACE or data[k] == TAB or data[k] == RETURN):
        k += 1
    return k < end and data[k] == LINE_FEED


@inline
def _code_end(data: Bytes, start: int, end: int, i: int) -> tuple[int, int]:
    """Return where the code that the backticks or tildes at `i` begin ends (`i`: nowhere), and where the search did."""
    stop = fence_end(data, start, end, i, True)  # noqa: FBT003  a kernel takes no keyword here
    if stop > i or data[i] == TILDE:
        return stop, stop
    count = run_of(data, i, end)
    k = i + count
    while k < end:
        if data[k] == data[i]:
            size = run_of(data, k, end)
            if size == count:
                return k + size, k
            k += size
        elif data[k] == APOSTROPHE and count == 2 and k + 1 < end and data[k + 1] == APOSTROPHE:
            return k + 2, k
        elif _ends_paragraph(data, k, end):
            break
        else:
            k += 1
    return i, k


@inline
def _quote_end(data: Bytes, start: int, end: int, i: int) -> tuple[int, int]:
    """Return where the words in straight quotation marks from `i` on end; double ones close with their paragraph."""
    sign = data[i]
    count = run_of(data, i, end)
    before = data[i - 1] if i > start else SPACE
    if count >= 3:
        k = i + count
        while k < end and not (data[k] == sign and run_of(data, k, end) >= 3):
            k += 1
        return min(k + 3, end), k
    if is_word_byte(before) or i + 1 >= end or is_blank(data[i + 1]) or (count == 2 and sign == APOSTROPHE):
        return i, i
    last = end if sign == QUOTE else min(end, i + NEAR)
    k = i + 1
    while k < last:
        if data[k] == sign and not is_blank(data[k - 1]) and (k + 1 >= end or not is_word_byte(data[k + 1])):
            return k + 1, k
        if sign == APOSTROPHE and data[k] == LINE_FEED:
            break
        if _ends_paragraph(data, k, end):
            return k, k
        k += 1
    return (end if k == end and sign == QUOTE else i), k


@inline
def _curly_end(data: Bytes, start: int, end: int, i: int) -> tuple[int, int]:
    """Return where the words in typographic quotation marks from `i` on end."""
    low, high = _closers(data, start, end, i)
    if low == 0:
        return i, i
    width, single = 2 if data[i] == 0xC2 else 3, low == 0x99
    last = min(end, i + NEAR) if single else end
    k = i + width
    while k + width <= last:
        if data[k] == data[i] and low <= data[k + width - 1] <= high and (width == 2 or data[k + 1] == 0x80):
            after = k + width
            if not single or after >= end or not is_word_byte(data[after]) or data[after] >= 0x80:
                return after, k
        if _ends_paragraph(data, k, end):
            return (i if single else k), k
        k += 1
    return (i if single else end), k


@inline
def _closers(data: Bytes, start: int, end: int, i: int) -> tuple[int, int]:
    """Return the least and the greatest last byte of what closes the quotation mark at `i`; 0 where there is none."""
    if data[i] == 0xC2:
        return (0xBB, 0xBB) if i + 1 < end and data[i + 1] == 0xAB else (0, 0)  # « »
    if i + 2 >= end or data[i + 1] != 0x80:
        return 0, 0
    sign = data[i + 2]
    if sign == 0x9C:  # “ ”
        return 0x9D, 0x9D
    if sign == 0x9E:  # „ “ or ”
        return 0x9C, 0x9D
    if sign == 0x98 and (i == start or not is_word_byte(data[i - 1])):  # ‘ ’
        return 0x99, 0x99
    return 0, 0


@inline
def _formula_end(data: Bytes, end: int, i: int) -> tuple[int, int]:
    """Return where the formula that the dollar or backslash at `i` begins ends."""
    if i + 1 >= end:
        return i, i
    sign = data[i + 1]
    if data[i] == DOLLAR and sign != DOLLAR:
        return _dollar_end(data, end, i)
    if data[i] == BACKSLASH and sign not in (0x28, 0x5B):  # \( \[
        return _environment_end(data, end, i)
    second = DOLLAR if data[i] == DOLLAR else 0x29 if sign == 0x28 else 0x5D
    last, k = min(end, i + FAR), i + 2
    while k + 1 < last:
        if data[k] == data[i] and data[k + 1] == second:
            return k + 2, k
        k += 1
    return i, k


@inline
def _dollar_end(data: Bytes, end: int, i: int) -> tuple[int, int]:
    """Return where the formula between dollars from `i` on ends: none is beside a blank within, or before a digit."""
    last, k = min(end, i + NEAR), i + 2
    if is_blank(data[i + 1]):
        return i, i
    while k < last and not _ends_paragraph(data, k, end):
        if data[k] == DOLLAR:
            money = is_blank(data[k - 1]) or (k + 1 < end and 0x30 <= data[k + 1] <= 0x39)
            return (i if money else k + 1), k
        k += 1
    return i, k


@inline
def _environment_end(data: Bytes, end: int, i: int) -> tuple[int, int]:
    r"""Return where what the `\begin` at `i` begins ends, with all that it holds."""
    depth, k = 0, i
    while k + 4 < end:
        if data[k] == BACKSLASH:
            if data[k + 1] == 0x62 and data[k + 2] == 0x65 and data[k + 3] == 0x67:  # beg
                depth += 1
            elif data[k + 1] == 0x65 and data[k + 2] == 0x6E and data[k + 3] == 0x64:  # end
                depth -= 1
            if depth <= 0:
                break
        k += 1
    if k == i or depth > 0 or k + 4 >= end:
        return i, k
    while k < end and data[k] != RIGHT and data[k] != LINE_FEED:
        k += 1
    return min(k + 1, end), k


@inline
def _tag_end(data: Bytes, end: int, i: int) -> tuple[int, int]:
    """Return where the tag that begins at `i` ends."""
    if i + 1 >= end or not (is_word_byte(data[i + 1] | 0x20) or data[i + 1] in (SLASH, 0x21, 0x3F, 0x7C)):
        return i, i
    k = i + 1
    while k < min(end, i + NEAR):
        if data[k] == GREATER:
            return k + 1, k
        if data[k] == LESS:
            break
        k += 1
    return i, k


@inline
def _brace_end(data: Bytes, end: int, i: int) -> tuple[int, int]:
    """Return where the braces that open at `i` close."""
    depth, k = 0, i
    while k < min(end, i + FAR):
        if data[k] == LEFT:
            depth += 1
        elif data[k] == RIGHT:
            depth -= 1
            if depth == 0:
                return k + 1, k
        k += 1
    return i, k


@inline
def protect_names(data: Bytes, start: int, end: int, marks: Bytes) -> None:
    """Protect what is no plain word, between blanks: addresses, paths, identifiers, brands, tags."""
    i = start
    while i < end:
        while i < end and is_blank(data[i]):
            i += 1
        first = i
        strange = False
        while i < end and not is_blank(data[i]):
            strange = strange or not (0x61 <= data[i] <= 0x7A or data[i] >= 0x80)
            i += 1
        if strange:
            last = i
            while first < last and data[first] in (0x28, 0x5B, 0x2A, 0x5F, QUOTE, APOSTROPHE):
                first += 1
            while first < last and not is_word_byte(data[last - 1]) and data[last - 1] != SLASH:
                last -= 1
            if first < last and _is_name(data, first, last):
                cover(marks, first - start, last - start)


@inline
def _is_name(data: Bytes, start: int, end: int) -> bool:
    """Tell whether `data[start:end]`, without the signs around it, is no plain word or number."""
    if end - start > 1 and data[start] in (HASH, AT, SLASH, 0x2D, DOT, BACKSLASH, 0x25, 0x26, TILDE):  # - % &
        return True
    slashes = 0
    for i in range(start + 1, end):
        if data[i] == SLASH:
            slashes += 1
            if slashes > 1 or data[i - 1] == COLON:
                return True
        elif _is_odd(int(data[i - 1]), int(data[i]), int(data[i + 1]) if i + 1 < end else SPACE):
            return True
    return False


@inline
def _is_odd(before: int, byte: int, after: int) -> bool:
    """Tell whether a byte between its neighbours is in no plain word: a sign, a capital or digit after others."""
    small, digit = 0x61 <= before <= 0x7A, 0x30 <= before <= 0x39
    if 0x61 <= byte <= 0x7A:
        return digit
    if 0x41 <= byte <= 0x5A:
        return small or digit
    if 0x30 <= byte <= 0x39:
        return small or 0x41 <= before <= 0x5A
    if byte in (DOT, COLON, 0x2C, 0x28, 0x5B, 0x3F, 0x21):  # , ( [ ? !
        number = digit and 0x30 <= after <= 0x39
        return is_word_byte(before) and is_word_byte(after) and after < 0x80 and not number
    return byte in (AT, BACKSLASH, 0x5F, 0x3D, 0x7C, 0x5E, LESS, GREATER, 0x2B, 0x26)  # _ = | ^ + &


@inline
def protect_given(data: Bytes, start: int, end: int, marks: Bytes, known: CaseTables) -> None:
    """Protect what a user's turn gives to be worked on: all after a colon, or after the first line of such a request.

    A colon counts where a letter comes before it, and a blank or nothing after it.
    """
    asked = False
    i = start
    while i < end:
        byte = data[i]
        if 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A:
            stop = i
            while stop < end and is_word_byte(data[stop]):
                stop += 1
            asked = asked or (known_for(data, i, stop, known) & TASK) != 0
            i = stop
            continue
        if (byte == LINE_FEED and asked) or (
            byte == COLON and i > start and is_word_byte(data[i - 1]) and (i + 1 >= end or is_blank(data[i + 1]))
        ):
            break
        i += 1
    cover(marks, 0 if asked and i == end else i - start, end - start)
