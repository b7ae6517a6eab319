"""Vectors of rows as keys on disk: one list per row, empty where a row has none."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Float32s, Int64s, Text, UInt64s, frozen
from curate.kernels.hashing import hash_strings
from curate.steps.base import KeyLists

VECTOR: Final = "vector"
"""The name of the lists."""

READ: Final = 1 << 16
"""Vectors read at once."""


class VectorKeys(NamedTuple):
    """The vectors of a batch, and a hash of each: 0 for a row without a vector, over 0 for others."""

    hashed: UInt64s
    lists: pa.ListArray


def signed_vectors(vectors: Float32s) -> VectorKeys:
    """Return vectors as keys; a row of zeros has none.

    >>> found = signed_vectors(np.array([[0, 1], [0, 0], [0, 1]], np.float32))
    >>> found.lists.to_pylist(), bool(found.hashed[0] == found.hashed[2]), int(found.hashed[1])
    ([[0.0, 1.0], [], [0.0, 1.0]], True, 0)
    """
    known: NDArray[np.bool_] = np.asarray(vectors.any(axis=1))
    offsets = np.concatenate([[0], np.cumsum(known * vectors.shape[1])]).astype(np.int32)
    values = np.ascontiguousarray(vectors[known]).reshape(-1)
    size = vectors.shape[1] * vectors.itemsize
    ends = (np.arange(np.count_nonzero(known) + 1) * size).astype(np.int32)
    hashed = np.zeros(len(vectors), np.uint64)
    hashed[known] = hash_strings(Text(frozen(values.view(np.uint8)), frozen(ends))).high | np.uint64(1)
    return VectorKeys(hashed, pa.ListArray.from_arrays(pa.array(offsets), pa.array(values)))


def read_vectors(lists: KeyLists, line: Int64s) -> Float32s:
    """Read the vectors of lines that have one, `READ` at a time, into one matrix."""
    if not len(line):
        return np.zeros((0, 1), np.float32)
    first = lists.read(VECTOR, line[:1]).flatten()
    vectors = np.empty((len(line), len(first)), np.float32)
    for at in range(0, len(line), READ):
        found = lists.read(VECTOR, line[at : at + READ]).flatten().to_numpy(zero_copy_only=False)
        vectors[at : at + READ] = found.reshape(-1, vectors.shape[1])
    return vectors
