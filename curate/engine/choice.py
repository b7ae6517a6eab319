"""Sources whose take chooses rows: their keys are signed with the rows, and the choice is made when all are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.engine.barrier import BatchKeys, StoredLists, key_columns
from curate.kernels.hashing import order_of
from curate.mix.plan import Share
from curate.mix.takes.selection import Budget, Selection

CHOICE: Final = "(take)"
"""The label of a selection's keys: no step can have it."""

CHOSEN: Final = "chosen"
"""The name of the table with the rows that a selection chose."""


def choice_label(source: str) -> str:
    """Return the label of the table that a source's selection leaves."""
    return f"{source}:take"


def choose(
    take: Selection,
    share: Share,
    batches: Sequence[BatchKeys],
    row: NDArray[np.int64],
    rank: NDArray[np.uint64],
    tokens: NDArray[np.int64],
) -> tuple[NDArray[np.uint64], pl.DataFrame]:
    """Let a selection choose among rows, by their numbers in `batches`, ascending.

    Returns the place of each row, those that were not chosen behind the others by `rank`, and a line for each row that
    goes in, in order: its `place`, its `row`, and why.
    """
    by_rank = order_of(rank)
    columns, _ = key_columns(batches, CHOICE, row)
    keys = pl.DataFrame({"row": row, "tokens": tokens, **columns})[by_rank]
    rows = share.unit == "rows"
    budget = Budget(rows=share.rest) if rows else Budget(tokens=share.rest)
    chosen = take.choose(keys, StoredLists(batches, CHOICE, row[by_rank]), budget)
    place = len(row) + np.arange(len(row), dtype=np.int64)
    place[chosen.lines] = np.arange(len(chosen.lines))
    own = tokens[by_rank][chosen.lines]
    fits = np.arange(1, len(own) + 1) if rows else np.cumsum(own)
    inside = int(np.searchsorted(fits, share.rest, side="right"))
    table = chosen.why.head(inside).select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("place"),
        pl.Series("row", row[by_rank][chosen.lines[:inside]]),
        pl.Series("tokens", own[:inside]),
        pl.all(),
    )
    ranked = np.empty(len(row), np.uint64)
    ranked[by_rank] = place.astype(np.uint64)
    return ranked, table
