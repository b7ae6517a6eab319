"""The kernels of `lint_pairs`: how far two answers begin alike, and whether one text contains another."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel, load64
from curate.kernels.utf8 import code_point
from curate.rows.sides import SideTurns
from curate.text.words import (
    AFTER_ALONE,
    AFTER_APOSTROPHE,
    APOSTROPHE,
    INSIDE,
    LETTER,
    MARK,
    OUTSIDE,
    read,
)

HEAD: Final = 8
"""The fewest bytes of a text to look for: its first and last eight are compared before all."""

TRIES: Final = 16
"""Places that begin and end like the text looked for; after that many, a text made to be slow is given up on."""


@inline
def goes_on(data: NDArray[np.uint8], at: int, end: int, state: int, table: NDArray[np.uint8]) -> bool:
    """Tell whether the word read up to `at` goes on there."""
    if at >= end:
        return False
    point, width = code_point(data, at, end)
    letter = table[point]
    if letter == LETTER:
        return state in (INSIDE, AFTER_APOSTROPHE)
    if letter == MARK:
        return state in (INSIDE, AFTER_ALONE)
    if letter != APOSTROPHE or state != INSIDE or at + width >= end:
        return False
    return table[code_point(data, at + width, end)[0]] == LETTER


@inline
def shared_turn(
    one: NDArray[np.uint8],
    start: int,
    end: int,
    other: NDArray[np.uint8],
    begin: int,
    stop: int,
    table: NDArray[np.uint8],
) -> tuple[int, int, bool]:
    """Return the characters and whole words that two turns begin with, and whether they are the same."""
    at, characters, words, state = 0, 0, 0, OUTSIDE
    size = min(end - start, stop - begin)
    while at < size:
        point, width = code_point(one, start + at, end)
        if code_point(other, begin + at, stop)[0] != point:
            break
        state, begun = read(state, table[point])
        words += begun
        characters += 1
        at += width
    if start + at == end and begin + at == stop:
        return characters, words, True
    if goes_on(one, start + at, end, state, table) or goes_on(other, begin + at, stop, state, table):
        words -= 1
    return characters, words, False


@kernel
def shared_start(
    one: SideTurns, other: SideTurns, table: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Return for each row the characters and whole words that two sides begin with, and whether they are the same."""
    rows = len(one.begins) - 1
    characters, words = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
    same = np.zeros(rows, np.bool_)
    for row in range(rows):
        first, second = one.begins[row], other.begins[row]
        count, others = one.begins[row + 1] - first, other.begins[row + 1] - second
        same[row] = count == others
        for turn in range(min(count, others)):
            if one.role[first + turn] != other.role[second + turn]:
                same[row] = False
                break
            i, j = one.index[first + turn], other.index[second + turn]
            more, further, alike = shared_turn(
                one.data, one.offsets[i], one.offsets[i + 1], other.data, other.offsets[j], other.offsets[j + 1], table
            )
            characters[row] += more
            words[row] += further
            if not alike:
                same[row] = False
                break
    return characters, words, same


@inline
def contains_at(data: NDArray[np.uint8], start: int, end: int, known: NDArray[np.uint8], begin: int, stop: int) -> bool:
    """Tell whether `known[begin:stop]` is within `data[start:end]`; it has `HEAD` bytes or more."""
    size = stop - begin
    first, last = load64(known, begin), load64(known, stop - HEAD)
    tries = 0
    for i in range(start, end - size + 1):
        if load64(data, i) != first or load64(data, i + size - HEAD) != last:
            continue
        same = True
        for k in range(size):
            if data[i + k] != known[begin + k]:
                same = False
                break
        tries += 1
        if same or tries == TRIES:
            return same
    return False


@kernel
def within(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    known: NDArray[np.uint8],
    known_offsets: NDArray[np.int32],
    which: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Tell for each text whether the known text number `which` (-1: none) is within it."""
    found = np.zeros(len(which), np.bool_)
    for i in range(len(which)):
        if which[i] >= 0:
            begin, stop = known_offsets[which[i]], known_offsets[which[i] + 1]
            if stop - begin >= HEAD:
                found[i] = contains_at(data, offsets[i], offsets[i + 1], known, begin, stop)
    return found
