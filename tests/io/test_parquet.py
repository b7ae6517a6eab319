"""Row groups are left out only where their statistics exclude what is looked for."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.io.parquet import needed_row_groups, parquet_file, parquet_options, read_columns


def metadata(values: list[Any], size: int, kind: pa.DataType | None = None, **options: Any) -> pq.FileMetaData:  # noqa: ANN401
    out = io.BytesIO()
    pq.write_table(pa.table({"at": pa.array(values, kind)}), out, row_group_size=size, **options)
    return pq.read_metadata(out)


def groups_of(values: list[Any], looked_for: set[Any], size: int) -> set[int]:
    """Return the row groups with a row that has one of the values, by looking at each."""
    return {i // size for i, value in enumerate(values) if value is not None and value in looked_for}


texts = st.sampled_from(["", "a", "b", "ba", "é", "中", "\U0001f600"]) | st.none()
numbers = st.integers(-3, 3) | st.none()


@given(st.lists(texts, min_size=1) | st.lists(numbers, min_size=1), st.integers(1, 4), st.data())
def test_no_row_group_with_a_match_is_left_out(values: list[Any], size: int, data: st.DataObject) -> None:
    looked_for = set(data.draw(st.lists(st.sampled_from(values), min_size=1))) - {None}
    kind = pa.string() if any(isinstance(value, str) for value in values) else pa.int64()
    found = needed_row_groups(metadata(values, size, kind), {"at": tuple(looked_for)})
    assert groups_of(values, looked_for, size) <= set(found)


def test_row_groups_without_a_match_are_left_out() -> None:
    meta = metadata(["a", "b", "x", "y", None, None], 2)
    assert needed_row_groups(meta, {"at": ("b",)}) == [0]
    assert needed_row_groups(meta, {"at": ("b", "y")}) == [0, 1]
    assert needed_row_groups(meta, {"at": ("m",)}) == []
    assert needed_row_groups(meta, {"at": ("b",), "other": ("b",)}) == []
    assert needed_row_groups(meta, {}) == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "kind", "options"),
    [
        (["a", "z"], None, {"write_statistics": False}),
        ([b"\xff", b"\xfe"], pa.binary(), {}),
        ([dt.date(2026, 1, 1), dt.date(2026, 1, 2)], None, {}),
        ([["a"], ["b"]], None, {}),
    ],
)
def test_what_statistics_do_not_tell_is_needed(values: list[Any], kind: Any, options: dict[str, Any]) -> None:  # noqa: ANN401
    assert needed_row_groups(metadata(values, 2, kind, **options), {"at": ("m",)}) == [0]


def test_a_text_is_not_in_a_column_of_numbers_and_a_number_may_be_a_fraction() -> None:
    assert needed_row_groups(metadata([1, 2], 2), {"at": ("1",)}) == []
    assert needed_row_groups(metadata([0.5, 2.5], 2), {"at": (1,)}) == [0]
    assert needed_row_groups(metadata([True, True], 2), {"at": (False,)}) == []


def test_columns_are_those_below_a_name() -> None:
    table = pa.table({"a": [[{"b": 1}]], "ab": [1], "c": [2]})
    out = io.BytesIO()
    pq.write_table(table, out)
    meta = pq.read_metadata(out)
    assert read_columns(meta, ["a"]) == [0]
    assert read_columns(meta, ["c", "ab"]) == [1, 2]
    assert read_columns(meta, None) == [0, 1, 2]


def test_a_row_is_found_without_its_row_group() -> None:
    """The viewer of the Hub reads single pages, for which every column has an index."""
    table = pa.table({"id": ["a"], "messages": [[{"role": "user", "content": "Hi"}]]})
    out = io.BytesIO()
    pq.write_table(table, out, **parquet_options(table.schema))
    group = pq.read_metadata(out).row_group(0)
    assert [group.column(i).has_offset_index for i in range(group.num_columns)] == [True, True, True]


def test_rows_that_were_read_are_not_kept(tmp_path: Path) -> None:
    """The reader of pyarrow held all that it had read until the file was closed: a gigabyte of a gigabyte."""
    texts = pa.table({"text": [f"{row}" * 5_000 for row in range(2_000)]})
    pq.write_table(texts, tmp_path / "rows.parquet", row_group_size=50, compression="none", use_dictionary=False)
    before, held = pa.total_allocated_bytes(), []
    with parquet_file(tmp_path / "rows.parquet") as file:
        for batch in file.iter_batches(50):
            held.append(pa.total_allocated_bytes() - before)
            del batch
    assert len(held) == 40
    assert max(held) < texts.nbytes / 8
