"""The parts that few rows have (tool calls, reasoning, tools): which of them are used, and batches with and without.

A batch of plain chat has the schema `BODIES[kind]`, one with any part `FULL[kind]`. Where batches meet, they are given
one schema; a part that a batch lacks is null.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.schema import BODIES, FULL, MESSAGE_PARTS, PARTS, ROW_PARTS, Kind


def is_full(schema: pa.Schema) -> bool:
    """Say whether rows of this schema have every part.

    >>> from curate.rows.schema import BODIES
    >>> is_full(BODIES["rated"]), is_full(FULL["rated"])
    (False, True)
    """
    return all(field.name in schema.names for field in ROW_PARTS)


def items_have(kind: pa.DataType, name: str) -> bool:
    """Tell whether a column is of lists of structs with a field of this name.

    >>> from curate.rows.schema import MESSAGES
    >>> items_have(MESSAGES, "role"), items_have(MESSAGES, "tool_calls"), items_have(pa.list_(pa.string()), "role")
    (True, False, False)
    """
    return bool(
        pa.types.is_list(kind) and pa.types.is_struct(kind.value_type) and kind.value_type.get_field_index(name) >= 0
    )


def parts_used(body: pa.RecordBatch) -> NDArray[np.uint8]:
    """Return for each row the parts that it uses, as bits by their place in `PARTS`.

    >>> row = {"messages": [{"role": "user", "content": "Hi", "name": "Ann"}], "tools": "[]", "meta": "{}"}
    >>> parts_used(pa.RecordBatch.from_pylist([row], FULL["conversation"])).tolist()
    [24]
    """
    used = np.zeros(body.num_rows, np.uint8)
    if not is_full(body.schema):
        return used
    for column, field in zip(body.columns, body.schema, strict=True):
        if field.name in PARTS:
            _mark(used, np.asarray(column.is_valid()), field.name)
        elif items_have(field.type, "reasoning"):
            _mark_items(used, column)
    return used


def _mark(used: NDArray[np.uint8], rows: NDArray[np.bool_] | NDArray[np.int64], name: str) -> None:
    used[rows] |= np.uint8(1 << PARTS.index(name))


def _mark_items(used: NDArray[np.uint8], lists: pa.ListArray) -> None:
    """Mark the rows of which some message has a part."""
    offsets = lists.offsets.to_numpy(zero_copy_only=True)
    row = np.repeat(np.arange(len(lists)), np.diff(offsets))
    items = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
    for field in MESSAGE_PARTS:
        if items.type.get_field_index(field.name) < 0:
            continue
        part = items.field(field.name)
        there = np.asarray(part.value_lengths()) > 0 if pa.types.is_list(part.type) else np.asarray(part.is_valid())
        _mark(used, row[there], field.name)


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return `batch` with the columns of `schema`: parts that it lacks are null, and those beyond it are left out.

    >>> from curate.rows.schema import BODIES
    >>> plain = pa.RecordBatch.from_pylist([{"messages": [], "meta": "{}"}], BODIES["conversation"])
    >>> conform(plain, FULL["conversation"])["tools"].to_pylist()
    [None]
    """
    if batch.schema.equals(schema):
        return batch
    rows, names = batch.num_rows, batch.schema.names
    columns = [
        _as_type(batch[field.name], field.type) if field.name in names else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def body_of(rows: pa.RecordBatch, kind: Kind) -> pa.RecordBatch:
    """Return the bodies of finished rows: as plain chat, or with every part if the rows have any."""
    plain = BODIES[kind]
    names = [name for name in rows.schema.names if name in plain.names or name in PARTS]
    body = rows.select(names)
    return body if body.schema.equals(plain) else conform(body, FULL[kind])


def _as_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an array with the fields of `kind`; lists and structs hold no nulls of their own."""
    if array.type.equals(kind):
        return array
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(array.offsets, _as_type(array.values, kind.value_type), type=kind)
    known = array.type
    columns = [
        _as_type(array.field(field.name), field.type)
        if known.get_field_index(field.name) >= 0
        else _absent(field.type, len(array))
        for field in kind
    ]
    return pa.StructArray.from_arrays(columns, fields=list(kind))


def _absent(kind: pa.DataType, count: int) -> pa.Array:
    """Return a part that no message has: null, or for a list empty."""
    if not pa.types.is_list(kind):
        return pa.nulls(count, kind)
    return pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), pa.nulls(0, kind.value_type), type=kind)


def together(batches: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the rows of at least one batch as one: with every part if one of them has, and else as they are."""
    found = list(batches)
    full = next((batch.schema for batch in found if is_full(batch.schema)), None)
    return pa.concat_batches(found if full is None else [conform(batch, full) for batch in found])


def with_null_calls(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return finished rows with null in place of an empty list of calls: chat templates ask whether there is one."""
    columns = [
        _with_null_calls(column) if items_have(field.type, "tool_calls") else column
        for column, field in zip(batch.columns, batch.schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _with_null_calls(lists: pa.ListArray) -> pa.ListArray:
    items = lists.values
    place = items.type.get_field_index("tool_calls")
    columns = [items.field(i) for i in range(items.type.num_fields)]
    calls = columns[place]
    none = pa.array(np.asarray(calls.value_lengths()) == 0)
    columns[place] = pa.ListArray.from_arrays(calls.offsets, calls.values, type=calls.type, mask=none)
    struct = pa.StructArray.from_arrays(columns, fields=list(items.type))
    return pa.ListArray.from_arrays(lists.offsets, struct, type=lists.type)
