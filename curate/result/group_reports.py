"""What groups left in a build folder: their tables, the coverage of evals, signatures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.group_results import table_path
from curate.errors import CallError
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import On, check_on, segments
from curate.rows.shingles import joined, row_sets
from curate.text.minhash import lean_minhashes, signatures

if TYPE_CHECKING:
    from datasketch import LeanMinHash

BATCH: Final = 10_000
"""Rows signed at a time."""

GENERIC: Final = "generic"


class Signatures(NamedTuple):
    """MinHash signatures of kept rows: `hashes` has a row of uint32 for each line of `rows` (source, id)."""

    rows: pl.DataFrame
    hashes: NDArray[np.uint32]

    def lean(self) -> list[LeanMinHash]:
        """Return them as objects of datasketch, ready for its indexes."""
        return lean_minhashes(self.hashes)


def table(folder: Path, step: str, name: str) -> pl.DataFrame:
    """Return a table that a group left; raises `CallError` where it left none."""
    path = folder / table_path(step, name)
    if not path.is_file():
        raise CallError(f"step {step!r} has no table {name!r}: it is no step that makes one")
    return pl.read_parquet(path)


def coverage(items: pl.DataFrame) -> pl.DataFrame:
    """Count the items of each eval set, in the order of the step, by how they can be found.

    Columns: `eval`, `items`, `matchable`, then `long`, `short`, `generic` and `unmatchable`, which add up to `items`.
    """
    kinds = ("long", "short", GENERIC, "unmatchable")
    counts = {kind: (pl.col("kind") == kind).sum().cast(pl.Int64) for kind in kinds}
    found = items.group_by("eval", maintain_order=True).agg(items=pl.len().cast(pl.Int64), **counts)
    return found.with_columns(matchable=pl.col("items") - pl.col("unmatchable")).select(
        "eval", "items", "matchable", *kinds
    )


def kept_signatures(files: list[Path], kind: Kind, step: Mapping[str, Any]) -> Signatures:
    """Sign the rows of data files as a dedup step of these settings would."""
    on: On = check_on(step["on"])
    ignore = tuple(step["ignore"])
    names: list[pl.DataFrame] = []
    hashes: list[NDArray[np.uint32]] = [np.zeros((0, int(step["num_perm"])), np.uint32)]
    for path in files:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH):
            names.append(pl.DataFrame(batch.select(["source", "id"])))
            body = pa.RecordBatch.from_arrays([batch[name] for name in BODIES[kind].names], schema=BODIES[kind])
            _, sets = joined(list(row_sets(segments(body, on), int(step["ngram"]), ignore)))
            hashes.append(signatures(sets, int(step["num_perm"])))
    rows = pl.concat(names) if names else pl.DataFrame(schema={"source": pl.String, "id": pl.String})
    return Signatures(rows, np.concatenate(hashes))
