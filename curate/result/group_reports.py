"""What groups found, read back from a build folder: duplicates between sources, contamination by evals, signatures."""

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

TOUCHED: Final = 0.02
"""A source that touches more of an eval's items than this share is contaminated by it as a whole (Tulu 3, 3.2)."""

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


def overlap(ledger: pl.LazyFrame, step: str) -> pl.DataFrame:
    """Count the rows of each source that duplicate a row of each other; `share` is that of the rows read.

    Columns: `source`, `kept_source`, `rows`, `share`. "against" means rows outside the build.
    """
    read = ledger.group_by("source").agg(read=pl.len())
    dropped = _dropped_by(ledger, step).group_by("source", "kept_source").agg(rows=pl.len().cast(pl.Int64))
    found = dropped.join(read, on="source").with_columns(share=pl.col("rows") / pl.col("read")).drop("read")
    return found.sort("source", "kept_source").collect()


def clusters(ledger: pl.LazyFrame, step: str) -> pl.DataFrame:
    """Return one line per duplicate, the largest clusters first.

    Columns: `cluster` (`source/id` of the row kept in its place), `source`, `id`, `score` (the similarity) and `size`
    (rows of the cluster, the one that stays included).
    """
    return (
        _dropped_by(ledger, step)
        .select(pl.col("match").alias("cluster"), "source", "id", "score")
        .with_columns(size=pl.len().over("cluster").cast(pl.Int64) + 1)
        .sort(["size", "cluster", "source", "id"], descending=[True, False, False, False])
        .collect()
    )


def _dropped_by(ledger: pl.LazyFrame, step: str) -> pl.LazyFrame:
    kept = pl.col("match").str.split_exact("/", 1).struct.field("field_0").alias("kept_source")
    return ledger.filter(pl.col("fate") == "dropped", pl.col("step") == step).with_columns(kept)


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


def contamination(hits: pl.DataFrame, items: pl.DataFrame, ledger: pl.LazyFrame) -> pl.DataFrame:
    """Tell of each eval and source with a hit how much of the one is in the other.

    Columns: `eval`, `source`, `rows` (rows that hold an item, generic hits apart), `row_share` (of the rows read),
    `items` (items they hold), `item_share` (of the eval), `generic` (rows with generic hits only), and `verdict`:
    "contaminated" where `item_share` is over 2 %, Tulu 3's limit for a whole source, else "below 2 %".
    """
    read = ledger.group_by("source").agg(read=pl.len()).collect()
    size = items.group_by("eval").agg(size=pl.len())
    plain = pl.col("reason") != GENERIC
    rows = hits.group_by("eval", "source", "id").agg(plain=plain.any())
    by_row = rows.group_by("eval", "source").agg(
        rows=pl.col("plain").sum().cast(pl.Int64), generic=(~pl.col("plain")).sum().cast(pl.Int64)
    )
    by_item = hits.filter(plain).group_by("eval", "source").agg(items=pl.col("item").n_unique().cast(pl.Int64))
    found = by_row.join(by_item, on=["eval", "source"], how="left").join(read, on="source").join(size, on="eval")
    found = found.with_columns(items=pl.col("items").fill_null(0)).with_columns(
        row_share=pl.col("rows") / pl.col("read"), item_share=pl.col("items") / pl.col("size")
    )
    over = pl.when(pl.col("item_share") > TOUCHED).then(pl.lit("contaminated")).otherwise(pl.lit("below 2 %"))
    return (
        found.with_columns(verdict=over)
        .select("eval", "source", "rows", "row_share", "items", "item_share", "generic", "verdict")
        .sort(["rows", "eval", "source"], descending=[True, False, False])
    )


LANGUAGE: Final = ".language"
"""How the column of the ledger ends in which a step says what language a row is in."""


def languages(ledger: pl.LazyFrame) -> pl.DataFrame:
    """Count the rows of each source and language: those `read`, and those `kept` or paired, with their shares.

    Columns: `source`, `language`, `read`, `read_share`, `kept`, `kept_share`; the most frequent language of a source
    first. Where several steps name languages, the first counts. Raises `CallError` where none does.
    """
    names = [name for name in ledger.collect_schema().names() if name.endswith(LANGUAGE)]
    if not names:
        raise CallError(
            "no step of this build names languages; add language() to the mixture: without names it drops nothing"
        )
    named = pl.coalesce(names).alias("language")
    counts = ledger.filter(named.is_not_null()).group_by("source", named)
    stays = pl.col("fate").is_in(["kept", "paired"])
    found = counts.agg(read=pl.len().cast(pl.Int64), kept=stays.sum().cast(pl.Int64)).with_columns(
        read_share=pl.col("read") / pl.col("read").sum().over("source"),
        kept_share=(pl.col("kept") / pl.col("kept").sum().over("source")).fill_nan(0.0),
    )
    return (
        found.select("source", "language", "read", "read_share", "kept", "kept_share")
        .sort(["source", "read", "language"], descending=[False, True, False])
        .collect()
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
