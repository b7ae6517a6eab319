"""What a text adds up to in a fastText model: the rows of its words, of their character n-grams, of word n-grams.

Helpers of `predict_kernel`. Chat repeats its words, so the sum of a word is kept for the rest of a call; one that is
kept is the one that would be computed, so neither batches nor threads change an answer.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np

from curate.kernels.buffers import Bytes, Float32s, Int32s, UInt64s, frozen
from curate.kernels.compile import inline, load64
from curate.kernels.hashing import C1, C2, GOLDEN
from curate.kernels.utf8 import is_blank
from curate.kernels.vector import WIDTH, ones, trailing, within32
from curate.text.fasttext.model_file import (
    BASIS,
    BUCKETS,
    LABEL,
    LONGEST,
    NGRAMS,
    SHORTEST,
    WORDS,
    Weights,
    fnv,
    same,
    word_slot,
)

Number: TypeAlias = int | np.int64
Key: TypeAlias = tuple[np.uint64, np.uint64, np.uint64]
"""The bytes of a word, eight in each number, and zeros after them."""

ONE, TWO, THREE = np.uint64(1), np.uint64(2), np.uint64(3)
"""As indexes: of one that cannot be below zero, LLVM makes vectors."""
NO_KEY: Final = (np.uint64(0), np.uint64(0), np.uint64(0))
ALL_BITS: Final = np.uint64(0xFFFFFFFFFFFFFFFF)

END: Final = frozen(np.frombuffer(b"</s>", np.uint8))
HASHED_END: Final = np.uint32(3617362777)
"""What `fnv` makes of `END`."""
PREFIX: Final = frozen(np.frombuffer(LABEL.encode(), np.uint8))
KEPT_WORD: Final = 24
"""Bytes of the longest word whose sum is kept; longer ones hardly occur again."""
KEY: Final = 4
"""Numbers that a kept word has: its bytes, eight each and zeros after them, and what came of it."""
PICKED: Final = 1024
"""N-grams of a word that are looked for before their rows are added."""
OF_LABEL: Final = -1
"""In place of the number of features of a word: it spells a label, and counts for nothing."""


class Room(NamedTuple):
    """Where a call works: `sums` has the sum of each kept word, and in its last row that of one which is not kept.

    A slot has `KEY` numbers in `kept`: the word, and how many rows its sum is of, over its bytes. They lie side by
    side, as what takes time is to fetch them. `word` holds a word between its marks, `picked` the buckets of its
    n-grams, `chains` the hash of each word n-gram not yet whole.
    """

    kept: UInt64s
    sums: Float32s
    word: Bytes
    picked: Int32s
    chains: UInt64s
    hidden: Float32s


@inline
def add_text(data: Bytes, at: int, end: int, weights: Weights, room: Room) -> Number:
    """Sum up `data[at:end]` in `room.hidden`; return how many features it has."""
    for d in range(len(room.hidden)):
        room.hidden[d] = 0
    tokens = 0
    features: Number = 0
    found: Number = 0
    ended = False
    while not ended:
        start, at = next_word(data, at, end)
        size = at - start
        ended = size == 0 or (size == len(END) and starts_with(data, start, size, END))
        hashed = HASHED_END
        if ended:
            found = add_known(END, 0, len(END), hashed, weights, room)
        elif weights.settings[LONGEST] <= 0:
            hashed = hash_word(data, start, at)
            found = add_known(data, start, size, hashed, weights, room)
        else:
            fits = size <= KEPT_WORD and start + KEPT_WORD <= len(data)
            key = key_of(data, start, size) if fits else NO_KEY
            slot: Number = slot_of(key, size, len(room.kept) // KEY) if fits else len(room.kept) // KEY
            new = not fits or not is_kept(key, size, slot, room.kept)
            if new or weights.settings[NGRAMS] > 1:
                hashed = hash_word(data, start, at)
            if new:
                found = sum_word(data, start, size, hashed, weights, room, slot * len(room.hidden))
                if fits:
                    keep(key, size, found, slot, room.kept)
            else:
                found = int(room.kept[slot * KEY + 3] >> np.uint64(8)) - 1
            add_sum(room.sums, slot, found, room.hidden)
        if found == OF_LABEL:
            continue
        features += found
        if weights.settings[NGRAMS] > 1:
            features += add_ngrams(hashed, tokens, weights, room)
            tokens += 1
    return features


@inline
def next_word(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the next word starts and ends; at the end of the text it has no bytes."""
    while at < end and is_space(data[at]):
        at += 1
    start = at
    while at + WIDTH <= len(data) and at < end:
        spaces = within32(data, at, 0x20, 0x20) | within32(data, at, 0x09, 0x0D) | within32(data, at, 0, 0)
        at += min(trailing(spaces | 1 << WIDTH), end - at)
        if spaces:
            return start, at
    while at < end and not is_space(data[at]):
        at += 1
    return start, at


@inline
def hash_word(data: Bytes, start: int, end: int) -> np.uint32:
    """Return the hash of a word, as fastText makes it."""
    hashed = BASIS
    for i in range(start, end):
        hashed = fnv(hashed, data[i])
    return hashed


@inline
def is_space(byte: np.uint8) -> bool | np.bool:
    """Tell whether the package's reader ends a word here."""
    return is_blank(byte) or byte == 0


@inline
def starts_with(data: Bytes, start: int, size: int, what: Bytes) -> bool:
    """Tell whether the word at `start` begins with `what`."""
    return size >= len(what) and same(data, start, what, 0, len(what))


@inline
def find(data: Bytes, start: int, size: int, hashed: np.uint32, weights: Weights) -> int:
    """Return the number of a word, or -1."""
    return int(weights.table[word_slot(data, start, size, hashed, weights.spelling, weights.starts, weights.table)])


@inline
def add_row(rows: Float32s, row: Number, into: Float32s, base: Number) -> None:
    """Add a row of the input matrix to the sum at `base`."""
    first = np.uint64(base)
    for d in range(np.uint64(rows.shape[1])):
        into[first + d] += rows[np.uint64(row), d]


@inline
def kind_of_word(data: Bytes, start: int, size: int, word: int, words: int) -> int:
    """Return 1 for a word that the model knows, 0 for one that it does not know, or that this is a label."""
    if 0 <= word < words:
        return 1
    return OF_LABEL if word >= 0 or starts_with(data, start, size, PREFIX) else 0


@inline
def add_known(data: Bytes, start: int, size: int, hashed: np.uint32, weights: Weights, room: Room) -> int:
    """Add the row of a word that the model knows; return how many features these are."""
    word = find(data, start, size, hashed, weights)
    kind = kind_of_word(data, start, size, word, weights.settings[WORDS])
    if kind == 1:
        add_row(weights.rows, word, room.hidden, 0)
    return kind


@inline
def key_of(data: Bytes, start: int, size: int) -> Key:
    """Return the bytes of a word of `KEPT_WORD` at most; as many are read."""
    second, third = np.uint64(0), np.uint64(0)
    first = load64(data, start) & (ALL_BITS >> np.uint64(64 - 8 * min(size, 8)))
    if size > 8:
        second = load64(data, start + 8) & (ALL_BITS >> np.uint64(64 - 8 * min(size - 8, 8)))
    if size > 16:
        third = load64(data, start + 16) & (ALL_BITS >> np.uint64(64 - 8 * (size - 16)))
    return first, second, third


@inline
def slot_of(key: Key, size: int, slots: int) -> Number:
    """Return where the sum of a word is kept."""
    mixed = (key[0] ^ (key[1] * C1) ^ (key[2] * C2) ^ np.uint64(size)) * GOLDEN
    return np.int64((mixed ^ (mixed >> np.uint64(32))) * GOLDEN >> np.uint64(32)) & (slots - 1)


@inline
def is_kept(key: Key, size: int, slot: Number, kept: UInt64s) -> bool | np.bool:
    """Tell whether the sum in a slot is that of a word."""
    base = np.uint64(slot * KEY)
    same = (kept[base] ^ key[0]) | (kept[base + ONE] ^ key[1]) | (kept[base + TWO] ^ key[2])
    return same == 0 and np.int64(kept[base + THREE] & np.uint64(0xFF)) == size


@inline
def keep(key: Key, size: int, features: Number, slot: Number, kept: UInt64s) -> None:
    """Write whose sum a slot has, and of how many features it is."""
    base = np.uint64(slot * KEY)
    kept[base], kept[base + ONE], kept[base + TWO] = key
    kept[base + THREE] = np.uint64(features + 1) << np.uint64(8) | np.uint64(size)


@inline
def add_sum(sums: Float32s, slot: Number, features: Number, hidden: Float32s) -> None:
    """Add the sum in a slot, which so many features came to."""
    if features > 0:
        base = np.uint64(slot * len(hidden))
        for d in range(np.uint64(len(hidden))):
            hidden[d] += sums[base + d]


@inline
def sum_word(
    data: Bytes, start: int, size: int, hashed: np.uint32, weights: Weights, room: Room, base: Number
) -> Number:
    """Write the sum of a word and its character n-grams at `base`; return how many features these are."""
    for d in range(len(room.hidden)):
        room.sums[base + d] = 0
    word = find(data, start, size, hashed, weights)
    features: Number = kind_of_word(data, start, size, word, weights.settings[WORDS])
    if features == OF_LABEL:
        return OF_LABEL
    if features:
        add_row(weights.rows, word, room.sums, base)
    room.word[0], room.word[size + 1] = 0x3C, 0x3E
    for k in range(size):
        room.word[k + 1] = data[start + k]
    shortest, longest, buckets = weights.settings[SHORTEST], weights.settings[LONGEST], weights.settings[BUCKETS]
    count: Number = 0
    for i in range(size + 2):
        if room.word[i] & 0xC0 != 0x80:
            count = pick(room.word, i, size + 2, shortest, longest, buckets, weights.marks, room.picked, count)
            if count + longest > PICKED:
                add_picked(count, weights, room, base)
                features += count
                count = 0
    add_picked(count, weights, room, base)
    return features + count


@inline
def pick(
    word: Bytes,
    i: int,
    end: int,
    shortest: int,
    longest: int,
    buckets: int,
    marks: UInt64s,
    picked: Int32s,
    count: Number,
) -> Number:
    """Put the buckets of the n-grams that start at `i` with the `count` picked ones; return how many there are now."""
    inverse = 1.0 / buckets
    gram = BASIS
    j, length = i, 1
    while j < end and length <= longest:
        gram = fnv(gram, word[j])
        j += 1
        while j < end and word[j] & 0xC0 == 0x80:
            gram = fnv(gram, word[j])
            j += 1
        if length >= shortest and not (length == 1 and (i == 0 or j == end)):
            bucket = remainder(gram, buckets, inverse)
            picked[count] = bucket
            count += marked(bucket, marks)  # no branch: which n-grams are pruned cannot be guessed
        length += 1
    return count


@inline
def remainder(hashed: np.uint32, buckets: int, inverse: float) -> Number:
    """Return `hashed % buckets`: the quotient by a product is off by one at most, and a division takes longer."""
    left = np.int64(hashed) - np.int64(np.float64(hashed) * inverse) * buckets
    if left < 0:
        return left + buckets
    return left - buckets if left >= buckets else left


@inline
def add_picked(count: Number, weights: Weights, room: Room, base: Number) -> None:
    """Add the rows of the picked buckets to the sum at `base`."""
    for k in range(np.int64(count)):
        row = row_of(room.picked[k], weights.settings[WORDS], weights.marks, weights.before)
        add_row(weights.rows, row, room.sums, base)


@inline
def marked(bucket: Number, marks: UInt64s) -> Number:
    """Return 1 for a bucket that has a row, 0 for one that is pruned."""
    if len(marks) == 0:
        return 1
    return np.int64((marks[bucket >> 6] >> np.uint64(bucket & 63)) & np.uint64(1))


@inline
def row_of(bucket: Number, words: int, marks: UInt64s, before: Int32s) -> Number:
    """Return the row of a bucket that is not pruned."""
    if len(marks) == 0:
        return words + bucket
    below = marks[bucket >> 6] & ((np.uint64(1) << np.uint64(bucket & 63)) - np.uint64(1))
    return words + before[bucket >> 6] + ones(below)


@inline
def add_ngrams(hashed: np.uint32, tokens: int, weights: Weights, room: Room) -> int:
    """Add the word n-grams that end with this word; `chains` has the hash of each that began within reach."""
    reach = weights.settings[NGRAMS] - 1
    buckets = np.uint64(weights.settings[BUCKETS])
    more = np.uint64(np.int64(np.int32(hashed)))  # signed, as in the package
    features = 0
    for k in range(min(tokens, reach)):
        room.chains[k] = room.chains[k] * np.uint64(116049371) + more
        bucket = np.int64(room.chains[k] % buckets)
        if marked(bucket, weights.marks):
            row = row_of(bucket, weights.settings[WORDS], weights.marks, weights.before)
            add_row(weights.rows, row, room.hidden, 0)
            features += 1
    room.chains[tokens % reach] = more
    return features
