"""The pairs made in the rated phase of a build, read as the rows of their source in the final phase."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.engine.state import Fate, Partition, RowStates
from curate.io.blocks import BLOCK, Block
from curate.io.inputs import Opened
from curate.io.row_collector import Collector, Parsed
from curate.kernels.hashing import Hashes, combine
from curate.rows.identity import numbered
from curate.rows.schema import Kind
from curate.rows.take import take, text_bytes


class PairCount(NamedTuple):
    """How many rated rows gave pairs, and how many pairs they gave."""

    rows: int
    pairs: int


@dataclass(frozen=True, eq=False)
class PairInput(Opened):
    """The pairs of a source, opened like the input of its rated rows.

    `partitions` are those of its rated rows; `is_paired`, `key` and `occurrence` run over all rows of the rated phase.
    The id of a pair is `<id of its row>/<number>`, from 0; its file and line are those of its row.
    """

    partitions: tuple[Partition, ...]
    is_paired: NDArray[np.bool_]
    key: Hashes
    occurrence: NDArray[np.uint64]

    @classmethod
    def of(cls, opened: Opened, partitions: Iterable[Partition], states: RowStates) -> PairInput:
        """Return the pairs of the source that was opened as `opened`; `partitions` are those of its rated rows."""
        is_paired = states.fate == Fate.PAIRED
        return cls(opened.input, (), opened.found, tuple(partitions), is_paired, states.key, states.occurrence)

    @property
    def kind(self) -> Kind:
        """The kind of row that it holds."""
        return "preference"

    @property
    def size(self) -> int:
        """Bytes of the pairs on disk."""
        return sum(partition.paths.pairs.stat().st_size for partition in self.partitions)

    def count(self) -> PairCount:
        """Count the pairs of paired rows."""
        rows = [
            _mapped(partition.paths.pairs)["row"].to_numpy()[self._is_paired(partition)]
            for partition in self.partitions
        ]
        return PairCount(sum(len(np.unique(row)) for row in rows), sum(map(len, rows)))

    def blocks(self) -> Iterator[Block]:
        """Yield the pairs partition by partition, about `BLOCK` bytes at once: pairs may be ten times their row."""
        for partition in self.partitions:
            pairs = _mapped(partition.paths.pairs)
            place = np.flatnonzero(self._is_paired(partition)).astype(np.int32)
            if not len(place):
                continue
            size = text_bytes(pairs)[place]
            cuts = np.flatnonzero(np.diff((np.cumsum(size) - size) // BLOCK)) + 1
            number = pair_numbers(pairs["row"].to_numpy())
            lines = _mapped(partition.paths.lines)
            for part in np.split(place, cuts):
                batch = self._named(partition, take(pairs, part), number[part], lines)
                yield Block(partition.file, 1, batch, batch.nbytes)

    def parse(self, block: Block) -> Parsed:
        """Return the rows of a block; there is nothing to quarantine."""
        nothing = Collector(self.kind).parsed()
        if not isinstance(block.data, pa.RecordBatch):
            return nothing
        body = block.data.drop_columns(["id", "line", "high", "low"])
        key = Hashes(block.data["high"].to_numpy(), block.data["low"].to_numpy())
        return Parsed(body, block.data["id"], block.data["line"].to_numpy(), nothing.bad, key=key)

    def _is_paired(self, partition: Partition) -> NDArray[np.bool_]:
        """Return whether the row of each pair of a partition was paired."""
        return self.is_paired[partition.first + _mapped(partition.paths.pairs)["row"].to_numpy()]

    def _named(
        self, partition: Partition, pairs: pa.RecordBatch, number: NDArray[np.int64], lines: pa.RecordBatch
    ) -> pa.RecordBatch:
        """Return pairs with `id`, `line` and the two words of their key."""
        row = pairs["row"].to_numpy()
        at = partition.first + row
        key = pair_keys(Hashes(self.key.high[at], self.key.low[at]), self.occurrence[at], number)
        more = {
            "id": pair_names(lines["id"].take(pa.array(row)), self.occurrence[at], number),
            "line": lines["line"].take(pa.array(row)),
            "high": pa.array(key.high),
            "low": pa.array(key.low),
        }
        return pa.RecordBatch.from_arrays([*pairs.columns[1:], *more.values()], names=[*pairs.schema.names[1:], *more])


def _mapped(path: Path) -> pa.RecordBatch:
    """Return the batch in a file, memory-mapped."""
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)


def pair_names(ids: pa.StringArray, occurrence: NDArray[np.uint64], number: NDArray[np.int64]) -> pa.StringArray:
    """Name pairs by the id and occurrence of their row, and their number within it.

    >>> pair_names(pa.array(["a", "a"]), np.array([0, 1], np.uint64), np.array([0, 2])).to_pylist()
    ['a/0', 'a-2/2']
    """
    return pc.binary_join_element_wise(numbered(ids, occurrence), pa.array(number).cast(pa.string()), "/")


def pair_keys(key: Hashes, occurrence: NDArray[np.uint64], number: NDArray[np.int64]) -> Hashes:
    """Return the keys of pairs, from the keys of their rows and their number within the row.

    It is no hash of the pair's id: an own id `a-2` and the second row of an id `a` would give pairs of one id.
    """
    more = (occurrence << np.uint64(32)) | number.astype(np.uint64)
    return combine(key, Hashes(more, more))


def pair_numbers(row: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number the pairs of each row from 0.

    >>> pair_numbers(np.array([3, 3, 5], np.int32)).tolist()
    [0, 1, 0]
    """
    return np.arange(len(row)) - np.searchsorted(row, row)
