"""What differs between two versions of a row: the words of each turn, as hits that the browser of rows highlights.

Turns are aligned first, so that one that is new does not set all later ones apart; then words within a turn. The cost
is bounded: what is too long to align is one span, between the common start and the common end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Final, NamedTuple, TypeAlias

from curate.result.browser.turns import ShownTurn, every_turn

WORDS: Final = re.compile(
    r"\s+|[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[!-/:-@\[-`{-~]|[^\s!-/:-@\[-`{-~\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
)
"""Words, white space, marks, and each Chinese or Japanese character; together they are the text."""

MOST: Final = 1_000_000
"""Pairs of words that are compared at most: two texts of 1,000 words that have no start or end in common."""

NEAR: Final = 3
"""Spans with at most so many characters between them are one."""

MARKS: Final = 60
"""Spans of a turn at most: the last one holds the rest."""

HITS: Final = 2000
"""Spans of a row at most: no browser shows so many."""

TURNS: Final = 500
"""Turns that are aligned; of a longer dialogue, each is compared with the one at its place."""

WHOLE: Final = 550
"""Characters: a text up to here is always shown whole, so a place where only the other text has words needs no mark."""

Spans: TypeAlias = list[tuple[int, int]]
Hits: TypeAlias = list[dict[str, Any]]


class ChangedSpans(NamedTuple):
    """The characters that only one of two texts has."""

    before: Spans
    after: Spans


def changed_spans(before: str, after: str) -> ChangedSpans:
    """Return the words that differ.

    >>> changed_spans("a cat sat here", "a dog sat there")
    ChangedSpans(before=[(2, 5), (10, 14)], after=[(2, 5), (10, 15)])
    >>> changed_spans("yes", "yes, of course")
    ChangedSpans(before=[], after=[(3, 14)])
    """
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    cuts = [_outwards(text, start, len(text) - end) for text in (before, after)]
    low, tail = (
        min(cut[0] for cut in cuts),
        min(len(text) - cut[1] for text, cut in zip((before, after), cuts, strict=True)),
    )
    middles = [text[low : len(text) - tail] for text in (before, after)]
    words = [WORDS.findall(middle) for middle in middles]
    if len(words[0]) * len(words[1]) > MOST:
        return ChangedSpans(*([(low, low + len(middle))] if middle else [] for middle in middles))
    spans = _aligned(*words)
    return ChangedSpans(*(_merged([(low + first, low + last) for first, last in own]) for own in spans))


def _common(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike; by halves, since a loop over 10 MB takes a second."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _outwards(text: str, low: int, high: int) -> tuple[int, int]:
    """Move the ends of a span to ends of words."""
    while low > 0 and low < len(text) and text[low - 1].isalnum():
        low -= 1
    while 0 < high < len(text) and text[high].isalnum():
        high += 1
    return min(low, high), high


def _aligned(before: list[str], after: list[str]) -> tuple[Spans, Spans]:
    """Return the characters of the words that differ."""
    places: tuple[list[int], list[int]] = ([0], [0])
    for own, words in zip(places, (before, after), strict=True):
        for word in words:
            own.append(own[-1] + len(word))
    found: tuple[Spans, Spans] = ([], [])
    for what, a_low, a_high, b_low, b_high in SequenceMatcher(None, before, after).get_opcodes():
        if what != "equal":
            found[0].append((places[0][a_low], places[0][a_high]))
            found[1].append((places[1][b_low], places[1][b_high]))
    return found


def _merged(spans: Spans) -> Spans:
    """Leave out spans of nothing, and join those that are near to each other."""
    found: Spans = []
    for low, high in spans:
        if low == high:
            continue
        if found and low - found[-1][1] <= NEAR:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return [*found[: MARKS - 1], (found[MARKS - 1][0], found[-1][1])] if len(found) > MARKS else found


def row_hits(kind: str, before: dict[str, Any], after: dict[str, Any]) -> tuple[Hits, Hits]:
    """Return hits on all that differs between the turns of two versions of a row."""
    found: tuple[Hits, Hits] = ([], [])
    for old, new in _paired(every_turn(kind, before), every_turn(kind, after)):
        for own, more in zip(found, _turn_hits(old, new), strict=True):
            own.extend(more[: HITS - len(own)])
    return found


def _paired(before: list[ShownTurn], after: list[ShownTurn]) -> Iterator[tuple[ShownTurn | None, ShownTurn | None]]:
    """Give the turns that belong together and are not the same; one of them is None where only one version has it."""
    if max(len(before), len(after)) > TURNS:
        yield from (
            (old, new)
            for old, new in zip_longest(before, after)
            if old is None or new is None or _said(old) != _said(new)
        )
        return
    matcher = SequenceMatcher(None, [_said(turn) for turn in before], [_said(turn) for turn in after], autojunk=False)
    for what, a_low, a_high, b_low, b_high in matcher.get_opcodes():
        if what != "equal":
            yield from _of_block(before[a_low:a_high], after[b_low:b_high])


def _of_block(
    before: Sequence[ShownTurn], after: Sequence[ShownTurn]
) -> Iterator[tuple[ShownTurn | None, ShownTurn | None]]:
    """Pair turns of the same side and role, in their order."""
    left = list(after)
    for old in before:
        place = next((n for n, new in enumerate(left) if (new[0], new[2]) == (old[0], old[2])), None)
        yield old, None if place is None else left.pop(place)
    yield from ((None, new) for new in left)


def _said(turn: ShownTurn) -> tuple[str, str, str]:
    side, _, role, text = turn
    return side, role, text


def _turn_hits(old: ShownTurn | None, new: ShownTurn | None) -> tuple[Hits, Hits]:
    if old is None or new is None:
        return ([_hit(old, 0, 0, "only before")] if old else []), ([_hit(new, 0, 0, "only now")] if new else [])
    spans = changed_spans(old[3], new[3])
    marks = [[_hit(turn, *span, "changed") for span in own] for turn, own in zip((old, new), spans, strict=True)]
    for own, turn, other in ((marks[0], old, spans.after), (marks[1], new, spans.before)):
        if not own and other and len(turn[3]) > WHOLE:
            # Nothing is marked here, so the text would be cut in the middle: the character before the place is.
            low = max(min(other[0][0], len(turn[3])) - 1, 0)
            own.append(_hit(turn, low, low + 1, "here the other version has more"))
    return marks[0], marks[1]


def _hit(turn: ShownTurn, start: int, end: int, reason: str) -> dict[str, Any]:
    return {"side": turn[0], "turn": turn[1], "start": start, "end": end, "reason": reason, "match": None}
