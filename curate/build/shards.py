"""The finished rows on their way from pieces to Parquet, in their final order.

A shard is cut by the size of its text, so it does not depend on how rows lay in the pieces. Every bucket of the order
is read, sorted and written on its own: memory holds a bucket for each thread, never a shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.build.pile import bucket_of, pile_schema, read_bucket, read_pile, write_pile
from curate.build.settle import Order
from curate.io.atomic import replacing
from curate.rows.gather import take
from curate.rows.schema import kind_of, row_schema
from curate.text.hashing import order_of

SHARD_BYTES = 128 << 20
GROUP_BYTES = 32 << 20
GROUP_ROWS = 65_536
"""A shard holds about 128 MB of text, a row group about 32 MB and at most 65,536 rows."""

MOVED_BYTES = 256 << 20
"""Text of the copies in one pile of moved rows: a block of 16 MB that goes in 130 times is beyond 32-bit offsets."""

COPY_BITS = 16


class Pile(NamedTuple):
    """A file of rows in buckets, numbered in the build from `first` on."""

    path: Path
    first: int
    rows: int


class Shard(NamedTuple):
    """A stretch of one split's order, and the ends of its row groups within that stretch."""

    name: str
    order: Order
    ends: NDArray[np.int64]


class Stockroom(NamedTuple):
    """All that a shard is made from; `source`, `occurrence` and `lifted` (moved rows) run over all rows."""

    piles: tuple[Pile, ...]
    schema: pa.Schema
    sources: pa.StringArray
    source: NDArray[np.int16]
    occurrence: NDArray[np.uint64]
    lifted: NDArray[np.bool_]


class Bucket(NamedTuple):
    """One bucket of all piles in memory: `key` is sorted, `place` says where in `rows` each key's row lies."""

    rows: pa.RecordBatch
    key: NDArray[np.int64]
    place: NDArray[np.int64]


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


def move(pile: Pile, moving: Order, size: NDArray[np.int64]) -> list[Pile]:
    """Put copies of a pile's rows that belong elsewhere into piles of their own, each of about `MOVED_BYTES` of text.

    `moving` has the copies that move, by row of the build; `size` is the bytes of text of each row.
    """
    low, high = np.searchsorted(moving.row, [pile.first, pile.first + pile.rows])
    if low == high:
        return []
    want = moving.pick(slice(low, high))
    batch = pa.concat_batches(read_pile(pile.path))
    number = (np.cumsum(size[want.row]) - size[want.row]) // MOVED_BYTES
    stretches = np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1)
    return [_move(pile, batch, want.pick(stretch), i) for i, stretch in enumerate(stretches)]


def _move(pile: Pile, batch: pa.RecordBatch, want: Order, number: int) -> Pile:
    where = np.argsort(np.asarray(batch["row"]))
    found = where[np.searchsorted(np.asarray(batch["row"]), want.row - pile.first, sorter=where)]
    rows = take(batch, found.astype(np.int32))
    rows = rows.set_column(2, rows.schema.field(2), pa.array(want.copy.astype(np.int32)))
    path = pile.path.with_name(pile.path.name.replace(".rows.", f".moved-{number}."))
    write_pile(path, rows, np.arange(rows.num_rows, dtype=np.int32), want.rank)
    return Pile(path, pile.first, pile.rows)


def write_shard(shard: Shard, stock: Stockroom, path: Path) -> None:
    """Write one shard as Parquet (zstd), whole or not at all."""
    schema = row_schema(kind_of(stock.schema))
    with replacing(path) as draft, pq.ParquetWriter(draft, schema, **parquet_options(schema)) as writer:
        for rows in _row_groups(shard, stock):
            writer.write_table(rows, row_group_size=rows.num_rows)


REPEATED = ("source", "role", "name", "model")
"""Columns of few different values: they are written with a dictionary, at whatever depth they lie."""


def parquet_options(schema: pa.Schema, repeated: Sequence[str] = ()) -> dict[str, Any]:
    """Return how rows are written: text without a dictionary, which would be built and thrown away (7 % of the time).

    `repeated` names further columns of few different values.
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


def _row_groups(shard: Shard, stock: Stockroom) -> Iterator[pa.Table]:
    """Yield the rows of each row group; a bucket stays in memory until the order has passed it."""
    bucket = bucket_of(shard.order.rank)
    loaded: dict[int, Bucket] = {}
    start = 0
    for end in shard.ends.tolist():
        needed = range(int(bucket[start]), int(bucket[end - 1]) + 1)
        loaded = {number: loaded.get(number) or _load(number, stock) for number in needed}
        edges = [start, *(start + np.searchsorted(bucket[start:end], needed[1:])).tolist(), end]
        stretches = zip(needed, edges[:-1], edges[1:], strict=True)
        yield pa.Table.from_batches(
            [_pick(loaded[number], shard.order, low, high, stock) for number, low, high in stretches]
        )
        start = end


def _load(number: int, stock: Stockroom) -> Bucket:
    """Read one bucket of every pile."""
    batches, keys = [], []
    for pile in stock.piles:
        batch = read_bucket(pile.path, number, pile_schema(stock.schema))
        batches.append(batch)
        keys.append(_row_keys(np.asarray(batch["row"]) + pile.first, np.asarray(batch["copy"])))
    key = np.concatenate(keys)
    by_key = order_of(key)
    return Bucket(pa.concat_batches(batches), key[by_key], by_key)


def _pick(bucket: Bucket, order: Order, low: int, high: int, stock: Stockroom) -> pa.RecordBatch:
    """Return the rows `low` to `high` of an order, all of which lie in `bucket`, as finished rows."""
    row = order.row[low:high]
    place = np.searchsorted(bucket.key, _row_keys(row, order.copy[low:high] * stock.lifted[row]))
    rows = take(bucket.rows, bucket.place[place].astype(np.int32))
    columns = [
        stock.sources.take(pa.array(stock.source[row])),
        numbered(rows["id"], stock.occurrence[row]),
        *rows.columns[3:],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=row_schema(kind_of(stock.schema)))


def _row_keys(row: NDArray[np.int64], copy: NDArray[np.int64]) -> NDArray[np.int64]:
    return (row.astype(np.int64) << COPY_BITS) | copy


def numbered(ids: pa.StringArray, occurrence: NDArray[np.uint64]) -> pa.StringArray:
    """Add the number of its occurrence to the id of every row that is not the first of its kind.

    >>> numbered(pa.array(["a", "a"]), np.array([0, 1], np.uint64)).to_pylist()
    ['a', 'a-2']
    """
    if not occurrence.any():
        return ids
    later = pc.binary_join_element_wise(ids, pa.array(occurrence + np.uint64(1)).cast(pa.string()), "-")
    return pc.if_else(pa.array(occurrence > 0), later, ids)
