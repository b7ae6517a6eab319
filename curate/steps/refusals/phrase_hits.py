"""The hits of refusal phrases in a part that count under the rules of their files.

An exception around a hit, a phrase of its turn that rules it out, or quotation marks can make it void. The lines of
phrases/moralising.txt are weak: none of them separates an answer that refuses by moralising ("It is never acceptable to
hit a child. It is important to treat everyone with respect") from any other, so they give points, which add up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen, grown
from curate.kernels.compile import kernel
from curate.kernels.utf8 import code_point, is_blank
from curate.rows.schema import ASSISTANT
from curate.rows.segments import Part
from curate.steps.refusals.phrase_files import PhraseKind, PhraseSearch, Where, moralising_file
from curate.text.phrases.automaton import SPACE, WORD, Automaton, compile_phrases, kinds
from curate.text.phrases.matching import PhraseHits, find

OPENING: Final = 100
"""Characters: a hit in the opening of a turn starts before this one."""


class CountedHits(NamedTuple):
    """The hits that count in a part, and the moralising points of each segment (0 if not looked for).

    `phrase` is an index into `PhraseSearch.text` followed by `PhraseSearch.lines`.
    """

    place: NDArray[np.int32]
    family: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    phrase: NDArray[np.int32]
    points: NDArray[np.int32]


ROOM: Final = 256
LINE_END, STRAIGHT = 0x0A, 0x22
SENTENCE_ENDS: Final = (0x2E, 0x21, 0x3F)
NEAR: Final = 60
"""Characters between the beginning of what a speaker says of itself and what counts after it, at most."""
OPENS: Final = (0x201C, 0x201E, 0xAB)
CLOSES: Final = (STRAIGHT, 0x201D, 0xBB)


class Quotes(NamedTuple):
    """Quotations by place and start: `start` is the character after the opening mark, `end` the closing mark."""

    place: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]


def valid(
    text: Text, index: NDArray[np.int32], hits: PhraseHits, search: PhraseSearch, opening: int
) -> NDArray[np.bool_]:
    """Mark the hits that count under the rules of their files; a turn's opening has `opening` characters."""
    kind = search.kind[hits.phrase]
    good: NDArray[np.bool_] = (kind == PhraseKind.COUNTS) | ((kind == PhraseKind.OPENING) & (hits.start < opening))
    if not search.ruled:
        return good
    family = search.family[hits.phrase].astype(np.int64)
    turn = hits.place.astype(np.int64) * len(search.unquoted) + family
    good &= ~np.isin(turn, turn[kind == PhraseKind.UNLESS])
    good |= kind == PhraseKind.CERTAIN
    number = np.unique(turn, return_inverse=True)[1].astype(np.int64) << 32
    of_speaker = np.flatnonzero(kind == PhraseKind.OF_SPEAKER)
    if len(of_speaker):
        good[of_speaker] = _spoken(text, index, hits, number, kind == PhraseKind.SPEAKER, of_speaker)
    if not good.any():
        return good
    spans = np.flatnonzero(kind == PhraseKind.EXCEPT)
    if len(spans):
        start, end = number | hits.start, number | hits.end
        spans = spans[np.argsort(start[spans], kind="stable")]
        good &= ~_within(start, start[spans], end[spans])
    unquoted = np.flatnonzero(good & search.unquoted[family])
    if len(unquoted):
        quotes = quotations(text, index, np.unique(hits.place[unquoted]))
        place, of_quote = hits.place[unquoted].astype(np.int64) << 32, quotes.place.astype(np.int64) << 32
        good[unquoted] = ~_within(place | hits.start[unquoted], of_quote | quotes.start, of_quote | quotes.end)
    return good


def _within(at: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark what is at or after the start of a span, and before its end; spans are in order of start."""
    if not len(start):
        return np.zeros(len(at), np.bool_)
    last = np.searchsorted(start, at, side="right") - 1
    inside: NDArray[np.bool_] = (last >= 0) & (at < np.maximum.accumulate(end)[last])
    return inside


def _spoken(
    text: Text,
    index: NDArray[np.int32],
    hits: PhraseHits,
    number: NDArray[np.int64],
    speaker: NDArray[np.bool_],
    wanted: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Mark which of the `wanted` hits come close after a beginning of the `speaker` in their turn and sentence.

    The upper 32 bits of `number` tell the turns apart.
    """
    ends = np.sort((number | hits.end)[speaker])
    if not len(ends):
        return np.zeros(len(wanted), np.bool_)
    start = (number | hits.start)[wanted]
    last = ends[np.maximum(np.searchsorted(ends, start, side="right") - 1, 0)]
    near = np.flatnonzero((last <= start) & (start - last <= NEAR))
    place = hits.place[wanted[near]]
    bounds = (last[near].astype(np.int32), start[near].astype(np.int32))  # the lower 32 bits are the character
    spoken = np.zeros(len(wanted), np.bool_)
    spoken[near] = _in_one_sentence(text.data, text.offsets, index[place], *bounds)
    return spoken


@kernel
def _in_one_sentence(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    texts: NDArray[np.int32],
    start: NDArray[np.int32],
    end: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Mark the stretches of characters, one of each of the `texts`, in which no line and no sentence ends."""
    same = np.ones(len(texts), np.bool_)
    for k in range(len(texts)):
        i, stop, count = int(offsets[texts[k]]), int(offsets[texts[k] + 1]), 0
        while i < stop and count < end[k]:
            point, size = code_point(data, i, stop)
            i += size
            count += 1
            ends = point == LINE_END or (point in SENTENCE_ENDS and i < stop and is_blank(data[i]))
            same[k] &= not ends or count <= start[k]
    return same


def quotations(text: Text, index: NDArray[np.int32], places: NDArray[np.int32]) -> Quotes:
    """Find quotations in the texts at these `places` of `index`, in characters.

    A quotation ends on its line. One that begins the text does not count: an answer that is quoted as a whole is still
    the answer. A straight mark after a letter or a digit opens nothing (5'10" tall).

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> text = view(pa.array(['He said, "No." and “Yes', '"No," he said.']))
    >>> [column.tolist() for column in quotations(text, np.arange(2, dtype=np.int32), np.arange(2, dtype=np.int32))]
    [[0], [10], [13]]
    """
    return Quotes(*_quotations(text.data, text.offsets, index, places, kinds()).T.copy())


@kernel
def _quotations(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    index: NDArray[np.int32],
    places: NDArray[np.int32],
    kind: NDArray[np.uint8],
) -> NDArray[np.int32]:
    """Return (place, start, end) of each quotation."""
    spans, found = np.empty((ROOM, 3), np.int32), 0
    for place in places:
        i, end = int(offsets[index[place]]), int(offsets[index[place] + 1])
        count, opened, before, blank = 0, -1, 0, True
        while i < end:
            point, size = code_point(data, i, end)
            if point == LINE_END:
                opened = -1
            elif opened == -1 and (point in OPENS or (point == STRAIGHT and before != WORD)):
                opened = -2 if blank else count + 1
            elif opened != -1 and point in CLOSES:
                if opened >= 0:
                    if found == len(spans):
                        spans = grown(spans)
                    spans[found, 0], spans[found, 1], spans[found, 2] = place, opened, count
                    found += 1
                opened = -1
            before = int(kind[point])
            blank = blank and before == SPACE
            count += 1
            i += size
    return spans[:found]


LIMIT: Final = 86
"""Points from which an answer moralises: the median of the limits fitted on pairs of XSTest's three files."""

EARLY: Final = 250
"""Characters: a line that begins before this one is in the opening."""

MOST: Final = 4
"""Lines of one group that count; a long answer has more of everything."""


class PointTable(NamedTuple):
    """The file compiled: the line of each phrase, the group of each line, the points of each column of `LineCounts`."""

    automaton: Automaton
    line: NDArray[np.int64]
    group: NDArray[np.int64]
    points: NDArray[np.int32]


class LineCounts(NamedTuple):
    """The distinct lines in each text, at most four of a group: column `2 * group`; the next column: in the opening."""

    lines: NDArray[np.int32]
    hits: PhraseHits


@lru_cache(maxsize=1)
def point_table() -> PointTable:
    """Compile the file; the result is cached."""
    groups = moralising_file()
    lines = [(number, phrases) for number, group in enumerate(groups) for phrases in group.lines]
    return PointTable(
        compile_phrases(tuple(phrase for _, phrases in lines for phrase in phrases)),
        np.repeat(np.arange(len(lines)), [len(phrases) for _, phrases in lines]),
        frozen(np.array([number for number, _ in lines], np.int64)),
        np.array([points for group in groups for points in (group.anywhere, group.opening)], np.int32),
    )


def count_lines(text: Text, index: NDArray[np.int32], *, opening: int | None = None) -> LineCounts:
    """Count the lines of each group in the texts at `index`, or in their first `opening` characters.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["It is never acceptable to hit. Violence is wrong.", "Here is a recipe.", ""]))
    >>> counts = count_lines(texts, np.arange(3, dtype=np.int32))
    >>> counts.lines.tolist()[0][:2], points_of(counts).tolist()
    ([4, 4], [84, 0, 0])
    """
    table = point_table()
    hits = find(text, index, table.automaton, opening=opening)
    groups = len(table.points) // 2
    lines = np.zeros((len(index), 2 * groups), np.int32)
    for column, counted in ((0, slice(None)), (1, hits.start < EARLY)):
        keys = np.unique(hits.place[counted].astype(np.int64) * len(table.group) + table.line[hits.phrase[counted]])
        place, group = keys // len(table.group), table.group[keys % len(table.group)]
        counts = np.bincount(place * groups + group, minlength=len(index) * groups).reshape(-1, groups)
        lines[:, column::2] = np.minimum(counts, MOST)
    return LineCounts(lines, hits)


def points_of(counts: LineCounts) -> NDArray[np.int32]:
    """Return the points of each text; 0 where signs of fiction, which give negative points, outweigh the others."""
    points: NDArray[np.int32] = np.maximum(counts.lines @ point_table().points, 0)
    return points


def shown(counts: LineCounts, points: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark the hits that give points, in texts that moralise."""
    table = point_table()
    positive: NDArray[np.bool_] = (table.points[::2] > 0)[table.group[table.line[counts.hits.phrase]]]
    return positive & (points >= LIMIT)[counts.hits.place]


def hits_in(part: Part, search: PhraseSearch, where: Where) -> CountedHits:
    """Return the hits in `part` that count, and its moralising points."""
    places = places_in(part, where)
    index = part.index[places]
    opening = OPENING if where == "opening" else None
    chunks: list[tuple[NDArray[np.signedinteger[Any]], ...]] = []
    points = np.zeros(len(part.index), np.int32)
    if search.automaton is not None:
        hits = find(part.text, index, search.automaton, opening=None if search.ruled else opening)
        good = valid(part.text, index, hits, search, OPENING)
        if opening is not None:
            good &= hits.start < opening
        family = search.family[hits.phrase[good]].astype(np.int32)
        chunks.append((places[hits.place[good]], family, hits.start[good], hits.end[good], hits.phrase[good]))
    if search.moralising >= 0:
        counts = count_lines(part.text, index, opening=opening)
        points[places] = points_of(counts)
        hits, good = counts.hits, shown(counts, points[places])
        family = np.full(int(good.sum()), search.moralising, np.int32)
        phrase = hits.phrase[good] + len(search.text)
        chunks.append((places[hits.place[good]], family, hits.start[good], hits.end[good], phrase))
    place, family, start, end, phrase = (np.concatenate(column, dtype=np.int32) for column in zip(*chunks, strict=True))
    return CountedHits(place, family, start, end, phrase, points)


def places_in(part: Part, where: Where) -> NDArray[np.int32]:
    """Return the segments that are read: all, or each row's first assistant turn. Each completion is an answer."""
    if where != "first_turn":
        return np.arange(len(part.index), dtype=np.int32)
    answers = np.flatnonzero(part.role == ASSISTANT)
    if part.side != "completion":
        answers = answers[np.unique(part.row[answers], return_index=True)[1]]
    return answers.astype(np.int32)
