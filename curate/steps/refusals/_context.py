"""The context of a hit: an exception around it, a phrase in its turn that rules it out, or quotation marks."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text
from curate.kernels.compile import kernel
from curate.kernels.grow import grown
from curate.kernels.utf8 import code_point
from curate.steps.refusals.phrase_files import PhraseKind, PhraseSearch
from curate.text.phrases.automaton import SPACE, WORD, kinds
from curate.text.phrases.matching import PhraseHits

ROOM: Final = 256
LINE_END, STRAIGHT = 0x0A, 0x22
OPENS: Final = (0x201C, 0x201E, 0xAB)
CLOSES: Final = (STRAIGHT, 0x201D, 0xBB)


class Quotes(NamedTuple):
    """Quotations by place and start: `start` is the character after the opening mark, `end` the closing mark."""

    place: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]


def valid(
    text: Text, index: NDArray[np.int32], hits: PhraseHits, search: PhraseSearch, opening: int
) -> NDArray[np.bool_]:
    """Mark the hits that count under the rules of their files; a turn's opening has `opening` characters."""
    kind = search.kind[hits.phrase]
    good: NDArray[np.bool_] = (kind == PhraseKind.COUNTS) | ((kind == PhraseKind.OPENING) & (hits.start < opening))
    if not search.ruled or not good.any():
        return good
    family = search.family[hits.phrase].astype(np.int64)
    turn = hits.place.astype(np.int64) * len(search.unquoted) + family
    good &= ~np.isin(turn, turn[kind == PhraseKind.UNLESS])
    spans = np.flatnonzero(kind == PhraseKind.EXCEPT)
    if len(spans):
        number = np.unique(turn, return_inverse=True)[1].astype(np.int64) << 32
        start, end = number | hits.start, number | hits.end
        spans = spans[np.argsort(start[spans], kind="stable")]
        good &= ~_within(start, start[spans], end[spans])
    unquoted = np.flatnonzero(good & search.unquoted[family])
    if len(unquoted):
        quotes = quotations(text, index, np.unique(hits.place[unquoted]))
        place, of_quote = hits.place[unquoted].astype(np.int64) << 32, quotes.place.astype(np.int64) << 32
        good[unquoted] = ~_within(place | hits.start[unquoted], of_quote | quotes.start, of_quote | quotes.end)
    return good


def _within(at: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark what is at or after the start of a span, and before its end; spans are in order of start."""
    if not len(start):
        return np.zeros(len(at), np.bool_)
    last = np.searchsorted(start, at, side="right") - 1
    inside: NDArray[np.bool_] = (last >= 0) & (at < np.maximum.accumulate(end)[last])
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
    return Quotes(*_quotations(text.data, text.offsets, index, places, kinds()).T.copy())


@kernel
def _quotations(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    index: NDArray[np.int32],
    places: NDArray[np.int32],
    kind: NDArray[np.uint8],
) -> NDArray[np.int32]:
    """Return (place, start, end) of each quotation."""
    spans, found = np.empty((ROOM, 3), np.int32), 0
    for place in places:
        i, end = int(offsets[index[place]]), int(offsets[index[place] + 1])
        count, opened, before, blank = 0, -1, 0, True
        while i < end:
            point, size = code_point(data, i, end)
            if point == LINE_END:
                opened = -1
            elif opened == -1 and (point in OPENS or (point == STRAIGHT and before != WORD)):
                opened = -2 if blank else count + 1
            elif opened != -1 and point in CLOSES:
                if opened >= 0:
                    if found == len(spans):
                        spans = grown(spans)
                    spans[found, 0], spans[found, 1], spans[found, 2] = place, opened, count
                    found += 1
                opened = -1
            before = int(kind[point])
            blank = blank and before == SPACE
            count += 1
            i += size
    return spans[:found]
