"""Which completions of one rated row make pairs, the slow way."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from curate.steps.pairs.binarize import AtLeast, Binarize, Rejected

DRAWN: Final = ("random_lower", "random_other", "length_matched")
"""Ways to reject that follow a random order."""


class Pair(NamedTuple):
    chosen: str
    rejected: str
    chosen_score: float
    rejected_score: float


def pairs(
    row: dict[str, Any],
    score: Callable[[dict[str, float]], float | None],
    rules: Binarize,
    rank: Callable[[str], int],
    draw: Callable[[str, str], int],
) -> list[Pair] | str:
    """Return the pairs of a row, or why it has none; `rules` are a `Binarize`, `rank` and `draw` its random orders."""
    texts = {each["content"]: list[float]() for each in row["completions"]}
    for each in row["completions"]:
        value = score({rating["name"]: rating["value"] for rating in each["scores"]})
        texts[each["content"]] += [] if value is None else [value]
    worth = {text: mean(values) for text, values in texts.items() if values}
    if min(len(texts), len(worth)) < 2:
        return "one_completion" if len(texts) < 2 else "missing_score"
    order = sorted(worth, key=lambda text: (-worth[text], rank(text)))
    good = rules.chosen.score if isinstance(rules.chosen, AtLeast) else worth[order[0]]
    every = [text for text in order if worth[text] >= good][: None if rules.chosen != "best" else 1]
    found, drew_tie = [], False
    for one in every:
        allowed = [
            text
            for text in order[order.index(one) + 1 :]
            if worth[one] - worth[text] >= rules.margin - 1e-9 and (rules.ties == "keep" or worth[text] < worth[one])
        ]
        others = [text for text in order if text != one] if rules.rejected == "random_other" else allowed
        drawn = sorted(others, key=functools.partial(draw, one)) if rules.rejected in DRAWN else []
        drew_tie |= rules.rejected == "random_other" and drawn[0] not in allowed and worth[drawn[0]] == worth[one]
        picked = _picked(rules.rejected, one, allowed, drawn)
        found += [(draw(one, text), Pair(one, text, worth[one], worth[text])) for text in picked]
    if not found:
        tied = rules.ties == "drop" and len(set(worth.values())) == 1
        return "none_good_enough" if not every else "all_tied" if tied else "drawn_tied" if drew_tie else "below_margin"
    most = sorted(found)[: rules.pairs_per_prompt]
    return [pair for each in found if each in most for pair in each[1:]]


def _picked(rejected: Rejected, one: str, allowed: list[str], drawn: list[str]) -> list[str]:
    """Return what is rejected for `one`: of those that may be, best first, and of those that are drawn, in order."""
    match rejected:
        case "random_lower":
            return drawn[:1]
        case "random_other":
            return [text for text in drawn[:1] if text in allowed]
        case "worst":
            return allowed[-1:]
        case "next_best":
            return allowed[:1]
        case "all_lower":
            return allowed
        case "length_matched":
            least = min((away(one, text) for text in drawn), default=0)
            return [text for text in drawn if away(one, text) == least][:1]


def mean(values: list[float]) -> float:
    total = functools.reduce(operator.add, sorted(values))
    return total if len(values) == 1 else float(np.round(total / len(values), 9))


def away(one: str, other: str) -> int:
    return abs(len(one) - len(other))
