"""What parts of one set of rows cover of it, and how far they are from it: the figures of a report on takes."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.kernels.hashing import hash_strings
from curate.mix.takes.template import prompt_ends, shared_end
from curate.result.folder import BuildFolder, reading
from curate.result.measures.stored_batches import one_ahead, stored_batches
from curate.rows.segments import EVERY_TEXT, segments, select
from curate.rows.shingles import COMPARED, row_sets
from curate.rows.tokens import tokens

NGRAM: Final = 8
"""Words of an n-gram: runs of so many words are seldom shared by chance."""

FIGURES: Final = pl.Schema(
    {
        "rows": pl.Int64,
        "tokens": pl.Int64,
        "median_tokens": pl.Int64,
        "ngrams": pl.Int64,
        "coverage": pl.Float64,
        "novelty": pl.Float64,
        "templates": pl.Int64,
        "source_drift": pl.Float64,
        "length_drift": pl.Float64,
    }
)


class SubsetRows(NamedTuple):
    """What is read of the rows in the data files of a build.

    `rows` has the `source`, `tokens`, and hashes of the `start` and `end` of the prompt of each, `ngrams` the distinct
    n-grams of all, and `sizes` the sum of those of each row.
    """

    rows: pl.DataFrame
    ngrams: NDArray[np.uint64]
    sizes: int


def read_rows(made: BuildFolder) -> SubsetRows:
    """Read the data files of a build; memory is 8 bytes for each distinct n-gram of each 20,000 rows."""
    frames, grams, sizes = [pl.DataFrame(schema=ROWS)], [np.zeros(0, np.uint64)], 0
    with reading(made.path):
        for batch in one_ahead(stored_batches(made, "data")):
            every = segments(batch.body, "all", EVERY_TEXT)
            start, end = (hash_strings(view(found)).high for found in prompt_ends(every))
            frames.append(
                batch.names.select(
                    "source", tokens=pl.Series(tokens(every)), start=pl.Series(start), end=pl.Series(end)
                ).cast(dict(ROWS.items()))
            )
            *_, sets = row_sets(select(every, "all", COMPARED), NGRAM)
            sizes += len(sets.values[: sets.offsets[-1]])
            grams.append(np.unique(sets.values[: sets.offsets[-1]]))
    return SubsetRows(pl.concat(frames), np.unique(np.concatenate(grams)), sizes)


ROWS: Final = pl.Schema({"source": pl.String, "tokens": pl.Int64, "start": pl.UInt64, "end": pl.UInt64})


def figures(part: SubsetRows, pool: SubsetRows) -> dict[str, float]:
    """Return the figures of a part of the rows of `pool` (`FIGURES`); see `TakeComparison`.

    Args:
        part: Rows that were taken.
        pool: The rows that they were taken from.
    """
    length, usual = (np.sort(one.rows["tokens"].to_numpy()) for one in (part, pool))
    return {
        "rows": part.rows.height,
        "tokens": int(length.sum()),
        "median_tokens": int(np.median(length)) if len(length) else 0,
        "ngrams": len(part.ngrams),
        "coverage": len(part.ngrams) / max(len(pool.ngrams), 1),
        "novelty": len(part.ngrams) / max(part.sizes, 1),
        "templates": _templates(part.rows, pool.rows),
        "source_drift": _distance(part.rows["source"], pool.rows["source"]),
        "length_drift": _furthest(length, usual),
    }


def _templates(part: pl.DataFrame, pool: pl.DataFrame) -> int:
    """Count the templates of prompts in a part: pairs of a start and an end that enough rows of the pool share."""
    shared = {
        name: pool.select(shared_end(name)).to_series().drop_nulls().unique().implode() for name in ("start", "end")
    }
    ends = part.select(pl.when(pl.col(name).is_in(found)).then(name) for name, found in shared.items())
    return ends.filter(~pl.all_horizontal(pl.all().is_null())).n_unique()


def _distance(part: pl.Series, pool: pl.Series) -> float:
    """Return the total variation distance of the shares of labels: the share that would have to change its label."""
    shares = [one.value_counts(normalize=True, name=name) for one, name in ((part, "a"), (pool, "b"))]
    both = shares[0].join(shares[1], on=part.name, how="full").fill_null(0.0)
    return float((both["a"] - both["b"]).abs().sum()) / 2


def _furthest(part: NDArray[np.int64], pool: NDArray[np.int64]) -> float:
    """Return the statistic of Kolmogorov and Smirnov of two sorted samples."""
    if not len(part) or not len(pool):
        return 0.0
    below = [np.searchsorted(one, pool, side="right") / len(one) for one in (part, pool)]
    return float(np.abs(below[0] - below[1]).max())
