"""What a text adds up to in a fastText model: the rows of its words, of their character n-grams, of word n-grams.

Helpers of `predict_kernel`. Chat repeats its words, so the sum of a word is kept for the rest of a call; one that is
kept is the one that would be computed, so neither batches nor threads change an answer.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np

from curate.kernels.buffers import Bytes, Float32s, Int32s, UInt64s, frozen
from curate.kernels.compile import inline
from curate.kernels.utf8 import is_blank
from curate.kernels.vector import ones
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

END: Final = frozen(np.frombuffer(b"</s>", np.uint8))
HASHED_END: Final = np.uint32(3617362777)
"""What `fnv` makes of `END`."""
PREFIX: Final = frozen(np.frombuffer(LABEL.encode(), np.uint8))
KEPT_WORD: Final = 32
"""Bytes of the longest word whose sum is kept; longer ones hardly occur again."""
PICKED: Final = 1024
"""N-grams of a word that are looked for before their rows are added."""
OF_LABEL: Final = -1
"""In place of the number of features of a word: it spells a label, and counts for nothing."""


class Room(NamedTuple):
    """Where a call works: `sums` has the sum of each kept word, and in its last row that of one which is not kept.

    The word in slot `i` is `size[i]` bytes of the text from `at[i]`; its sum is of `features[i]` rows. `word` holds a
    word between its marks, `picked` the buckets of its n-grams, `chains` the hash of each word n-gram not yet whole.
    """

    at: Int32s
    size: Int32s
    features: Int32s
    sums: Float32s
    word: Bytes
    picked: Int32s
    chains: UInt64s
    hidden: Float32s


@inline
def add_text(data: Bytes, at: int, end: int, weights: Weights, room: Room) -> int:
    """Sum up `data[at:end]` in `room.hidden`; return how many features it has."""
    for d in range(len(room.hidden)):
        room.hidden[d] = 0
    features = tokens = 0
    ended = False
    while not ended:
        start, at, hashed = next_word(data, at, end)
        size = at - start
        ended = size == 0 or (size == len(END) and starts_with(data, start, size, END))
        if ended:
            hashed = HASHED_END
            found = add_known(END, 0, len(END), hashed, weights, room)
        elif weights.settings[LONGEST] <= 0:
            found = add_known(data, start, size, hashed, weights, room)
        else:
            # Only a word that is new goes with all arrays: a call with them for every word took a third longer.
            slot = slot_of(size, hashed, len(room.size) - 1)
            if not is_kept(data, start, size, slot, room.at, room.size):
                room.at[slot], room.size[slot] = start, size
                room.features[slot] = sum_word(data, start, size, hashed, weights, room, slot * len(room.hidden))
            found = room.features[slot]
            add_sum(room.sums, slot, found, room.hidden)
        if found == OF_LABEL:
            continue
        features += found
        if weights.settings[NGRAMS] > 1:
            features += add_ngrams(hashed, tokens, weights, room)
            tokens += 1
    return features


@inline
def next_word(data: Bytes, at: int, end: int) -> tuple[int, int, np.uint32]:
    """Return where the next word starts and ends, and its hash; at the end of the text it has no bytes."""
    while at < end and is_space(data[at]):
        at += 1
    start = at
    hashed = BASIS
    while at < end and not is_space(data[at]):
        hashed = fnv(hashed, data[at])
        at += 1
    return start, at, hashed


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
    for d in range(rows.shape[1]):
        into[base + d] += rows[row, d]


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
def is_kept(data: Bytes, start: int, size: int, slot: Number, at: Int32s, sizes: Int32s) -> bool | np.bool:
    """Tell whether the sum in a slot is that of the word at `start`."""
    return sizes[slot] == size and same(data, start, data, at[slot], size)


@inline
def slot_of(size: int, hashed: np.uint32, last: int) -> Number:
    """Return where the sum of a word is kept; the last slot is for those that are not."""
    return last if size > KEPT_WORD else np.int64(hashed ^ (hashed >> np.uint32(15))) & (last - 1)


@inline
def add_sum(sums: Float32s, slot: Number, features: int, hidden: Float32s) -> None:
    """Add the sum in a slot, which so many features came to."""
    if features > 0:
        base = slot * len(hidden)
        for d in range(len(hidden)):
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
