"""Groups at the barrier: what each of them knows of the rows meets here, and it decides.

A batch is what groups signed one batch with. The batches of a build lie on disk, a file a partition; columns are brought
together for one group at a time, and lists are read only where a group asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.io.inputs import Input
from curate.kernels.buffers import frozen
from curate.kernels.compile import kernel
from curate.kernels.hashing import Hashes
from curate.rows.identity import content_hash, identities, names
from curate.rows.segments import segments, select
from curate.rows.take import take_array
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS, Group, GroupKeys, Resolved

AGAINST: Final = -1
"""The source of rows that a group is held against, and that are no part of the build."""


COLUMN: Final = "\0"
LIST: Final = "\1"
"""What stands between a label and a name on disk: a column and a list may have one name."""


class BatchKeys(Protocol):
    """What groups signed `rows` rows with, by the label of the stage."""

    @property
    def rows(self) -> int:
        """Rows it tells of."""

    def signed(self, label: str) -> GroupKeys | None:
        """Return what the group of this label took; None where it does not run."""


class MemoryKeys(NamedTuple):
    """A batch in memory."""

    rows: int
    by_label: Mapping[str, GroupKeys]

    def signed(self, label: str) -> GroupKeys | None:
        """Return what the group took."""
        return self.by_label.get(label)


class DiskKeys(NamedTuple):
    """A batch on disk, no file where there is no group; only what is touched is read."""

    rows: int
    path: Path

    def signed(self, label: str) -> GroupKeys | None:
        """Return what the group took, the columns in memory, the lists where they lie."""
        if not self.path.is_file():
            return None
        batch = pa.ipc.open_file(pa.memory_map(str(self.path))).get_batch(0)
        columns, lists = _of(batch, f"{label}{COLUMN}"), _of(batch, f"{label}{LIST}")
        if not columns:
            return None
        told = {name.decode(): np.frombuffer(value, np.int64) for name, value in (batch.schema.metadata or {}).items()}
        prefix = f"{label}{COLUMN}"
        totals = {name.removeprefix(prefix): value for name, value in told.items() if name.startswith(prefix)}
        return GroupKeys({name: column.to_numpy() for name, column in columns.items()}, lists, totals)


def _of(batch: pa.RecordBatch, prefix: str) -> dict[str, pa.Array]:
    return {name.removeprefix(prefix): batch[name] for name in batch.schema.names if name.startswith(prefix)}


def keys_batch(signed: Mapping[str, GroupKeys]) -> pa.RecordBatch:
    """Return a batch as one batch: a column for each column and list, the totals beside the schema."""
    columns: dict[str, pa.Array] = {}
    totals: dict[bytes, bytes] = {}
    for label, one in signed.items():
        columns |= {f"{label}{COLUMN}{name}": pa.array(column) for name, column in one.columns.items()}
        columns |= {f"{label}{LIST}{name}": column for name, column in one.lists.items()}
        totals |= {f"{label}{COLUMN}{name}".encode(): column.tobytes() for name, column in one.totals.items()}
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    return batch.replace_schema_metadata(totals)


class Place(NamedTuple):
    """A group in the pipelines: its label, and for each source its place there (-1: it does not run)."""

    label: str
    group: Group
    places: NDArray[np.int16]


class GroupResults(NamedTuple):
    """What groups decided, by row of the build.

    `drops` and `hits` have a column `step` before those of `DROP_COLUMNS` and `HIT_COLUMNS`; `tables` are named (label, name).
    `references` names the rows that groups were held against: their numbers go on where those of the build end; `held`
    has, by label, the content hashes of the inputs these came from.
    """

    drops: pl.DataFrame
    hits: pl.DataFrame
    tables: dict[tuple[str, str], pl.DataFrame]
    references: pa.StringArray
    held: dict[str, list[str]]


class Reached(NamedTuple):
    """The rows that reached a group, ascending, with what decides between them; all arrays run side by side."""

    row: NDArray[np.int64]
    source: NDArray[np.int16]
    rank: NDArray[np.uint64]
    protect: NDArray[np.bool_]
    best_score: NDArray[np.float64] | None


class Reference(NamedTuple):
    """A batch of rows that a group is held against; `number` is that of its input."""

    batch: MemoryKeys
    number: int
    names: pa.StringArray
    rank: NDArray[np.uint64]
    content: Hashes


class StoredLists:
    """The lists of a group for lines of its keys; line `i` is row `row[i]` of all batches."""

    def __init__(self, batches: Sequence[BatchKeys], label: str, row: NDArray[np.int64]) -> None:
        self._sheets, self._label, self._row = batches, label, row
        self._first = np.array([0, *accumulate(batch.rows for batch in batches)], np.int64)

    def read(self, name: str, lines: NDArray[np.int64]) -> pa.ListArray:
        """Return the lists called `name` of these lines, in this order."""
        if not len(lines):
            known = (batch.signed(self._label) for batch in self._sheets)
            kind = next((signed.lists[name].type for signed in known if signed is not None), pa.list_(pa.null()))
            return pa.array([], kind)
        row = self._row[lines]
        which = np.searchsorted(self._first, row, side="right") - 1
        order = np.argsort(which, kind="stable")
        numbers, starts = np.unique(which[order], return_index=True)
        found = []
        for number, mine in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            signed = self._sheets[number].signed(self._label)
            if signed is not None:
                found.append(Lying(signed.lists[name], mine, (row[mine] - self._first[number]).astype(np.int32)))
        if pa.types.is_integer(found[0].lists.type.value_type):
            return _numbers(found, len(lines))
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return take_array(pa.concat_arrays([take_array(one.lists, one.row) for one in found]), place)


class Lying(NamedTuple):
    """Lists of one batch: those of `row` are wanted, at these places of the answer."""

    lists: pa.ListArray
    place: NDArray[np.int64]
    row: NDArray[np.int32]


def _numbers(found: Sequence[Lying], count: int) -> pa.ListArray:
    """Bring lists of numbers together in one copy: fresh memory costs more than what is written to it."""
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
    """Copy the lists of these rows to these places of `out`."""
    for i in range(len(row)):
        start, at = offsets[row[i]], to[i]
        for k in range(offsets[row[i] + 1] - start):
            out[at + k] = values[start + k]


def resolve_groups(
    places: Iterable[Place],
    batches: Sequence[BatchKeys],
    reach: Callable[[Place], Reached],
    fall: Callable[[Place, pl.DataFrame], None],
) -> GroupResults:
    """Let each group decide over the rows that reached it, in the order of the pipeline.

    `reach` tells which rows these are, and `fall` takes note of those that fell before the next group is asked.
    """
    rows = sum(batch.rows for batch in batches)
    falls, met = (
        [pl.DataFrame(schema={"step": pl.String, **DROP_COLUMNS})],
        [pl.DataFrame(schema={"step": pl.String, **HIT_COLUMNS})],
    )
    tables: dict[tuple[str, str], pl.DataFrame] = {}
    references: list[pa.Array] = [pa.array([], pa.string())]
    hashes: dict[str, list[str]] = {}
    known = rows
    for place in places:
        held = list(_references(place))
        answer = _resolve(place, batches, reach(place), held, rows)
        moved = known - rows
        fell = answer.drops.with_columns(kept=pl.col("kept") + pl.when(pl.col("kept") >= rows).then(moved).otherwise(0))
        fall(place, fell)
        falls.append(fell.select(pl.lit(place.label).alias("step"), *DROP_COLUMNS))
        met.append(answer.hits.select(pl.lit(place.label).alias("step"), *HIT_COLUMNS))
        tables |= {(place.label, name): table for name, table in answer.tables.items()}
        references += [one.names for one in held]
        hashes |= {place.label: _content(held)} if held else {}
        known += sum(one.batch.rows for one in held)
    return GroupResults(
        drops=pl.concat(falls).sort("row"),
        hits=pl.concat(met).sort("row", maintain_order=True),
        tables=tables,
        references=pa.concat_arrays(references),
        held=hashes,
    )


def _resolve(place: Place, batches: Sequence[BatchKeys], reached: Reached, held: Sequence[Reference], rows: int) -> Resolved:
    every: list[BatchKeys] = [*batches, *(one.batch for one in held)]
    extra = sum(one.batch.rows for one in held)
    row = np.concatenate([reached.row, rows + np.arange(extra)])
    columns, totals = _columns(every, place.label, row)
    keys = pl.DataFrame(
        {
            "row": row,
            "source": np.concatenate([reached.source, np.full(extra, AGAINST, np.int16)]),
            "rank": np.concatenate([reached.rank, *(one.rank for one in held)]),
            "protect": np.concatenate([reached.protect, np.ones(extra, np.bool_)]),
            **columns,
        }
    )
    if reached.best_score is not None:
        keys = keys.with_columns(best_score=np.concatenate([reached.best_score, np.full(extra, np.nan)]))
    return place.group.resolve(keys, StoredLists(every, place.label, row), totals)


def _columns(
    batches: Sequence[BatchKeys], label: str, row: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.int64]]]:
    """Bring a group's columns together for these rows, one column at a time, and its totals."""
    found = [batch.signed(label) for batch in batches]
    told = next((one for one in found if one is not None), GroupKeys({}))
    columns: dict[str, NDArray[np.generic]] = {}
    for name, column in told.columns.items():
        whole = np.concatenate(
            [
                np.zeros(batch.rows, column.dtype) if one is None else one.columns[name]
                for batch, one in zip(batches, found, strict=True)
            ]
        )
        columns[name] = whole if len(whole) == len(row) else whole[row]
    totals = {name: np.sum([one.totals[name] for one in found if one is not None], axis=0) for name in told.totals}
    return columns, totals


def _references(place: Place) -> Iterator[Reference]:
    """Sign the rows that a group is held against, batch by batch, as they stand in their files."""
    for number, held in enumerate(place.group.against()):
        yield from _sign(place, held, number)


def _content(held: Sequence[Reference]) -> list[str]:
    """Return the content hash of each input."""
    found = []
    for number in sorted({one.number for one in held}):
        mine = [one.content for one in held if one.number == number]
        found.append(content_hash(Hashes(*(np.concatenate(words) for words in zip(*mine, strict=True)))))
    return found


def _sign(place: Place, held: Input, number: int) -> Iterator[Reference]:
    opened = held.open()
    for block in opened.blocks():
        parsed = opened.parse(block)
        found = identities(parsed.body, parsed.ids)
        signed = place.group.sign(select(segments(parsed.body), place.group.reads))
        ids = pc.coalesce(parsed.ids, names(found.content))
        told = pc.binary_join_element_wise(block.file, ids, "/")
        batch = MemoryKeys(parsed.body.num_rows, {place.label: signed})
        yield Reference(batch, number, told, found.key.high ^ np.uint64(number), found.content)
