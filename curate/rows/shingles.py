"""A row as the set of its shingles: the n-grams of its segments, each with the side that it is on."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import frozen, view
from curate.kernels.compile import inline, kernel
from curate.kernels.hash_table import key_slot, slots_of
from curate.kernels.hashing import GOLDEN, mix
from curate.rows.left_out import leave_out
from curate.rows.segments import SIDE_CODE, Segments, TextPart
from curate.text.ngrams import hash_words, ngrams

COMPARED: Final[frozenset[TextPart]] = frozenset({"content", "reasoning", "call"})
"""The parts of rows that are near duplicates of each other: all but tools, which many different rows share."""

SLICE: Final = 1 << 20
"""Bytes of text taken at once: the n-grams and sets of a slice stay in the processor's cache."""


SMALL: Final = 4096
"""Shingles that a row may have, repetitions counted, to be sorted as they come."""

NONE, ONE = np.uint64(0), np.uint64(1)


class Sets(NamedTuple):
    """Ascending distinct shingles: those of row `i` are `values[offsets[i]:offsets[i + 1]]`.

    `values` begins with the shingles of all slices before this one.
    """

    values: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def row_sets(segments: Segments, n: int, ignore: tuple[str, ...] = ()) -> Iterator[Sets]:
    """Give the sets of all rows, slice by slice; one slice where there is no row.

    A shingle is the hash of an n-gram within one segment (`curate.text.ngrams`); on the sides of answers it is mixed
    with the side, and 0 becomes 1. A segment of fewer than `n` words gives one shingle, one without words none. The
    texts `ignore` are left out before (`curate.rows.left_out`), and their shingles after, unless the row has no others.

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import SIDE_CODE, segments
    >>> turns = [{"role": "user", "content": "One two three four."}, {"role": "assistant", "content": "five"}]
    >>> batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
    >>> [sets.offsets.tolist() for sets in row_sets(segments(batch), 3)]
    [[0, 3]]
    """
    segments = leave_out(segments, ignore)
    ignored, every, at = _ignored(ignore, n), np.empty(_guess(segments), np.uint64), 0
    for first, last in row_slices(segments):
        found = []
        size = np.zeros(last - first + 1, np.int64)
        for part in segments.parts:
            low, high = np.searchsorted(part.row, (first, last))
            row = frozen(part.row[low:high] - np.int32(first))
            grams, ends = ngrams(hash_words(part.text, part.index[low:high]), n)
            size[1:] += np.bincount(row, np.diff(ends), last - first).astype(np.int64)
            found.append((frozen(grams), frozen(ends), row, np.uint64(SIDE_CODE[part.side])))
        offsets = frozen(np.cumsum(size))
        if at + int(offsets[-1]) > len(every):
            every = np.concatenate([every[:at], np.empty(2 * len(every) + int(offsets[-1]), np.uint64)])
        ends = _distinct(_by_row(found, offsets), offsets, ignored, every, at)
        yield Sets(frozen(every), frozen(ends))
        at = int(ends[-1])


def joined(slices: list[Sets]) -> tuple[NDArray[np.int32], pa.ListArray]:
    """Return the sets of all slices as one list array, and its offsets."""
    offsets = np.concatenate([slices[0].offsets, *(sets.offsets[1:] for sets in slices[1:])]).astype(np.int32)
    values = slices[-1].values[: offsets[-1]]
    return offsets, pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def set_hashes(sets: Sets) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return 128 bits for each set, both halves 0 for an empty one.

    Two sums, in which the order of the shingles plays no part: of the shingles, which are hashes, and of their mixes.
    """
    return _set_hashes(*sets)


def _guess(segments: Segments) -> int:
    """Return how many shingles there are at most, but for a text of such characters as NFKC makes many words of.

    A word is a byte and what ends it. Memory that nothing is written to costs nothing, and shingles are written once,
    not to a slice and again to an array of all slices.
    """
    return (
        sum(
            int(np.sum(part.text.offsets[part.index + 1] - part.text.offsets[part.index])) // 2 + len(part.row)
            for part in segments.parts
        )
        + 1
    )


def row_slices(segments: Segments, per_row: int = 0) -> Iterator[tuple[int, int]]:
    """Cut the rows where each next `SLICE` bytes of text begins, a row being `per_row` bytes more than its text."""
    size = np.full(segments.rows, float(per_row))
    for part in segments.parts:
        size += np.bincount(part.row, part.text.offsets[part.index + 1] - part.text.offsets[part.index], segments.rows)
    cuts = np.flatnonzero(np.diff(np.cumsum(size) // SLICE, prepend=0))
    edges = [0, *cuts[cuts > 0].tolist(), segments.rows]
    return itertools.pairwise(edges)


SideGrams: TypeAlias = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32], np.uint64]
"""The n-grams of the segments of one side, their offsets, the rows of the segments, the code of the side."""


def _by_row(found: list[SideGrams], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the n-grams of all sides, with the side in each, row by row."""
    if len(found) == 1 and not found[0][3]:
        return found[0][0]
    place, every = offsets[:-1].copy(), np.empty(offsets[-1], np.uint64)
    for one in found:
        _gather(*one, place, every)
    return frozen(every)


@functools.lru_cache(maxsize=8)
def _ignored(texts: tuple[str, ...], n: int) -> NDArray[np.uint64]:
    """Return a table of the shingles of these texts on every side."""
    grams, ends = ngrams(hash_words(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32)), n)
    row, sides = frozen(np.zeros(len(texts), np.int32)), sorted(set(SIDE_CODE.values()))
    every, place = np.empty(len(grams) * len(sides), np.uint64), np.zeros(1, np.int64)
    for side in sides:
        _gather(frozen(grams), frozen(ends), row, np.uint64(side), place, every)
    table = np.zeros(_slots(len(every)), np.uint64)
    slots_of(table, frozen(every))
    return frozen(table)


@kernel
def _gather(
    grams: NDArray[np.uint64],
    ends: NDArray[np.int64],
    row: NDArray[np.int32],
    side: np.uint64,
    place: NDArray[np.int64],
    into: NDArray[np.uint64],
) -> None:
    """Write the n-grams of segments to their rows, with the side in each."""
    for i in range(len(row)):
        at = place[row[i]]
        for k in range(ends[i], ends[i + 1]):
            into[at] = mix(grams[k] ^ side) if side else grams[k]
            at += 1
        place[row[i]] = at


@kernel
def _slots(count: int) -> int:
    """Return the slots of a table for `count` words: two to four for each."""
    slots = 16
    while slots < 2 * count:
        slots *= 2
    return slots


@inline
def _sort(
    words: NDArray[np.uint64], first: np.uint64, count: np.uint64, places: NDArray[np.uint32], out: NDArray[np.uint64]
) -> None:
    """Sort `count` hashes from `first` on to `out`, 0 as 1: dealt out by their top bits to a place each, then in order.

    One exchange of each with its neighbour, which takes no branch, leaves little to insertion. Places are unsigned: a
    signed one may count from the end, and looking whether it does took half of the time.
    """
    bits = ONE
    while ONE << bits < count:
        bits += ONE
    away = np.uint64(64) - bits
    for k in range(ONE << bits):
        places[np.uint64(k)] = np.uint32(0)
    for k in range(count):
        places[words[first + np.uint64(k)] >> away] += np.uint32(1)
    before = np.uint32(0)
    for k in range(ONE << bits):
        size = places[np.uint64(k)]
        places[np.uint64(k)] = before
        before += size
    for k in range(count):
        word = words[first + np.uint64(k)]
        place = places[word >> away]
        places[word >> away] = place + np.uint32(1)
        out[np.uint64(place)] = max(word, ONE)
    greater = out[NONE]
    for k in range(1, count):
        word = out[np.uint64(k)]
        out[np.uint64(k) - ONE], greater = min(word, greater), max(word, greater)
    out[count - ONE] = greater
    for k in range(1, count):
        word, at = out[np.uint64(k)], np.uint64(k)
        while at > NONE and out[at - ONE] > word:
            out[at] = out[at - ONE]
            at -= ONE
        out[at] = word


@inline
def _once(words: NDArray[np.uint64], size: int, table: NDArray[np.uint64]) -> int:
    """Leave each of the first `size` words once, in order; return how many there are. `table` is cleared first."""
    for k in range(len(table)):
        table[k] = np.uint64(0)
    count = 0
    for k in range(size):
        word = words[k]
        slot = key_slot(table, word)
        if table[slot] == np.uint64(0):
            table[slot] = word
            words[count] = word
            count += 1
    return count


@kernel
def _distinct(
    words: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    ignored: NDArray[np.uint64],
    out: NDArray[np.uint64],
    at: int,
) -> NDArray[np.int64]:
    """Write to `out[at:]` the ascending distinct words of each row, and return the offsets of the rows in it.

    Ignored words are left out, unless a row has no others; 0 is 1. There is room for as many words as there are.

    In rows of more than `SMALL` words, repetitions go first: where a few words are repeated a million times, dealing
    out by top bits may put two of them in one place, and insertion would take a million times a million steps.
    """
    rows = len(offsets) - 1
    ends = np.empty(rows + 1, np.int64)
    most = 0
    for i in range(rows):
        most = max(most, offsets[i + 1] - offsets[i])
    left, places = np.empty(most, np.uint64), np.empty(2 * most + 2, np.uint32)
    table = np.empty(_slots(most) if most > SMALL else 0, np.uint64)
    ordered, end = np.empty(most, np.uint64), np.uint64(at)
    picky = False
    for slot in ignored:
        picky |= slot != np.uint64(0)
    for i in range(rows):
        ends[i] = np.int64(end)
        count = offsets[i + 1] - offsets[i]
        if count == 0:
            continue
        if picky or count > SMALL:
            count = _left(words, offsets[i], offsets[i + 1], ignored, left)
            count = _once(left, count, table[: _slots(count)]) if count > SMALL else count
            _sort(left, NONE, np.uint64(count), places, ordered)
        else:
            _sort(words, np.uint64(offsets[i]), np.uint64(count), places, ordered)
        for k in range(1, count):
            word = ordered[np.uint64(k) - ONE]
            out[end] = word
            end += np.uint64(word != ordered[np.uint64(k)])
        out[end] = ordered[np.uint64(count) - ONE]
        end += ONE
    ends[rows] = np.int64(end)
    return ends


@inline
def _left(
    words: NDArray[np.uint64], start: int, end: int, ignored: NDArray[np.uint64], left: NDArray[np.uint64]
) -> int:
    """Write to `left` those of `words[start:end]` that are not ignored, all if none is left; return how many."""
    count = 0
    for k in range(start, end):
        left[count] = max(words[k], np.uint64(1))
        count += ignored[key_slot(ignored, left[count])] == np.uint64(0)
    if count == 0:
        for k in range(start, end):
            left[count] = max(words[k], np.uint64(1))
            count += 1
    return count


@kernel
def _set_hashes(
    values: NDArray[np.uint64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    high, low = np.zeros(len(offsets) - 1, np.uint64), np.zeros(len(offsets) - 1, np.uint64)
    for i in range(len(high)):
        one = two = np.uint64(0)
        for k in range(offsets[i], offsets[i + 1]):
            one += values[k]
            two += mix(values[k] ^ GOLDEN)
        high[i], low[i] = one, two
    return high, low
