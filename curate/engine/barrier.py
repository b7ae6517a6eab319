"""The barrier: a group decides once the keys of all rows are known.

The keys of a build are on disk, one file per partition. The columns of one group at a time are read into memory, and
lists only when a group asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import frozen
from curate.kernels.compile import kernel
from curate.kernels.hashing import Hashes
from curate.rows.identity import content_hash
from curate.rows.segments import segments
from curate.rows.take import take_array
from curate.steps.base import Group, GroupKeys, Resolved
from curate.steps.references import ReferenceRows, read_rows

AGAINST: Final = -1
"""The source of rows that a group compares with and that are not part of the build."""


COLUMN: Final = "\0"
LIST: Final = "\1"
"""Separators of a label and a name on disk: a column and a list may share a name."""


class MemoryKeys(NamedTuple):
    """The keys that groups took from one batch of rows, in memory."""

    rows: int
    by_label: Mapping[str, GroupKeys]

    def signed(self, label: str) -> GroupKeys | None:
        """Return the keys of the group with this label; None if it does not run on these rows."""
        return self.by_label.get(label)

    def called(self, label: str) -> MemoryKeys:
        """Return keys that have one label under another."""
        (signed,) = self.by_label.values()
        return self._replace(by_label={label: signed})


class DiskKeys(NamedTuple):
    """The keys of a batch on disk, memory-mapped; without a group there is no file."""

    rows: int
    path: Path

    def signed(self, label: str) -> GroupKeys | None:
        """Return the keys of the group; lists stay on disk."""
        if not self.path.is_file():
            return None
        batch = pa.ipc.open_file(pa.memory_map(str(self.path))).get_batch(0)
        columns, lists = _of(batch, f"{label}{COLUMN}"), _of(batch, f"{label}{LIST}")
        if not columns:
            return None
        sums = {name.decode(): np.frombuffer(value, np.int64) for name, value in (batch.schema.metadata or {}).items()}
        prefix = f"{label}{COLUMN}"
        totals = {name.removeprefix(prefix): value for name, value in sums.items() if name.startswith(prefix)}
        return GroupKeys({name: column.to_numpy() for name, column in columns.items()}, lists, totals)


BatchKeys: TypeAlias = MemoryKeys | DiskKeys


def _of(batch: pa.RecordBatch, prefix: str) -> dict[str, pa.Array]:
    return {name.removeprefix(prefix): batch[name] for name in batch.schema.names if name.startswith(prefix)}


def keys_batch(signed: Mapping[str, GroupKeys]) -> pa.RecordBatch:
    """Return keys as they are written: an Arrow column for each column and list, the totals as schema metadata."""
    columns: dict[str, pa.Array] = {}
    totals: dict[bytes, bytes] = {}
    for label, one in signed.items():
        columns |= {f"{label}{COLUMN}{name}": pa.array(column) for name, column in one.columns.items()}
        columns |= {f"{label}{LIST}{name}": column for name, column in one.lists.items()}
        totals |= {f"{label}{COLUMN}{name}".encode(): column.tobytes() for name, column in one.totals.items()}
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    return batch.replace_schema_metadata(totals)


class GroupPlace(NamedTuple):
    """A group in the pipelines: its label, and its position in that of each source (-1: it does not run there)."""

    label: str
    group: Group
    places: NDArray[np.int16]


class GroupResults(NamedTuple):
    """The decisions of all groups, by row of the build.

    `drops` and `hits` have a column `step` before those of `DROP_COLUMNS` and `HIT_COLUMNS`; `tables` are named
    (label, name). `references` names the rows that groups were held against, numbered on from the rows of the build;
    `against` has the content hashes of their inputs, by label. `copied` are the files of tables from an earlier build.
    """

    drops: pl.DataFrame
    hits: pl.DataFrame
    tables: dict[tuple[str, str], pl.DataFrame]
    references: pa.StringArray
    against: dict[str, list[str]]
    copied: Mapping[tuple[str, str], Path] = MappingProxyType({})


class Reached(NamedTuple):
    """The rows that reached a group, ascending: parallel arrays of what a group may decide by."""

    row: NDArray[np.int64]
    source: NDArray[np.int16]
    rank: NDArray[np.uint64]
    protect: NDArray[np.bool_]
    best_score: NDArray[np.float64] | None


class Reference(NamedTuple):
    """A batch of rows that a group or a take is held against; `number` is that of its input."""

    keys: MemoryKeys
    number: int
    names: pa.StringArray
    rank: NDArray[np.uint64]
    content: Hashes


class StoredLists:
    """The lists of a group by line of its keys; line `i` is row `row[i]` of all batches."""

    def __init__(self, batches: Sequence[BatchKeys], label: str, row: NDArray[np.int64]) -> None:
        self._sheets, self._label, self._row = batches, label, row
        self._first = np.array([0, *accumulate(batch.rows for batch in batches)], np.int64)
        self._held: dict[tuple[int, str], pa.ListArray | None] = {}

    def _lists(self, number: int, name: str) -> pa.ListArray | None:
        """Return the lists of a batch, None without; finding them in their file takes longer than reading a few."""
        if (number, name) not in self._held:
            signed = self._sheets[number].signed(self._label)
            self._held[number, name] = None if signed is None else signed.lists[name]
        return self._held[number, name]

    def read(self, name: str, lines: NDArray[np.int64]) -> pa.ListArray:
        """Return the lists called `name` of these lines, in this order."""
        if not len(lines):
            signed_here = (batch.signed(self._label) for batch in self._sheets)
            kind = next((signed.lists[name].type for signed in signed_here if signed is not None), pa.list_(pa.null()))
            return pa.array([], kind)
        row = self._row[lines]
        which = np.searchsorted(self._first, row, side="right") - 1
        order = np.argsort(which, kind="stable")
        numbers, starts = np.unique(which[order], return_index=True)
        found = []
        for number, mine in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            lists = self._lists(number, name)
            if lists is not None:
                found.append(WantedLists(lists, mine, (row[mine] - self._first[number]).astype(np.int32)))
        if pa.types.is_integer(found[0].lists.type.value_type):
            return _numbers(found, len(lines))
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return take_array(pa.concat_arrays([take_array(one.lists, one.row) for one in found]), place)


class WantedLists(NamedTuple):
    """Lists of one batch: those of `row` are wanted, at the positions `place` of the answer."""

    lists: pa.ListArray
    place: NDArray[np.int64]
    row: NDArray[np.int32]


def _numbers(found: Sequence[WantedLists], count: int) -> pa.ListArray:
    """Join lists of numbers in one copy: allocating fresh memory costs more than writing to it."""
    size = np.zeros(count, np.int64)
    parts = [(one.lists.offsets.to_numpy(), one.lists.values.to_numpy()) for one in found]
    for one, (offsets, _) in zip(found, parts, strict=True):
        size[one.place] = offsets[one.row + 1] - offsets[one.row]
    ends = np.concatenate([[0], np.cumsum(size)])
    out = np.empty(int(ends[-1]), parts[0][1].dtype)
    for one, (offsets, values) in zip(found, parts, strict=True):
        _gather(frozen(values), frozen(offsets), one.row, ends[one.place], out)
    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), pa.array(out))


@kernel
def _gather(
    values: NDArray[np.integer],
    offsets: NDArray[np.int32],
    row: NDArray[np.int32],
    to: NDArray[np.int64],
    out: NDArray[np.integer],
) -> None:
    """Copy the lists of the given rows to `out`, starting at `to`."""
    for i in range(len(row)):
        start, at = offsets[row[i]], to[i]
        for k in range(offsets[row[i] + 1] - start):
            out[at + k] = values[start + k]


def decide(
    place: GroupPlace,
    batches: Sequence[BatchKeys],
    reached: Reached,
    references: Sequence[Reference],
    rows: int,
    known: Mapping[str, NDArray[np.int64]] | None = None,
) -> Resolved:
    """Let a group decide over the rows that reached it and the rows it is held against.

    `known` are totals over more rows than those of `batches`, which then count in their place.
    """
    every: list[BatchKeys] = [*batches, *(one.keys for one in references)]
    if references:
        reached = _with_references(reached, references, rows)
    keys, totals = _keys(every, place.label, reached)
    lists = StoredLists(every, place.label, reached.row)
    held = [keys]
    del keys, reached  # a group that has done with a column lets go of it, and nothing else holds it
    return place.group.resolve(held.pop(), lists, known or totals)


def _keys(
    batches: Sequence[BatchKeys], label: str, reached: Reached
) -> tuple[pl.DataFrame, dict[str, NDArray[np.int64]]]:
    """Return what a group may decide by, a line for each row that reached it, and its totals."""
    columns, totals = key_columns(batches, label, reached.row)
    own = {name: column for name, column in reached._asdict().items() if column is not None}
    return _frame({**own, **columns}), totals


def _with_references(reached: Reached, references: Sequence[Reference], rows: int) -> Reached:
    """Add the rows that a group is held against, numbered on from the rows of the build."""
    extra = sum(one.keys.rows for one in references)
    best = reached.best_score
    return Reached(
        row=np.concatenate([reached.row, rows + np.arange(extra)]),
        source=np.concatenate([reached.source, np.full(extra, AGAINST, np.int16)]),
        rank=np.concatenate([reached.rank, *(one.rank for one in references)]),
        protect=np.concatenate([reached.protect, np.ones(extra, np.bool_)]),
        best_score=None if best is None else np.concatenate([best, np.full(extra, np.nan)]),
    )


def _frame(columns: Mapping[str, NDArray[np.generic]]) -> pl.DataFrame:
    """Return columns as a frame; numbers are not copied."""
    return pl.DataFrame(pa.table({name: pa.array(column) for name, column in columns.items()}))


def key_columns(
    batches: Sequence[BatchKeys], label: str, row: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.int64]]]:
    """Return a group's columns for the given rows, and its totals; one column at a time is joined."""
    found = [batch.signed(label) for batch in batches]
    example = next((one for one in found if one is not None), GroupKeys({}))
    columns: dict[str, NDArray[np.generic]] = {}
    for name, column in example.columns.items():
        whole = np.concatenate(
            [
                np.zeros(batch.rows, column.dtype) if one is None else one.columns[name]
                for batch, one in zip(batches, found, strict=True)
            ]
        )
        columns[name] = whole if len(whole) == len(row) else whole[row]
    totals = {name: np.sum([one.totals[name] for one in found if one is not None], axis=0) for name in example.totals}
    return columns, totals


def content_hashes(references: Sequence[Reference]) -> list[str]:
    """Return the content hash of each input."""
    found = []
    for number in sorted({one.number for one in references}):
        mine = [one.content for one in references if one.number == number]
        found.append(content_hash(Hashes(*(np.concatenate(words) for words in zip(*mine, strict=True)))))
    return found


def read_references(place: GroupPlace) -> Iterator[Reference]:
    """Read and sign the rows that a group is held against, batch by batch; raises the error of `read_rows`."""
    for rows in read_rows(place.group.against(), f"step {place.label!r}"):
        yield reference(
            rows, {place.label: place.group.sign(segments(rows.body, place.group.reads, place.group.reads_parts))}
        )


def reference(rows: ReferenceRows, signed: Mapping[str, GroupKeys]) -> Reference:
    """Return rows that something is held against, with the keys that were made of them, by label."""
    keys, rank = MemoryKeys(rows.body.num_rows, signed), rows.found.key.high ^ np.uint64(rows.number)
    return Reference(keys, rows.number, rows.names, rank, rows.found.content)
