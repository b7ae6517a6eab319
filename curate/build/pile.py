"""A pile: rows in the order of their rank in one Arrow file, to be read back bucket by bucket.

A bucket holds the ranks that share their highest bits. Ranks are uniform, so buckets are even, and a reader that goes
through the final order needs no more than one bucket of every pile in memory.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.io.atomic import map_ipc, write_ipc
from curate.rows.gather import take
from curate.text.hashing import order_of

BUCKETS_LOG2 = 6
"""64 buckets: one of a 16 GB source is 256 MB."""


def bucket_of(rank: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the number of the bucket that each rank belongs to.

    >>> bucket_of(np.array([0, 2**63, 2**64 - 1], np.uint64)).tolist()
    [0, 32, 63]
    """
    return (rank >> np.uint64(64 - BUCKETS_LOG2)).astype(np.int64)


def write_pile(path: Path, rows: pa.RecordBatch, which: NDArray[np.int32], rank: NDArray[np.uint64]) -> None:
    """Write the rows at `which`, a batch for each bucket; `rank` is the rank of each of these."""
    order = order_of(rank)
    cuts = np.searchsorted(bucket_of(rank[order]), np.arange(1 + (1 << BUCKETS_LOG2))).tolist()
    sorted_rows = take(rows, which[order])
    write_ipc(path, (sorted_rows.slice(start, end - start) for start, end in pairwise(cuts)))


def read_bucket(path: Path, number: int) -> pa.RecordBatch:
    """Return one bucket of a pile where it lies on disk; only what is touched is read."""
    return map_ipc(path).get_batch(number)


def read_pile(path: Path) -> list[pa.RecordBatch]:
    """Return all buckets of a pile where they lie on disk."""
    return map_ipc(path).read_all().to_batches()
