"""Requests that are plainly harmful, by phrases or by a model: what `refusals(keep_safety=...)` goes by."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePath
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.rows.segments import Part, Segments
from curate.rows.visible import visible
from curate.steps.refusals._classifier import Judge, judge_of, requests, texts_of
from curate.steps.refusals.phrase_files import PhraseSearch, search_for
from curate.steps.refusals.phrase_hits import valid
from curate.text.phrases.matching import find

KEPT: Final = "kept_safety"
"""The reason and score of refusals that are kept because the request is harmful."""

SHIPPED: Final = "phrases/harmful.txt"

REQUEST_HARM: Final = "request_harm"
"""The score of how probable a model finds it that a refused request is harmful."""

HALF: Final = 0.5
"""A request is harmful from this probability on: both sides weigh the same in training, so it means undecided."""

Harmful: TypeAlias = tuple[str, ...] | Judge
"""How a harmful request is detected: not at all, by the phrases of the file `SHIPPED`, by the user's, or by a model."""

KeepSafety: TypeAlias = bool | Iterable[str] | str | os.PathLike[str]
"""The argument `keep_safety`; a string is the path of a model."""


def check_harmful(keep_safety: KeepSafety) -> Harmful:
    """Return how a harmful request is detected.

    Raises `MixtureError` for a string that is no path of a model, and for phrases that can match nothing, and what
    `judge_of` raises for a model.

    >>> check_harmful(True), check_harmful(False), check_harmful(["build a bomb"])
    (('phrases/harmful.txt',), (), ('build a bomb',))
    """
    if isinstance(keep_safety, bool):
        return (SHIPPED,) if keep_safety else ()
    if isinstance(keep_safety, str | os.PathLike):
        if isinstance(keep_safety, str) and PurePath(keep_safety).suffix not in {".bin", ".ftz"}:
            raise MixtureError(
                f"keep_safety={keep_safety!r}: give a list of phrases, True for the phrases that curate ships, or"
                " the path of a model (.bin or .ftz)"
            )
        return judge_of(keep_safety, "keep_safety")
    phrases = tuple(keep_safety)
    if not phrases:
        raise MixtureError(
            "keep_safety=() has no phrase to detect a harmful request; give some, True, or False for none"
        )
    harmful_phrases(phrases)
    return phrases


@lru_cache(maxsize=16)
def harmful_phrases(phrases: tuple[str, ...]) -> PhraseSearch:
    """Compile the phrases of harmful requests; the result is cached."""
    return search_for({0: "harmful.txt" if phrases == (SHIPPED,) else phrases}, 1)


def harmful_requests(
    segments: Segments, part: Part, places: NDArray[np.int32], harmful: Harmful
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Mark the segments of `part` at `places` whose request is harmful; with a model, return its probability too.

    A segment without a request before it is not marked, and has the probability NaN. `segments` are those of whole
    rows.
    """
    marked, probability = np.zeros(len(places), np.bool_), np.full(len(places), np.nan)
    if not harmful:
        return marked, probability
    for asked in requests(segments, part, places):
        if isinstance(harmful, Judge):
            probability[asked.answers] = harmful.probability(texts_of(asked.part, asked.places))[asked.entry]
        else:
            marked[asked.answers] = has_harmful_phrase(asked.part, asked.places, harmful)[asked.entry]
    return marked | (probability >= HALF), probability


def has_harmful_phrase(part: Part, places: NDArray[np.int32], phrases: tuple[str, ...]) -> NDArray[np.bool_]:
    """Mark the segments of `part` at `places` that contain one of the phrases."""
    search = harmful_phrases(phrases)
    index = part.index[places]
    marked = np.zeros(len(places), np.bool_)
    hits = find(part.text, index, search.automaton)
    marked[hits.place[valid(part.text, index, hits, search, 0)]] = True
    return marked


class RefusedAnswers(NamedTuple):
    """Answers in a batch: for each its row, the name of its side, and its turn there."""

    row: NDArray[np.int32]
    side: NDArray[np.str_]
    turn: NDArray[np.int32]


def rows_of_harm(segments: Segments, answers: RefusedAnswers) -> NDArray[np.bool_]:
    """Mark the rows of a batch with an answer, of these, whose request has a phrase of phrases/harmful.txt.

    `segments` are those of whole rows.
    """
    marked = np.zeros(segments.rows, np.bool_)
    seen = segments._replace(parts=tuple(map(visible, segments.parts)))
    for part in seen.parts:
        own = answers.side == part.side
        wanted = answers.row[own].astype(np.int64) << 32 | answers.turn[own]
        places = np.flatnonzero(np.isin(part.row.astype(np.int64) << 32 | part.turn, wanted)).astype(np.int32)
        harm, _ = harmful_requests(seen, part, places, (SHIPPED,))
        marked[part.row[places[harm]]] = True
    return marked
