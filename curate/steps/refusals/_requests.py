"""The request that an answer responds to: the user's last turn before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.rows.schema import USER
from curate.rows.segments import Part, Segments

LAST: Final = np.int32(2**31 - 1)


class Requests(NamedTuple):
    """Requests in one part: the distinct `places` in it, and for each of the `answers` the entry of its request."""

    part: Part
    places: NDArray[np.int32]
    answers: NDArray[np.intp]
    entry: NDArray[np.intp]


def requests(segments: Segments, part: Part, places: NDArray[np.int32]) -> Iterator[Requests]:
    """Find the requests of the segments of `part` at `places`; `Requests.answers` are indices into `places`.

    A request comes before its answer on the answer's own side, or else it is the last one of the prompt. A segment
    with no user turn before it has none. `segments` are those of whole rows.
    """
    unmatched = np.ones(len(places), np.bool_)
    for side in dict.fromkeys((part.side, "prompt")):
        for other in segments.parts:
            if other.side == side and unmatched.any():
                own = side == part.side and side != "completion"
                turn = part.turn[places] if own else np.broadcast_to(LAST, len(places))
                matched, last = _last_users(other, part.row[places], turn)
                answers = np.flatnonzero(matched & unmatched)
                unmatched &= ~matched
                asked, entry = np.unique(last[answers], return_inverse=True)
                yield Requests(other, asked.astype(np.int32), answers, entry)


def _last_users(
    part: Part, row: NDArray[np.int32], turn: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Mark the turns with a user turn of their row before them in `part`, and return its place."""
    users = np.flatnonzero(part.role == USER)
    if len(users) == 0:
        return np.zeros(len(row), np.bool_), np.zeros(len(row), np.intp)
    keys = part.row[users].astype(np.int64) << 32 | part.turn[users]
    last = np.searchsorted(keys, row.astype(np.int64) << 32 | turn) - 1
    place = users[np.maximum(last, 0)]
    return (last >= 0) & (part.row[place] == row), place
