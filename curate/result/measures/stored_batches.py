"""The rows whose texts are in a build folder, batch by batch: kept rows in `data/`, dropped ones beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.result.folder import BuildFolder
from curate.rows.parts import body_of
from curate.rows.take import take

ROWS: Final = 20_000
"""Rows read at a time."""


class StoredBatch(NamedTuple):
    """Rows of a build: `source` and `id` of each, and their bodies; a copy of a row counts."""

    names: pl.DataFrame
    body: pa.RecordBatch


def stored_batches(made: BuildFolder, folder: str, *, meta: bool = False) -> Iterator[StoredBatch]:
    """Give the rows in a folder of a build; without `meta` that is null, which saves reading it."""
    for path in sorted((made.path / folder).glob("*.parquet")):
        file = pq.ParquetFile(path)
        columns = [name for name in file.schema_arrow.names if meta or name != "meta"]
        for batch in file.iter_batches(ROWS, columns=columns):
            whole = batch if meta else batch.append_column("meta", pa.nulls(batch.num_rows, pa.string()))
            names = pl.DataFrame(batch.select(["source", "id"]))
            yield StoredBatch(names, body_of(whole, made.kind))


def some_batches(made: BuildFolder, folder: str, keys: pl.DataFrame) -> Iterator[StoredBatch]:
    """Give those rows of a folder that `keys` (`source`, `id`) names, each copy of them."""
    for found in stored_batches(made, folder) if keys.height else ():
        near = found.names.with_row_index("place").join(keys.lazy().collect(), on=["source", "id"], how="semi")
        if near.height:
            place = near.sort("place")["place"].cast(pl.Int32).to_numpy()
            yield StoredBatch(found.names[place], take(found.body, place))
