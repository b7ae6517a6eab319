"""The worth of a completion: one of its scores, or a mean of several."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import MixtureError, is_number

ASPECTS: Final = ("helpfulness", "honesty", "instruction_following", "truthfulness")
"""The aspects that UltraFeedback rates, 1 to 5."""

OVERALL: Final = ("overall", "overall_score")
""""overall" is the first of these scores that a completion has."""

_DECIMALS: Final = 9
_ROUNDED: Final = 1e6
"""Means below this are rounded: above it, a float has hardly more than nine decimals anyway."""


@dataclass(frozen=True, kw_only=True)
class Blend:
    """See `mean` and `weighted`: the names of scores with their weights, sorted by name."""

    weights: tuple[tuple[str, float], ...]


def mean(*names: str) -> Blend:
    """Return the mean of several scores, for `binarize(score=)`; a completion that lacks one of them has no mean.

    Args:
        *names: Names of scores, each once.

    Returns:
        The names with their weights.

    Raises:
        MixtureError: There is no name, or one is given twice.

    Example:
        >>> mean("honesty", "helpfulness")
        Blend(weights=(('helpfulness', 1.0), ('honesty', 1.0)))
    """
    if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise MixtureError(
            f"mean({', '.join(map(repr, names))}) takes names of scores, each once; {', '.join(ASPECTS)}, say"
        )
    return Blend(weights=tuple((name, 1.0) for name in sorted(names)))


def weighted(**weights: float) -> Blend:
    """Return the weighted mean of several scores; a completion that lacks one of them has no mean.

    The sum is divided by the sum of the absolute weights.

    Args:
        **weights: The weight of each score, not 0. A weight may be negative (HelpSteer2's recipe subtracts verbosity).
            Names with spaces: `weighted(**{"a b": 2})`.

    Returns:
        The names with their weights.

    Raises:
        MixtureError: There is no weight, or one is 0 or not a number.

    Example:
        >>> weighted(helpfulness=2, honesty=1)
        Blend(weights=(('helpfulness', 2.0), ('honesty', 1.0)))
    """
    bad = {name: value for name, value in weights.items() if not is_number(value) or value == 0}
    if bad or not weights:
        shown = ", ".join(f"{name}={value!r}" for name, value in (bad or weights).items())
        raise MixtureError(f"weighted({shown}): a weight is a number other than 0, such as helpfulness=2")
    return Blend(weights=tuple((name, float(weights[name])) for name in sorted(weights)))


def scores_of(lists: pa.ListArray, score: str | Blend) -> NDArray[np.float64]:
    """Return one score for each completion from its list of scores; NaN if it lacks one that is needed.

    `score` is "overall" (the score `overall`, or else `overall_score`), another name, or a `Blend`. Of scores of one
    name the last counts. Means are rounded to nine decimals, so that mathematically equal ones tie.

    >>> from curate.rows.schema import SCORE
    >>> each = [{"name": "helpfulness", "value": 4.0}, {"name": "honesty", "value": 5.0}], []
    >>> scores_of(pa.array(each, pa.list_(SCORE)), mean("helpfulness", "honesty")).tolist()
    [4.5, nan]
    """
    if isinstance(score, Blend):
        columns = score_columns(lists, tuple(name for name, _ in score.weights))
        total = np.zeros(len(lists))
        for column, (_, weight) in zip(columns, score.weights, strict=True):
            total += weight * column
        return rounded(total / sum(abs(weight) for _, weight in score.weights))
    if score != OVERALL[0]:
        return score_columns(lists, (score,))[0]
    first, second = score_columns(lists, OVERALL)
    return np.where(np.isnan(first), second, first)


def score_columns(lists: pa.ListArray, names: tuple[str, ...]) -> list[NDArray[np.float64]]:
    """Return a column for each name: that score of each list, NaN if it is missing or not finite."""
    offsets = lists.offsets.to_numpy(zero_copy_only=True)
    items = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
    owner = np.repeat(np.arange(len(lists)), np.diff(offsets))
    code = pc.index_in(items.field("name"), value_set=pa.array(names, pa.string())).fill_null(-1).to_numpy()
    value = items.field("value").fill_null(math.nan).to_numpy()
    value = np.where(np.isfinite(value), value, math.nan)
    found = []
    for place in range(len(names)):
        column = np.full(len(lists), math.nan)
        given = np.flatnonzero(code == place)
        column[owner[given]] = value[given]
        found.append(column)
    return found


def rounded(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to nine decimals; larger numbers stay as they are."""
    small = np.abs(means) < _ROUNDED
    return np.where(small, np.round(np.where(small, means, 0.0), _DECIMALS), means)
