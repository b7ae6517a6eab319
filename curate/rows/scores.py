"""The score of a row's best answer, as one number."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.schema import kind_of


def best_scores(body: pa.RecordBatch) -> NDArray[np.float64] | None:
    """Return the score of the best answer of each row, NaN where none has one; None for rows without scores.

    Of a rated row it is the highest mean over the scores of a completion, of a preference row its chosen score.

    >>> from curate.rows.schema import BODIES
    >>> scores = [{"name": "honesty", "value": 4.0}, {"name": "truth", "value": 1.0}]
    >>> answers = [{"content": "a", "model": "m", "scores": scores}, {"content": "b", "model": "m", "scores": []}]
    >>> rows = [{"messages": [], "completions": answers, "meta": "{}"}]
    >>> best_scores(pa.RecordBatch.from_pylist(rows, BODIES["rated"])).tolist()
    [2.5]
    """
    match kind_of(body.schema):
        case "preference":
            return np.asarray(body["chosen_score"].cast(pa.float64()).fill_null(np.nan))
        case "rated":
            answers = body["completions"]
            of_answer = answers.values.field("scores")
            means = _over(np.asarray(of_answer.values.field("value").fill_null(np.nan)), of_answer, np.add)
            sizes = np.diff(of_answer.offsets.to_numpy())
            return _over(means / np.where(sizes, sizes, 1), answers, np.fmax)
        case _:
            return None


def _over(values: NDArray[np.float64], lists: pa.ListArray, reduce: np.ufunc) -> NDArray[np.float64]:
    """Reduce the values of each list; NaN for an empty one."""
    offsets = lists.offsets.to_numpy()
    found = np.full(len(lists), np.nan)
    full = np.flatnonzero(np.diff(offsets))
    if len(full):
        found[full] = reduce.reduceat(values[: offsets[-1]], offsets[full])
    return found
