"""The state of a build between its phases: the fate of each row, the final order, the partitions on disk.

Everything here is frozen, arrays included. `curate.engine.resolve` makes `RowStates` and `Order`, and each change of a
state is a new one; `curate.engine.build` makes `Partition` once its files are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.hashing import Hashes


class Fate(IntEnum):
    """What happened to a row; every row read has exactly one fate."""

    KEPT = 0
    DROPPED = 1
    UNSAMPLED = 2
    QUARANTINED = 3
    PAIRED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStates:
    """The state of each row that could be read: arrays over rows, in the order of sources, partitions and lines.

    `place` is the position in its source's pipeline of the step that dropped a row (-1: none), and `grouped` whether
    that step is a group. `kept` is the row that a duplicate repeats, or whose id it shares (-1: none).
    `parts` are the parts beyond plain chat that a row uses, as bits (`curate.rows.parts`).
    """

    source: NDArray[np.int16]
    key: Hashes
    occurrence: NDArray[np.uint64]
    fate: NDArray[np.uint8]
    place: NDArray[np.int16]
    grouped: NDArray[np.bool_]
    kept: NDArray[np.int64]
    copies: NDArray[np.int64]
    test: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    bytes: NDArray[np.int64]
    parts: NDArray[np.uint8]

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "key":
                getattr(self, field.name).setflags(write=False)

    @property
    def relocated(self) -> NDArray[np.bool_]:
        """Whether a row has copies outside the bucket that its partition put it into."""
        return (self.copies > 1) | ((self.copies > 0) & (self.occurrence > 0))

    def parts_of(self, rows: NDArray[np.bool_]) -> int:
        """Return the parts that some of these rows use, as bits."""
        return int(np.bitwise_or.reduce(self.parts[rows], initial=0))


class Order(NamedTuple):
    """Rows of one split in their final order; `copy` counts the copies of a row from 0."""

    row: NDArray[np.int64]
    copy: NDArray[np.int64]
    rank: NDArray[np.uint64]

    def pick(self, which: slice | NDArray[np.int64]) -> Order:
        """Return a part of the order."""
        return Order(self.row[which], self.copy[which], self.rank[which])


class PartitionPaths(NamedTuple):
    """The files of a partition; `lines` is written last and has the sizes of the others, so it tells if it is whole.

    `rows` is absent if all rows stay in their input file, `signed` if there is no group, and `pairs` unless a Pairing
    ends the pipeline.
    """

    rows: Path
    dropped: Path
    signed: Path
    pairs: Path
    keys: Path
    lines: Path


@dataclass(frozen=True, slots=True)
class Partition:
    """A finished partition: its files, source, first row in the build, number of rows, and input file.

    `rewards` are the types of its reward columns, by name.
    """

    paths: PartitionPaths
    source: int
    first: int
    rows: int
    file: str
    rewards: Mapping[str, list[str]]
