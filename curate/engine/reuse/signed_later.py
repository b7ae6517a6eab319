"""Keys of a group for some rows of a build, made from their texts once all partitions are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.barrier import MemoryKeys
from curate.engine.executors.threads import run_all
from curate.engine.pipeline import NO_ROWS
from curate.engine.source_lines import SourceLines, read_again
from curate.engine.spill import picked, read_spill
from curate.engine.state import Partition
from curate.io.atomic import read_ipc
from curate.rows.segments import segments
from curate.steps.base import Group


class RowTexts(NamedTuple):
    """The rows of a build as all edits left them: where their lines are, and their partitions."""

    lines: SourceLines
    partitions: tuple[Partition, ...]
    threads: int

    def signed(self, label: str, group: Group, row: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[MemoryKeys]]:
        """Return the keys of these rows, which ascend, batch by batch, and the row of each line of all batches."""

        def sign(part: tuple[NDArray[np.int64], pa.RecordBatch]) -> tuple[NDArray[np.int64], MemoryKeys]:
            which, body = part
            keys = group.sign(segments(body, group.reads, group.reads_parts))
            return which, MemoryKeys(len(which), {label: keys})

        found = list(run_all(sign, self._bodies(row), self.threads))
        if not found:
            return row, [MemoryKeys(0, {label: group.sign(NO_ROWS)})]
        return np.concatenate([which for which, _ in found]), [keys for _, keys in found]

    def _bodies(self, row: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Yield the rows and their bodies: from their lines, from spill files, or from the files of dropped rows."""
        stays = self.lines.start[row] >= 0
        here, away = row[stays], row[~stays]
        for part in read_again(self.lines, here):
            yield here[part.place], part.body
        for partition in self.partitions:
            low, high = np.searchsorted(away, [partition.first, partition.first + partition.rows])
            if low < high:
                for found in _stored(partition, away[low:high] - partition.first):
                    yield partition.first + np.asarray(found["row"]), found.drop_columns(found.schema.names[:3])


def _stored(partition: Partition, row: NDArray[np.int64]) -> list[pa.RecordBatch]:
    """Return the rows with these numbers in a partition, each from the one of its files that has it."""
    wanted = np.zeros(partition.rows, np.bool_)
    wanted[row] = True
    found = picked([read_ipc(partition.paths.dropped)], wanted)
    return found + (picked(read_spill(partition.paths.rows), wanted) if partition.paths.rows.is_file() else [])
