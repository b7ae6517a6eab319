"""Pairs on their way from the rated phase of a build to the final one, where they are the rows of their source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.engine.group_results import Partition
from curate.engine.resolve import Fate, RowStates
from curate.errors import ConservationError
from curate.io.blocks import BLOCK, Block
from curate.io.inputs import Opened
from curate.io.row_collector import Collector, Parsed
from curate.kernels.hashing import Hashes, combine
from curate.rows.identity import numbered
from curate.rows.schema import BODIES, Kind
from curate.rows.take import take, text_bytes


class PairCount(NamedTuple):
    """How many pairs go on, and how many rated rows gave them."""

    rows: int
    pairs: int


@dataclass(frozen=True, eq=False)
class PairInput(Opened):
    """The pairs of a source whose rated rows stand, opened like the input that these came from.

    `partitions` are those of its rated rows; `stands`, `key` and `occurrence` run over all rows of the rated phase. A pair
    is called `<id of its row>/<number>`, from 0 on, and its file and line are those of its row.
    """

    partitions: tuple[Partition, ...]
    stands: NDArray[np.bool_]
    key: Hashes
    occurrence: NDArray[np.uint64]

    @classmethod
    def of(cls, opened: Opened, partitions: Iterable[Partition], states: RowStates) -> PairInput:
        """Return the pairs of the source that was opened as `opened`; `partitions` are those of its rated rows."""
        stands = states.fate == Fate.PAIRED
        return cls(opened.input, (), opened.found, tuple(partitions), stands, states.key, states.occurrence)

    @property
    def kind(self) -> Kind:
        """The kind of row that it holds."""
        return "preference"

    @property
    def size(self) -> int:
        """Bytes of the pairs, those that will not be taken among them."""
        return sum(partition.paths.pairs.stat().st_size for partition in self.partitions)

    def taken(self) -> PairCount:
        """RowCount the pairs whose rows stand."""
        rows = [_mapped(partition.paths.pairs)["row"].to_numpy()[self._stand(partition)] for partition in self.partitions]
        return PairCount(sum(len(np.unique(row)) for row in rows), sum(map(len, rows)))

    def blocks(self) -> Iterator[Block]:
        """Give the pairs partition by partition, about `BLOCK` bytes at once: a row may say ten times what it said."""
        for partition in self.partitions:
            pairs = _mapped(partition.paths.pairs)
            place = np.flatnonzero(self._stand(partition)).astype(np.int32)
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
        schema = BODIES[self.kind]
        body = pa.RecordBatch.from_arrays([block.data[name] for name in schema.names], schema=schema)
        key = Hashes(block.data["high"].to_numpy(), block.data["low"].to_numpy())
        return Parsed(body, block.data["id"], block.data["line"].to_numpy(), nothing.bad, key=key)

    def _stand(self, partition: Partition) -> NDArray[np.bool_]:
        """Tell of each pair of a partition whether its row stands."""
        return self.stands[partition.first + _mapped(partition.paths.pairs)["row"].to_numpy()]

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
    """Return what lies in a file; only what is touched is read."""
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)


def pair_names(ids: pa.StringArray, occurrence: NDArray[np.uint64], number: NDArray[np.int64]) -> pa.StringArray:
    """Name pairs by the id and occurrence of their row, and their number within it.

    >>> pair_names(pa.array(["a", "a"]), np.array([0, 1], np.uint64), np.array([0, 2])).to_pylist()
    ['a/0', 'a-2/2']
    """
    return pc.binary_join_element_wise(numbered(ids, occurrence), pa.array(number).cast(pa.string()), "/")


def pair_keys(key: Hashes, occurrence: NDArray[np.uint64], number: NDArray[np.int64]) -> Hashes:
    """Return what tells pairs apart, from what tells their rows apart, and their number within the row.

    It is no hash of the pair's id: an own id `a-2` and the second row of an id `a` would give pairs of one id.
    """
    more = (occurrence << np.uint64(32)) | number.astype(np.uint64)
    return combine(key, Hashes(more, more))


def pair_numbers(row: NDArray[np.int32]) -> NDArray[np.int64]:
    """RowCount the pairs of each row from 0.

    >>> pair_numbers(np.array([3, 3, 5], np.int32)).tolist()
    [0, 1, 0]
    """
    return np.arange(len(row)) - np.searchsorted(row, row)


def check_pairs(source: str, taken: PairCount, paired: int, fates: dict[str, int]) -> None:
    """Raise `ConservationError` unless each paired row gave a pair, and the fates of pairs add up to those made.

    >>> check_pairs("uf", PairCount(2, 3), 2, {"kept": 1, "dropped": 2})
    """
    if taken.rows != paired or taken.pairs != sum(fates.values()):
        message = (
            f"source {source!r}: {paired:,} rows were paired, {taken.rows:,} of them gave {taken.pairs:,} pairs, but "
            f"of pairs the ledger has {sum(fates.values()):,}: {fates}; this is a defect of curate, please report it"
        )
        raise ConservationError(message)
