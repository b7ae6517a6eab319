"""The lints, the contradictions and the length control of pairs, the slow way."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from typing import Any

from tests.reference.words import words

Pair = dict[str, Any]
Turns = tuple[tuple[str, str], ...]


def normal(text: str) -> str:
    for old in "\u00b4\u02bb\u02bc\u1ffd\u2018\u2019\u201b\u2032\uff07":
        text = text.replace(old, "'")
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.replace("\u2019", "'").split())


def turns(side: list[dict[str, str]]) -> Turns:
    return tuple((turn["role"], normal(turn["content"])) for turn in side)


def cut(text: str, length: int, unit: str) -> str:
    """The first so many characters, or all up to the end of the word of this number."""
    if unit == "characters":
        return text[:length]
    ends = [end for end in range(1, len(text) + 1) if len(words(text[:end])) >= length]
    found = [end for end in ends if words(text[:end])[length - 1] == (words(text) + [""] * length)[length - 1]]
    return text[: found[0]] if found else text


def lints(row: Pair, length: int, unit: str) -> dict[str, int]:
    """What a pair with one turn on each side has, where no phrase and no language is asked for."""
    chosen, rejected, prompt = (row[side][0]["content"] for side in ("chosen", "rejected", "prompt"))
    asked = normal(prompt)
    held = len(words(asked)) >= 8 and len(asked.encode()) >= 8
    one, other = row["chosen_score"], row["rejected_score"]
    given = [score for score in (one, other) if score is not None]
    return {
        "empty_side": sum(not normal(text) for text in (chosen, rejected, prompt)),
        "equal_answers": int(normal(chosen) == normal(rejected)),
        "equal_when_cut": int(cut(chosen, length, unit) == cut(rejected, length, unit)),
        "score_inverted": int(len(given) == 2 and one < other),
        "bad_rating": int(len(given) == 1 or any(not math.isfinite(score) for score in given)),
        "prompt_repeated": sum(held and asked in normal(text) for text in (chosen, rejected)),
    }


def contradicted(rows: list[Pair], protect: list[bool]) -> set[int]:
    """The rows to drop: fewer rows say so than say the reverse, or just as many; a protected one outvotes others."""

    def votes(chosen: Turns, rejected: Turns, prompt: Turns) -> tuple[bool, int]:
        voters = [i for i, row in enumerate(rows) if key(row) == (chosen, rejected, prompt)]
        return any(protect[i] for i in voters), len(voters)

    def key(row: Pair) -> tuple[Turns, ...]:
        return tuple(turns(row[side]) for side in ("chosen", "rejected", "prompt"))

    dropped = set()
    for i, row in enumerate(rows):
        chosen, rejected, prompt = key(row)
        against = votes(rejected, chosen, prompt)
        if chosen != rejected and against[1] and votes(chosen, rejected, prompt) <= against and not protect[i]:
            dropped.add(i)
    return dropped


def most_kept(longer: int, shorter: int, target: float, within: float) -> int:
    """The most pairs of unequal length that can stay, by trying every number of each way."""
    pairs = ((a, b) for a in range(longer + 1) for b in range(shorter + 1) if a + b)
    return max((a + b for a, b in pairs if abs(a / (a + b) - target) <= within), default=0)


def share(pairs: Iterable[tuple[int, int]]) -> float:
    """The share of pairs whose first length is greater, of those that differ."""
    signs = [one > other for one, other in pairs if one != other]
    return sum(signs) / len(signs)
