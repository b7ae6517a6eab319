"""Which letter case each word of a sentence has: the scoring of the `truecase` package, token by token, in kernels.

A word has the casings ("forms") it was seen with. Of several, the one with the highest score wins:

    log(count of form) + log(count after the form before) + log(count ahead of the word after) + log(count of all three)

each as a share of the counts of all forms of the word, 5 added to each. The logarithms stand in the table, so a score
is three additions of the very numbers that the package adds. Forms lie in the order in which they win a tie: the more
frequent first, then the one that sorts last, which has small letters where the other has capitals.

Source: Lita, Ittycheriah, Roukos and Kambhatla, tRuEcasIng, ACL 2003; `truecase` 0.0.14 (`TrueCaser.get_score`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.text.hashing import mix
from curate.text.kernel import inline, kernel, load64

UNKNOWN, SCORED, KEPT, ODD = -1, -2, -3, -4
"""What stands for a token in place of a form: a word not in the table, one that is not decided yet, punctuation and
digits, and a token with characters past ASCII, which is Python's to tell."""

TITLE, CAPITALISED, LOWERED = range(3)
"""How an unknown word is written."""

MOST: Final = 4
"""Forms that a word has at most: the length of a row of `Casing.rows` and of `Casing.alone`."""

ALIKE: Final = 2
"""A row of words with n forms that were never seen in the context: number n - 2."""
NOTHING: Final = 3
"""The row of zeros: there is no context to ask about."""

WORD_BITS: Final = 17
SEVERAL_BITS: Final = 14
ROW_BITS: Final = 16
"""A key is 48 bits: the form before and the word after, each from 1 (0: none, or unknown), and between them a word with
several forms."""

SPREAD, SCATTER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x87C37B91114253D5)
MOVE_BITS: Final = 46
SLOT_BITS: Final = 43
"""What of a 64-bit product is left out to name one of 2**18 moves, and of 2**21 slots."""
MOVE_SIZE: Final = 16
TOPS, EVERY = np.uint64(0x8080808080808080), np.uint64(0xFFFFFFFFFFFFFFFF)
PAST_Z, FROM_A = np.uint64(0x2525252525252525), np.uint64(0x3F3F3F3F3F3F3F3F)
REST = np.uint64(0x7F7F7F7F7F7F7F7F)


class Rows(NamedTuple):
    """A perfect hash of keys to rows: where a key may lie is told by its hash and by the move of its hash.

    A slot is `key << 16 | row`, or 0. Each key is found, or not, at one look: no branch to guess wrong, which took the
    scoring from 106 ns a token to 91.
    """

    slots: NDArray[np.uint64]
    moves: NDArray[np.uint16]


class Casing(NamedTuple):
    """The statistics of letter case, compiled: flat arrays, read-only.

    Words (lower case) and forms are strings of `word_data` and `form_data`; forms of word `w` are `first_form[w]` up to
    `first_form[w + 1]`. Words with several forms come first. `capital` is what `str.capitalize` makes of a form; some
    of these were never seen, and come after the last form of the last word. `opened` is that only for forms that have
    no capital yet ("NASA" and "eBay" stay). `slots` finds a word by its hash. `alone` is `MOST` scores without context
    for each word with several forms, -inf for forms that it does not have; `pairs` and `triples` tell which row of
    `rows` has the scores in a context of one word and of two.
    """

    slots: NDArray[np.int32]
    word_data: NDArray[np.uint8]
    word_offsets: NDArray[np.int32]
    first_form: NDArray[np.int32]
    form_data: NDArray[np.uint8]
    form_offsets: NDArray[np.int32]
    capital: NDArray[np.int32]
    opened: NDArray[np.int32]
    alone: NDArray[np.float64]
    rows: NDArray[np.float64]
    pairs: Rows
    triples: Rows


@inline
def small(data: NDArray[np.uint8], i: int, end: int) -> np.uint64:
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
def seek(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    slots: NDArray[np.int32],
    words: NDArray[np.uint8],
    offsets: NDArray[np.int32],
) -> int:
    """Return the number of the word `data[start:end]`, whatever its case; `UNKNOWN`, or `ODD` past ASCII."""
    if start == end:
        return UNKNOWN
    word = small(data, start, end)
    key, past = mix(word ^ np.uint64(end - start)), word
    for i in range(start + 8, end, 8):
        word = small(data, i, end)
        key, past = mix(key ^ word), past | word
    if past & TOPS:
        return ODD
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
def fill_words(words: NDArray[np.uint8], offsets: NDArray[np.int32], slots: NDArray[np.int32]) -> None:
    """Enter words in `slots`, zeros so far. Words past ASCII are entered nowhere: they are never sought."""
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


@inline
def spot(key: int | np.integer, moves: NDArray[np.uint16]) -> np.int64:
    """Return the slot where `key` lies if it lies anywhere."""
    product = np.uint64(key) * SPREAD
    return _spot(product, moves[product >> np.uint64(MOVE_BITS)])


@inline
def _spot(product: np.uint64, move: int | np.integer) -> np.int64:
    return np.int64((product ^ np.uint64(move) * SPREAD) * SCATTER >> np.uint64(SLOT_BITS))


@inline
def row_of(
    slots: NDArray[np.uint64], moves: NDArray[np.uint16], key: int | np.integer, unseen: int | np.integer
) -> int | np.integer:
    """Return the row of `key`, or `unseen`."""
    entry = slots[spot(key, moves)]
    found = np.int64(entry & np.uint64((1 << ROW_BITS) - 1))
    return found if entry >> np.uint64(ROW_BITS) == np.uint64(key) else unseen


@kernel
def fill_rows(
    keys: NDArray[np.uint64], rows: NDArray[np.uint64], slots: NDArray[np.uint64], moves: NDArray[np.uint16]
) -> bool:
    """Enter the row of each key in `slots` and `moves`, zeros so far; tell whether there was a place for all.

    `keys` that share a move move together, the most numerous first, until they all fall on free slots (hash and
    displace: Belazzougui, Botelho and Dietzfelbinger, ESA 2009).
    """
    sizes = np.zeros(len(moves) + 1, np.int64)
    for key in keys:
        sizes[(key * SPREAD >> np.uint64(MOVE_BITS)) + np.uint64(1)] += 1
    most = sizes.max()
    ends = np.cumsum(sizes)
    order = np.empty(len(keys), np.int64)
    at = ends[:-1].copy()
    for i in range(len(keys)):
        bucket = keys[i] * SPREAD >> np.uint64(MOVE_BITS)
        order[at[bucket]] = i
        at[bucket] += 1
    for size in range(most, 0, -1):
        for bucket in range(len(moves)):
            if ends[bucket + 1] - ends[bucket] != size:
                continue
            move = 0
            while not _settle(keys, rows, order, ends[bucket], ends[bucket + 1], move, slots):
                move += 1
                if move >> MOVE_SIZE:
                    return False
            moves[bucket] = move
    return True


@inline
def _settle(
    keys: NDArray[np.uint64],
    rows: NDArray[np.uint64],
    order: NDArray[np.int64],
    first: int,
    last: int,
    move: int,
    slots: NDArray[np.uint64],
) -> bool:
    """Enter `keys[order[first:last]]` where `move` moves them, if all those slots are free."""
    for k in range(first, last):
        slot = _spot(keys[order[k]] * SPREAD, move)
        if slots[slot]:
            for back in range(first, k):
                slots[_spot(keys[order[back]] * SPREAD, move)] = 0
            return False
        slots[slot] = keys[order[k]] << np.uint64(ROW_BITS) | rows[order[k]]
    return True


@inline
def is_kept(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Tell whether ASCII bytes are all digits, or a part of `string.punctuation`, which is in order of its bytes."""
    if start == end:
        return True
    digits = True
    for i in range(start, end):
        digits &= 0x30 <= data[i] <= 0x39
    if digits:
        return True
    for i in range(start, end):
        byte = data[i]
        if not (0x21 <= byte <= 0x2F or 0x3A <= byte <= 0x40 or 0x5B <= byte <= 0x60 or 0x7B <= byte <= 0x7E):
            return False
        if i > start and byte != follower(data[i - 1]):
            return False
    return True


@inline
def follower(byte: int | np.integer) -> int:
    """Return the sign of punctuation that comes after `byte` in `string.punctuation`."""
    after = int(byte) + 1
    return 0x3A if after == 0x30 else 0x5B if after == 0x41 else 0x7B if after == 0x61 else after


@kernel
def recognise(
    data: NDArray[np.uint8],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    table: Casing,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return for each token `data[starts[i]:ends[i]]` its word, or `UNKNOWN`, and the form that it stands for so far.

    That form is `SCORED` for words of the table. Both are `ODD` for tokens with characters past ASCII.
    """
    slots, words, offsets, first_form = table.slots, table.word_data, table.word_offsets, table.first_form
    word, stands = np.empty(len(starts), np.int32), np.empty(len(starts), np.int32)
    for i in range(len(starts)):
        start, end = int(starts[i]), int(ends[i])
        number = seek(data, start, end, slots, words, offsets)
        word[i] = number
        if number == ODD:
            stands[i] = ODD
        elif start == end or data[start] < 0x41 or 0x5B <= data[start] <= 0x60 or data[start] > 0x7A:
            kept = is_kept(data, start, end)
            if number >= 0:
                stands[i] = first_form[number] if kept else SCORED
            else:
                stands[i] = KEPT if kept else UNKNOWN
        else:
            stands[i] = SCORED if number >= 0 else UNKNOWN
    return word, stands


@kernel
def choose(
    sentences: NDArray[np.int32],
    words: NDArray[np.int32],
    stands: NDArray[np.int32],
    table: Casing,
    openings: NDArray[np.int32],
) -> None:
    """Put the best form in place of each `SCORED` token; `sentences` are offsets into the tokens.

    `openings` is what becomes of the first word: `table.capital` or `table.opened`. The form before counts as it was
    decided.
    """
    first_form, alone, rows = table.first_form, table.alone, table.rows
    pairs, pair_moves = table.pairs.slots, table.pairs.moves
    triples, triple_moves = table.triples.slots, table.triples.moves
    several, known = len(alone) // MOST, len(openings)
    for sentence in range(len(sentences) - 1):
        first, last = sentences[sentence], sentences[sentence + 1] - 1
        for i in range(first, last + 1):
            if stands[i] != SCORED:
                continue
            form, word = np.int64(first_form[words[i]]), np.int64(words[i])
            if word < several:
                before = np.int64(stands[i - 1] + 1 if i > first else 0)
                before = before << (WORD_BITS + SEVERAL_BITS) if 0 < before <= known else np.int64(0)
                after = np.int64(max(words[i + 1] + 1, 0) if i < last else 0)
                middle, unseen = word << WORD_BITS, first_form[word + 1] - form - ALIKE
                back = row_of(pairs, pair_moves, before | middle, unseen)
                fore = row_of(pairs, pair_moves, middle | after, unseen)
                both = row_of(triples, triple_moves, before | middle | after, unseen)
                back = back if i > first else NOTHING
                fore = fore if i < last else NOTHING
                both = both if first < i < last else NOTHING
                form += best(alone, rows, word * MOST, back * MOST, fore * MOST, both * MOST)
            stands[i] = openings[form] if i == first else form


@inline
def best(
    alone: NDArray[np.float64],
    rows: NDArray[np.float64],
    word: int | np.integer,
    back: int | np.integer,
    fore: int | np.integer,
    both: int | np.integer,
) -> int:
    """Return which of `MOST` forms has the highest score; of equals, the first."""
    winner, highest = 0, alone[word] + rows[back] + rows[fore] + rows[both]
    for k in range(1, MOST):
        score = alone[word + k] + rows[back + k] + rows[fore + k] + rows[both + k]
        winner = k if score > highest else winner
        highest = max(score, highest)
    return winner


@kernel
def spell(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    stands: NDArray[np.int32],
    unknown: int,
    table: Casing,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the buffers of the tokens in their new case; an `UNKNOWN` word of ASCII is written as `unknown` says."""
    forms, form_offsets = table.form_data, table.form_offsets
    ends = np.zeros(len(stands) + 1, np.int32)
    for i in range(len(stands)):
        size = offsets[i + 1] - offsets[i]
        if stands[i] >= 0:
            size = form_offsets[stands[i] + 1] - form_offsets[stands[i]]
        ends[i + 1] = ends[i] + size
    out = np.empty(ends[-1], np.uint8)
    for i in range(len(stands)):
        at, size = ends[i], ends[i + 1] - ends[i]
        if stands[i] >= 0:
            start = form_offsets[stands[i]]
            for k in range(size):
                out[at + k] = forms[start + k]
            continue
        start, inside = offsets[i], False
        for k in range(size):
            byte = data[start + k]
            letter = 0x61 <= (byte | 0x20) <= 0x7A and byte < 0x80
            if stands[i] == UNKNOWN and letter:
                up = (unknown == TITLE and not inside) or (unknown == CAPITALISED and k == 0)
                byte = byte & 0xDF if up else byte | 0x20
            inside = letter
            out[at + k] = byte
    return out, ends
