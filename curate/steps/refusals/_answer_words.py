"""The words of an answer as the model of moralising answers sees them: hashes, and the classes that it knows.

A word is ASCII letters, digits, and whatever is past ASCII but for general punctuation. Its ASCII letter case is lost,
"don't" is "do not" and "cannot" is "ca not", as "can't" is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curate.kernels.buffers import Bytes, Text, UInt64s, frozen
from curate.kernels.compile import inline, kernel
from curate.kernels.hashing import mix

PLAIN, PEOPLE, HARM, NEGATION, DUTY = 1, 2, 4, 8, 16
"""Classes of words; a word may be of several."""

BASIS, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""The 64-bit FNV-1a hash, http://www.isthe.com/chongo/tech/comp/fnv."""


FOLDED: Final = frozen(
    np.array([byte if byte >= 0x80 else ord(chr(byte).lower()) * chr(byte).isalnum() for byte in range(256)], np.uint8)
)
"""What a byte of a word counts as in its hash: small letters for capitals; 0 for an ASCII byte of no word."""


class WordBook(NamedTuple):
    """The classes of words: an open-addressing table of their hashes, 0 for none, and the classes of each."""

    keys: UInt64s
    classes: Bytes


@inline
def is_word(data: Bytes, i: int, end: int) -> bool:
    """Tell whether the byte at `i` belongs to a word: a letter, a digit, or past ASCII and no general punctuation."""
    byte = data[i] | 0x20
    if byte < 0x80:
        return 0x61 <= byte <= 0x7A or 0x30 <= data[i] <= 0x39
    return not (data[i] == 0xE2 and i + 1 < end and data[i + 1] == 0x80)


@inline
def _mark(data: Bytes, i: int, end: int) -> int:
    """Return the bytes of the apostrophe at `i`, 0 if there is none."""
    if data[i] == 0x27:
        return 1
    return 3 if i + 2 < end and data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0x99 else 0


@inline
def _contraction(data: Bytes, i: int, end: int) -> int:
    """Return where "n't" ends whose apostrophe is at `i`, 0 if there is none."""
    if i >= end or data[i - 1] | 0x20 != 0x6E:
        return 0
    after = i + _mark(data, i, end)
    if after == i or after >= end or data[after] | 0x20 != 0x74:
        return 0
    return 0 if after + 1 < end and is_word(data, after + 1, end) else after + 1


@inline
def hash_word(data: Bytes, start: int, end: int) -> np.uint64:
    """Hash a word without its ASCII letter case."""
    value = BASIS
    for i in range(start, end):
        byte = data[i]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        value = (value ^ np.uint64(byte)) * PRIME
    return mix(value)


@inline
def next_word(data: Bytes, begin: int, i: int, end: int, denial: np.uint64) -> tuple[np.uint64, int]:
    """Return the hash of the next word from `i` on, and where to go on; 0 if there is none. `denial` is "not"."""
    if i > begin:
        past = _contraction(data, i, end)
        if past:
            return denial, past
    while i < end and not is_word(data, i, end):
        i += 3 if data[i] >= 0x80 else 1
    start = i
    value = shorter = BASIS
    while i < end:
        byte = FOLDED[data[i]]
        if byte == 0 or (byte == 0xE2 and not is_word(data, i, end)):
            break
        shorter = value
        value = (value ^ np.uint64(byte)) * PRIME
        i += 1
    if start >= end:
        return np.uint64(0), end
    if i - start == 6 and data[start] | 0x20 == 0x63 and data[start + 2] | 0x20 == 0x6E:
        parts = data[start + 3] | 0x20 == 0x6E and data[start + 4] | 0x20 == 0x6F and data[start + 5] | 0x20 == 0x74
        if parts and data[start + 1] | 0x20 == 0x61:
            return hash_word(data, start, start + 2), start + 3
    return mix(shorter if i - start > 1 and _contraction(data, i, end) > 0 else value), i


@inline
def classes_of(book: WordBook, word: np.uint64) -> int:
    """Return the classes of a word, 0 for one of none."""
    size = len(book.keys)
    i = int(np.int64(word & np.uint64(size - 1)))
    while book.keys[i] != 0:
        if book.keys[i] == word:
            return int(np.int64(book.classes[i]))
        i = (i + 1) & (size - 1)
    return 0


@kernel
def hash_words(words: Text) -> UInt64s:
    """Return the hashes of words, as the features have them."""
    hashes = np.empty(len(words.offsets) - 1, np.uint64)
    for i in range(len(hashes)):
        hashes[i] = hash_word(words.data, words.offsets[i], words.offsets[i + 1])
    return hashes
