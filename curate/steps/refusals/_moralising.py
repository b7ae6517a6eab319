"""Answers that refuse by moralising, detected by many weak phrases together.

"It is never acceptable to hit a child. It is important to treat everyone with respect" declines without a word of
refusal. No single phrase separates it from an answer, so the lines of phrases/moralising.txt give points, which add up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen
from curate.steps.refusals.phrase_files import moralising_file
from curate.text.phrases.automaton import Automaton, compile_phrases
from curate.text.phrases.matching import Hits, find

LIMIT: Final = 86
"""Points from which an answer moralises: the median of the limits fitted on pairs of XSTest's three files."""

OPENING: Final = 250
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
    hits: Hits


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
    for column, counted in ((0, slice(None)), (1, hits.start < OPENING)):
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
