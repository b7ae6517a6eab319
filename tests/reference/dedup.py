"""Which rows are near duplicates, the slow way: Python sets, and every row held against every row that stays."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

from tests.reference.normal import normal
from tests.reference.words import kind, words


class Row(NamedTuple):
    """A row by its priority, lowest first, its set, and whether it is protected."""

    row: int
    priority: tuple[int, ...]
    protect: bool
    shingles: frozenset[Any]


def shingles(texts: list[tuple[str, str]], n: int, ignore: tuple[str, ...] = ()) -> frozenset[Any]:
    """Return the shingles of texts, each with its side."""
    bare = [(side, without(normal(text), ignore)) for side, text in texts]
    texts = bare if any(words(text) for _, text in bare) else texts
    left_out = {gram for text in ignore for gram in grams(text, n)}
    every = frozenset((side, gram) for side, text in texts for gram in grams(text, n))
    return frozenset(each for each in every if each[1] not in left_out) or every


def without(text: str, ignore: tuple[str, ...]) -> str:
    """Leave templates out of a text in normal form: those around it, then each part of them wherever it is."""
    templates = [each for each in map(normal, ignore) if each]
    parts = {part.strip() for each in templates for part in re.split(r"\{\w*\}", each)} - {""}
    for each in templates:
        for k in range(len(each) - 1, 0, -1) if each in parts else ():
            left = text[k : len(text) - len(each) + k]
            whole = len(text) >= len(each) and text == each[:k] + left + each[k:] and " " in each[k - 1 : k + 1]
            if whole and not inside(text, k) and not inside(text, k + len(left)):
                text = left
                break
    patterns = [re.escape(part).join(map(edge, (part[0], part[-1]))) for part in sorted(parts, key=len, reverse=True)]
    return re.sub("|".join(patterns), " ", text) if patterns else text


def edge(letter: str) -> str:
    return r"\b" if kind(letter) in "lm" else ""


def inside(text: str, at: int) -> bool:
    return all(letter > "\x7f" or letter.isalnum() for letter in text[at - 1 : at + 1])


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    found = words(normal(text))
    return [tuple(found[k : k + n]) for k in range(max(1, len(found) - n + 1))] if found else []


def jaccard(a: frozenset[Any], b: frozenset[Any]) -> float:
    return len(a & b) / len(a | b)


def survivors(rows: list[Row], threshold: float) -> dict[int, tuple[int, float]]:
    """Return the row that each falling row falls to, and their similarity."""
    first: dict[Any, Row] = {}
    to: dict[int, tuple[int, float]] = {}
    stay: list[Row] = []
    for row in sorted(rows, key=lambda row: (not row.protect, row.priority)):
        leader = first.setdefault(row.shingles or row.row, row)
        if leader is not row:
            to[row.row] = to.get(leader.row, (leader.row, 1.0))
        elif row.shingles:
            near = [(jaccard(row.shingles, other.shingles), other.row) for other in stay]
            best = max(near, key=lambda pair: pair[0], default=(0.0, -1))
            if best[0] >= threshold and not row.protect:
                to[row.row] = best[1], best[0]
            else:
                stay.append(row)
    return {row.row: to[row.row] for row in rows if row.row in to and not row.protect}


def near_pairs(sets: list[frozenset[Any]], threshold: float) -> list[tuple[int, int, float]]:
    """Return all pairs of rows whose similarity reaches the threshold."""
    rows_of: dict[Any, list[int]] = {}
    found = []
    for j, own in enumerate(sets):
        shared = Counter(i for each in own for i in rows_of.get(each, ()))
        for i, count in shared.items():
            near = count / (len(own) + len(sets[i]) - count)
            if near >= threshold:
                found.append((i, j, near))
        for each in own:
            rows_of.setdefault(each, []).append(j)
    return found
