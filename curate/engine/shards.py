"""The finished rows on their way from pieces to Parquet, in their final order.

A shard is cut by the size of its text, so it does not depend on how rows lay in the pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.resolve import Order
from curate.engine.row_store import Loaded, Stockroom, fetch
from curate.io.atomic import replacing
from curate.io.parquet import parquet_options
from curate.rows.schema import kind_of, row_schema

SHARD_BYTES = 128 << 20
GROUP_BYTES = 32 << 20
GROUP_ROWS = 65_536
"""A shard holds about 128 MB of text, a row group about 32 MB and at most 65,536 rows."""


class Shard(NamedTuple):
    """A stretch of one split's order, and the ends of its row groups within that stretch."""

    name: str
    order: Order
    ends: NDArray[np.int64]


def cut(split: str, whole: Order, size: NDArray[np.int64]) -> list[Shard]:
    """Cut an order into shards; `size` is the bytes of text of each of its rows. An empty split has one empty shard."""
    total = np.cumsum(size)
    number = (total - size) // SHARD_BYTES if len(size) else np.zeros(0, np.int64)
    edges = np.flatnonzero(np.diff(number)) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), len(size)]
    shards = []
    for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        part = whole.pick(slice(start, stop))
        name = f"{split}-{i:05d}-of-{len(starts):05d}.parquet"
        shards.append(Shard(name, part, _group_ends(size[start:stop])))
    return shards


def _group_ends(size: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(size):
        return np.zeros(0, np.int64)
    by_bytes = (np.cumsum(size) - size) // GROUP_BYTES
    by_rows = np.arange(len(size)) // GROUP_ROWS
    return np.append(np.flatnonzero(np.diff(by_bytes) | np.diff(by_rows)) + 1, len(size))


def write_shard(shard: Shard, stock: Stockroom, path: Path) -> None:
    """Write one shard as Parquet (zstd), whole or not at all."""
    schema = row_schema(kind_of(stock.schema))
    with replacing(path) as draft, pq.ParquetWriter(draft, schema, **parquet_options(schema)) as writer:
        for rows in _row_groups(shard, stock):
            writer.write_table(rows, row_group_size=rows.num_rows)


def _row_groups(shard: Shard, stock: Stockroom) -> Iterator[pa.Table]:
    """Yield the rows of each row group."""
    loaded: Loaded = {}
    for start, end in pairwise([0, *shard.ends.tolist()]):
        yield fetch(stock, shard.order.pick(slice(start, end)), loaded)
