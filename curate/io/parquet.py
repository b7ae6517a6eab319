"""How tables of rows are written as Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

REPEATED: Final = ("source", "role", "name", "model", "tools", "chat_template_kwargs")
"""Columns with few distinct values, at any depth: they are written with a dictionary."""


def parquet_options(schema: pa.Schema, repeated: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options of `ParquetWriter`; `repeated` names further columns with few distinct values.

    Other text is written without a dictionary, which would be built and thrown away (7 % of the time).

    >>> from curate.rows.schema import row_schema
    >>> parquet_options(row_schema("conversation"))["use_dictionary"]
    ['source', 'messages.list.element.role']
    """
    leaves = [leaf for field in schema for leaf in _leaves(field, "")]
    words = [leaf for leaf in leaves if leaf.rsplit(".", 1)[-1] in {*REPEATED, *repeated}]
    return {"compression": "zstd", "use_dictionary": words, "write_statistics": ["source", "id"]}


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
