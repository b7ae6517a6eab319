"""The figures of a classifier are what their definitions say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.classify.metrics import measure

PROBABILITIES = st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.0]), min_size=1, max_size=12)


@given(PROBABILITIES, PROBABILITIES)
def test_auc_is_the_chance_that_a_positive_row_is_above_a_negative_one(
    positive: list[float], negative: list[float]
) -> None:
    measured = measure(np.array(positive, np.float32), np.array(negative, np.float32))
    wins = [(x > y) + (x == y) / 2 for x in positive for y in negative]
    assert measured.auc == pytest.approx(sum(wins) / len(wins))


@given(PROBABILITIES, PROBABILITIES, st.integers(2, 5))
def test_how_many_rows_a_side_has_does_not_matter(positive: list[float], negative: list[float], times: int) -> None:
    once = measure(np.array(positive), np.array(negative))
    more = measure(np.array(positive * times), np.array(negative))
    assert (more.true_positive, more.false_positive) == (times * once.true_positive, once.false_positive)
    rates = ("accuracy", "precision", "recall", "f1", "auc")
    assert [getattr(more, name) for name in rates] == pytest.approx([getattr(once, name) for name in rates])


def test_figures_worked_out_by_hand() -> None:
    """Four positive rows, three kept; ten negative rows, two kept: 3/4 and 1/5, so precision 15/19 and f1 10/13."""
    measured = measure(np.array([0.9, 0.8, 0.3, 0.5]), np.array([0.1] * 8 + [0.5, 0.95]))
    counts = (measured.true_positive, measured.false_negative, measured.false_positive, measured.true_negative)
    assert counts == (3, 1, 2, 8)
    assert (measured.recall, measured.accuracy) == pytest.approx((0.75, 0.775))
    assert (measured.precision, measured.f1) == pytest.approx((15 / 19, 10 / 13))
    assert measured.auc == pytest.approx((9 + 9 + 8 + 8.5) / 40)
    assert measured.limits[-1].limit == 0.9
    assert (measured.limits[-1].kept_positive, measured.limits[-1].kept_negative) == (0.25, 0.1)


def test_a_perfect_one_and_one_that_says_nothing() -> None:
    perfect = measure(np.array([0.9, 0.8]), np.array([0.1]))
    assert (perfect.accuracy, perfect.precision, perfect.recall, perfect.f1, perfect.auc) == (1, 1, 1, 1, 1)
    silent = measure(np.array([0.2]), np.array([0.2, 0.2]))
    assert (silent.accuracy, silent.f1, silent.precision, silent.auc) == (0.5, 0, 0, 0.5)
