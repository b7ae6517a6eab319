"""A text as it is shown: cut around the hits, hits highlighted.

Wherever characters are left out, a span says how many.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

WHOLE: Final = 700
"""Characters: a text up to here is shown whole."""

AROUND: Final = 200
"""Characters shown on either side of a hit in a longer text."""

HEAD, TAIL = 400, 150
"""Characters shown of a longer text without a hit."""

WINDOWS: Final = 6
"""Hits of one text that are shown, when it is too long to be shown whole."""

NUDGE: Final = 16
"""Characters that a cut may move to end at white space."""


class Hit(NamedTuple):
    """The characters of a hit, and its title."""

    start: int
    end: int
    title: str


class Span(NamedTuple):
    """A run of text in one set of hits; or `left_out` characters, with `hits` hits, that are not shown."""

    text: str
    titles: tuple[str, ...] = ()
    left_out: int = 0
    hits: int = 0

    @property
    def gap(self) -> str:
        """Say what is left out."""
        hits = f" and {self.hits:,} mark{'s' * (self.hits != 1)}" if self.hits else ""
        return f"{self.left_out:,} character{'s' * (self.left_out != 1)}{hits} left out"


def cut(text: str, hits: Sequence[Hit] = (), *, whole: int = WHOLE) -> list[Span]:
    """Cut `text` into spans that together cover it; hits that are empty or outside the text are ignored.

    >>> [(span.text, span.titles) for span in cut("I am an AI.", [Hit(8, 10, "self_reference")])]
    [('I am an ', ()), ('AI', ('self_reference',)), ('.', ())]
    >>> [span.left_out for span in cut("a" * 10_000)]
    [0, 9450, 0]
    """
    if not hits and len(text) <= whole:  # nearly every text
        return [Span(text)] if text else []
    within = [hit for hit in sorted(hits) if 0 <= hit.start < hit.end <= len(text)]
    found: list[Span] = []
    place = 0
    for start, end in [*_windows(text, within, whole), (len(text), len(text))]:
        if start > place:
            unseen = sum(place <= hit.start and hit.end <= start for hit in within)
            found.append(Span("", left_out=start - place, hits=unseen))
        found += _marked(text, start, end, within)
        place = max(place, end)
    return found


def _windows(text: str, hits: Sequence[Hit], whole: int) -> list[tuple[int, int]]:
    """Return the disjoint spans of `text` that are shown, in order."""
    if len(text) <= whole:
        return [(0, len(text))]
    wanted = [(0, HEAD), (len(text) - TAIL, len(text))]
    if hits:
        # A hit longer than its surroundings shows its two ends.
        ends = [(hit.start, min(hit.end, hit.start + AROUND)) for hit in hits[:WINDOWS]]
        ends += [(max(hit.start, hit.end - AROUND), hit.end) for hit in hits[:WINDOWS]]
        wanted = sorted((start - AROUND, end + AROUND) for start, end in ends)
    merged: list[tuple[int, int]] = []
    for low, high in wanted:
        start, end = _edge(text, max(0, low), -1), _edge(text, min(len(text), high), 1)
        if merged and start <= merged[-1][1] + NUDGE:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _edge(text: str, place: int, way: int) -> int:
    """Move a cut outwards to near white space, or else out of a combined character or emoji."""
    near = place
    for _ in range(NUDGE):
        if near in {0, len(text)} or text[near - (way < 0)].isspace():
            return near
        near += way
    while 0 < place < len(text) and (_joins(text[place]) or text[place - 1] == "\u200d"):
        place += way
    return place


def _joins(character: str) -> bool:
    """Whether a character belongs to the one before it: combining, variation selector, skin tone or joiner."""
    return (
        unicodedata.category(character).startswith("M")
        or character == "\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _marked(text: str, start: int, end: int, hits: Sequence[Hit]) -> list[Span]:
    """Cut `start` to `end` wherever a hit begins or ends."""
    edges = {start, end} | {edge for hit in hits for edge in (hit.start, hit.end) if start < edge < end}
    return [
        Span(text[low:high], tuple(dict.fromkeys(hit.title for hit in hits if hit.start <= low and high <= hit.end)))
        for low, high in pairwise(sorted(edges))
    ]
