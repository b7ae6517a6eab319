"""The kinds of `lint_pairs`, and its evidence: which segments a kind takes offence at."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.segments import Part
from curate.steps._evidence import part_hits, sort_and_trim
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


class Hits(NamedTuple):
    """Evidence of one lint in one part: the segments, and for each its characters and what was found there."""

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
    """Join the hits in order, with the first few of each kind in a row."""
    return sort_and_trim(
        part_hits(each.part, each.places, LINTS.index(each.lint), each.start, each.end, each.match) for each in hits
    )
