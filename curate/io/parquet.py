"""How tables of rows are read and written as Parquet, and which parts of a file are needed to read some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

REPEATED: Final = ("source", "role", "name", "model", "tools", "chat_template_kwargs")
"""Columns with few distinct values, at any depth: they are written with a dictionary."""


def parquet_file(source: Path | pa.NativeFile) -> pq.ParquetFile:
    """Open a Parquet file, for its rows to be read a few at a time.

    As it comes, pyarrow keeps all that it has read of a file until that is closed: 1 GB of memory for 1 GB of rows.
    """
    return pq.ParquetFile(source, pre_buffer=False)


def parquet_options(schema: pa.Schema, repeated: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options of `ParquetWriter`; `repeated` names further columns with few distinct values.

    Other text is written without a dictionary, which would be built and thrown away (7 % of the time). With its page
    index a row is read without its row group, as the viewer of the Hub does; it costs 5 bytes in 100,000, and no time.

    >>> from curate.rows.schema import row_schema
    >>> parquet_options(row_schema("conversation"))["use_dictionary"]
    ['source', 'messages.list.element.role']
    """
    leaves = [leaf for field in schema for leaf in _leaves(field, "")]
    words = [leaf for leaf in leaves if leaf.rsplit(".", 1)[-1] in {*REPEATED, *repeated}]
    return {
        "compression": "zstd",
        "use_dictionary": words,
        "write_statistics": ["source", "id"],
        "write_page_index": True,
    }


def _leaves(field: pa.Field, prefix: str) -> Iterator[str]:
    """Spell the Parquet paths of a field's leaf columns."""
    path = f"{prefix}{field.name}"
    if pa.types.is_list(field.type):
        yield from _leaves(pa.field("element", field.type.value_type), f"{path}.list.")
    elif pa.types.is_struct(field.type):
        for child in field.type:
            yield from _leaves(child, f"{path}.")
    else:
        yield path


def read_columns(meta: pq.FileMetaData, columns: Sequence[str] | None) -> list[int]:
    """Return the numbers of the leaf columns below `columns` (None: all)."""
    leaves = [meta.schema.column(i).path for i in range(meta.num_columns)]
    return [i for i, leaf in enumerate(leaves) if columns is None or _is_of(leaf, columns)]


def _is_of(leaf: str, columns: Sequence[str]) -> bool:
    return any(leaf == column or leaf.startswith(f"{column}.") for column in columns)


def needed_row_groups(meta: pq.FileMetaData, where: Mapping[str, Sequence[object]]) -> list[int]:
    """Return the row groups that may hold a row which has, in each column of `where`, one of its values.

    A row group is left out only where its statistics exclude all values of a column, or the file lacks the column.
    Values and statistics of different types exclude nothing.
    """
    number = {meta.schema.column(i).path: i for i in range(meta.num_columns)}
    names = set(meta.schema.to_arrow_schema().names)
    return [
        group
        for group in range(meta.num_row_groups)
        if all(
            column in names
            and (column not in number or _may_hold(meta.row_group(group).column(number[column]).statistics, values))
            for column, values in where.items()
        )
    ]


def _may_hold(found: pq.Statistics | None, values: Sequence[object]) -> bool:
    """Return whether a column with these statistics may hold one of the values."""
    if found is None:
        return True
    if found.has_null_count and not found.num_values:  # all null
        return False
    if not found.has_min_max:
        return True
    try:
        low, high = found.min, found.max
    except UnicodeDecodeError:
        return True
    return any(_is_between(low, value, high) for value in values)


def _is_between(low: object, value: object, high: object) -> bool:
    if isinstance(low, str) and isinstance(high, str):
        return isinstance(value, str) and low <= value <= high
    if isinstance(low, bool | int | float) and isinstance(high, bool | int | float):
        return isinstance(value, bool | int | float) and low <= value <= high
    return True
