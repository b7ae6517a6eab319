"""MinHash signatures of the rows of data files, as a dedup step would sign them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.io.parquet import parquet_file
from curate.rows.parts import body_of
from curate.rows.schema import Kind
from curate.rows.segments import On, check_on, segments
from curate.rows.shingles import COMPARED, joined, row_sets
from curate.text.minhash import lean_minhashes, signatures

if TYPE_CHECKING:
    from datasketch import LeanMinHash

BATCH: Final = 10_000
"""Rows signed at a time."""


class Signatures(NamedTuple):
    """MinHash signatures of kept rows: `hashes` has a row of uint32 for each line of `rows` (source, id)."""

    rows: pl.DataFrame
    hashes: NDArray[np.uint32]

    def lean(self) -> list[LeanMinHash]:
        """Return them as objects of datasketch, ready for its indexes."""
        return lean_minhashes(self.hashes)


def kept_signatures(files: list[Path], kind: Kind, step: Mapping[str, Any]) -> Signatures:
    """Sign the rows of data files as a dedup step of these settings would."""
    on: On = check_on(step["on"])
    ignore = tuple(step["ignore"])
    names: list[pl.DataFrame] = []
    hashes: list[NDArray[np.uint32]] = [np.zeros((0, int(step["num_perm"])), np.uint32)]
    for path in files:
        for batch in parquet_file(path).iter_batches(batch_size=BATCH):
            names.append(pl.DataFrame(batch.select(["source", "id"])))
            seen = segments(body_of(batch, kind), on, COMPARED)
            _, sets = joined(list(row_sets(seen, int(step["ngram"]), ignore)))
            hashes.append(signatures(sets, int(step["num_perm"])))
    rows = pl.concat(names) if names else pl.DataFrame(schema={"source": pl.String, "id": pl.String})
    return Signatures(rows, np.concatenate(hashes))
