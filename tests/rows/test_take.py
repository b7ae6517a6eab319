"""`take` picks what Arrow's own picks, from any nesting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rows.schema import BODIES, Kind
from curate.rows.take import take, take_array, text_bytes

STRINGS = st.none() | st.text(max_size=6)
LEAVES = st.sampled_from([(pa.string(), STRINGS), (pa.float64(), st.none() | st.floats(allow_nan=False))])


def nested(leaf: st.SearchStrategy[tuple[pa.DataType, st.SearchStrategy[Any]]]) -> st.SearchStrategy[Any]:
    """Return types of lists and structs over `leaf`, each with a strategy for its values."""
    lists = leaf.map(lambda held: (pa.list_(held[0]), st.lists(held[1], max_size=3)))
    structs = st.lists(leaf, min_size=1, max_size=3).map(
        lambda held: (
            pa.struct([pa.field(f"f{i}", kind) for i, (kind, _) in enumerate(held)]),
            st.fixed_dictionaries({f"f{i}": value for i, (_, value) in enumerate(held)}),
        )
    )
    return lists | structs


ARRAYS = st.recursive(LEAVES, nested, max_leaves=4).flatmap(
    lambda held: st.lists(held[1], min_size=1, max_size=6).map(lambda values: pa.array(values, held[0]))
)


@given(ARRAYS, st.data())
def test_it_equals_arrows_take(array: pa.Array, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(array) - 1), "start")
    part = array.slice(start)
    index = data.draw(st.lists(st.integers(0, len(part) - 1), max_size=9), "index")
    found = take_array(part, np.array(index, np.int32))
    found.validate(full=True)
    assert found.equals(part.take(pa.array(index, pa.int32())))
    assert found.to_pylist() == [part.to_pylist()[i] for i in index]


TURNS = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=9)}), max_size=3)


@given(st.lists(st.fixed_dictionaries({"messages": TURNS, "meta": STRINGS}), min_size=1, max_size=5), st.data())
def test_rows_are_picked_in_the_order_asked(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    batch = pa.RecordBatch.from_pylist(rows, BODIES["conversation"])
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
    found = take(batch, np.array(index, np.int32))
    assert found.schema.equals(batch.schema)
    assert found.to_pylist() == [rows[i] for i in index]


@given(st.lists(st.fixed_dictionaries({"messages": TURNS, "meta": STRINGS}), max_size=5), st.integers(0, 3))
def test_bytes_are_those_of_all_texts(rows: list[dict[str, Any]], start: int) -> None:
    batch = pa.RecordBatch.from_pylist(rows, BODIES["conversation"]).slice(start)
    expected = [
        sum(len(turn[name].encode()) for turn in row["messages"] for name in ("role", "content"))
        + len((row["meta"] or "").encode())
        for row in rows[start:]
    ]
    assert text_bytes(batch).tolist() == expected


@pytest.mark.parametrize("kind", BODIES)
def test_nothing_of_nothing(kind: Kind) -> None:
    empty = pa.RecordBatch.from_pylist([], BODIES[kind])
    assert take(empty, np.zeros(0, np.int32)).equals(empty)
    assert text_bytes(empty).tolist() == []


def test_texts_at_the_edge_are_carried(edge_texts: dict[str, str]) -> None:
    rows = [{"messages": [{"role": "user", "content": text}], "meta": "{}"} for text in edge_texts.values()]
    batch = pa.RecordBatch.from_pylist(rows, BODIES["conversation"])
    back = np.arange(len(rows), dtype=np.int32)[::-1]
    assert take(batch, back).to_pylist() == rows[::-1]
