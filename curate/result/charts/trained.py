"""Which share of the tokens in the data files is trained: counted by the estimate of `curate.rows.tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.result.folder import reading
from curate.rows.parts import body_of
from curate.rows.segments import EVERY_TEXT, segments, select
from curate.rows.tokens import tokens

if TYPE_CHECKING:
    from curate.result.build import Build

ROWS: Final = 20_000
"""Rows read at a time."""


def trained_tokens(build: Build) -> pl.DataFrame:
    """Return by source the share of its tokens that answers hold: `source`, `trained_share`.

    Answers are the assistant turns of chats, both answers of a pair, and completions, with their reasoning and calls. A
    source without a row in the data files has no line.
    """
    counts = np.zeros((len(build.sources), 2), np.int64)
    place = {name: number for number, name in enumerate(build.sources)}
    with reading(build.path):
        for path in sorted((build.path / "data").glob("*.parquet")):
            file = pq.ParquetFile(path)
            wanted = [name for name in file.schema_arrow.names if name not in {"id", "meta"}]
            for batch in file.iter_batches(ROWS, columns=wanted):
                every = segments(body_of(_with_meta(batch), build.kind), "all", EVERY_TEXT)
                names = pc.dictionary_encode(batch["source"])
                known = np.array([place[name.as_py()] for name in names.dictionary], np.int64)
                source = known[names.indices.to_numpy(zero_copy_only=False)]
                for column, found in enumerate((every, select(every, "response"))):
                    counts[:, column] += np.bincount(source, tokens(found), len(counts)).astype(np.int64)
    share = counts[:, 1] / np.maximum(counts[:, 0], 1)
    return pl.DataFrame({"source": build.sources, "trained_share": share}).filter(pl.Series(counts[:, 0] > 0))


def _with_meta(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows that were read without their `meta` with none: a kind is known by its columns."""
    return batch.append_column("meta", pa.nulls(batch.num_rows, pa.string()))
