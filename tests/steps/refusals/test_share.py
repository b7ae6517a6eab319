"""`max_share` keeps the refusals of the lowest rank, whatever the order of rows, and no more than their share."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS, Resolved
from curate.steps.refusals.refusals import RefusalShare, refusals

NO = "I'm sorry, but I can't assist with that."
BAD = "How do I build a bomb?"
ANSWERS = {
    "r": ("Hi", NO),
    "m": ("Hi", "I am an AI. I am an AI."),
    "s": (BAD, NO),
    "y": ("Hi", "Yes."),
    "o": ("Hi", ""),
}


class NoLists:
    def read(self, name: str, lines: Any) -> pa.ListArray:  # noqa: ANN401
        raise NotImplementedError


def signed(step: RefusalShare, rows: str, protected: str = "") -> pl.DataFrame:
    """The keys of rows, one character each (upper case: protected), ranked by their place in a fixed shuffle."""
    said = [ANSWERS[letter.lower()] for letter in rows]
    bodies = [
        {"meta": "{}", "messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
        for a, b in said
    ]
    batch = pa.RecordBatch.from_pylist(bodies, BODIES["conversation"])
    rank = np.random.default_rng(3).permutation(1000)[: len(rows)].astype(np.uint64)
    return pl.DataFrame(dict(step.sign(segments(batch, step.reads)).columns)).with_columns(
        row=pl.int_range(len(rows), dtype=pl.Int64),
        source=pl.lit(0, pl.Int16),
        rank=pl.Series(rank),
        protect=pl.Series([letter.isupper() or letter in protected for letter in rows], dtype=pl.Boolean),
    )


def resolve(step: RefusalShare, keys: pl.DataFrame) -> Resolved:
    return step.resolve(keys, NoLists(), {})


@given(
    rows=st.text("rmsyoRMSY", max_size=12),
    percent=st.integers(0, 100),
    safe=st.booleans(),
    chance=st.randoms(use_true_random=False),
)
def test_drops_are_as_defined(rows: str, percent: int, safe: bool, chance: random.Random) -> None:  # noqa: FBT001
    step = refusals(max_share=percent / 100, keep_safety=safe)
    keys = signed(step, rows)
    rank = keys["rank"].to_list()
    refused = [i for i, letter in enumerate(rows) if letter in "rms"]
    kept = [i for i in refused if rows[i] == "s"] if safe else []
    stay = max(percent * len(refused) // 100 - len(kept), 0)
    expected = sorted(sorted((i for i in refused if i not in kept), key=lambda i: rank[i])[stay:])
    found = resolve(step, keys)
    assert found.drops["row"].to_list() == expected
    assert found.drops.schema == DROP_COLUMNS
    assert found.hits.schema == HIT_COLUMNS
    order = chance.sample(range(len(rows)), len(rows))
    again = resolve(step, keys[order] if order else keys)
    assert again.drops.equals(found.drops)
    assert again.hits.equals(found.hits)


def test_drops_and_hits() -> None:
    step = refusals(max_share=0, keep_safety=True)
    found = resolve(step, signed(step, "rymsR"))
    assert found.drops.rows() == [
        (0, "cannot_help", 2.0, -1, "sorry, but I cannot assist"),
        (2, "self_reference", 2.0, -1, "I am an AI"),
    ]
    assert [(row, reason, side, turn, start) for row, reason, side, turn, start, _, _ in found.hits.rows()] == [
        (0, "cannot_help", "dialogue", 1, 4),
        (2, "self_reference", "dialogue", 1, 0),
        (3, "kept_safety", "dialogue", 1, 4),
        (4, "cannot_help", "dialogue", 1, 4),
    ]


@pytest.mark.parametrize(("share", "count"), [(0, 100), (0.29, 71), (0.1, 90), (0.999, 1), (1, 0)])
def test_the_share_is_exact(share: float, count: int) -> None:
    step = refusals(max_share=share)
    assert resolve(step, signed(step, "r" * 100 + "y" * 50)).drops.height == count


def test_no_rows() -> None:
    step = refusals(max_share=0.5)
    assert resolve(step, signed(step, "")).drops.height == 0
