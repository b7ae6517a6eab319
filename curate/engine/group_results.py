"""The decisions of groups for the ledger and the build folder, with rows by name instead of number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.barrier import GroupResults
from curate.engine.pipeline import Stage
from curate.engine.reuse.one_step import HIT
from curate.engine.state import Partition, RowStates
from curate.io.atomic import read_ipc, replacing
from curate.rows.identity import numbered
from curate.rows.take import take_array


class RowNames(NamedTuple):
    """Row numbers, ascending, with the source and the id of each row."""

    rows: NDArray[np.int64]
    source: pa.StringArray
    id: pa.StringArray

    def whole(self, rows: NDArray[np.int64]) -> pa.StringArray:
        """Return `source/id` of the given rows; null for -1."""
        picked = pa.array(np.searchsorted(self.rows, rows), mask=rows < 0)
        return pc.binary_join_element_wise(self.source.take(picked), self.id.take(picked), "/")


def row_names(
    rows: NDArray[np.int64],
    names: Sequence[str],
    states: RowStates,
    partitions: Iterable[Partition],
    results: GroupResults,
) -> RowNames:
    """Return the names of rows of the build, and of rows that groups were held against."""
    rows = np.unique(rows[rows >= 0])
    sources: list[pa.Array] = [pa.array([], pa.string())]
    ids: list[pa.Array] = [pa.array([], pa.string())]
    for partition in partitions:
        low, high = np.searchsorted(rows, [partition.first, partition.first + partition.rows])
        if low == high:
            continue
        own = rows[low:high]
        found = read_ipc(partition.paths.lines)["id"].take(pa.array(own - partition.first))
        ids.append(numbered(found, states.occurrence[own]))
        sources.append(pa.repeat(pa.scalar(names[partition.source], pa.string()), len(own)))
    further = rows[np.searchsorted(rows, len(states.fate)) :] - len(states.fate)
    ids.append(results.references.take(pa.array(further)))
    sources.append(pa.repeat(pa.scalar("against", pa.string()), len(further)))
    return RowNames(rows, pa.concat_arrays(sources), pa.concat_arrays(ids))


def between(frame: pl.DataFrame, first: int, rows: int) -> pl.DataFrame:
    """Return the lines of these rows in a frame sorted by `row`."""
    low, high = np.searchsorted(frame["row"].to_numpy(), [first, first + rows]).tolist()
    return frame.slice(low, high - low)


def drop_columns(drops: pl.DataFrame, pipeline: Sequence[Stage], names: RowNames) -> dict[str, pa.Array]:
    """Return the ledger columns of rows that groups dropped: step, reason, score, bound and match."""
    bounds = {stage.label: getattr(stage.step, "bound", None) for stage in pipeline}
    found = drops.select(
        "step",
        "reason",
        "score",
        bound=pl.col("step").replace_strict(bounds, default=None, return_dtype=pl.Float64),
        match=pl.coalesce(pl.Series("kept", names.whole(drops["kept"].fill_null(-1).to_numpy())), "match"),
    )
    return {name: _array(found[name]) for name in found.columns}


def with_evidence(evidence: pa.ListArray, hits: pl.DataFrame, first: int) -> pa.ListArray:
    """Add the hits of groups, sorted by row, to the evidence of rows; `first` is the number of the first row."""
    if not hits.height:
        return evidence
    structs = pa.StructArray.from_arrays([_array(hits[field.name]).cast(field.type) for field in HIT], fields=list(HIT))
    owners = np.concatenate([np.asarray(pc.list_parent_indices(evidence)), hits["row"].to_numpy() - first])
    order = np.argsort(owners, kind="stable")
    flat = take_array(pa.concat_arrays([pc.list_flatten(evidence), structs]), order.astype(np.int32))
    ends = np.searchsorted(owners[order], np.arange(len(evidence) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), flat)


def _array(series: pl.Series) -> pa.Array:
    found = series.to_arrow()
    return found.cast(pa.string()) if series.dtype == pl.String else found


def numbered_columns(table: pl.DataFrame) -> list[str]:
    """Return the columns of a group's table that hold row numbers."""
    return [name for name in table.columns if name == "row" or name.endswith("_row")]


def write_table(table: pl.DataFrame, names: RowNames, path: Path) -> None:
    """Write a table of a group, with `source` and `id` in place of each row number."""
    columns: dict[str, pa.Array] = {}
    for name in table.columns:
        if name not in numbered_columns(table):
            columns[name] = _array(table[name])
            continue
        rows = table[name].fill_null(-1).to_numpy()
        picked = pa.array(np.searchsorted(names.rows, rows), mask=rows < 0)
        prefix = name.removesuffix("row")
        columns |= {f"{prefix}source": names.source.take(picked), f"{prefix}id": names.id.take(picked)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        pq.write_table(pa.table(columns), draft, compression="zstd")


def table_path(label: str, name: str) -> str:
    """Return the path of a group's table in the build folder.

    >>> table_path("flan:decontaminate", "hits")
    'steps/flan-decontaminate/hits.parquet'
    """
    return f"steps/{label.replace(':', '-')}/{name}.parquet"
