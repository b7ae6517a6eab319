"""Tables of plain chat rows, column by column; every other row goes to the full parser, as Python values.

A row that is read here comes to the same as there, at a twentieth of the time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.io.arrow_rows import batch_rows
from curate.io.formats.base import FastPath, Format
from curate.io.parse import parse_objects
from curate.io.row_collector import Parsed, quarantined
from curate.rows.parts import together
from curate.rows.schema import BODIES, MESSAGE
from curate.rows.take import take

TEXT: Final = (pa.types.is_string, pa.types.is_large_string)
VALUES: Final = (*TEXT, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null)
"""Types of columns whose values JSON spells in one way."""

Flags = NDArray[np.bool_]


def parse_table(batch: pa.RecordBatch, numbers: NDArray[np.int64], form: Format, id_field: str | None) -> Parsed:
    """Parse the rows of a table; the same as `parse_objects` of their values. `numbers` are those of the rows."""
    path = form.fast_path
    plain = np.zeros(batch.num_rows, np.bool_) if path is None else _plain_rows(batch, path, id_field)
    other = np.flatnonzero(~plain).astype(np.int32)
    if path is None or not plain.any():
        return parse_objects(batch_rows(batch), numbers.tolist(), form, id_field)
    if not len(other):
        return _fast(batch, numbers, path, id_field)
    kept = np.flatnonzero(plain).astype(np.int32)
    fast = _fast(batch.take(pa.array(kept)), numbers[kept], path, id_field)
    second = parse_objects(batch_rows(batch.take(pa.array(other))), numbers[other].tolist(), form, id_field)
    line = np.concatenate([fast.line, second.line])
    order = np.argsort(line, kind="stable").astype(np.int32)
    body = take(together([fast.body, second.body]), order)
    ids = pa.concat_arrays([fast.ids, second.ids]).take(pa.array(order))
    return Parsed(body, ids, line[order], second.bad)


def _plain_rows(batch: pa.RecordBatch, path: FastPath, id_field: str | None) -> Flags:
    """Mark the rows that are read by columns; none of a table with a column that they do not know."""
    none = np.zeros(batch.num_rows, np.bool_)
    names = batch.schema.names
    if path.list_key not in names or not _is_known(batch.schema, path, id_field) or not _is_valid(batch):
        return none
    plain = _plain_lists(batch[path.list_key], path)
    for name in set(path.unless).intersection(names):
        plain &= np.asarray(batch[name].is_null())
    for name in names:
        if name != path.list_key and any(is_text(batch[name].type) for is_text in TEXT):
            plain &= ~_marked(pc.match_substring(batch[name], "\0"))
    if id_field is not None and id_field in names:
        ids = batch[id_field]
        if any(is_text(ids.type) for is_text in TEXT):
            plain &= ~_marked(pc.equal(pc.binary_length(ids), 0))
    return plain


def _is_valid(batch: pa.RecordBatch) -> bool:
    try:
        batch.validate(full=True)
    except pa.ArrowException:  # text that is not UTF-8
        return False
    return True


def _marked(flags: pa.BooleanArray) -> Flags:
    return np.asarray(flags.fill_null(False))  # noqa: FBT003  Arrow's argument


def _is_known(schema: pa.Schema, path: FastPath, id_field: str | None) -> bool:
    """Return whether all columns have types that are read here."""
    messages = schema.field(path.list_key).type
    if not (pa.types.is_list(messages) or pa.types.is_large_list(messages)):
        return False
    message = messages.value_type
    if not pa.types.is_struct(message):
        return False
    fields = {message.field(i).name: message.field(i).type for i in range(message.num_fields)}
    if len(fields) < message.num_fields or not {path.role_key, path.text_key} <= fields.keys():
        return False
    if not all(any(is_text(fields[name]) for is_text in TEXT) for name in (path.role_key, path.text_key)):
        return False
    rest = [field for field in schema if field.name != path.list_key]
    if any(field.name == id_field and pa.types.is_boolean(field.type) for field in rest):
        return False
    return all(any(is_value(field.type) for is_value in VALUES) for field in rest)


def _plain_lists(lists: pa.Array, path: FastPath) -> Flags:
    """Mark the lists of messages that have one or more, each of a plain role and text, and nothing else."""
    flat = pc.list_flatten(lists)
    good = np.asarray(flat.is_valid())
    for i in range(flat.type.num_fields):
        name, column = flat.type.field(i).name, pc.struct_field(flat, i)
        if name == path.role_key:
            good &= np.asarray(pc.is_in(column, pa.array(list(path.roles), column.type)))
        elif name == path.text_key:
            good &= np.asarray(column.is_valid()) & ~_marked(pc.match_substring(column, "\0"))
        else:
            good &= np.asarray(column.is_null())
    sizes = np.asarray(pc.list_value_length(lists).fill_null(0)).astype(np.int64)
    ends = np.cumsum(sizes)
    wrong = np.concatenate([[0], np.cumsum(~good)])
    return (sizes > 0) & (wrong[ends] == wrong[ends - sizes])


def _fast(batch: pa.RecordBatch, numbers: NDArray[np.int64], path: FastPath, id_field: str | None) -> Parsed:
    lists = batch[path.list_key]
    flat = pc.list_flatten(lists)
    column = {flat.type.field(i).name: i for i in range(flat.type.num_fields)}
    roles = pc.struct_field(flat, column[path.role_key]).cast(pa.string())
    place = pc.index_in(roles, pa.array(list(path.roles), pa.string()))
    spelt = pa.array(list(path.roles.values()), pa.string()).take(place)
    texts = pc.struct_field(flat, column[path.text_key]).cast(pa.string())
    sizes = np.asarray(pc.list_value_length(lists)).astype(np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    messages = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays([spelt, texts], fields=list(MESSAGE)))
    ids = pa.nulls(batch.num_rows, pa.string())
    if id_field is not None and id_field in batch.schema.names:
        ids = batch[id_field].cast(pa.string())
    rest = [name for name in batch.schema.names if name not in {path.list_key, id_field}]
    body = pa.RecordBatch.from_arrays([messages, _meta(batch.select(rest))], schema=BODIES["conversation"])
    return Parsed(body, ids, numbers.copy(), quarantined([]))


def _meta(rest: pa.RecordBatch) -> pa.StringArray:
    """Return the columns of each row as one JSON object; a null is left out."""
    if not rest.num_columns:
        return pa.repeat(pa.scalar("{}", pa.string()), rest.num_rows)
    frame = pl.DataFrame(rest)
    members = [
        pl.when(pl.col(name).is_not_null()).then(pl.struct(pl.col(name)).struct.json_encode().str.head(-1).str.slice(1))
        for name in rest.schema.names
    ]
    joined = pl.concat_str(members, separator=",", ignore_nulls=True)
    whole = frame.select(pl.format("{}{}{}", pl.lit("{"), joined, pl.lit("}")))
    return whole.to_series().to_arrow().cast(pa.string())
