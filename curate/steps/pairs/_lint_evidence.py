"""The kinds of `lint_pairs`, and its evidence: which segments a kind takes offence at."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.segments import SIDES, Part
from curate.steps.base import Evidence

Lint: TypeAlias = Literal[
    "empty_side",
    "equal_answers",
    "equal_when_cut",
    "score_inverted",
    "bad_rating",
    "refusal_chosen",
    "prompt_repeated",
    "identity_leak",
    "other_language",
]
LINTS: Final[tuple[Lint, ...]] = get_args(Lint)

SHOWN: Final = 8
"""Hits of one kind in one row that the evidence lists; the scores count all."""


class Hits(NamedTuple):
    """Evidence of one lint in one part: the segments, and for each its characters and what was met there."""

    lint: Lint
    part: Part
    places: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    match: pa.StringArray


def marked(hits: Hits, mask: NDArray[np.bool_]) -> Hits:
    """Return those of the hits that `mask` marks."""
    match = hits.match.filter(pa.array(mask))
    return Hits(hits.lint, hits.part, hits.places[mask], hits.start[mask], hits.end[mask], match)


def evidence(hits: list[Hits]) -> Evidence:
    """Put the hits together, ordered by row, side, turn and start, without those beyond the first few of a kind."""
    none = [np.zeros(0, np.int32)]
    row = np.concatenate([*none, *(each.part.row[each.places] for each in hits)])
    turn = np.concatenate([*none, *(each.part.turn[each.places] for each in hits)])
    start, end = (np.concatenate([*none, *(each[place] for each in hits)]) for place in (3, 4))
    sizes = [len(each.places) for each in hits]
    of = np.array([SIDES.index(each.part.side) for each in hits], np.uint8).repeat(sizes)
    reason = np.array([LINTS.index(each.lint) for each in hits], np.int16).repeat(sizes)
    match = pa.concat_arrays([pa.array([], pa.string()), *(each.match for each in hits)])
    order = np.lexsort((np.arange(len(row)), end, start, turn, of, reason, row))
    group = row[order].astype(np.int64) * len(LINTS) + reason[order]
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    order = order[np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order))) < SHOWN]
    order = order[np.lexsort((np.arange(len(order)), start[order], turn[order], of[order], row[order]))]
    picked = match.take(pa.array(order))
    return Evidence(row[order], reason[order], of[order], turn[order], start[order], end[order], picked)
