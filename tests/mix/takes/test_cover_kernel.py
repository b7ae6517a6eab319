"""The lazy greedy cover chooses what one that looks at every row would choose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import frozen
from curate.mix.takes._cover_kernel import RowItems, cover
from curate.mix.takes.selection import NO_LIMIT
from tests.reference import cover as reference

ROW = st.tuples(st.frozensets(st.integers(0, 12), max_size=6), st.integers(1, 9))


def row_items(rows: list[frozenset[int]], cost: list[int]) -> RowItems:
    """Return rows as the kernel takes them: no item is a row's alone, as each has a number."""
    flat = [item for row in rows for item in sorted(row)]
    return RowItems(
        items=frozen(np.array(flat, np.int32)),
        offsets=frozen(np.cumsum([0, *map(len, rows)])),
        alone=frozen(np.zeros(len(rows))),
        cost=frozen(np.array(cost, np.int64)),
        factor=frozen(np.ones(len(rows))),
    )


@given(st.lists(ROW, min_size=1, max_size=30), st.sampled_from([1.0, 1.5, 3.0, 1e9]), st.integers(0, 3))
def test_it_chooses_as_one_that_looks_at_every_row(
    drawn: list[tuple[frozenset[int], int]], ahead: float, frame: int
) -> None:
    rows, cost = [row for row, _ in drawn], [one for _, one in drawn]
    weight = np.arange(1, 14, dtype=np.float64)
    order, added = cover(row_items(rows, cost), frozen(weight), frame, ahead, len(rows), NO_LIMIT)
    worth = dict(enumerate(weight.tolist()))
    expected = reference.cover(rows, worth, cost, frame=frame, ahead=ahead, most=len(rows))
    assert list(zip(order.tolist(), added.tolist(), strict=True)) == expected


@pytest.mark.parametrize("most", [1, 3, 7])
def test_a_shorter_choice_is_the_start_of_a_longer_one(most: int) -> None:
    rng = np.random.default_rng(0)
    rows = [frozenset(rng.integers(0, 40, 8).tolist()) for _ in range(50)]
    cost = rng.integers(1, 20, 50).tolist()
    items, weight = row_items(rows, cost), frozen(np.ones(40))
    whole, _ = cover(items, weight, 2, 5.0, 50, NO_LIMIT)
    short, _ = cover(items, weight, 2, 5.0, most, NO_LIMIT)
    by_cost, _ = cover(items, weight, 2, 5.0, NO_LIMIT, 40)
    assert sorted(whole.tolist()) == list(range(50))
    assert short.tolist() == whole[:most].tolist()
    assert by_cost.tolist() == whole[: len(by_cost)].tolist()
    spent = np.cumsum(np.array(cost)[by_cost])
    assert spent[-1] >= 40 > spent[-2]


def test_ahead_of_one_keeps_the_order_of_the_rows() -> None:
    rows = [frozenset({1}), frozenset({1, 2, 3}), frozenset({4})]
    order, added = cover(row_items(rows, [1, 5, 2]), frozen(np.ones(5)), 0, 1.0, 3, NO_LIMIT)
    assert order.tolist() == [0, 1, 2]
    assert added.tolist() == [1, 2, 1]
