"""Lectures: answers that refuse by moralising, told by many weak phrases together.

"It is never acceptable to hit a child. It is important to treat everyone with respect" declines without a word of
refusal. No phrase of it tells it from an answer, so the lines of phrases/lecture.txt give points, and points are added.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen
from curate.steps.refusals.phrase_files import lecture_file
from curate.text.phrases.automaton import Automaton, compile_phrases
from curate.text.phrases.matching import Hits, find

LIMIT: Final = 86
"""Points of a lecture: the middle one of the limits that two thirds of XSTest's files give."""

OPENING: Final = 250
"""Characters: a line that begins before this one is in the opening."""

MOST: Final = 4
"""Lines of one group that count; a long answer has more of everything."""


class Scale(NamedTuple):
    """The file compiled: of each phrase its line, of each line its group, and the points of what `count` counts."""

    automaton: Automaton
    line: NDArray[np.int64]
    group: NDArray[np.int64]
    points: NDArray[np.int32]


class Counts(NamedTuple):
    """The distinct lines of each group in each text, at most four: `lines[i, 2 * group]`, and those in the opening."""

    lines: NDArray[np.int32]
    hits: Hits


@lru_cache(maxsize=1)
def scale() -> Scale:
    """Compile the file of lectures; the answer is kept."""
    groups = lecture_file()
    lines = [(number, phrases) for number, group in enumerate(groups) for phrases in group.lines]
    return Scale(
        compile_phrases(tuple(phrase for _, phrases in lines for phrase in phrases)),
        np.repeat(np.arange(len(lines)), [len(phrases) for _, phrases in lines]),
        frozen(np.array([number for number, _ in lines], np.int64)),
        np.array([points for group in groups for points in (group.anywhere, group.opening)], np.int32),
    )


def count(text: Text, index: NDArray[np.int32], *, opening: int | None = None) -> Counts:
    """Count the lines of each group in the texts that `index` names; `opening` looks only at those that begin there.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> said = view(pa.array(["It is never acceptable to hit. Violence is wrong.", "Here is a recipe.", ""]))
    >>> count(said, np.arange(3, dtype=np.int32)).lines.tolist()[0][:2]
    [4, 4]
    """
    known = scale()
    hits = find(text, index, known.automaton, opening=opening)
    groups = len(known.points) // 2
    lines = np.zeros((len(index), 2 * groups), np.int32)
    for column, met in ((0, slice(None)), (1, hits.start < OPENING)):
        keys = np.unique(hits.place[met].astype(np.int64) * len(known.group) + known.line[hits.phrase[met]])
        place, group = keys // len(known.group), known.group[keys % len(known.group)]
        counts = np.bincount(place * groups + group, minlength=len(index) * groups).reshape(-1, groups)
        lines[:, column::2] = np.minimum(counts, MOST)
    return Counts(lines, hits)


def weigh(counts: Counts) -> NDArray[np.int32]:
    """Return the points of each text, 0 where signs of something made up outweigh the lecture.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> said = view(pa.array(["It is never acceptable to hit. Violence is wrong.", "Here is a recipe.", ""]))
    >>> weigh(count(said, np.arange(3, dtype=np.int32))).tolist()
    [84, 0, 0]
    """
    points: NDArray[np.int32] = np.maximum(counts.lines @ scale().points, 0)
    return points


def shown(counts: Counts, points: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark the hits that speak for a lecture in texts that are one."""
    known = scale()
    speaks: NDArray[np.bool_] = (known.points[::2] > 0)[known.group[known.line[counts.hits.phrase]]]
    return speaks & (points >= LIMIT)[counts.hits.place]
