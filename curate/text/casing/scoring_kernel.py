"""Which letter case each word of a sentence has: the scoring of the `truecase` package, token by token, in kernels.

A word has the casings ("forms") it was seen with. Of several, the one with the highest score wins:

    log(count of form) + log(count after the form before) + log(count ahead of the word after) + log(count of all three)

each as a share of the counts of all forms of the word, 5 added to each. The table holds the logarithms, so a score
is three additions of the very numbers that the package adds. Forms are sorted by who wins a tie: the more
frequent first, then the one that sorts last, which has small letters where the other has capitals.

Source: Lita, Ittycheriah, Roukos and Kambhatla, tRuEcasIng, ACL 2003; `truecase` 0.0.14 (`TrueCaser.get_score`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curate.kernels.buffers import Bytes, Float64s, Int32s, UInt64s
from curate.kernels.compile import inline, kernel, load64
from curate.kernels.hashing import mix

UNKNOWN, SCORED = -1, -2
"""Codes in place of a form: a word that is not in the table, and one not decided yet."""

MAX_FORMS: Final = 4
"""Forms that a word has at most: the length of a row of `CasingTable.rows` and of `CasingTable.alone`."""

UNSEEN: Final = 2
"""A row of words with n forms that were never seen in the context: number n - 2."""
NO_CONTEXT: Final = 3
"""The row of zeros: there is no context to ask about."""

AHEAD: Final = 512
"""CaseTokens whose rows are looked up at once: what is held of them fits into the nearest cache."""

WORD_BITS: Final = 17
SEVERAL_BITS: Final = 14
"""A key is 48 bits: the form before and the word after, each from 1 (0: none, or unknown), and between them a word with
several forms."""

ROW_BITS: Final = 16
"""Bits of a context's slot that name a row of scores; the other 48 are the key."""
SPREAD, SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(42)
"""The top 22 bits of a key's product with `SPREAD` are its slot; a third of the slots are used. At half of the size,
looking up rows took 40 % longer."""

TOPS, EVERY = np.uint64(0x8080808080808080), np.uint64(0xFFFFFFFFFFFFFFFF)
PAST_Z, FROM_A = np.uint64(0x2525252525252525), np.uint64(0x3F3F3F3F3F3F3F3F)
REST = np.uint64(0x7F7F7F7F7F7F7F7F)


class CasingTable(NamedTuple):
    """The statistics of letter case, compiled: flat arrays, read-only.

    Words (lower case) and forms are strings of `word_data` and `form_data`; forms of word `w` are `first_form[w]` up to
    `first_form[w + 1]`. Words with several forms come first. `capital` is what `str.capitalize` makes of a form; some
    of these were never seen, and come after the last form of the last word. `opened` is that only for forms that have
    no capital yet ("NASA" and "eBay" stay). `slots` is the hash table of words. `alone` has `MAX_FORMS` scores without
    context for each word with several forms, padded with -inf; `pairs` and `triples` are hash tables from a context of
    one or two words to a row of `rows`, the scores in that context. Their slots are `key << ROW_BITS | row`, or 0.
    """

    slots: Int32s
    word_data: Bytes
    word_offsets: Int32s
    first_form: Int32s
    form_data: Bytes
    form_offsets: Int32s
    capital: Int32s
    opened: Int32s
    alone: Float64s
    rows: Float64s
    pairs: UInt64s
    triples: UInt64s


@inline
def row_of(slots: UInt64s, key: int | np.integer, unseen: int | np.integer) -> int | np.integer:
    """Return the row of a context, or `unseen`."""
    slot = np.int64(np.uint64(key) * SPREAD >> SHIFT)
    entry = slots[slot]
    while entry and entry >> np.uint64(ROW_BITS) != np.uint64(key):
        slot = (slot + 1) & (len(slots) - 1)
        entry = slots[slot]
    return np.int64(entry & np.uint64((1 << ROW_BITS) - 1)) if entry else np.int64(unseen)


@kernel
def fill_contexts(keys: UInt64s, rows: UInt64s, slots: UInt64s) -> None:
    """Enter the row of each key in `slots`, all zeros: the first free slot from the one that `row_of` starts at."""
    for i in range(len(keys)):
        slot = np.int64(keys[i] * SPREAD >> SHIFT)
        while slots[slot]:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = keys[i] << np.uint64(ROW_BITS) | rows[i]


@inline
def small(data: Bytes, i: int, end: int) -> np.uint64:
    """Return the bytes from `i` to `end`, eight at most, with capital letters of ASCII made small; then zeros."""
    if i + 8 <= len(data):
        word = load64(data, i) & (EVERY >> np.uint64(64 - 8 * min(8, end - i)))
    else:
        word = np.uint64(0)
        for k in range(end - i):
            word |= np.uint64(data[i + k]) << np.uint64(8 * k)
    rest = word & REST
    capital = ((rest + FROM_A) ^ (rest + PAST_Z)) & ~word & TOPS
    return np.uint64(word | capital >> np.uint64(2))


@inline
def seek(data: Bytes, start: int, end: int, slots: Int32s, words: Bytes, offsets: Int32s) -> int:
    """Return the number of the word `data[start:end]`, whatever its case; `UNKNOWN` for any with more than ASCII."""
    if start == end:
        return UNKNOWN
    word = small(data, start, end)
    key, past = mix(word ^ np.uint64(end - start)), word
    for i in range(start + 8, end, 8):
        word = small(data, i, end)
        key, past = mix(key ^ word), past | word
    if past & TOPS:
        return UNKNOWN
    mask = len(slots) - 1
    slot = np.int64(key >> np.uint64(32)) & mask
    while slots[slot]:
        number = slots[slot] - 1
        at = offsets[number]
        if offsets[number + 1] - at == end - start:
            i = start
            while i < end and small(data, i, end) == small(words, at + i - start, at + end - start):
                i += 8
            if i >= end:
                return int(number)
        slot = (slot + 1) & mask
    return UNKNOWN


@kernel
def fill_words(words: Bytes, offsets: Int32s, slots: Int32s) -> None:
    """Enter words in `slots`, zeros so far. Words past ASCII are left out: `seek` never looks for them."""
    for number in range(len(offsets) - 1):
        start, end = offsets[number], offsets[number + 1]
        if start == end:
            continue
        word = small(words, start, end)
        key, past = mix(word ^ np.uint64(end - start)), word
        for i in range(start + 8, end, 8):
            word = small(words, i, end)
            key, past = mix(key ^ word), past | word
        if past & TOPS:
            continue
        slot = np.int64(key >> np.uint64(32)) & (len(slots) - 1)
        while slots[slot]:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = number + 1


@kernel
def recognise(data: Bytes, starts: Int32s, ends: Int32s, table: CasingTable) -> tuple[Int32s, Int32s]:
    """Return for each token `data[starts[i]:ends[i]]` its word and its form so far: `SCORED`, or `UNKNOWN` like it."""
    slots, words, offsets = table.slots, table.word_data, table.word_offsets
    word, chosen = np.empty(len(starts), np.int32), np.empty(len(starts), np.int32)
    for i in range(len(starts)):
        word[i] = seek(data, int(starts[i]), int(ends[i]), slots, words, offsets)
        chosen[i] = SCORED if word[i] >= 0 else UNKNOWN
    return word, chosen


@kernel
def choose(sentences: Int32s, words: Int32s, chosen: Int32s, table: CasingTable, openings: Int32s) -> None:
    """Put the best form in place of each `SCORED` token; `sentences` are offsets into the tokens.

    `openings` is what becomes of the first word: `table.capital` or `table.opened`. The form before counts as it was
    decided. To wait for it at each token would cost the whole way to memory and back, so rows are looked up for some
    sentences at once, as if each word had come out in its most frequent form, and again where it did not (79 ns a token
    to 41).
    """
    count = len(sentences) - 1
    size = AHEAD
    for sentence in range(count):
        size = max(size, sentences[sentence + 1] - sentences[sentence])
    likely, seen = np.empty(size, np.int32), np.empty((size, 3), np.int32)
    begin = 0
    while begin < count:
        end = begin + 1
        while end < count and sentences[end + 1] - sentences[begin] <= AHEAD:
            end += 1
        base = sentences[begin]
        for sentence in range(begin, end):
            look_ahead(sentences[sentence], sentences[sentence + 1], base, words, chosen, table, openings, likely, seen)
        for sentence in range(begin, end):
            decide(sentences[sentence], sentences[sentence + 1], base, words, chosen, table, openings, likely, seen)
        begin = end


@inline
def look_ahead(
    first: int,
    end: int,
    base: int,
    words: Int32s,
    chosen: Int32s,
    table: CasingTable,
    openings: Int32s,
    likely: Int32s,
    seen: Int32s,
) -> None:
    """Write for the tokens of a sentence their most frequent forms, and the rows that these lead to."""
    first_form, several, known = table.first_form, len(table.alone) // MAX_FORMS, len(openings)
    before = np.int64(0)
    for i in range(first, end):
        form, word, k = np.int64(chosen[i]), np.int64(words[i]), i - base
        if form == SCORED:
            form = np.int64(first_form[word])
            if word < several:
                after = np.int64(max(words[i + 1] + 1, 0) if i + 1 < end else 0)
                middle, unseen = word << WORD_BITS, first_form[word + 1] - form - UNSEEN
                back = row_of(table.pairs, before | middle, unseen)
                fore = row_of(table.pairs, middle | after, unseen)
                both = unseen
                if unseen not in (back, fore):  # three that were seen together were seen in pairs
                    both = row_of(table.triples, before | middle | after, unseen)
                seen[k, 0] = back if i > first else NO_CONTEXT
                seen[k, 1] = fore if i + 1 < end else NO_CONTEXT
                seen[k, 2] = both if first < i < end - 1 else NO_CONTEXT
            form = np.int64(openings[form]) if i == first else form
        likely[k] = form
        before = (form + 1) << (WORD_BITS + SEVERAL_BITS) if 0 <= form < known else np.int64(0)


@inline
def decide(
    first: int,
    end: int,
    base: int,
    words: Int32s,
    chosen: Int32s,
    table: CasingTable,
    openings: Int32s,
    likely: Int32s,
    seen: Int32s,
) -> None:
    """Put the best form in place of each `SCORED` token of a sentence, one after the other.

    Its lookups repeat those of `look_ahead`: one helper for both took 177 ns per token in place of 144.
    """
    first_form, several = table.first_form, len(table.alone) // MAX_FORMS
    for i in range(first, end):
        if chosen[i] != SCORED:
            continue
        form, word, k = np.int64(first_form[words[i]]), np.int64(words[i]), i - base
        if word < several:
            if i > first and chosen[i - 1] != likely[k - 1]:
                before = np.int64(chosen[i - 1] + 1) << (WORD_BITS + SEVERAL_BITS)
                after = np.int64(max(words[i + 1] + 1, 0) if i + 1 < end else 0)
                middle, unseen = word << WORD_BITS, first_form[word + 1] - form - UNSEEN
                seen[k, 0] = row_of(table.pairs, before | middle, unseen)
                both = row_of(table.triples, before | middle | after, unseen)
                seen[k, 2] = both if i + 1 < end else NO_CONTEXT
            form += best(
                table.alone,
                table.rows,
                word * MAX_FORMS,
                seen[k, 0] * MAX_FORMS,
                seen[k, 1] * MAX_FORMS,
                seen[k, 2] * MAX_FORMS,
            )
        chosen[i] = openings[form] if i == first else form


@inline
def best(
    alone: Float64s,
    rows: Float64s,
    word: int | np.integer,
    back: int | np.integer,
    fore: int | np.integer,
    both: int | np.integer,
) -> int:
    """Return which of `MAX_FORMS` forms has the highest score; of equals, the first."""
    winner, highest = 0, alone[word] + rows[back] + rows[fore] + rows[both]
    for k in range(1, MAX_FORMS):
        score = alone[word + k] + rows[back + k] + rows[fore + k] + rows[both + k]
        winner = k if score > highest else winner
        highest = max(score, highest)
    return winner
