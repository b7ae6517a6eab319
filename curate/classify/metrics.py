"""How well a classifier separates rows that it was not trained on.

Rates weigh both sides alike, however many rows each has: a side's share in the held-out rows is chance, not the share
that it has in the data which is filtered later.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

LIMITS: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
"""The limits that a card shows."""


class AtLimit(NamedTuple):
    """The share of positive and of negative rows that a limit on the probability keeps."""

    limit: float
    kept_positive: float
    kept_negative: float


class HeldOut(NamedTuple):
    """Figures of rows held out, at a limit of 0.5.

    The four counts are of rows. `accuracy` is the mean over both sides of the share judged right; `precision`,
    `recall` and `f1` are of positive rows, were both sides equally many; `auc` is the chance that a positive row has a
    higher probability than a negative one, ties counted half.
    """

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    auc: float
    limits: tuple[AtLimit, ...]


def measure(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> HeldOut:
    """Return the figures from the probabilities of positive and of negative rows, at least one of each.

    >>> found = measure(np.array([0.9, 0.8, 0.3, 0.6]), np.array([0.1, 0.6]))
    >>> found[:4], found.recall, round(found.precision, 3), found.accuracy, found.auc
    ((3, 1, 1, 1), 0.75, 0.6, 0.625, 0.8125)
    """
    half = _at(positive, negative, 0.5)
    right, wrong = int((positive >= 0.5).sum()), int((negative >= 0.5).sum())
    recall, passed = half.kept_positive, half.kept_negative
    precision = recall / (recall + passed) if recall + passed else 0.0
    return HeldOut(
        right,
        len(positive) - right,
        wrong,
        len(negative) - wrong,
        (recall + 1 - passed) / 2,
        precision,
        recall,
        2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        _auc(positive, negative),
        tuple(_at(positive, negative, limit) for limit in LIMITS),
    )


def _at(positive: NDArray[np.floating], negative: NDArray[np.floating], limit: float) -> AtLimit:
    return AtLimit(limit, float((positive >= limit).mean()), float((negative >= limit).mean()))


def _auc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left").astype(np.int64).sum()
    ties = np.searchsorted(ordered, positive, "right").astype(np.int64).sum() - below
    return float((below + ties / 2) / (len(positive) * len(negative)))
