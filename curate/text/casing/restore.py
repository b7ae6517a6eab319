"""Letter case for texts that have none: all in small letters, or ALL IN CAPITALS.

A text has no case if its letters outside protected spans (see `protected_kernel`) are all small or all capitals. It is
restored if it has `WORDS` words or more, so "OK" and "NASA" stay, and most of them are English (`KNOWN`, `ENGLISH`), as
the table is. Words and signs are scored, sentence by sentence, as `truecase` scores them, and only letters
change. A sentence opens where `protected.mark` says so, and on lines that do not go on with the one before.

A word that is not in the table is made small. That is right more often than the package's own "title" (tokens of LIMA:
96.2 % against 94.2 %, of Alpaca 96.7 % against 95.4 %; of FLAN, which has many names, 92.7 % against 93.5 %). In a text
in capitals, a word that cannot be spoken ("HTML") and one with digits ("GPT4") stays.

A character changes only to one of as many bytes that is equal under case folding, and whose other case it is in turn.
A word with another capital (İ, ẞ, Σ, whose small letter depends on its place) stays as it is.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Flags, Int32s, Text, frozen, strings, view
from curate.text.casing.lexicon import OPENS, PLANE, PROTECTED, UPPER, tables
from curate.text.casing.model import load
from curate.text.casing.restore_kernel import CAPITALS, SMALL, CaseTokens, cases, lowered, mark_texts, scan, write
from curate.text.casing.scoring_kernel import choose, recognise

BLOCK: Final = 1 << 18
"""Bytes of text that are worked on at a time: what is noted of them takes 20 times as much."""

SIGMA: Final = 0x3A3


def restore(text: Text, index: Int32s, user: Flags) -> tuple[Int32s, pa.StringArray]:
    """Return which of the texts at `index` are restored, as places in it, and their new text.

    `user` tells of each whether it is a user's turn (`protected.mark` asks). Nulls, empty texts, those with any case of
    their own and scripts without case stay. A restored text stays as it is when it is restored again. Raises what
    `casing.load` raises, where any text may have no case.

    >>> texts = view(pa.array(["HELLO. MY NAME IS JOHN SMITH.", "It has case.", "i saw him in new york last july"]))
    >>> place, new = restore(texts, np.arange(3, dtype=np.int32), np.zeros(3, np.bool_))
    >>> place.tolist(), new.to_pylist()
    ([0, 2], ['Hello. My name is John Smith.', 'I saw him in New York last July'])
    """
    index = frozen(np.ascontiguousarray(index))
    found = cases(text.data, text.offsets, index)
    done = []
    for case in (SMALL, CAPITALS):
        blocks = _blocks(text, index, np.flatnonzero(found == case).astype(np.int32))
        done += [_restore(text, index, user, places, case) for places in blocks]
    places = np.concatenate([place for place, _ in done] or [np.zeros(0, np.int32)])
    order = np.argsort(places)
    return places[order], pa.concat_arrays([pa.array([], pa.string()), *(new for _, new in done)]).take(pa.array(order))


def _blocks(text: Text, index: Int32s, places: Int32s) -> list[Int32s]:
    """Part `places` into blocks of texts with about `BLOCK` bytes, one at least."""
    sizes = text.offsets[index[places] + 1] - text.offsets[index[places]]
    block = np.cumsum(sizes, dtype=np.int64) // BLOCK
    cuts = np.flatnonzero(np.diff(block, prepend=-1))
    return [frozen(places[low:high]) for low, high in pairwise([*cuts.tolist(), len(places)])]


def _restore(text: Text, index: Int32s, user: Flags, places: Int32s, case: int) -> tuple[Int32s, pa.StringArray]:
    """Restore one block; what a second run would change again stays as it is."""
    changed, new = _attempt(text, frozen(index[places]), frozen(user[places]), case)
    again = view(new)
    found = cases(again.data, again.offsets, frozen(np.arange(len(changed), dtype=np.int32)))
    resolved = np.ones(len(changed), np.bool_)
    for other in (SMALL, CAPITALS):
        left = np.flatnonzero(found == other).astype(np.int32)
        restless, _ = _attempt(again, frozen(left), frozen(user[places[changed[left]]]), other)
        resolved[left[restless]] = False
    return places[changed[resolved]], new.filter(pa.array(resolved))


def _attempt(text: Text, index: Int32s, user: Flags, case: int) -> tuple[Int32s, pa.StringArray]:
    """Return which of the texts at `index` scoring changes, and their new text."""
    table, known = load(), tables()
    sizes = text.offsets[index + 1] - text.offsets[index]
    ends = frozen(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    marks = mark_texts(text.data, text.offsets, index, user, ends, known)
    if case == CAPITALS:
        # Sentence starts are detected in small letters: in capitals, every short word could be an abbreviation.
        small = frozen(lowered(text.data, text.offsets, index, ends, smalls()))
        everything = frozen(np.arange(len(index), dtype=np.int32))
        openings = mark_texts(small, ends, everything, user, ends, known) & OPENS
        marks = np.where(marks & PROTECTED, np.uint8(PROTECTED), openings)
    marks = frozen(marks)
    starts, stops, sentences = np.empty((3, int(ends[-1]) + len(index) + 1), np.int32)
    tokens = CaseTokens(starts, stops, sentences, np.zeros(len(index) + 1, np.int32))
    count, used = scan(text.data, text.offsets, index, marks, ends, known, table, tokens, case), tokens.ends
    tokens = CaseTokens(*map(frozen, (starts[: used[-1]], stops[: used[-1]], sentences[:count], used)))
    words, chosen = recognise(text.data, tokens.starts, tokens.stops, table)
    choose(tokens.sentences, words, chosen, table, table.opened)
    data, differs = write(text, index, marks, ends, known, table, tokens, frozen(words), frozen(chosen), smalls(), case)
    changed = np.flatnonzero(differs).astype(np.int32)
    return changed, strings(data, ends).take(pa.array(changed))


@functools.cache
def smalls() -> NDArray[np.uint16]:
    """Return the small letter of each capital of the first plane, 0 where there is none to put in its place."""
    small = np.zeros(PLANE, np.uint16)
    for point in np.flatnonzero(tables().kinds == UPPER).tolist():
        letter = chr(point)
        other = letter.lower()
        pair = len(other) == 1 and other.upper() == letter and other.casefold() == letter.casefold()
        if pair and len(other.encode()) == len(letter.encode()) and point != SIGMA:
            small[point] = ord(other)
    return frozen(small)
