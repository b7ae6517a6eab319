"""The rows whose texts are in a build folder, batch by batch: kept rows in `data/`, dropped ones beside it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import polars as pl
import pyarrow as pa

from curate.io.parquet import parquet_file
from curate.result.folder import BuildFolder
from curate.rows.parts import body_of

ROWS: Final = 20_000
"""Rows read at a time."""


class StoredBatch(NamedTuple):
    """Rows of a build: `source` and `id` of each, and their bodies; a copy of a row counts."""

    names: pl.DataFrame
    body: pa.RecordBatch


def stored_batches(made: BuildFolder, folder: str, *, meta: bool = False) -> Iterator[StoredBatch]:
    """Give the rows in a folder of a build; without `meta` that is null, which saves reading it."""
    for path in sorted((made.path / folder).glob("*.parquet")):
        file = parquet_file(path)
        columns = [name for name in file.schema_arrow.names if meta or name != "meta"]
        for batch in file.iter_batches(ROWS, columns=columns):
            whole = batch if meta else batch.append_column("meta", pa.nulls(batch.num_rows, pa.string()))
            names = pl.DataFrame(batch.select(["source", "id"]))
            yield StoredBatch(names, body_of(whole, made.kind))


def one_ahead(batches: Iterator[StoredBatch]) -> Iterator[StoredBatch]:
    """Give batches, each while the next is read in a thread."""
    with ThreadPoolExecutor(1, "curate") as pool:
        following = pool.submit(next, batches, None)
        while (one := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield one
