"""The template of a prompt, as far as two ends of a text can tell: how it begins and how it ends."""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from curate.rows.joined_text import row_texts
from curate.rows.segments import Segments, select

EDGE: Final = 4
"""Words at either end of a prompt that count."""

SHARED: Final = 5
"""Rows that must share an end for it to be one of a template."""


def prompt_ends(segments: Segments) -> tuple[pa.StringArray, pa.StringArray]:
    """Return the first and the last four words of the first user turn of each row, in normal form.

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> turns = [{"role": "user", "content": "Is it true that water boils at 90 degrees?"}]
    >>> batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
    >>> [ends[0].as_py() for ends in prompt_ends(segments(batch))]
    ['is it true that', 'at 90 degrees ?']
    """
    words = pl.Series(row_texts(select(segments, "first_user")), dtype=pl.String).str.split(" ")
    ends = (words.list.head(EDGE), words.list.tail(EDGE))
    start, end = (found.list.join(" ").to_arrow().cast(pa.string()) for found in ends)
    return start, end


def shared_end(name: str) -> pl.Expr:
    """Return the column of an end where enough rows have it, and null elsewhere."""
    return pl.when(pl.len().over(name) >= SHARED).then(name)
