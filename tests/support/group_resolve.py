"""How tests drive a group without a build: rows signed in batches, lists in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.schema import BODIES, Kind
from curate.rows.segments import segments
from curate.steps.base import Group


@dataclass
class Memory:
    """Lists that a group signed rows with, in memory."""

    lists: dict[str, pa.ListArray]

    def read(self, name: str, lines: NDArray[np.int64]) -> pa.ListArray:
        return self.lists[name].take(pa.array(lines))


def body(rows: list[dict[str, Any]], kind: Kind = "conversation") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])


def asks(texts: list[str]) -> pa.RecordBatch:
    """Rows of one user turn each."""
    return body([{"messages": [{"role": "user", "content": text}]} for text in texts])


@dataclass
class Keys:
    """What `resolve` is handed."""

    frame: pl.DataFrame
    lists: Memory

    def dropped(self, step: Group) -> dict[int, tuple[int, float]]:
        drops = step.resolve(self.frame, self.lists, {}).drops
        assert drops["row"].is_sorted()
        return {row: (kept, score) for row, kept, score in drops.select("row", "kept", "score").rows()}


def signed(step: Group, batches: list[pa.RecordBatch], **named: Any) -> Keys:  # noqa: ANN401
    """Sign batches; `named` are the columns source, rank, protect and row, else 0, by row, false and by place."""
    found = [step.sign(segments(batch, step.reads)) for batch in batches]
    frame = pl.concat([pl.DataFrame(each.columns) for each in found])
    rows = np.arange(frame.height)
    columns: dict[str, Any] = {"row": rows, "source": 0 * rows, "rank": rows, "protect": rows < 0} | named
    lists = {name: pa.concat_arrays([each.lists[name] for each in found]) for name in found[0].lists}
    return Keys(frame.with_columns(pl.Series(name, values) for name, values in columns.items()), Memory(lists))
