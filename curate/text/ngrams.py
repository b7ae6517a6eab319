"""The one definition of an n-gram: n words in a row of a text in normal form, as one 64-bit hash.

A word is hashed from the UTF-8 bytes of its normal form, eight at a time (see `words_kernel`). An n-gram is hashed from
the hashes of its words, so that the next one takes two multiplications however long it is:

    total = word[0] * ROLL**(n - 1) + ... + word[n - 2] * ROLL + word[n - 1]     (mod 2**64)
    n-gram = mix(total + n)

Both are fixed for ever: signatures of one build are held against those of another.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.kernels.buffers import Bytes, Flags, Int32s, Int64s, Text, UInt64s, frozen, strings, view
from curate.kernels.compile import inline, kernel
from curate.kernels.hashing import GOLDEN, mix
from curate.kernels.utf8 import code_point, count_characters
from curate.text.normal import GROWTH, UNSETTLED, normalise, tables
from curate.text.words import AFTER_ALONE, INSIDE, OTHER, OUTSIDE, classes, read
from curate.text.words_kernel import LINE_FEED, MARGIN, FoundWords, WordSpace, WordTable, read_words, word_table

BYTES: Final = 4
"""Of text for each word that there is room for at first; in English a word and what is around it take 5.7."""

GUARD: Final = "."
ACCENT: Final = "\u0301"
"""A character that is not context-free, and composes with no full stop."""

ROLL: Final = GOLDEN
"""What a word's hash is multiplied by for each word that follows it in an n-gram; odd, so that no bit is lost."""


class WordHashes(NamedTuple):
    """The words of texts in normal form, as hashes: those of text i are `hashes[offsets[i]:offsets[i + 1]]`.

    `offsets` is one longer than the texts asked for. `opens` tells of each word whether it is the first of a line;
    lines end with a line feed, and the first word of a text opens one.
    """

    hashes: UInt64s
    offsets: Int64s
    opens: Flags


def hash_words(text: Text, index: Int32s) -> WordHashes:
    r"""Hash the words, as `curate.text.words` defines them, of the normal form of the strings of `text` at `index`.

    A null, an empty text and one without a letter or digit have none; Chinese has a word for each character.

    >>> texts = view(pa.array(["Don’t panic", "", "PANIC!\nDon't", "東京"]))
    >>> words = hash_words(texts, np.arange(4, dtype=np.int32))
    >>> words.offsets.tolist(), words.opens.tolist()
    ([0, 2, 2, 4, 6], [True, False, True, True, True, False])
    >>> words.hashes[:2].tolist() == words.hashes[3:1:-1].tolist()
    True
    """
    words, context_free = _read(text, index, word_table())
    left = np.flatnonzero(~context_free)
    if not len(left):
        return words
    rest = _normal_lines(text, index[left])
    return _merge(words, _read(rest, np.arange(len(left), dtype=np.int32), word_table(normal=True))[0], left)


def _read(text: Text, index: Int32s, table: WordTable) -> tuple[WordHashes, Flags]:
    """Return the words of the texts at `index`, and which of these are context-free."""
    index = frozen(np.ascontiguousarray(index))  # one signature, or the kernel is compiled again
    sizes = text.offsets[index + 1] - text.offsets[index]
    longest, room = GROWTH * int(sizes.max(initial=0)), int(sizes.sum(dtype=np.int64)) // BYTES
    tail = frozen(np.concatenate([text.data[-MARGIN:], np.zeros(MARGIN, np.uint8)]))
    out, kinds = np.empty((2, longest + MARGIN), np.uint8)
    begins, stops = np.empty((2, longest // 2 + MARGIN), np.int32)
    space = WordSpace(out, kinds, frozen(out), frozen(kinds), begins, stops)
    context_free, ends = np.ones(len(index), np.bool_), np.zeros(len(index) + 1, np.int64)
    # Made here, not by the kernel: NumPy asks for pages of 2 MB, which took 600 MB/s to 840.
    hashes, opens = np.empty(room, np.uint64), np.zeros(room, np.bool_)
    place = 0
    while True:
        place = read_words(
            text.data, tail, text.offsets, index, place, table, space, FoundWords(hashes, opens, ends, context_free)
        )
        if place == len(index):
            return WordHashes(frozen(hashes[: ends[-1]]), frozen(ends), frozen(opens[: ends[-1]])), context_free
        more = room + longest + 1
        hashes = np.concatenate([hashes, np.empty(more, np.uint64)])
        opens = np.concatenate([opens, np.zeros(more, np.bool_)])
        room += more


def _normal_lines(text: Text, index: Int32s) -> Text:
    """Return the normal form of the texts at `index`, line by line."""
    lines = pc.split_pattern(strings(text.data, text.offsets).take(pa.array(index)), "\n")
    return view(pc.binary_join(pa.ListArray.from_arrays(lines.offsets, normalise(lines.values)), "\n"))


def _merge(words: WordHashes, more: WordHashes, places: Int64s) -> WordHashes:
    """Give the texts at `places`, which have no words, those of the texts of `more`."""
    counts = np.diff(words.offsets)
    counts[places] = np.diff(more.offsets)
    mine = np.ones(len(counts), np.bool_)
    mine[places] = False
    here = np.repeat(mine, counts)
    hashes, opens = np.empty(len(here), np.uint64), np.empty(len(here), np.bool_)
    hashes[here], opens[here] = words.hashes, words.opens
    hashes[~here], opens[~here] = more.hashes, more.opens
    return WordHashes(frozen(hashes), frozen(np.concatenate([[0], np.cumsum(counts)])), frozen(opens))


@inline
def gram(total: np.uint64, n: int | np.integer) -> np.uint64:
    """Return the hash of the n-gram whose words come to `total`."""
    return mix(total + np.uint64(n))


@inline
def power(n: int | np.integer) -> np.uint64:
    """Return `ROLL**n`: what `roll` takes away."""
    answer = np.uint64(1)
    for _ in range(n):
        answer *= ROLL
    return answer


@inline
def roll(total: np.uint64, enters: np.uint64, leaves: np.uint64, away: np.uint64) -> np.uint64:
    """Return the total of the n words up to `enters` from that of the n words from `leaves` on; `away` is `power(n)`.

    With `leaves` 0, a total grows by a word.
    """
    return np.uint64(total * ROLL + enters - leaves * away)


def ngrams(words: WordHashes, n: int, short: bool = True) -> tuple[UInt64s, Int64s]:  # noqa: FBT001, FBT002
    """Return the hashes of the n-grams of each text, and their offsets: a text of w words has w - n + 1.

    One with fewer than `n` words, but any, has the single n-gram of all its words if `short`, else none. Raises
    `ValueError` for `n` below 1.

    >>> words = hash_words(view(pa.array(["a rose is a rose is", "a rose", ""])), np.arange(3, dtype=np.int32))
    >>> hashes, offsets = ngrams(words, 3)
    >>> offsets.tolist(), bool(hashes[0] == hashes[3])
    ([0, 4, 5, 5], True)
    >>> ngrams(words, 3, short=False)[1].tolist()
    [0, 4, 4, 4]
    """
    if n < 1:
        raise ValueError(f"an n-gram has 1 word or more, not {n}")
    counts = np.diff(words.offsets)
    counts = np.where(counts >= n, counts - n + 1, np.minimum(counts, 1 if short else 0))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    grams = np.empty(offsets[-1], np.uint64)
    _ngrams(frozen(words.hashes), frozen(words.offsets), n, frozen(offsets), grams)
    return frozen(grams), frozen(offsets)


@kernel
def _ngrams(words: UInt64s, offsets: Int64s, n: int, places: Int64s, grams: UInt64s) -> None:
    """Write the n-grams of text i from `places[i]` on; only a text of fewer words than `n` may have room for none."""
    away = power(n)
    for i in range(len(offsets) - 1):
        at = places[i]
        if at == places[i + 1]:
            continue
        start, end = offsets[i], offsets[i + 1]
        size = min(n, end - start)
        total = np.uint64(0)
        for k in range(start, start + size):
            total = roll(total, words[np.uint64(k)], np.uint64(0), away)
        grams[np.uint64(at)] = gram(total, size)
        for k in range(start + size, end):
            total = roll(total, words[np.uint64(k)], words[np.uint64(k - n)], away)
            at += 1
            grams[np.uint64(at)] = gram(total, n)


class Spans(NamedTuple):
    """Where the words of texts are: word k begins at character `start[k]` of its text and ends before `end[k]`.

    The words of text i are those from `offsets[i]` to `offsets[i + 1]`, as in `WordHashes`. Characters are code points.
    """

    start: Int32s
    end: Int32s
    offsets: Int64s


def word_spans(text: Text, index: Int32s) -> Spans:
    """Find the words that `hash_words` hashes in the texts as they were before they took their normal form.

    A character that becomes several words is the span of each ("½" is the words "1" and "2"). Where characters become
    others together (a letter and its accents, Hangul jamo), a word that has any of them spans them all. About 160 MB/s,
    and 5 MB/s where every other character is an accent.

    >>> spans = word_spans(view(pa.array(["  Don’t ½!", ""])), np.arange(2, dtype=np.int32))
    >>> [column.tolist() for column in spans]
    [[2, 8, 8], [7, 9, 9], [0, 3, 3]]
    """
    texts, table = view(strings(text.data, text.offsets).take(pa.array(index))), tables()
    starts, joined = _cut_spans(texts.data, texts.offsets, table.normal, classes())
    # A span between full stops keeps the white space that its normal form begins or ends with ("¨" is " \u0308"). The
    # accent treats a context-free one like its line in `hash_words`: Polars may know more characters.
    spans = strings(texts.data, starts).filter(pa.array(joined))
    normal = view(normalise(pc.binary_join_element_wise(GUARD, spans, GUARD + ACCENT, "")))
    return Spans(*_spans(texts, starts, joined, normal, table.normal, table.extra, classes()))


@kernel
def _cut_spans(data: Bytes, offsets: Int32s, table: Int32s, kinds: Bytes) -> tuple[Int32s, Flags]:
    """Cut texts into spans whose normal forms make up that of the whole: where each begins, and whether it is joined.

    A joined span is a character and those after it that are not context-free, or, on a line that has any of
    these, one that Polars may know though Python does not. What is between joined spans on a line is a span too.
    """
    first, last = offsets[0], offsets[-1]
    starts = np.empty(last - first + 1, np.int32)
    joined = np.zeros(last - first, np.bool_)
    count = 0
    for i in range(len(offsets) - 1):
        at, end = offsets[i], offsets[i + 1]
        line, context_free = count, True
        while at < end:
            point, width = code_point(data, at, end)
            entry = table[point]
            clings = entry == UNSETTLED
            context_free &= not clings
            # An accent may cling to what is before invisible characters, so these go on the span before them.
            if entry == 0 or count == line or not (clings or entry & 63 == 0):
                starts[count] = at
                joined[count] = point >= 0x80 and entry == 0 and kinds[point] == OTHER
                count += 1
            joined[count - 1] |= clings
            at += width
            if point == LINE_FEED or at == end:
                count = _merge_spans(starts, joined, line, count, context_free)
                line, context_free = count, True
    starts[count] = last
    return starts[: count + 1].copy(), joined[:count].copy()


@inline
def _merge_spans(
    starts: Int32s,
    joined: Flags,
    line: int,
    count: int,
    context_free: bool,  # noqa: FBT001
) -> int:
    """Make one span of neighbours on a line that are not joined; return how many spans there are now."""
    kept = line
    for k in range(line, count):
        joins = joined[k] and not context_free
        if joins or k == line or joined[kept - 1]:
            starts[kept], joined[kept] = starts[k], joins
            kept += 1
    return kept


@kernel
def _spans(
    texts: Text, starts: Int32s, joined: Flags, normal: Text, table: Int32s, extra: Bytes, kinds: Bytes
) -> tuple[Int32s, Int32s, Int64s]:
    """Read context-free spans by `table`, and the normal forms of the others without their guards."""
    data, offsets = texts.data, texts.offsets
    room = GROWTH * len(data) + len(normal.data)
    start, end, ends = np.empty(room, np.int32), np.empty(room, np.int32), np.zeros(len(offsets), np.int64)
    words = span = number = 0
    for i in range(len(offsets) - 1):
        state, before = OUTSIDE, 0
        while span < len(joined) and starts[span] < offsets[i + 1]:
            at, last = starts[span], starts[span + 1]
            if joined[span]:
                after = before + count_characters(data, at, last)
                low, high = normal.offsets[number] + 1, normal.offsets[number + 1] - 3
                state, words = _note(normal.data, low, high, kinds, state, start, end, words, before, after)
                before, at = after, last
                number += 1
            while at < last:
                point, width = code_point(data, at, last)
                entry = table[point]
                if entry > 0:
                    low, high = entry >> 6, (entry >> 6) + (entry & 63)
                    state, words = _note(extra, low, high, kinds, state, start, end, words, before, before + 1)
                else:
                    state, words = _note(data, at, at + width, kinds, state, start, end, words, before, before + 1)
                before += 1
                at += width
            span += 1
        ends[i + 1] = words
    return start[:words].copy(), end[:words].copy(), ends


@inline
def _note(
    data: Bytes,
    at: int,
    last: int,
    kinds: Bytes,
    state: int,
    start: Int32s,
    end: Int32s,
    words: int,
    before: int,
    after: int,
) -> tuple[int, int]:
    """Note that the words with the characters `data[at:last]` are between characters `before` and `after` of a text.

    Returns the state of the reader after them, and the words begun.
    """
    while at < last:
        point, width = code_point(data, at, last)
        state, begins = read(state, kinds[point])
        if begins:
            start[words] = before
            words += 1
        if state in (INSIDE, AFTER_ALONE):
            end[words - 1] = after
        at += width
    return state, words
