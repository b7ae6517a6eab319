"""Judges of tests that answer at once: how long the texts are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa


def turns(rows: pa.RecordBatch) -> list[int | None]:
    """The number of turns of the first side; none for a row without turns."""
    return [len(row[0]) or None for row in zip(rows.column(0).to_pylist(), strict=True)]


class Longer:
    """How many turns, counted from a start that takes long to load."""

    model = "of tests"

    def __init__(self) -> None:
        self.start = 1

    def __call__(self, rows: pa.RecordBatch) -> pa.Array:
        return pc.add(pc.list_value_length(rows.column(0)), self.start)
