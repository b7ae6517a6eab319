"""The laws of sampling: nested, independent of order, and fair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.mix.amounts import Fraction, Rows
from curate.mix.plan import Share, Stock
from curate.mix.sample import ORDER, SAMPLE, copies, key, split_off, spread

seeds = st.integers(0, 2**64 - 1)
names = st.text("abcdefgh-_", min_size=1, max_size=8)


def chosen(rank: NDArray[np.uint64], tokens: NDArray[np.int64], whole: int, rest: int, unit: str = "rows") -> set[int]:
    share = Share("a", Stock(len(rank), int(tokens.sum())), unit, rest, whole, rest)  # type: ignore[arg-type]
    return set(np.flatnonzero(copies(share, rank, tokens)).tolist())


def ranked(seed: int, source: str, rows: int) -> NDArray[np.uint64]:
    return spread(np.arange(rows, dtype=np.uint64), key(seed, source, SAMPLE))


@given(seeds, names, st.integers(0, 200), st.integers(0, 200))
def test_a_smaller_sample_is_part_of_a_larger(seed: int, source: str, one: int, two: int) -> None:
    rank, tokens = ranked(seed, source, 200), np.ones(200, np.int64)
    small, large = sorted((one, two))
    assert chosen(rank, tokens, 0, small) <= chosen(rank, tokens, 0, large)
    assert len(chosen(rank, tokens, 0, small)) == small


@given(seeds, st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(0, 2_000))
def test_a_token_budget_is_never_exceeded_and_holds_all_that_fits(seed: int, sizes: list[int], budget: int) -> None:
    tokens = np.array(sizes, np.int64)
    rank = ranked(seed, "a", len(sizes))
    picked = sorted(chosen(rank, tokens, 0, budget, "tokens"), key=lambda row: int(rank[row]))
    order = np.argsort(rank).tolist()
    assert picked == order[: len(picked)]
    assert tokens[picked].sum() <= budget
    assert len(picked) == len(order) or tokens[order[: len(picked) + 1]].sum() > budget


@given(seeds, st.permutations(range(40)), st.integers(0, 40))
def test_the_order_of_rows_changes_nothing(seed: int, shuffled: list[int], count: int) -> None:
    rank, tokens = ranked(seed, "a", 40), np.ones(40, np.int64)
    plain = chosen(rank, tokens, 0, count)
    assert {shuffled[row] for row in chosen(rank[shuffled], tokens, 0, count)} == plain


def test_repeats_fill_up_evenly() -> None:
    share = Share("a", Stock(4, 4), "rows", 10, 2, 2)
    count = copies(share, ranked(0, "a", 4), np.ones(4, np.int64))
    assert sorted(count.tolist()) == [2, 2, 3, 3]


def test_a_sample_is_uniform() -> None:
    hits = np.zeros(50)
    for seed in range(2_000):
        hits[list(chosen(ranked(seed, "a", 50), np.ones(50, np.int64), 0, 10))] += 1
    # 2,000 draws at one in five: 400 each, standard deviation 18; six of them
    assert np.abs(hits - 400).max() < 108


def test_keys_differ_by_seed_source_and_purpose() -> None:
    keys = {key(seed, source, purpose) for seed in (0, 1) for source in ("a", "b", "") for purpose in (SAMPLE, ORDER)}
    assert len(keys) == 12


@given(seeds, st.lists(st.integers(0, 9), max_size=60), st.integers(1, 60), st.integers(1, 60))
def test_a_prompt_is_on_one_side_and_splits_nest(seed: int, prompts: list[int], one: int, two: int) -> None:
    prompt = np.array(prompts, np.uint64)
    once = np.ones(len(prompts), np.int64)
    small, large = (split_off(prompt, once, Rows(size), seed) for size in sorted((one, two)))
    assert int(small.sum()) <= min(one, two)
    assert not (small & ~large).any()
    assert not set(prompt[large].tolist()) & set(prompt[~large].tolist())


def test_a_split_counts_copies() -> None:
    prompt = np.arange(100, dtype=np.uint64)
    split = split_off(prompt, np.full(100, 3), Fraction(0.1), 0)
    assert int(split.sum()) == 10


@pytest.mark.parametrize("size", [None, Rows(1)])
def test_nothing_to_split_gives_nothing(size: Rows | None) -> None:
    assert split_off(np.zeros(0, np.uint64), np.zeros(0, np.int64), size, 0).tolist() == []
