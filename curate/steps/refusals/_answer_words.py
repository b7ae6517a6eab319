"""The words of an answer as the model of moralising answers sees them: hashes, and the classes that it knows.

A word is ASCII letters, digits, and whatever is past ASCII but for general punctuation. Its ASCII letter case is lost,
"don't" is "do not" and "cannot" is "ca not", as "can't" is. Words are found in masks of 64 bytes at a time, and hashed
eight bytes at a time: byte by byte it took twice as long.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Bytes, Text, UInt64s, frozen, view
from curate.kernels.compile import inline, kernel
from curate.kernels.vector import trailing
from curate.text.words_kernel import ALL_BITS, LINE_FEED, MARGIN, chunk, hash_word, within64

PLAIN, PEOPLE, HARM, NEGATION, DUTY = 1, 2, 4, 8, 16
"""Classes of words; a word may be of several."""

BLOCK: Final = 64
"""Bytes whose marks make one mask."""

PROBES: Final = 4
"""Places of a `WordBook` in which a word may be; all are looked at, as which of them has it cannot be guessed."""

FEWEST: Final = 2048
"""Places of a `WordBook`, if every word finds one; a quarter of them are taken."""

CANNOT: Final = np.uint64(int.from_bytes(b"cannot", "little"))
QUOTE, CURLY, GENERAL, STOP, ASKS, SHOUTS = 0x27, 0x99, 0x80, 0x2E, 0x3F, 0x21
"""An ASCII apostrophe, the last and the second byte of a curly one, and the signs that end sentences."""

LEAD: Final = 0xE2
"""The first byte of general punctuation, if `GENERAL` follows."""


class WordBook(NamedTuple):
    """The classes of words: a table of their hashes, 0 for none, and the classes of each; the hashes of three words.

    A word is in one of the `PROBES` places from the one that its hash names on.
    """

    keys: UInt64s
    classes: Bytes
    denial: np.uint64
    should: np.uint64
    why: np.uint64


class MarkedText(NamedTuple):
    """A text, and a bit for each of its bytes: whether it is of a word, of none, and the last of a sentence.

    Past the text are bytes of zero, and bits that end each search.
    """

    text: Bytes
    words: UInt64s
    gaps: UInt64s
    ends: UInt64s


def book_of(classes: dict[str, int]) -> WordBook:
    """Return the book of words, in small letters, with their classes."""
    hashes = _hashes(list(classes))
    found, size, places = np.array(list(classes.values()), np.uint8), FEWEST, False
    while not places:
        keys, known = np.zeros(size + PROBES, np.uint64), np.zeros(size + PROBES, np.uint8)
        places, size = _enter(hashes, found, keys, known), 2 * size
    return WordBook(frozen(keys), frozen(known), *_hashes(["not", "should", "why"]))


def _hashes(words: list[str]) -> UInt64s:
    texts = view(pa.array(words, pa.string()))
    return _hash_words(Text(np.append(texts.data, np.zeros(MARGIN, np.uint8)), texts.offsets))


@kernel
def _hash_words(words: Text) -> UInt64s:
    hashes = np.empty(len(words.offsets) - 1, np.uint64)
    for i in range(len(hashes)):
        hashes[i] = hash_word(words.data, words.offsets[i], words.offsets[i + 1])
    return hashes


@kernel
def _enter(hashes: UInt64s, classes: NDArray[np.uint8], keys: UInt64s, known: NDArray[np.uint8]) -> bool:
    """Enter words into the empty tables of a `WordBook`; tell whether each finds a place."""
    for k in range(len(hashes)):
        first = np.int64(hashes[k] & np.uint64(len(keys) - PROBES - 1))
        i = first
        while keys[i] != 0:
            i += 1
        if i >= first + PROBES:
            return False
        keys[i], known[i] = hashes[k], classes[k]
    return True


@inline
def classes_of(book: WordBook, word: np.uint64) -> int:
    """Return the classes of a word, 0 for one of none."""
    first = int(np.int64(word & np.uint64(len(book.keys) - PROBES - 1)))
    found = 0
    for i in range(PROBES):
        found |= -int(book.keys[first + i] == word) & int(book.classes[first + i])
    return found


@inline
def mark_text(data: Bytes, start: int, end: int, seen: MarkedText) -> None:
    """Copy `data[start:end]`, and mark its words and the ends of its sentences.

    A sentence ends with a line, or with a full stop, an exclamation or a question mark that no word follows at once.
    """
    text, words, gaps, ends = seen.text, seen.words, seen.gaps, seen.ends
    size = end - start
    for k in range(size):
        text[k] = data[start + k]
    for k in range(size, size + 2 * BLOCK):
        text[k] = 0
    blocks, carried = size // BLOCK + 1, np.uint64(0)
    for block in range(blocks):
        at = block * BLOCK
        letters = within64(text, at, 0x61, 0x7A) | within64(text, at, 0x41, 0x5A) | within64(text, at, 0x30, 0x39)
        marks, high = np.uint64(0), within64(text, at, 0x80, 0xFF)
        if high:
            second = np.uint64(within64(text, at, GENERAL, GENERAL)) >> np.uint64(1)
            second |= np.uint64(text[at + BLOCK] == GENERAL) << np.uint64(BLOCK - 1)
            marks = np.uint64(within64(text, at, LEAD, LEAD)) & second
        signs = marks | marks << np.uint64(1) | marks << np.uint64(2) | carried
        carried = marks >> np.uint64(BLOCK - 1) | marks >> np.uint64(BLOCK - 2)
        words[block] = np.uint64(letters) | (np.uint64(high) & ~signs)
        gaps[block] = ~words[block]
    words[blocks] = gaps[blocks] = ends[blocks] = ALL_BITS
    for block in range(blocks):
        at = block * BLOCK
        points = within64(text, at, STOP, STOP) | within64(text, at, ASKS, ASKS) | within64(text, at, SHOUTS, SHOUTS)
        follows = words[block] >> np.uint64(1)
        if block + 1 < blocks:
            follows |= words[block + 1] << np.uint64(BLOCK - 1)
        ends[block] = np.uint64(within64(text, at, LINE_FEED, LINE_FEED)) | (np.uint64(points) & ~follows)


@inline
def next_mark(marks: UInt64s, i: int) -> int:
    """Return where the first mark from `i` on is; there is one."""
    block = i >> 6
    found = marks[block] >> np.uint64(i & (BLOCK - 1))
    if found:
        return i + trailing(int(np.int64(found)))
    block += 1
    while marks[block] == 0:
        block += 1
    return block * BLOCK + trailing(int(np.int64(marks[block])))


@inline
def _contraction(seen: MarkedText, i: int, end: int) -> int:
    """Return where "n't" ends whose apostrophe is at `i`, 0 if there is none."""
    text = seen.text
    if text[i] not in (QUOTE, LEAD) or i == 0 or text[i - 1] | 0x20 != 0x6E:
        return 0
    if text[i] == LEAD and (text[i + 1] != GENERAL or text[i + 2] != CURLY):
        return 0
    after = i + (1 if text[i] == QUOTE else 3)
    if after >= end or text[after] | 0x20 != 0x74:
        return 0
    return 0 if after + 1 < end and next_mark(seen.words, after + 1) == after + 1 else after + 1


@inline
def next_word(seen: MarkedText, i: int, end: int, denial: np.uint64) -> tuple[np.uint64, int]:
    """Return the hash of the next word from `i` on, and where to go on; 0 if there is none. `denial` is "not"."""
    past = _contraction(seen, i, end)
    if past:
        return denial, past
    start = next_mark(seen.words, i)
    if start >= end:
        return np.uint64(0), end
    stop = min(next_mark(seen.gaps, start), end)
    if stop - start == 6 and chunk(seen.text, start, stop) == CANNOT:
        return hash_word(seen.text, start, start + 2), start + 3
    last = stop - 1 if stop - start > 1 and _contraction(seen, stop, end) > 0 else stop
    return hash_word(seen.text, start, last), stop
