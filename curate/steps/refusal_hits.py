"""The hits of phrases of refusal in a part, and in a batch, that count under the rules of their files."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.rows.schema import ASSISTANT
from curate.rows.segments import SIDES, On, Part, Segments, select
from curate.steps.harm import Harmful, answers_harm
from curate.steps.lecture import count, shown, weigh
from curate.steps.refusal_context import valid
from curate.steps.refusal_phrases import Search, Where
from curate.text.matching import find

OPENING: Final = 100
"""Characters: a hit in the opening of a turn starts before this one."""

EMPTY: Final = np.zeros(0, np.int32)


class Found(NamedTuple):
    """The hits that count in a part, by place; `phrase` counts through the phrases of a search, then through its lines.

    `points` has an entry a segment: the points of a lecture, or 0 where none is looked for.
    """

    place: NDArray[np.int32]
    family: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    phrase: NDArray[np.int32]
    points: NDArray[np.int32]


def hits_in(part: Part, search: Search, where: Where) -> Found:
    """Return the hits in `part` that count, and the points of its lectures."""
    places = np.flatnonzero(_first_answers(part)) if where == "first_turn" else np.arange(len(part.index))
    index = part.index[places]
    opening = OPENING if where == "opening" else None
    chunks: list[tuple[NDArray[np.signedinteger[Any]], ...]] = []
    points = np.zeros(len(part.index), np.int32)
    if search.automaton is not None:
        hits = find(part.text, index, search.automaton, opening=None if search.ruled else opening)
        good = valid(part.text, index, hits, search, OPENING)
        if opening is not None:
            good &= hits.start < opening
        family = search.family[hits.phrase[good]].astype(np.int32)
        chunks.append((places[hits.place[good]], family, hits.start[good], hits.end[good], hits.phrase[good]))
    if search.lecture >= 0:
        counts = count(part.text, index, opening=opening)
        points[places] = weigh(counts)
        hits, good = counts.hits, shown(counts, points[places])
        family = np.full(int(good.sum()), search.lecture, np.int32)
        phrase = hits.phrase[good] + len(search.text)
        chunks.append((places[hits.place[good]], family, hits.start[good], hits.end[good], phrase))
    place, family, start, end, phrase = (np.concatenate(column, dtype=np.int32) for column in zip(*chunks, strict=True))
    return Found(place, family, start, end, phrase, points)


def _first_answers(part: Part) -> NDArray[np.bool_]:
    """Mark the first assistant turn of each row in `part`; a completion is an answer of its own."""
    answers = np.flatnonzero(part.role == ASSISTANT)
    if part.side != "completion":
        answers = answers[np.unique(part.row[answers], return_index=True)[1]]
    marked = np.zeros(len(part.index), np.bool_)
    marked[answers] = True
    return marked


class Met(NamedTuple):
    """The hits of a batch, an entry each, and the points of its rows' lectures; `kept` marks answers to harm."""

    row: NDArray[np.int32]
    family: NDArray[np.int32]
    side: NDArray[np.int32]
    turn: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    phrase: NDArray[np.int32]
    kept: NDArray[np.bool_]
    points: NDArray[np.int32]


def meet(segments: Segments, on: On, search: Search, where: Where, harmful: Harmful) -> Met:
    """Return the hits of a batch of whole rows, or of the segments that `on` selects where nothing is `harmful`."""
    points = np.zeros(segments.rows, np.int32)
    columns: list[tuple[NDArray[np.int32], ...]] = [(EMPTY,) * 7]
    kept = [np.zeros(0, np.bool_)]
    for part in select(segments, on).parts if harmful else segments.parts:
        found = hits_in(part, search, where)
        refused, entry = np.unique(found.place, return_inverse=True)
        safe = answers_harm(segments, part, refused, harmful)
        told = found.points.copy()
        told[refused[safe]] = 0
        np.maximum.at(points, part.row, told)
        side = np.full(len(found.place), SIDES.index(part.side), np.int32)
        row, turn = part.row[found.place], part.turn[found.place]
        columns.append((row, found.family, side, turn, found.start, found.end, found.phrase))
        kept.append(safe[entry])
    row, family, sides, turn, start, end, phrase = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Met(row, family, sides, turn, start, end, phrase, np.concatenate(kept), points)
