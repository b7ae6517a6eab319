"""`contradictions` finds the pairs that others turn round, and drops those outvoted."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.barrier import MemoryKeys, StoredLists
from curate.errors import MixtureError
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import Resolved
from curate.steps.pairs.contradictions import Contradictions, contradictions
from tests.reference import pairs as slow

ANSWERS = st.sampled_from(["Yes.", "YES. ", "No.", "Maybe."])
PAIRS = st.lists(st.tuples(st.sampled_from(["Is it?", "is  it?", "Why?"]), ANSWERS, ANSWERS, st.booleans()), max_size=9)


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    sides = (("prompt", "user", prompt), ("chosen", "assistant", chosen), ("rejected", "assistant", rejected))
    return {side: [{"role": role, "content": text}] for side, role, text in sides} | {"meta": "{}"}


def resolved(step: Contradictions, rows: list[dict[str, Any]], protect: list[bool], ranks: list[int]) -> Resolved:
    body = pa.RecordBatch.from_pylist(rows, BODIES["preference"])
    sheet = MemoryKeys(body.num_rows, {"": step.sign(segments(body))})
    keys = pl.DataFrame(dict(sheet.by_label[""].columns)).with_columns(
        row=pl.int_range(pl.len()),
        source=pl.lit(0, pl.Int16),
        rank=pl.Series(ranks, dtype=pl.UInt64),
        protect=pl.Series(protect, dtype=pl.Boolean),
    )
    return step.resolve(keys, StoredLists([sheet], "", np.arange(keys.height)), {})


@given(cases=PAIRS, chance=st.randoms(use_true_random=False))
def test_as_defined_in_any_order(cases: list[tuple[str, str, str, bool]], chance: random.Random) -> None:
    rows, protect = [pair(*each[:3]) for each in cases], [each[3] for each in cases]
    ranks = list(range(len(rows)))
    found = resolved(contradictions(), rows, protect, ranks)
    dropped = found.drops["row"].to_list()
    assert set(dropped) == slow.contradicted(rows, protect)
    order = chance.sample(ranks, len(ranks))
    again = resolved(contradictions(), [rows[i] for i in order], [protect[i] for i in order], order)
    assert sorted(order[row] for row in again.drops["row"]) == dropped
    kept = {order[row]: order[other] if other >= 0 else -1 for row, other in again.drops.select("row", "kept").rows()}
    assert kept == dict(found.drops.select("row", "kept").rows())
    assert not any(kept[row] in dropped for row in dropped)


def test_the_table_tells_votes() -> None:
    rows = [pair("Is it?", *way) for way in (("Yes.", "No."), ("yes.", "no."), ("No.", "Yes."))]
    rows += [pair("Is it?", "Yes.", "Maybe."), pair("Is it?", "Maybe.", "No.")]
    found = resolved(contradictions(), rows, [False] * 5, [0, 1, 2, 3, 4])
    assert found.tables["contradictions"].rows() == [(0, 2, 2, 1, False), (1, 2, 2, 1, False), (2, 0, 1, 2, True)]
    assert found.drops.rows() == [(2, "contradiction", 2.0, 0, "the same two answers, the other way round")]
    flagged = resolved(contradictions(mode="flag"), rows, [False] * 5, [0, 1, 2, 3, 4])
    assert flagged.drops.is_empty()
    assert not flagged.tables["contradictions"]["dropped"].any()


def test_a_tie_drops_every_pair_that_is_not_protected() -> None:
    rows = [pair("Is it?", "Yes.", "No."), pair("Is it?", "No.", "Yes.")]
    assert resolved(contradictions(), rows, [False, False], [0, 1]).drops.select("row", "kept").rows() == [
        (0, -1),
        (1, -1),
    ]
    assert resolved(contradictions(), rows, [False, True], [0, 1]).drops.select("row", "kept").rows() == [(0, 1)]
    assert resolved(contradictions(), rows, [True, True], [0, 1]).drops.is_empty()


def test_a_wrong_mode() -> None:
    with pytest.raises(MixtureError, match=r"mode='drops'.*did you mean 'drop'"):
        contradictions(mode="drops")  # type: ignore[arg-type]
