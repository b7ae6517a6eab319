"""The finished rows: fetched from spill files or their input files by number, and written as Parquet shards in order.

Memory holds one bucket of the spill files and about 16 MB of lines per thread, never a shard. Shards are cut by the
size of their text, so they do not depend on the partitions.
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

from curate.engine.source_lines import FetchedRows, SourceLines, read_again
from curate.engine.spill import bucket_of, read_bucket, read_spill, spill_schema, write_spill
from curate.engine.state import Order
from curate.io.atomic import replacing
from curate.io.parquet import parquet_options
from curate.kernels.hashing import order_of
from curate.rows.identity import numbered
from curate.rows.layout import Layout
from curate.rows.parts import conform
from curate.rows.take import take

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


def write_shard(shard: Shard, store: RowStore, path: Path) -> None:
    """Write one shard as Parquet (zstd), whole or not at all."""
    schema, loaded = store.layout.schema, Loaded()
    with replacing(path) as draft, pq.ParquetWriter(draft, schema, **parquet_options(schema)) as writer:
        for start, end in pairwise([0, *shard.ends.tolist()]):
            rows = fetch(store, shard.order.pick(slice(start, end)), loaded)
            writer.write_table(rows, row_group_size=rows.num_rows)


RELOCATED_BYTES = 256 << 20
"""Text per spill file of relocated copies: a block of 16 MB that is repeated 130 times overflows 32-bit offsets."""

COPY_BITS = 16


class SpillFile(NamedTuple):
    """A spill file of a partition whose first row in the build is `first`; `schema` is that of the file."""

    path: Path
    first: int
    rows: int
    schema: pa.Schema


class RowStore(NamedTuple):
    """Everything that finished rows are made from; `source`, `occurrence` and `relocated` run over all rows.

    `layout` has the columns of the finished rows.
    """

    lines: SourceLines
    spills: tuple[SpillFile, ...]
    layout: Layout
    sources: pa.StringArray
    source: NDArray[np.int16]
    occurrence: NDArray[np.uint64]
    relocated: NDArray[np.bool_]


class Bucket(NamedTuple):
    """One bucket of all spill files in memory: `key` is sorted, `place` is the position in `rows` of each key's row."""

    rows: pa.RecordBatch
    key: NDArray[np.int64]
    place: NDArray[np.int64]


def relocate(spill: SpillFile, moving: Order, size: NDArray[np.int64]) -> list[SpillFile]:
    """Write copies that belong to other buckets to spill files of their own, each of about `RELOCATED_BYTES` of text.

    `moving` has the copies to relocate, by row of the build; `size` is the bytes of text of each row.
    """
    low, high = np.searchsorted(moving.row, [spill.first, spill.first + spill.rows])
    if low == high:
        return []
    want = moving.pick(slice(low, high))
    batch = pa.concat_batches(read_spill(spill.path))
    number = (np.cumsum(size[want.row]) - size[want.row]) // RELOCATED_BYTES
    stretches = np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1)
    return [_relocated_file(spill, batch, want.pick(stretch), i) for i, stretch in enumerate(stretches)]


def _relocated_file(spill: SpillFile, batch: pa.RecordBatch, want: Order, number: int) -> SpillFile:
    where = np.argsort(np.asarray(batch["row"]))
    found = where[np.searchsorted(np.asarray(batch["row"]), want.row - spill.first, sorter=where)]
    rows = take(batch, found.astype(np.int32))
    rows = rows.set_column(2, rows.schema.field(2), pa.array(want.copy.astype(np.int32)))
    path = spill.path.with_name(spill.path.name.replace(".rows.", f".relocated-{number}."))
    write_spill(path, rows, np.arange(rows.num_rows, dtype=np.int32), want.rank)
    return SpillFile(path, spill.first, spill.rows, spill.schema)


Loaded = dict[int, Bucket]
"""Buckets by number; `fetch` keeps those that the next stretch of an order may need."""


def fetch(store: RowStore, order: Order, loaded: Loaded) -> pa.Table:
    """Return the finished rows of a stretch of an order."""
    start = store.lines.start[order.row]
    here, away = np.flatnonzero(start >= 0), np.flatnonzero(start < 0)
    found = [*_from_spills(store, order.pick(away), away, loaded)]
    found += [part._replace(place=here[part.place]) for part in read_again(store.lines, order.row[here])]
    rows = [_finished(store, order, part) for part in found]
    place = np.concatenate([part.place for part in found]) if found else here
    if len(rows) > 1:  # one stretch: pages would otherwise end where the rows were found, which a host decides
        rows = [pa.concat_batches(rows)]
    if not (np.diff(place) > 0).all():
        rows = [take(rows[0], np.argsort(place).astype(np.int32))]
    return pa.Table.from_batches(map(store.layout.finished, rows), store.layout.schema)


def _from_spills(store: RowStore, order: Order, place: NDArray[np.int64], loaded: Loaded) -> Iterator[FetchedRows]:
    """Yield rows from spill files, bucket by bucket; a bucket stays in memory until the order has passed it."""
    bucket = bucket_of(order.rank)
    needed = np.unique(bucket).tolist()
    for number in loaded.keys() - needed:
        del loaded[number]
    for number in needed:
        if number not in loaded:
            loaded[number] = _load(number, store)
        mine = np.flatnonzero(bucket == number)
        rows = _pick(loaded[number], order.pick(mine), store.relocated)
        yield FetchedRows(place[mine], rows["id"], rows.drop_columns(rows.schema.names[:3]))


def _load(number: int, store: RowStore) -> Bucket:
    """Read one bucket of every spill file."""
    batches, keys = [], []
    schema = spill_schema(store.layout.body)
    for spill in store.spills:
        batch = read_bucket(spill.path, number, spill.schema)
        batches.append(conform(batch, schema))
        keys.append(_row_keys(np.asarray(batch["row"]) + spill.first, np.asarray(batch["copy"])))
    key = np.concatenate(keys)
    by_key = order_of(key)
    return Bucket(pa.concat_batches(batches), key[by_key], by_key)


def _pick(bucket: Bucket, order: Order, relocated: NDArray[np.bool_]) -> pa.RecordBatch:
    place = np.searchsorted(bucket.key, _row_keys(order.row, order.copy * relocated[order.row]))
    return take(bucket.rows, bucket.place[place].astype(np.int32))


def _row_keys(row: NDArray[np.int64], copy: NDArray[np.int64]) -> NDArray[np.int64]:
    return (row.astype(np.int64) << COPY_BITS) | copy


def _finished(store: RowStore, order: Order, part: FetchedRows) -> pa.RecordBatch:
    """Return rows with their source and numbered id."""
    row = order.row[part.place]
    source = store.sources.take(pa.array(store.source[row]))
    ids = numbered(part.ids, store.occurrence[row])
    body = conform(part.body, store.layout.body)
    return pa.RecordBatch.from_arrays([source, ids, *body.columns], names=["source", "id", *body.schema.names])
