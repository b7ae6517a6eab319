"""A spill file: rows in the order of their rank in one Arrow file, read back bucket by bucket.

A bucket holds the ranks that share their highest bits. Ranks are uniform, so buckets are even, and a reader in the
final order needs only one bucket of every spill file in memory.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.io.atomic import replacing
from curate.kernels.hashing import order_of
from curate.rows.take import take

BUCKETS_LOG2 = 6
BUCKETS = 1 << BUCKETS_LOG2
"""64: a bucket of a 16 GB source is 256 MB."""


def bucket_of(rank: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the number of the bucket that each rank belongs to.

    >>> bucket_of(np.array([0, 2**63, 2**64 - 1], np.uint64)).tolist()
    [0, 32, 63]
    """
    return (rank >> np.uint64(64 - BUCKETS_LOG2)).astype(np.int64)


def spill_schema(body: pa.Schema) -> pa.Schema:
    """Return the schema of a spill file: the row's id, number in its partition and copy number, then its body."""
    return pa.schema([("id", pa.string()), ("row", pa.int32()), ("copy", pa.int32()), *body])


def write_spill(path: Path, rows: pa.RecordBatch, which: NDArray[np.int32], rank: NDArray[np.uint64]) -> None:
    """Write the rows at `which`, a batch for each bucket; `rank` is the rank of each of these.

    The file is an Arrow IPC stream with the places of its batches after its end. Arrow's own file format has them too,
    but reading its footer takes three times as long as reading a bucket.
    """
    order = order_of(rank)
    cuts = np.searchsorted(bucket_of(rank[order]), np.arange(BUCKETS + 1)).tolist()
    sorted_rows = take(rows, which[order])
    places = np.empty(BUCKETS, np.int64)
    with replacing(path) as draft, pa.OSFile(str(draft), "wb") as sink:
        with pa.ipc.new_stream(sink, sorted_rows.schema) as writer:
            writer.write_batch(sorted_rows.slice(0, 0))  # the schema goes out with the first batch
            for number, (start, end) in enumerate(pairwise(cuts)):
                places[number] = sink.tell()
                writer.write_batch(sorted_rows.slice(start, end - start))
        sink.write(places.tobytes())


def schema_of(path: Path) -> pa.Schema:
    """Return the schema of a spill file."""
    return pa.ipc.open_stream(pa.memory_map(str(path))).schema


def read_bucket(path: Path, number: int, schema: pa.Schema) -> pa.RecordBatch:
    """Return one bucket of a spill file with this schema, memory-mapped."""
    source = pa.memory_map(str(path))
    places = np.frombuffer(source.read_at(8 * BUCKETS, source.size() - 8 * BUCKETS), np.int64)
    source.seek(int(places[number]))
    return pa.ipc.read_record_batch(pa.ipc.read_message(source), schema)


def read_spill(path: Path) -> list[pa.RecordBatch]:
    """Return all buckets of a spill file, memory-mapped."""
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all().to_batches()


def picked(buckets: list[pa.RecordBatch], wanted: NDArray[np.bool_]) -> list[pa.RecordBatch]:
    """Return the rows with a wanted number in the partition; only their buckets are opened."""
    ends = np.cumsum([bucket.num_rows for bucket in buckets])
    place = np.flatnonzero(wanted[np.concatenate([np.asarray(bucket["row"]) for bucket in buckets])])
    which = np.searchsorted(ends, place, side="right")
    return [
        take(buckets[number], (place[which == number] - ends[number] + buckets[number].num_rows).astype(np.int32))
        for number in np.unique(which).tolist()
    ]
