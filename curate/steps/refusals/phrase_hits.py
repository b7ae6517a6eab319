"""The hits of refusal phrases in a part that count under the rules of their files.

An exception around a hit, a phrase of its turn that rules it out, or quotation marks can make it void. The lines of
phrases/moralising.txt are weak: none of them separates an answer that refuses by moralising ("It is never acceptable to
hit a child. It is important to treat everyone with respect") from any other, so they give points, which add up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Bytes, Int32s, Text, frozen, grown, strings
from curate.kernels.compile import inline, kernel
from curate.kernels.kept import code_of, kept
from curate.kernels.utf8 import character_places, code_point, is_blank, skip_characters
from curate.kernels.vector import WIDTH, trailing, within32
from curate.rows.schema import ASSISTANT
from curate.rows.segments import Part
from curate.rows.visible import Visible, without_invisible
from curate.steps.refusals.phrase_files import (
    CODE,
    MORALISING,
    PatternFile,
    PhraseKind,
    PhraseSearch,
    Where,
    file_text,
    moralising_file,
)
from curate.text.invisible import places_among_all
from curate.text.phrases.automaton import SPACE, WORD, kinds
from curate.text.phrases.matching import PhraseHits, find, last_character

OPENING: Final = 100
"""Characters: a hit in the opening of a turn starts before this one."""

LAST: Final = np.iinfo(np.int32).max


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
    rank = np.cumsum(np.diff(hits.place, prepend=-1) > 0)
    number = (rank * len(search.unquoted) + family) << 32
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
        within = hits.place[unquoted]
        quotes = quotations(text, index, within[np.diff(within, prepend=-1) > 0])
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
    near = near[np.argsort(last[near], kind="stable")]
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
    """Mark the stretches of characters, one of each of the `texts`, in which no line and no sentence ends.

    Linear where those of a text are neighbours, in order of start.
    """
    same = np.ones(len(texts), np.bool_)
    text, at, count = -1, 0, 0
    for k in range(len(texts)):
        stop = int(offsets[texts[k] + 1])
        if texts[k] != text or start[k] < count:
            text, at, count = texts[k], int(offsets[texts[k]]), 0
        at, count = skip_characters(data, at, stop, start[k] - count), start[k]
        i = at
        for _ in range(end[k] - start[k]):
            point, size = code_point(data, i, stop)
            i += size
            ends = point == LINE_END or (point in SENTENCE_ENDS and i < stop and is_blank(data[i]))
            same[k] &= not ends
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
    place, start, end = _quotations(text.data, text.offsets, index, places, kinds()).T.copy()
    return Quotes(place, *character_places(text, index[place], start, end))


@inline
def next_mark(data: Bytes, i: int, end: int) -> int:
    """Return the next byte from `i` on that may begin a quotation mark or ends a line, or `end`."""
    while i < min(end, len(data) - WIDTH):
        marks = within32(data, i, STRAIGHT, STRAIGHT) | within32(data, i, LINE_END, LINE_END)
        marks |= within32(data, i, 0xC2, 0xC2) | within32(data, i, 0xE2, 0xE2)
        if marks:
            return min(end, i + trailing(marks))
        i += WIDTH
    while i < end and data[i] not in (STRAIGHT, LINE_END, 0xC2, 0xE2):
        i += 1
    return min(end, i)


@kernel
def _quotations(data: Bytes, offsets: Int32s, index: Int32s, places: Int32s, kind: Bytes) -> Int32s:
    """Return (place, start, end) of each quotation, in bytes."""
    spans, found = np.empty((ROOM, 3), np.int32), 0
    for place in places:
        begin, end = int(offsets[index[place]]), int(offsets[index[place] + 1])
        opened, blank = -1, begin
        while blank < end and kind[code_point(data, blank, end)[0]] == SPACE:
            blank += code_point(data, blank, end)[1]
        i = next_mark(data, begin, end)
        while i < end:
            point, size = code_point(data, i, end)
            before = kind[code_point(data, last_character(data, begin, i), i)[0]] if i > begin else 0
            if point == LINE_END:
                opened = -1
            elif opened == -1 and (point in OPENS or (point == STRAIGHT and before != WORD)):
                opened = -2 if i == blank else i + size
            elif opened != -1 and point in CLOSES:
                if opened >= 0:
                    if found == len(spans):
                        spans = grown(spans)
                    spans[found, 0], spans[found, 1], spans[found, 2] = place, opened - begin, i - begin
                    found += 1
                opened = -1
            i = next_mark(data, i + size, end)
    return spans[:found]


LIMIT: Final = 86
"""Points from which an answer moralises: the median of the limits fitted on pairs of XSTest's three files."""

EARLY: Final = 250
"""Characters: a line that begins before this one is in the opening."""

MOST: Final = 4
"""Lines of one group that count; a long answer has more of everything."""


class PointTable(NamedTuple):
    """The file: the line of each phrase, the group of each line, the points of each column of `LineCounts`."""

    line: NDArray[np.int64]
    group: NDArray[np.int64]
    points: NDArray[np.int32]


class LineCounts(NamedTuple):
    """The distinct lines in each text, at most four of a group: column `2 * group`; the next column: in the opening.

    The `phrase` of each of the hits is an index into the phrases of the file.
    """

    lines: NDArray[np.int32]
    hits: PhraseHits


@lru_cache(maxsize=1)
def point_table() -> PointTable:
    """Return the points of the file, read once on a machine."""
    key = file_text(f"{MORALISING}.txt").encode()
    return PointTable(
        **kept("points", key, code_of("steps/refusals/phrase_hits.py", *CODE), lambda: _point_table()._asdict())
    )


def _point_table() -> PointTable:
    groups = moralising_file()
    lines = [(number, phrases) for number, group in enumerate(groups) for phrases in group.lines]
    return PointTable(
        np.repeat(np.arange(len(lines)), [len(phrases) for _, phrases in lines]),
        frozen(np.array([number for number, _ in lines], np.int64)),
        np.array([points for group in groups for points in (group.anywhere, group.opening)], np.int32),
    )


def count_lines(hits: PhraseHits, texts: int) -> LineCounts:
    """Count the lines of each group in so many texts.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> from curate.steps.refusals.phrase_files import compiled
    >>> texts = view(pa.array(["It is never acceptable to hit. Violence is wrong.", "Here is a recipe.", ""]))
    >>> lines = compiled("default", ("moralising",), ()).automaton
    >>> counts = count_lines(find(texts, np.arange(3, dtype=np.int32), lines), 3)
    >>> counts.lines.tolist()[0][:2], points_of(counts).tolist()
    ([4, 4], [84, 0, 0])
    """
    table = point_table()
    groups = len(table.points) // 2
    lines = np.zeros((texts, 2 * groups), np.int32)
    for column, counted in ((0, slice(None)), (1, hits.start < EARLY)):
        keys = np.unique(hits.place[counted].astype(np.int64) * len(table.group) + table.line[hits.phrase[counted]])
        place, group = keys // len(table.group), table.group[keys % len(table.group)]
        counts = np.bincount(place * groups + group, minlength=texts * groups).reshape(-1, groups)
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
    """Return the hits in `part` that count, searched without its invisible characters, and its moralising points."""
    opening = OPENING if where == "opening" else None
    chunks: list[tuple[NDArray[np.signedinteger[Any]], ...]] = []
    points = np.zeros(len(part.index), np.int32)
    for seen in without_invisible(part, places_in(part, where)):
        if search.regular is not None:
            hits = pattern_hits(seen, search.regular, len(search.kind))
            hits = _chosen(hits, hits.start < (LAST if opening is None else opening))
            chunks.append(_counted(part, seen, hits, np.zeros(len(hits.place), np.int32)))
        found = find(seen.text, seen.index, search.automaton, opening=None if search.ruled else opening)
        line = found.phrase >= len(search.kind)
        early = found.start < (LAST if opening is None else opening)
        hits = _chosen(found, ~line)
        good = valid(seen.text, seen.index, hits, search, OPENING) & early[~line]
        chunks.append(_counted(part, seen, _chosen(hits, good), search.family[hits.phrase[good]]))
        if search.moralising >= 0:
            hits = _chosen(found, line & early)
            texts, text = np.unique(hits.place, return_inverse=True)
            own = hits._replace(place=text.astype(np.int32), phrase=hits.phrase - np.int32(len(search.kind)))
            counts = count_lines(own, len(texts))
            points[seen.places[texts]] = points_of(counts)
            hits = _chosen(hits, shown(counts, points_of(counts)))
            chunks.append(_counted(part, seen, hits, np.full(len(hits.place), search.moralising)))
    place, family, start, end, phrase = (np.concatenate(column, dtype=np.int32) for column in zip(*chunks, strict=True))
    return CountedHits(place, family, start, end, phrase, points)


def pattern_hits(seen: Visible, regular: PatternFile, base: int) -> PhraseHits:
    """Return the first match of each regular expression in each of the texts; `phrase` counts them from `base`."""
    texts = pl.Series(strings(seen.text.data, seen.text.offsets).take(pa.array(seen.index)), dtype=pl.String)
    near = texts.str.contains(regular.needs).fill_null(value=False).arg_true().to_numpy().astype(np.int32)
    texts, found = texts.gather(near), [np.zeros((4, 0), np.int32)]
    begins = texts.to_frame("text").select(  # one query: 16 of them take 25 ms even on few texts
        pl.col("text").str.find(pattern).alias(pattern) for pattern in regular.patterns
    )
    for number, (pattern, begin) in enumerate(zip(regular.patterns, begins, strict=True)):
        hit = begin.is_not_null().arg_true()
        if hit.is_empty():
            continue
        start = begin.gather(hit).to_numpy().astype(np.int32)
        length = texts.gather(hit).str.extract(f"({pattern})").str.len_bytes().to_numpy().astype(np.int32)
        place = near[hit.to_numpy()]
        spans = character_places(seen.text, seen.index[place], start, start + length)
        found.append(np.stack([place, np.full(len(place), base + number, np.int32), *spans]))
    place, phrase, start, end = np.concatenate(found, axis=1)
    return PhraseHits(place, phrase, start, end)


def _chosen(hits: PhraseHits, mark: NDArray[np.bool_]) -> PhraseHits:
    return PhraseHits(*(column[mark] for column in hits))


def _counted(
    part: Part, seen: Visible, hits: PhraseHits, family: NDArray[np.signedinteger[Any]]
) -> tuple[NDArray[np.signedinteger[Any]], ...]:
    """Return the columns of `CountedHits` for hits in visible segments."""
    place, start, end = seen.places[hits.place], hits.start, hits.end
    if seen.stripped:
        start, end = places_among_all(part.text, part.index[place], start, end)
    return place, family, start, end, hits.phrase


def places_in(part: Part, where: Where) -> NDArray[np.int32]:
    """Return the segments that are read: all, or each row's first assistant turn. Each completion is an answer."""
    if where != "first_turn":
        return np.arange(len(part.index), dtype=np.int32)
    answers = np.flatnonzero(part.role == ASSISTANT)
    if part.side != "completion":
        answers = answers[np.unique(part.row[answers], return_index=True)[1]]
    return answers.astype(np.int32)
