"""The one definition of a word, and the counting of words and characters.

A word is a longest run of letters, digits and marks (Unicode L, N, M) that begins with a letter or digit; an apostrophe
between two of its letters is inside it ("don't" is one word, "dogs' tails" two). In scripts that put no spaces between
words (`UNSPACED`) each letter or digit is a word of its own, with the marks that follow it. Hence "well-known", "3.14"
and "snake_case" are two words each, "東京へ" three, an emoji none. What is invisible (`curate.text.invisible`) changes
nothing: "light", a zero-width space and "house" are one word.

Character classes come from the `unicodedata` of the running Python (Unicode 14.0 in 3.11); a character that it does not
know belongs to no word.
"""

from __future__ import annotations

import unicodedata
from typing import Final

import numpy as np
import pyarrow.compute as pc

from curate.kernels.buffers import Bytes, Int32s, Text, frozen, strings
from curate.kernels.compile import inline, kernel
from curate.kernels.kept import code_of, kept
from curate.kernels.load_once import load_once
from curate.kernels.utf8 import CHARACTERS, POINTS, code_point
from curate.kernels.vector import WIDTH, ones, trailing, within32
from curate.text.invisible import invisible
from curate.text.normal import APOSTROPHES

OTHER, LETTER, MARK, ALONE, APOSTROPHE, UNSEEN = range(6)
"""A character's class. A letter or digit is `LETTER` in a spaced script, else `ALONE`: a word by itself. An invisible
character is `UNSEEN`."""

OUTSIDE, INSIDE, AFTER_ALONE, AFTER_APOSTROPHE = range(4)
"""Where the reader of a text is; `AFTER_APOSTROPHE`, after one that followed a letter, a word may yet go on."""

UNSPACED: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x312F),  # Han radicals, Hiragana, Katakana, Bopomofo
    (0x31A0, 0x9FFF),  # Bopomofo, Katakana, Han
    (0xA000, 0xA4CF),  # Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x16FE0, 0x18D8F),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # Kana, Nushu
    (0x20000, 0x3FFFF),  # Han
)
"""First and last code points of the scripts that put no spaces between words."""

WHOLE: Final = 8


def count_words(text: Text, index: Int32s) -> Int32s:
    """Count the words in the strings of `text` at `index`; none in an empty one.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["It's a well-known fact.", "東京へ 2024", "สวัสดี", ""]))
    >>> count_words(texts, np.arange(4, dtype=np.int32)).tolist()
    [5, 4, 4, 0]
    """
    return measure(text, index)[0]


def measure(text: Text, index: Int32s) -> tuple[Int32s, Int32s]:
    """Count words and characters in one pass: what `count_words` and `count_characters` answer."""
    return _measure(text.data, text.offsets, frozen(index), classes())


def count_characters(text: Text, index: Int32s) -> Int32s:
    """Count the characters (Unicode code points) in the strings of `text` at `index`.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> count_characters(view(pa.array(["año", "", "東京"])), np.arange(3, dtype=np.int32)).tolist()
    [3, 0, 2]
    """
    return pc.utf8_length(strings(*text)).to_numpy()[index]


@inline
def read(state: int, letter: int) -> tuple[int, bool]:
    """Read a character of class `letter`: the state after it, and whether a word begins with it."""
    if letter == LETTER:
        return INSIDE, state in (OUTSIDE, AFTER_ALONE)
    if letter == ALONE:
        return AFTER_ALONE, True
    if letter == OTHER:
        return OUTSIDE, False
    if letter == MARK:
        return (OUTSIDE if state == AFTER_APOSTROPHE else state), False
    if letter == APOSTROPHE and state == INSIDE:
        return AFTER_APOSTROPHE, False
    return (state if letter == UNSEEN else OUTSIDE), False


@kernel
def _measure(data: Bytes, offsets: Int32s, index: Int32s, table: Bytes) -> tuple[Int32s, Int32s]:
    counts = np.zeros(len(index), np.int32)
    characters = np.zeros(len(index), np.int32)
    for i in range(len(index)):
        at, end = offsets[index[i]], offsets[index[i] + 1]
        state, words, length = OUTSIDE, 0, end - at
        while at < end:
            count = 0  # of ASCII characters; the last 31 bytes of the data are read one by one
            if at + WIDTH <= len(data):
                count = min(WIDTH, end - at, trailing(within32(data, at, 0x80, 0xFF)))
            if count == 0:
                at, state, begun, further = _read_run(data, at, end, table, state)
                words += begun
                length -= further
                continue
            valid = (1 << count) - 1
            letters = within32(data, at, 0x61, 0x7A) | within32(data, at, 0x41, 0x5A) | within32(data, at, 0x30, 0x39)
            letters &= valid
            after = letters << 1 | (state == INSIDE)
            quotes = within32(data, at, 0x27, 0x27) & after & valid
            joined = quotes << 1 | (state == AFTER_APOSTROPHE)
            words += ones(letters & ~after & ~joined)
            at += count
            state = INSIDE if letters >> (count - 1) else AFTER_APOSTROPHE if quotes >> (count - 1) else OUTSIDE
        counts[i], characters[i] = words, length
    return counts, characters


@inline
def _read_run(data: Bytes, at: int, end: int, table: Bytes, state: int) -> tuple[int, int, int, int]:
    """Read on to the first character that follows eight bytes or more and a character past ASCII.

    Returns place and state after it, the words begun, and the bytes that are not the first of their character.
    """
    words = further = 0
    last = min(end, at + WHOLE)
    while at < last or (at < end and data[at] >= 0x80):
        point, width = code_point(data, at, end)
        state, begins = read(state, table[point])
        words += begins
        further += width - 1
        at += width
    return at, state, words, further


CODE: Final = ("text/words.py", "text/normal.py", "text/invisible.py", "kernels/utf8.py")
"""The modules that decide the class of a code point."""


@load_once(1)
def classes() -> Bytes:
    """Return the class of every code point, found (0.2 s) once on a machine."""
    made = kept("classes", unicodedata.unidata_version.encode(), code_of(*CODE), lambda: {"classes": _classes()})
    return frozen(made["classes"])


def _classes() -> Bytes:
    table = np.zeros(POINTS, np.uint8)
    kinds = {"L": LETTER, "N": LETTER, "M": MARK}
    for stretch in CHARACTERS:
        points = range(stretch.start, stretch.stop)
        known = bytes(kinds.get(unicodedata.category(chr(point))[0], OTHER) for point in points)
        table[points.start : points.stop] = np.frombuffer(known, np.uint8)
    for first, last in UNSPACED:
        block = table[first : last + 1]
        block[block == LETTER] = ALONE
    table[[ord(letter) for letter in "'" + APOSTROPHES]] = APOSTROPHE
    table[invisible()] = UNSEEN
    return table
