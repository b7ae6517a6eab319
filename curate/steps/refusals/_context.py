"""The context of a hit: an exception around it, a phrase in its turn that rules it out, or quotation marks."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen
from curate.kernels.compile import inline, kernel
from curate.kernels.utf8 import code_point
from curate.steps.refusals.phrase_files import PhraseKind, PhraseSearch
from curate.text.phrases.automaton import SPACE, WORD, kinds
from curate.text.phrases.matching import Hits

ROOM: Final = 1 << 14
"""Quotations that one call of the kernel has room for."""

STRAIGHT, OPEN, CLOSE, LINE = 1, 2, 3, 4
MARKS: Final = {0x22: STRAIGHT, 0x201C: OPEN, 0x201E: OPEN, 0x201D: CLOSE, 0xAB: OPEN, 0xBB: CLOSE, 0x0A: LINE}
"""Quotation marks, and the line end, which ends a quotation without a closing mark."""


class Quotes(NamedTuple):
    """Quotations by place and start: `start` is the character after the opening mark, `end` the closing mark."""

    place: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]


def valid(text: Text, index: NDArray[np.int32], hits: Hits, search: PhraseSearch, opening: int) -> NDArray[np.bool_]:
    """Mark the hits that count under the rules of their files; a turn's opening has `opening` characters."""
    kind = search.kind[hits.phrase]
    good: NDArray[np.bool_] = (kind == PhraseKind.COUNTS) | ((kind == PhraseKind.OPENING) & (hits.start < opening))
    if not search.ruled or not good.any():
        return good
    family = search.family[hits.phrase].astype(np.int64)
    turn = hits.place.astype(np.int64) * len(search.unquoted) + family
    good &= ~np.isin(turn, turn[kind == PhraseKind.UNLESS])
    good &= ~_within(turn, hits, kind == PhraseKind.EXCEPT)
    unquoted = good & search.unquoted[family]
    if unquoted.any():
        good[unquoted] = ~_quoted(text, index, hits.place[unquoted], hits.start[unquoted])
    return good


def _within(turn: NDArray[np.int64], hits: Hits, exception: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the hits that begin within an exception of the same turn and family."""
    if not exception.any():
        return exception
    _, number = np.unique(turn, return_inverse=True)
    starts = number.astype(np.int64) << 32 | hits.start
    order = np.flatnonzero(exception)[np.argsort(starts[exception], kind="stable")]
    reach = np.maximum.accumulate(number[order].astype(np.int64) << 32 | hits.end[order])
    last = np.searchsorted(starts[order], starts, side="right") - 1
    inside: NDArray[np.bool_] = (last >= 0) & (reach[last] > starts)
    return inside


def _quoted(
    text: Text, index: NDArray[np.int32], place: NDArray[np.int32], start: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Mark the hits that begin within a quotation."""
    quotes = quotations(text, index, np.unique(place))
    if len(quotes.place) == 0:
        return np.zeros(len(place), np.bool_)
    opens = quotes.place.astype(np.int64) << 32 | quotes.start
    closes = quotes.place.astype(np.int64) << 32 | quotes.end
    begins = place.astype(np.int64) << 32 | start
    last = np.searchsorted(opens, begins, side="right") - 1
    inside: NDArray[np.bool_] = (last >= 0) & (begins < closes[last])
    return inside


def quotations(text: Text, index: NDArray[np.int32], places: NDArray[np.int32]) -> Quotes:
    """Find quotations in the texts at these `places` of `index`, in characters.

    A quotation ends on its line. One that begins the text does not count: an answer that is quoted as a whole is still
    the answer. A straight mark after a letter or a digit opens nothing (5'10" tall).

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> text = view(pa.array(['He said, "No." and “Yes', '"No," he said.']))
    >>> [column.tolist() for column in quotations(text, np.arange(2, dtype=np.int32), np.arange(2, dtype=np.int32))]
    [[0], [10], [13]]
    """
    points, codes = frozen(np.array(list(MARKS), np.int32)), frozen(np.array(list(MARKS.values()), np.uint8))
    spans, at, room = [], 0, ROOM
    while at < len(places):
        found = np.empty((room, 3), np.int32)
        before = at
        at, size = _quotations(text.data, text.offsets, index, places, at, points, codes, kinds(), found)
        spans.append(found[:size])
        room = room * 4 if at == before else room
    return Quotes(*np.concatenate(spans or [np.empty((0, 3), np.int32)]).T.copy())


@inline
def mark_of(point: int, points: NDArray[np.int32], codes: NDArray[np.uint8]) -> int:
    """Return the code of a mark, 0 for any other character."""
    for i in range(len(points)):
        if points[i] == point:
            return int(codes[i])
    return 0


@kernel
def _quotations(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    index: NDArray[np.int32],
    places: NDArray[np.int32],
    at: int,
    points: NDArray[np.int32],
    codes: NDArray[np.uint8],
    kind: NDArray[np.uint8],
    spans: NDArray[np.int32],
) -> tuple[int, int]:
    """Write (place, start, end) of each quotation from text `at` on, while there is room for all of a text."""
    found = 0
    while at < len(places):
        begin, end = int(offsets[index[places[at]]]), int(offsets[index[places[at]] + 1])
        known, count, opened, before, blank = found, 0, -1, 0, True
        i = begin
        while i < end:
            point, size = code_point(data, i, end)
            mark = mark_of(int(point), points, codes)
            if mark == LINE:
                opened = -1
            elif opened == -1 and (mark == OPEN or (mark == STRAIGHT and before != WORD)):
                opened = -2 if blank else count + 1
            elif opened != -1 and mark in (STRAIGHT, CLOSE):
                if opened >= 0:
                    if found < len(spans):
                        spans[found, 0], spans[found, 1], spans[found, 2] = places[at], opened, count
                    found += 1
                opened = -1
            before = int(kind[point])
            blank = blank and before == SPACE
            count += 1
            i += size
        if found > len(spans):
            return at, known
        at += 1
    return at, found
