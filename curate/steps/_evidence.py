"""Evidence made from the hits in parts, in one order and with a limit to how much of it is listed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.segments import Part
from curate.steps.base import Evidence

SHOWN: Final = 8
"""Hits of one reason in one row that the evidence lists; the scores count all."""


def part_hits(
    part: Part,
    place: NDArray[np.signedinteger],
    reason: int | NDArray[np.signedinteger],
    start: NDArray[np.signedinteger],
    end: NDArray[np.signedinteger],
    match: pa.StringArray,
) -> Evidence:
    """Return hits in the segments of `part` at `place`, for one reason or one for each hit."""
    return Evidence(
        row=part.row[place],
        reason=np.full(len(place), reason, np.int16),
        side=part.places(place),
        turn=part.turn[place],
        start=start.astype(np.int32, copy=False),
        end=end.astype(np.int32, copy=False),
        match=match,
    )


def sort_and_trim(hits: Iterable[Evidence], shown: int | None = SHOWN) -> Evidence:
    """Join hits, ordered by row, side, turn, start, reason and end, without those past the first `shown` of a reason.

    Hits that are equal in all of these keep their order. `shown=None` lists every hit.
    """
    given = [*hits]
    row, reason, side, turn, start, end = (
        np.concatenate([np.zeros(0, kind), *(each[place] for each in given)])
        for place, kind in enumerate((np.int32, np.int16, np.int32, np.int32, np.int32, np.int32))
    )
    match = pa.concat_arrays([pa.array([], pa.string()), *(each.match for each in given)])
    order = np.lexsort((end, start, turn, side, reason, row))
    if shown is not None:
        first = np.flatnonzero(np.diff(row[order], prepend=-1) | np.diff(reason[order], prepend=-1))
        rank = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
        order = order[rank < shown]
    order = order[np.lexsort((reason[order], start[order], turn[order], side[order], row[order]))]
    return Evidence(
        row[order], reason[order], side[order], turn[order], start[order], end[order], match.take(pa.array(order))
    )
