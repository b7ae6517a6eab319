"""Refusals that answer a plainly harmful request, and stay: `refusals(keep_safety=...)`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePath
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.rows.segments import Part, Segments
from curate.steps.refusals._classifier import Judge, judge_of, texts_of
from curate.steps.refusals._context import valid
from curate.steps.refusals._requests import requests
from curate.steps.refusals.phrase_files import Search, compile_rules, plain_rules, rule_file
from curate.text.phrases.matching import find

KEPT: Final = "kept_safety"
"""The reason and score of refusals that stay because the request is harmful."""

SHIPPED: Final = "phrases/harmful.txt"

HARM: Final = "request_harm"
"""The score that says how probable a model finds it that a refused request is harmful."""

HALF: Final = 0.5
"""A request is harmful from this probability on: both sides weigh the same in training, so it means undecided."""

Harmful: TypeAlias = tuple[str, ...] | Judge
"""What tells a harmful request: nothing, the phrases of the file `SHIPPED`, those of a user, or a model."""

KeepSafety: TypeAlias = bool | Iterable[str] | str | os.PathLike[str]
"""What a user says of it; a string is the path of a model."""


def check_harmful(keep_safety: KeepSafety) -> Harmful:
    """Return what tells a harmful request.

    Raises `MixtureError` for a string that is no path of a model, and for phrases that cannot be met, and what
    `judge_of` raises for a model.

    >>> check_harmful(True), check_harmful(False), check_harmful(["build a bomb"])
    (('phrases/harmful.txt',), (), ('build a bomb',))
    """
    if isinstance(keep_safety, bool):
        return (SHIPPED,) if keep_safety else ()
    if isinstance(keep_safety, str | os.PathLike):
        if isinstance(keep_safety, str) and PurePath(keep_safety).suffix not in {".bin", ".ftz"}:
            message = (
                f"keep_safety={keep_safety!r}: a list of phrases, True for the phrases that curate brings, or the "
            )
            message += "path of a model (.bin or .ftz)"
            raise MixtureError(message)
        return judge_of(keep_safety, "keep_safety")
    phrases = tuple(keep_safety)
    if not phrases:
        message = "keep_safety=() has no phrase that tells a harmful request; give some, True, or False for none"
        raise MixtureError(message)
    harm(phrases)
    return phrases


@lru_cache(maxsize=16)
def harm(phrases: tuple[str, ...]) -> Search:
    """Compile what tells a harmful request; the answer is kept."""
    return compile_rules({0: rule_file("harmful.txt") if phrases == (SHIPPED,) else plain_rules(phrases)}, 1)


def harm_of(
    segments: Segments, part: Part, places: NDArray[np.int32], harmful: Harmful
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Mark the segments of `part` at `places` whose request is harmful; with a model, tell how probable it finds that.

    A segment without a request before it answers none, and has no probability (NaN). `segments` are those of whole
    rows.
    """
    safe, probability = np.zeros(len(places), np.bool_), np.full(len(places), np.nan)
    if not harmful:
        return safe, probability
    for found in requests(segments, part, places):
        if isinstance(harmful, Judge):
            probability[found.answers] = harmful.probability(texts_of(found.part, found.places))[found.entry]
        else:
            safe[found.answers] = is_harmful(found.part, found.places, harmful)[found.entry]
    return safe | (probability >= HALF), probability


def is_harmful(part: Part, places: NDArray[np.int32], phrases: tuple[str, ...]) -> NDArray[np.bool_]:
    """Mark the segments of `part` at `places` that have a phrase of harm."""
    search = harm(phrases)
    index = part.index[places]
    marked = np.zeros(len(places), np.bool_)
    if search.automaton is not None:
        hits = find(part.text, index, search.automaton)
        marked[hits.place[valid(part.text, index, hits, search, 0)]] = True
    return marked
