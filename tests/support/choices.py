"""Lets a selection choose among a few chats, without a build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.mix.takes.selection import Budget, Choice, Selection
from curate.rows.schema import BODIES
from curate.rows.segments import Context, segments
from tests.support.build_data import turns


class Lists:
    """Lists of keys in memory."""

    def __init__(self, lists: Mapping[str, pa.ListArray]) -> None:
        self.lists = lists

    def read(self, name: str, lines: NDArray[np.int64]) -> pa.ListArray:
        return self.lists[name].take(pa.array(lines))


def ranks_of(count: int) -> NDArray[np.uint64]:
    """Return ascending ranks, evenly over all that there are."""
    return np.array([(i + 1) * 2**64 // (count + 1) for i in range(count)], np.uint64)


def choose(
    take: Selection,
    chats: list[list[str]],
    budget: Budget,
    to: Sequence[Sequence[str]] = (),
    **scores: Any,  # noqa: ANN401
) -> Choice:
    """Let a selection choose among chats of ten tokens each; `to` are those of its reference."""
    every, extra = [*chats, *to], np.zeros(len(to), np.int64)
    batch = pa.RecordBatch.from_pylist(
        [{"messages": turns(*chat), "meta": "{}"} for chat in every], BODIES["conversation"]
    )
    columns = {name.replace("__", "."): column for name, column in scores.items()}
    context = Context("a", pa.array([str(i) for i in range(len(every))]), columns)
    signed = take.sign(segments(batch, parts=None)._replace(context=context))
    own = {"row": np.arange(len(chats)), "tokens": np.full(len(chats), 10), "rank": ranks_of(len(chats))}
    known = {name: np.concatenate([column, extra.astype(column.dtype)]) for name, column in own.items()}
    keys = pl.DataFrame({**known, **signed.columns})
    if take.against():
        keys = keys.with_columns(reference=np.arange(len(every)) >= len(chats))
    return take.choose(keys, Lists(signed.lists), budget)
