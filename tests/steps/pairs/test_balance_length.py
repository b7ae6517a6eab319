"""`balance_length` reaches its target with the fewest removals, whatever the order, and keeps prompts."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.engine.barrier import MemoryKeys, StoredLists
from curate.errors import MixtureError
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import Resolved
from curate.steps.pairs.balance_length import BalanceLength, First, balance_length, surplus
from tests.reference import pairs as slow

Lengths = tuple[str, int, int, float]
PAIRS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.5, 1.0])), max_size=40
)


def pair(prompt: str, chosen: int, rejected: int, margin: float | None = None) -> dict[str, Any]:
    sides = (
        ("prompt", "user", prompt),
        ("chosen", "assistant", "é" * chosen),
        ("rejected", "assistant", "x" * rejected),
    )
    messages = {side: [{"role": role, "content": text}] for side, role, text in sides}
    return messages | {"meta": "{}", "chosen_score": margin, "rejected_score": None if margin is None else 0.0}


def resolved(
    step: BalanceLength,
    rows: list[dict[str, Any]],
    ranks: list[int] | None = None,
    *,
    protect: set[int] | None = None,
    sources: list[int] | None = None,
) -> Resolved:
    body = pa.RecordBatch.from_pylist(rows, BODIES["preference"])
    sheet = MemoryKeys(body.num_rows, {"": step.sign(segments(body))})
    many = range(body.num_rows)
    keys = pl.DataFrame(dict(sheet.by_label[""].columns)).with_columns(
        row=pl.int_range(pl.len()),
        source=pl.Series(sources or [0] * len(many), dtype=pl.Int16),
        rank=pl.Series(ranks or list(many), dtype=pl.UInt64),
        protect=pl.Series([row in (protect or ()) for row in many], dtype=pl.Boolean),
    )
    return step.resolve(keys, StoredLists([sheet], "", np.arange(keys.height)), {})


def dropped(step: BalanceLength, rows: list[dict[str, Any]], **named: Any) -> list[int]:  # noqa: ANN401
    return resolved(step, rows, **named).drops["row"].to_list()


@given(longer=st.integers(0, 60), shorter=st.integers(0, 60), target=st.sampled_from([0, 0.3, 0.5, 0.55, 1]))
@example(longer=1, shorter=1, target=0.3)  # no pair less comes nearer
def test_the_fewest_are_dropped(longer: int, shorter: int, target: float) -> None:
    way, many = surplus(longer, shorter, target, 0.01)
    left = longer - many * (way == 1), shorter - many * (way == -1)
    assert min(left) >= 0
    assert (many == 0) == (way == 0)
    if not longer or not shorter:
        assert many == 0
        return
    most = slow.most_kept(longer, shorter, target, 0.01)
    share = left[0] / sum(left)
    if abs(share - target) <= 0.01:
        # Dropping of both ways could be needed for a target that no fraction of few pairs is near; then it is not done.
        assert sum(left) == most
    else:
        options = [(longer - n, shorter) if way == 1 else (longer, shorter - n) for n in range(longer + shorter)]
        assert all(abs(a / (a + b) - target) >= abs(share - target) for a, b in options if a >= 0 and b >= 0 and a + b)


@given(
    lengths=PAIRS, chance=st.randoms(use_true_random=False), first=st.sampled_from(["widest", "least_margin", "random"])
)
def test_no_order_changes_which_rows_are_dropped(lengths: list[Lengths], chance: random.Random, first: First) -> None:
    rows = [pair(*each) for each in lengths]
    step, ranks = balance_length(first=first), list(range(len(rows)))
    order = chance.sample(ranks, len(ranks))
    once = dropped(step, rows)
    assert sorted(order[row] for row in dropped(step, [rows[i] for i in order], ranks=order)) == once
    way, many = surplus(sum(a > b for _, a, b, _ in lengths), sum(a < b for _, a, b, _ in lengths), 0.5, 0.01)
    assert len(once) == many
    assert all((lengths[row][1] > lengths[row][2]) == (way == 1) and lengths[row][1] != lengths[row][2] for row in once)
    prompts = {each[0] for each in lengths}
    lost = len(prompts) - len({lengths[row][0] for row in ranks if row not in once})
    sole = [sum((a > b) - (a < b) != way for p, a, b, _ in lengths if p == prompt) == 0 for prompt in prompts]
    spare = sum((a > b) - (a < b) == way for _, a, b, _ in lengths) - sum(sole) if way else 0
    assert lost == max(0, many - spare), "no choice of so many loses fewer prompts"


def test_which_rows_are_dropped_first() -> None:
    rows = [pair("a", 9, 1, 5.0), pair("b", 3, 1, 1.0), pair("c", 5, 1, 3.0), pair("d", 4, 1), pair("e", 1, 2, 1.0)]
    rows.append(pair("f", 1, 2, 1.0))
    assert dropped(balance_length(), rows) == [0, 2]
    assert dropped(balance_length(first="least_margin"), rows) == [1, 3]
    assert dropped(balance_length(first="random"), rows, ranks=[3, 2, 0, 1, 4, 5]) == [2, 3]
    rows[1] = pair("a", 3, 1, 1.0)
    assert dropped(balance_length(), rows) == [0, 2], "one of the two pairs of a prompt, then the widest"
    rows[3] = pair("e", 4, 1)
    assert dropped(balance_length(), rows) == [0, 3], "both have another pair of their prompt"


def test_a_protected_pair_stays() -> None:
    rows = [pair("a", 9, 1), pair("b", 3, 1), pair("c", 1, 3)]
    assert dropped(balance_length(), rows) == [0]
    assert dropped(balance_length(), rows, protect={0}) == [1]
    assert dropped(balance_length(), rows, protect={0, 1}) == []


def test_sources_are_balanced_for_themselves() -> None:
    rows = [pair("a", 2, 1), pair("b", 2, 1), pair("c", 1, 2), pair("d", 1, 2), pair("e", 1, 3), pair("f", 2, 1)]
    sources = [0, 0, 0, 1, 1, 1]
    assert dropped(balance_length(), rows, sources=sources) == []
    assert dropped(balance_length(by="source"), rows, sources=sources) == [0, 4]


def test_words_and_what_counts_neither_way() -> None:
    rows = [pair("a", 9, 1), pair("b", 9, 1), pair("c", 1, 3), pair("d", 2, 2)]
    assert dropped(balance_length(), rows) == [0]
    assert dropped(balance_length(unit="words"), rows) == [], "one word each"
    table = resolved(balance_length(), rows).tables["lengths"]
    assert table.rows() == [(0, 9, 1, None, True), (1, 9, 1, None, False), (2, 1, 3, None, False)]
    assert dropped(balance_length(), []) == []


def test_other_kinds_stay() -> None:
    step = balance_length()
    for kind in ("conversation", "rated"):
        batch = pa.RecordBatch.from_pylist([], BODIES[kind])
        assert set(step.sign(segments(batch)).columns) == {"prompt_high", "prompt_low", "chosen", "rejected", "margin"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target": 1.5}, "a share from 0 to 1"),
        ({"within": 0.6}, "a limit is from 0 to 0.5"),
        ({"unit": "tokens"}, "unit='tokens'"),
        ({"first": "longest"}, "first='longest'"),
        ({"by": "sources"}, "did you mean 'source'"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        balance_length(**wrong)
