"""The hits of refusal phrases in a part that count under the rules of their files."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.rows.schema import ASSISTANT
from curate.rows.segments import Part
from curate.steps.refusals._context import valid
from curate.steps.refusals._moralising import count_lines, points_of, shown
from curate.steps.refusals.phrase_files import PhraseSearch, Where
from curate.text.phrases.matching import find

OPENING: Final = 100
"""Characters: a hit in the opening of a turn starts before this one."""


class CountedHits(NamedTuple):
    """The hits that count in a part, and the moralising points of each segment (0 if not looked for).

    `phrase` is an index into `PhraseSearch.text` followed by `PhraseSearch.lines`.
    """

    place: NDArray[np.int32]
    family: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    phrase: NDArray[np.int32]
    points: NDArray[np.int32]


def hits_in(part: Part, search: PhraseSearch, where: Where) -> CountedHits:
    """Return the hits in `part` that count, and its moralising points."""
    places = places_in(part, where)
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
    if search.moralising >= 0:
        counts = count_lines(part.text, index, opening=opening)
        points[places] = points_of(counts)
        hits, good = counts.hits, shown(counts, points[places])
        family = np.full(int(good.sum()), search.moralising, np.int32)
        phrase = hits.phrase[good] + len(search.text)
        chunks.append((places[hits.place[good]], family, hits.start[good], hits.end[good], phrase))
    place, family, start, end, phrase = (np.concatenate(column, dtype=np.int32) for column in zip(*chunks, strict=True))
    return CountedHits(place, family, start, end, phrase, points)


def places_in(part: Part, where: Where) -> NDArray[np.int32]:
    """Return the segments that are read: all, or each row's first assistant turn. Each completion is an answer."""
    if where != "first_turn":
        return np.arange(len(part.index), dtype=np.int32)
    answers = np.flatnonzero(part.role == ASSISTANT)
    if part.side != "completion":
        answers = answers[np.unique(part.row[answers], return_index=True)[1]]
    return answers.astype(np.int32)
