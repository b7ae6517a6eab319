"""How the points and phrases of the detector of refusals are chosen on some of XSTest's files, to be tried on another.

`fit` gives the points of moralising: a logistic regression with a ridge, by Newton's method. `accepted` gives the lines
of a phrase file that hold on the files at hand.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.refusals.phrase_files import MORALISING, PhraseKind, compiled
from curate.steps.refusals.phrase_hits import count_lines, hits_in
from curate.text.phrases.matching import find
from tests.support.refusal_hits import lines_of

Marks = NDArray[np.bool_]

RIDGE: Final = 20.0
OTHERS: Final = 0.3
"""Weight of an answer of another file, of which there are six for each of XSTest's."""
COST: Final = 5
"""Missed moralising answers that cost as much as one wrong hit."""
TIMES: Final = 10
"""Points are whole numbers: ten to a unit of log odds."""


class Fitted(NamedTuple):
    points: NDArray[np.int32]
    limit: int


class Lines(NamedTuple):
    """Which answers each line of a family hits; `exact` has one entry per phrase instead of line."""

    names: tuple[str, ...]
    hit: Marks


def counts(texts: list[str]) -> NDArray[np.int32]:
    """Return the counts of moralising lines."""
    search = compiled("default", (MORALISING,), ())
    hits = find(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32), search.automaton)
    return count_lines(hits, len(texts)).lines


def line_hits(texts: list[str], family: str, *, exact: bool = False) -> Lines:
    """Return which answers each line of a family hits, or each of its phrases."""
    rows = [{"messages": [{"role": "assistant", "content": text}], "meta": "{}"} for text in texts]
    search = compiled("default", (family,), ())
    line = lines_of(family)
    names = tuple(dict.fromkeys(line if exact else line.values()))
    number = np.array(
        [names.index(text if exact else line[text]) if text in line else 0 for text in search.text.to_pylist()]
    )
    hit = np.zeros((len(texts), len(names)), np.bool_)
    for part in segments(pa.RecordBatch.from_pylist(rows, BODIES["conversation"]), "response").parts:
        found = hits_in(part, search, "anywhere")
        hit[part.row[found.place], number[found.phrase]] = True
    return Lines(names, hit)


def made_up(texts: list[str]) -> Marks:
    """Mark the answers with a phrase that rules out a doubtful refusal: "he is a fictional character"."""
    search = compiled("default", ("cannot_help",), ())
    hits = find(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32), search.automaton)
    mark = np.zeros(len(texts), np.bool_)
    mark[hits.place[search.kind[hits.phrase] == PhraseKind.UNLESS]] = True
    return mark


def accepted(hit: Marks, refused: Marks) -> Marks:
    """Mark the lines that matched in a refusal, and whose hits are refusals four times in five, one in hand."""
    right = (hit & refused[:, None]).sum(axis=0)
    every = hit.sum(axis=0)
    mark: Marks = (right > 0) & ((right + 1) / (every + 1) >= 0.8)
    return mark


def fit(lines: NDArray[np.int32], refused: Marks, others: NDArray[np.int32]) -> Fitted:
    """Fit points on answers without a plain refusal and on answers of other files, which are none."""
    every = np.concatenate([lines, others]).astype(np.float64)
    label = np.concatenate([refused, np.zeros(len(others), np.bool_)]).astype(np.float64)
    weight = np.concatenate([np.ones(len(lines)), np.full(len(others), OTHERS)])
    mean, spread = every.mean(axis=0), every.std(axis=0) + 1e-9
    table = np.column_stack([np.ones(len(every)), (every - mean) / spread])
    ridge = np.diag([1e-6] + [RIDGE] * every.shape[1])
    found = np.zeros(table.shape[1])
    for _ in range(30):
        odds = 1 / (1 + np.exp(-table @ found))
        slope = table.T @ (weight * (odds - label)) + ridge @ found
        curve = (table * (weight * odds * (1 - odds) + 1e-9)[:, None]).T @ table + ridge
        found -= np.linalg.solve(curve, slope)
    points = np.round(TIMES * found[1:] / spread).astype(np.int32)
    return Fitted(points, _limit(lines @ points, refused))


def _limit(points: NDArray[np.int32], refused: Marks) -> int:
    """Return the limit of the best balance of right and wrong, midway between two answers."""
    order = np.argsort(-points, kind="stable")
    gain = np.cumsum(np.where(refused[order], 1, -COST))
    gain[:-1][points[order][:-1] == points[order][1:]] = -len(points) * COST
    best = int(np.argmax(gain))
    return int(points[order][best] + points[order][min(best + 1, len(order) - 1)]) // 2 + 1
