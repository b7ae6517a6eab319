"""Tables of chat rows are read column by column as they are read row by row."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.io import table_fast_path
from curate.io.arrow_rows import batch_rows
from curate.io.formats.base import Format
from curate.io.formats.dialogues import messages, sharegpt
from curate.io.parse import parse_objects
from curate.io.table_fast_path import parse_table

TEXTS: Final = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "\0", '"\\/', "\u2028\x7f\x1f", "null", "😀", "{}", ",", "a\nb"]
)
ROLES: Final = st.sampled_from(["user", "assistant", "system", "User", "human", "gpt", "tool", "critic", ""])
FORMATS: Final = [(messages(), "messages", "role", "content"), (sharegpt(), "conversations", "from", "value")]
NAMES: Final = ["id", "source", "tools", 'q"x', "system", "meta", "chat_template_kwargs", "é"]
WIDE: Final = st.sampled_from([pa.string(), pa.large_string()])


@st.composite
def tables(draw: st.DrawFn) -> tuple[Format, pa.RecordBatch]:
    """Draw a table of chat rows, with other columns, nulls and rows that are not plain."""
    form, column, role, content = draw(st.sampled_from(FORMATS))
    count = draw(st.integers(0, 8))
    text = draw(WIDE)
    more = draw(st.sampled_from([{}, {"name": pa.string()}, {"tool_call_id": text}, {"weight": pa.null()}]))
    message = pa.struct({role: text, content: text, **more})
    others = {name: st.none() if kind == pa.null() else TEXTS | st.none() for name, kind in more.items()}
    turn = st.fixed_dictionaries({role: ROLES | st.none(), content: TEXTS | st.none(), **others})
    plain = st.fixed_dictionaries({role: st.sampled_from(["user", "assistant", "human", "gpt"]), content: TEXTS})
    dialogue = st.lists(plain, max_size=3) | st.lists(turn | st.none(), max_size=3) | st.none()
    lists = draw(st.lists(dialogue, min_size=count, max_size=count))
    kind = draw(st.sampled_from([pa.list_(message), pa.large_list(message)]))
    columns: dict[str, pa.Array] = {column: pa.array(lists, kind)}
    values: dict[pa.DataType, st.SearchStrategy[Any]] = {
        text: TEXTS,
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.uint64(): st.integers(0, 2**64 - 1),
        pa.bool_(): st.booleans(),
        pa.null(): st.none(),
        pa.float64(): st.floats(allow_nan=False),
        pa.list_(pa.int32()): st.lists(st.integers(0, 9), max_size=2),
    }
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    for name in names:
        of = draw(st.sampled_from(list(values)[: 5 + 2 * draw(st.booleans())]))
        columns[name] = pa.array(draw(st.lists(values[of] | st.none(), min_size=count, max_size=count)), of)
    order = draw(st.permutations(list(columns)))
    return form, pa.RecordBatch.from_arrays([columns[name] for name in order], names=order)


@given(tables(), st.sampled_from(["id", None]))
def test_columns_come_to_the_same_as_rows(table: tuple[Format, pa.RecordBatch], id_field: str | None) -> None:
    form, batch = table
    numbers = np.arange(batch.num_rows) * 3 + 7
    expected = parse_objects(batch_rows(batch), numbers.tolist(), form, id_field)
    found = parse_table(batch, numbers, form, id_field)
    assert found.body.schema == expected.body.schema
    assert found.body.to_pylist() == expected.body.to_pylist()
    assert found.ids.to_pylist() == expected.ids.to_pylist()
    assert found.line.tolist() == expected.line.tolist()
    assert found.bad.to_pylist() == expected.bad.to_pylist()


def test_plain_rows_are_not_made_python_values(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"messages": [{"role": "user", "content": "a"}], "source": "x", "n": None if i else 3} for i in range(4)]
    batch = pa.RecordBatch.from_pylist(rows)
    monkeypatch.setattr(table_fast_path, "batch_rows", lambda _: pytest.fail("a row was made Python values"))
    assert parse_table(batch, np.arange(4), messages(), "id").body["meta"].to_pylist() == [
        '{"source":"x","n":3}', *['{"source":"x"}'] * 3
    ]  # fmt: skip
    assert parse_table(batch.slice(1, 2), np.arange(2), messages(), "id").body.num_rows == 2
