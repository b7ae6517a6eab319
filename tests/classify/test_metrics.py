"""The figures of a classifier are what their definitions say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.classify.metrics import measure

PROBABILITIES = st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.0]), min_size=1, max_size=12)


@given(PROBABILITIES, PROBABILITIES)
def test_figures_are_as_defined(positive: list[float], negative: list[float]) -> None:
    found = measure(np.array(positive, np.float32), np.array(negative, np.float32))
    recall = sum(x >= 0.5 for x in positive) / len(positive)
    passed = sum(x >= 0.5 for x in negative) / len(negative)
    wins = [(x > y) + (x == y) / 2 for x in positive for y in negative]
    assert found.auc == pytest.approx(sum(wins) / len(wins))
    assert (found.recall, found.accuracy) == pytest.approx((recall, (recall + 1 - passed) / 2))
    assert found.precision == pytest.approx(recall / (recall + passed) if recall + passed else 0)
    assert found.true_positive + found.false_negative == len(positive)
    assert found.false_positive + found.true_negative == len(negative)


def test_a_perfect_one_and_one_that_says_nothing() -> None:
    perfect = measure(np.array([0.9, 0.8]), np.array([0.1]))
    assert perfect[4:9] == (1, 1, 1, 1, 1)
    silent = measure(np.array([0.2]), np.array([0.2, 0.2]))
    assert (silent.accuracy, silent.f1, silent.precision, silent.auc) == (0.5, 0, 0, 0.5)
