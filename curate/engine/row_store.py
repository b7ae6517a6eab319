"""Where the rows wait that go into a build: in piles, or still in the files they came from; by number they are fetched.

Memory holds a bucket of the piles and about 16 MB of lines for each thread, never a shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.resolve import Order
from curate.engine.source_lines import Found, InPlace, read_again
from curate.engine.spill import bucket_of, pile_schema, read_bucket, read_pile, write_pile
from curate.kernels.hashing import order_of
from curate.rows.identity import numbered
from curate.rows.schema import kind_of, row_schema
from curate.rows.take import take

MOVED_BYTES = 256 << 20
"""Text of the copies in one pile of moved rows: a block of 16 MB that goes in 130 times is beyond 32-bit offsets."""

COPY_BITS = 16


class Pile(NamedTuple):
    """A file of rows in buckets, numbered in the build from `first` on."""

    path: Path
    first: int
    rows: int


class Stockroom(NamedTuple):
    """All that finished rows are made from; `source`, `occurrence` and `lifted` (moved rows) run over all rows."""

    lines: InPlace
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


Loaded: TypeAlias = dict[int, Bucket]
"""Buckets by number; `fetch` keeps here what the next stretch of an order may need."""


def fetch(stock: Stockroom, order: Order, loaded: Loaded) -> pa.Table:
    """Return a stretch of an order as finished rows."""
    start = stock.lines.start[order.row]
    here, away = np.flatnonzero(start >= 0), np.flatnonzero(start < 0)
    found = [*_from_piles(stock, order.pick(away), away, loaded)]
    found += [part._replace(place=here[part.place]) for part in read_again(stock.lines, order.row[here])]
    rows = pa.Table.from_batches([_finished(stock, order, part) for part in found], _schema(stock))
    place = np.concatenate([part.place for part in found]) if found else here
    if (np.diff(place) > 0).all():
        return rows
    whole = pa.concat_batches(rows.to_batches())
    return pa.Table.from_batches([take(whole, np.argsort(place).astype(np.int32))])


def _from_piles(stock: Stockroom, order: Order, place: NDArray[np.int64], loaded: Loaded) -> Iterator[Found]:
    """Yield rows that lie in piles, bucket by bucket; a bucket stays in memory until the order has passed it."""
    bucket = bucket_of(order.rank)
    needed = np.unique(bucket).tolist()
    for number in loaded.keys() - needed:
        del loaded[number]
    for number in needed:
        if number not in loaded:
            loaded[number] = _load(number, stock)
        mine = np.flatnonzero(bucket == number)
        rows = _pick(loaded[number], order.pick(mine), stock.lifted)
        yield Found(place[mine], rows["id"], pa.RecordBatch.from_arrays(rows.columns[3:], schema=stock.schema))


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


def _pick(bucket: Bucket, order: Order, lifted: NDArray[np.bool_]) -> pa.RecordBatch:
    place = np.searchsorted(bucket.key, _row_keys(order.row, order.copy * lifted[order.row]))
    return take(bucket.rows, bucket.place[place].astype(np.int32))


def _row_keys(row: NDArray[np.int64], copy: NDArray[np.int64]) -> NDArray[np.int64]:
    return (row.astype(np.int64) << COPY_BITS) | copy


def _finished(stock: Stockroom, order: Order, part: Found) -> pa.RecordBatch:
    row = order.row[part.place]
    source = stock.sources.take(pa.array(stock.source[row]))
    ids = numbered(part.ids, stock.occurrence[row])
    return pa.RecordBatch.from_arrays([source, ids, *part.body.columns], schema=_schema(stock))


def _schema(stock: Stockroom) -> pa.Schema:
    return row_schema(kind_of(stock.schema))
