"""Reward columns have the type of their values in a build's files, and lose none."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rows.rewards import reward_columns, reward_fields, reward_types, spread
from curate.rows.schema import REWARDS

SCALAR = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text()
VALUE = (
    SCALAR
    | st.lists(st.text(), max_size=3)
    | st.lists(SCALAR, max_size=2)
    | st.dictionaries(st.text(), SCALAR, max_size=2)
)


def batch(rows: list[dict[str, Any]], indent: int | None = None) -> pa.RecordBatch:
    lists = [[{"name": name, "value": json.dumps(value, indent=indent)} for name, value in row.items()] for row in rows]
    return pa.RecordBatch.from_pydict(
        {"prompt": ["p"] * len(rows), "rewards": pa.array(lists, REWARDS), "meta": ["{}"] * len(rows)}
    )


def columns(rows: list[dict[str, Any]], indent: int | None = None) -> tuple[dict[str, str], dict[str, list[Any]]]:
    body = batch(rows, indent)
    kinds = reward_columns([reward_types(body)])
    made = spread(body, kinds)
    assert [field.type for field in reward_fields(kinds)] == [made.schema.field(name).type for name in kinds]
    assert made.schema.names == ["prompt", *kinds, "meta"]
    return kinds, {name: made[name].to_pylist() for name in kinds}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "", None, 'say "hi"\n\\ é 你好'], "text"),
        ([1, -5, None], "int"),
        ([1, 2.5], "float"),
        ([1e300, -0.5], "float"),
        ([True, False], "bool"),
        ([["a"], [], ["b, ]", 'c"\\']], "texts"),
        (["a", ["a"]], "json"),
        ([[1]], "json"),
        ([{"a": 1}, "x"], "json"),
        ([2**70, 1], "json"),
        ([["a", None]], "json"),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_column_has_the_type_of_its_values(values: list[Any], kind: str, indent: int | None) -> None:
    kinds, made = columns([{"x": value} for value in values], indent)
    assert kinds == {"x": kind}
    given = [json.dumps(value, indent=indent) if kind == "json" else value for value in values]
    assert made["x"] == given


def test_a_row_without_a_value_has_null() -> None:
    kinds, made = columns([{"b": "x"}, {}, {"a": 1, "b": "y"}])
    assert (kinds, made) == ({"a": "int", "b": "text"}, {"a": [None, None, 1], "b": ["x", None, "y"]})
    assert columns([{}, {"a": None}]) == ({}, {})


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUE, max_size=3), max_size=5))
def test_nothing_is_lost(rows: list[dict[str, Any]]) -> None:
    kinds, made = columns(rows)
    for place, row in enumerate(rows):
        for name, value in row.items():
            if name not in kinds:
                assert value is None
            elif kinds[name] == "json":
                assert json.loads(made[name][place]) == value
            else:
                assert made[name][place] == value
