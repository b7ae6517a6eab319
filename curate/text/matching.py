"""Where compiled phrases occur in texts: one pass over the bytes, most of them looked at once and skipped.

At each byte a table says whether a phrase may begin with it and the next one. Only where it may, and a word begins, does
the automaton walk, until it holds no more than one symbol. Measured on English answers: 5 bytes in 100 are walked.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.text.kernel import inline, kernel, load64
from curate.text.phrases import APOSTROPHE, OTHER, SPACE, Automaton
from curate.text.views import Text


LOW, SIXTEEN = np.uint64(0xFFFF), np.uint64(16)

ROOM: Final = 1 << 16
"""Hits that a call of the kernel has room for; a text with more is run again with more room."""


class Hits(NamedTuple):
    """Every place where a phrase occurs: parallel arrays, in text order (by the end of the hit).

    `place` counts within the given `index`, `phrase` within the compiled phrases; `start` and `end` count characters
    (Unicode code points) within the text.
    """

    place: NDArray[np.int32]
    phrase: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]


def find(text: Text, index: NDArray[np.int32], automaton: Automaton, *, opening: int | None = None) -> Hits:
    """Find every occurrence of every phrase in the texts `index` names; `opening` asks for hits starting that early.

    `opening` counts characters. Hits may overlap. A null and an empty text have none. A border of a word lies beside
    anything but ASCII letters, digits, `_` and the characters U+00C0 to U+1FFF (letters of most alphabets), so a Latin
    name amid Chinese text counts as a word.

    >>> import pyarrow as pa
    >>> from curate.text.phrases import Phrase, compile_phrases
    >>> from curate.text.views import view
    >>> text = view(pa.array(["Sorry — I can\u2019t  help.", "I cannot helpfully say"]))
    >>> hits = find(text, np.arange(2, dtype=np.int32), compile_phrases((Phrase("I cannot help"),)))
    >>> [column.tolist() for column in hits]
    [[0], [0], [8], [21]]
    """
    limit = -1 if opening is None else opening
    chunks, place, room = [], 0, ROOM
    while place < len(index):
        hits = np.empty((room, 4), np.int32)
        before = place
        place, found = _find(text.data, text.offsets, index, place, limit, automaton, hits)
        chunks.append(hits[:found])
        room = room * 4 if place == before else room
    return Hits(*np.concatenate(chunks or [np.empty((0, 4), np.int32)]).T.copy())


@inline
def is_word(data: NDArray[np.uint8], i: int) -> bool:
    """Tell whether the character that begins at `i` belongs to a word."""
    byte = data[i]
    if byte < 0x80:
        return 0x61 <= (byte | 0x20) <= 0x7A or 0x30 <= byte <= 0x39 or byte == 0x5F
    return 0xC3 <= byte <= 0xE1


@inline
def is_inside(data: NDArray[np.uint8], start: int, end: int, i: int) -> bool:
    """Tell whether the characters before and after `i` belong to one word of `data[start:end]`."""
    if i == start or i == end or not is_word(data, i):
        return False
    i -= 1
    while i > start and data[i] & 0xC0 == 0x80:
        i -= 1
    return is_word(data, i)


@inline
def wide(data: NDArray[np.uint8], i: int, end: int) -> tuple[int, int]:
    """Return the class and the bytes of white space or an apostrophe outside ASCII that begins at `i`, or `OTHER`."""
    byte = data[i]
    if byte == 0xC2 and i + 1 < end:  # U+00A0, U+00B4
        return (SPACE if data[i + 1] == 0xA0 else APOSTROPHE if data[i + 1] == 0xB4 else OTHER), 2
    if byte == 0xCA and i + 1 < end:  # U+02BC
        return (APOSTROPHE if data[i + 1] == 0xBC else OTHER), 2
    if i + 2 >= end:
        return OTHER, 1
    second, third = data[i + 1], data[i + 2]
    if byte == 0xE2 and second == 0x80:
        if third <= 0x8A or third == 0xAF or third == 0xA8 or third == 0xA9:  # U+2000 to U+200A, 202F, 2028, 2029
            return SPACE, 3
        if third == 0x98 or third == 0x99:  # U+2018, U+2019
            return APOSTROPHE, 3
    if byte == 0xE3 and second == 0x80 and third == 0x80:  # U+3000
        return SPACE, 3
    if byte == 0xEF and second == 0xBC and third == 0x87:  # U+FF07
        return APOSTROPHE, 3
    return OTHER, 1


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


@inline
def next_start(data: NDArray[np.uint8], i: int, limit: int, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    """Return the next place from `i` on where the bytes of a phrase may begin, or `limit` (before the last byte)."""
    safe = min(limit, len(data) - 7)
    while i < safe:
        word = load64(data, i)
        if first[word & LOW] & second[word >> SIXTEEN & LOW]:
            return i
        i += 1
    while i < limit:
        if first[np.int64(data[i]) | np.int64(data[i + 1]) << 8]:
            return i
        i += 1
    return limit


@inline
def is_same(data: NDArray[np.uint8], start: int, end: int, known: NDArray[np.uint8], at: int, length: int) -> bool:
    """Tell whether `data[start:end]` is the `length` bytes of `known` from `at`."""
    if end - start != length:
        return False
    for k in range(length):
        if data[start + k] != known[at + k]:
            return False
    return True


@inline
def is_hit(  # noqa: PLR0913, PLR0917
    data: NDArray[np.uint8], begin: int, end: int, start: int, stop: int, spelling: int, automaton: Automaton
) -> bool:
    """Tell whether `data[start:stop]`, which spells a phrase when folded, keeps its words whole and its letter case."""
    if automaton.words and (is_inside(data, begin, end, start) or is_inside(data, begin, end, stop)):
        return False
    known = automaton.exact[spelling]
    if known < 0:
        return True
    return is_same(data, start, stop, automaton.exact_bytes, known, automaton.symbols[spelling])


@inline
def emit(  # noqa: PLR0913, PLR0917
    data: NDArray[np.uint8],
    begin: int,
    end: int,
    stop: int,
    limit: int,
    state: int,
    seen: int,
    ring: NDArray[np.int64],
    hits: NDArray[np.int32],
    found: int,
    automaton: Automaton,
) -> int:
    """Write (spelling, start, stop) of each hit that the state stands for, as long as there is room; return their number.

    `ring` keeps where the last 256 symbols began.
    """
    output = automaton.table[state + automaton.width - 1]
    while output >= 0:
        spelling = automaton.output_spelling[output]
        output = automaton.output_next[output]
        start = ring[(seen - automaton.symbols[spelling]) & 255]
        if start < limit and is_hit(data, begin, end, start, stop, spelling, automaton):
            if found < len(hits):
                hits[found, 1], hits[found, 2], hits[found, 3] = spelling, start, stop
            found += 1
    return found


@inline
def symbol_at(data: NDArray[np.uint8], i: int, end: int, classes: NDArray[np.uint8], loose: bool) -> tuple[int, int]:  # noqa: FBT001
    """Return the class of the symbol that begins at `i`, and its bytes."""
    if loose and data[i] >= 0xC2:
        shared, size = wide(data, i, end)
        if shared != OTHER:
            return shared, size
    return np.int64(classes[data[i]]), 1


@kernel
def _find(  # noqa: PLR0913, PLR0917
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    index: NDArray[np.int32],
    place: int,
    opening: int,
    automaton: Automaton,
    hits: NDArray[np.int32],
) -> tuple[int, int]:
    """Write a line (place, phrase, start, end) for each hit from `place` on, until a text's hits find no room.

    Returns the place of that text (or how many there are) and the hits of those before it.
    """
    ring = np.empty(256, np.int64)
    found = 0
    while place < len(index):
        begin, end = np.int64(offsets[index[place]]), np.int64(offsets[index[place] + 1])
        limit = end - 1 if opening < 0 else min(end - 1, skip_characters(data, begin, end, opening))
        more = _search(data, begin, end, limit, automaton, ring, hits[found:])
        if found + more > len(hits):
            break
        if more:
            _finish(data, begin, place, automaton.phrase, hits[found : found + more])
        found += more
        place += 1
    return place, found


@inline
def _search(  # noqa: PLR0913, PLR0917
    data: NDArray[np.uint8],
    begin: int,
    end: int,
    limit: int,
    automaton: Automaton,
    ring: NDArray[np.int64],
    hits: NDArray[np.int32],
) -> int:
    """Write (spelling, start, stop) of each hit in `data[begin:end]` that starts before `limit`; return their number."""
    first, second, classes, table = automaton.first, automaton.second, automaton.classes, automaton.table
    words, loose, shallow, outputs = automaton.words, automaton.loose, automaton.shallow, automaton.width - 1
    found = 0
    i = begin
    while i < limit:
        i = next_start(data, i, limit, first, second)
        if i == limit:
            break
        if words and is_inside(data, begin, end, i):
            i += 1
            continue
        state, seen, spaced = np.int64(0), 0, False
        while i < end:  # walk until the automaton holds at most one symbol
            symbol, size = symbol_at(data, i, end, classes, loose)
            if spaced and symbol == SPACE:
                i += size
                continue
            state = np.int64(table[state + symbol])
            if state <= shallow and seen > 0:
                break
            spaced = loose and symbol == SPACE
            ring[seen & 255] = i
            seen += 1
            i += size
            if table[state + outputs] >= 0:
                found = emit(data, begin, end, i, limit, state, seen, ring, hits, found, automaton)
    return found


@inline
def _finish(
    data: NDArray[np.uint8], begin: int, place: int, phrase: NDArray[np.int32], hits: NDArray[np.int32]
) -> None:
    """Turn the hits of one text, ordered by where they stop, from bytes and spellings to characters and phrases."""
    at, count = begin, 0
    for k in range(len(hits)):
        start, stop = hits[k, 2], hits[k, 3]
        count += count_characters(data, at, stop)
        at = stop
        hits[k, 0], hits[k, 1] = place, phrase[hits[k, 1]]
        hits[k, 2], hits[k, 3] = count - count_characters(data, start, stop), count
