"""Refusals that answer a plainly harmful request, and stay: `refusals(keep_safety=...)`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.rows.schema import USER
from curate.rows.segments import Part, Segments
from curate.steps.refusal_context import valid
from curate.steps.refusal_phrases import Search, compile_rules, plain_rules, rule_file
from curate.text.matching import find

KEPT: Final = "kept_safety"
"""The reason and score of refusals that stay because the request is harmful."""

SHIPPED: Final = "phrases/harmful.txt"

Harmful: TypeAlias = tuple[str, ...]
"""Phrases that tell a harmful request: none, the file `SHIPPED`, or a user's."""


def check_harmful(keep_safety: bool | Iterable[str]) -> Harmful:  # noqa: FBT001
    """Return what tells a harmful request; raises `MixtureError` for one string and for phrases that cannot be met.

    >>> check_harmful(True), check_harmful(False), check_harmful(["build a bomb"])
    (('phrases/harmful.txt',), (), ('build a bomb',))
    """
    if isinstance(keep_safety, bool):
        return (SHIPPED,) if keep_safety else ()
    if isinstance(keep_safety, str):
        message = f"keep_safety={keep_safety!r}: a list of phrases, or True for the phrases that curate brings"
        raise MixtureError(message)
    phrases = tuple(keep_safety)
    if not phrases:
        message = "keep_safety=() has no phrase that tells a harmful request; give some, True, or False for none"
        raise MixtureError(message)
    harm(phrases)
    return phrases


@lru_cache(maxsize=16)
def harm(phrases: Harmful) -> Search:
    """Compile what tells a harmful request; the answer is kept."""
    return compile_rules({0: rule_file("harmful.txt") if phrases == (SHIPPED,) else plain_rules(phrases)}, 1)


def answers_harm(segments: Segments, part: Part, places: NDArray[np.int32], harmful: Harmful) -> NDArray[np.bool_]:
    """Mark the segments of `part` at `places` whose request is harmful: the user's last turn before them.

    That turn stands before them on their own side, or else it is the last one of the prompt. A segment without a
    request before it answers none. `segments` are those of whole rows.
    """
    safe = np.zeros(len(places), np.bool_)
    if not harmful or len(places) == 0:
        return safe
    asked = np.zeros(len(places), np.bool_)
    for side in (part.side, "prompt"):
        for other in segments.parts:
            if other.side == side:
                turn = part.turn[places] if side == part.side and side != "completion" else LAST
                _ask(other, part.row[places], np.broadcast_to(turn, len(places)), harmful, asked, safe)
    return safe


LAST: Final = np.int32(2**31 - 1)


def _ask(
    part: Part,
    row: NDArray[np.int32],
    turn: NDArray[np.int32],
    harmful: Harmful,
    asked: NDArray[np.bool_],
    safe: NDArray[np.bool_],
) -> None:
    """Look in `part` for the user's last turn before each of these turns, where none was found yet."""
    users = np.flatnonzero(part.role == USER)
    keys = part.row[users].astype(np.int64) << 32 | part.turn[users]
    last = np.searchsorted(keys, row.astype(np.int64) << 32 | turn) - 1
    found = (last >= 0) & ~asked
    found[found] = part.row[users[last[found]]] == row[found]
    asked |= found
    requests, entry = np.unique(users[last[found]], return_inverse=True)
    safe[found] = is_harmful(part, requests.astype(np.int32), harmful)[entry]


def is_harmful(part: Part, places: NDArray[np.int32], harmful: Harmful) -> NDArray[np.bool_]:
    """Mark the segments of `part` at `places` that have a phrase of harm."""
    search = harm(harmful)
    index = part.index[places]
    marked = np.zeros(len(places), np.bool_)
    if search.automaton is not None:
        hits = find(part.text, index, search.automaton)
        marked[hits.place[valid(part.text, index, hits, search, 0)]] = True
    return marked
