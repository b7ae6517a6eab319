"""Which rows of a build are shown, of all whose text is in its folder: some of each reason, edit and source.

What dropped or changed a row counts as a cause. Causes take turns, and within a cause its sources, each with its rows
by their content hash: so every cause has rows before any has many, and no order of rows or files plays a part.
Kept rows without a cause are the first of each source in the data files, which are in random order; to read them takes
no more than the start of these files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

import polars as pl

from curate.result.folder import BuildFolder
from curate.rows.schema import Kind

FATES: Final = ("dropped", "kept")
"""Fates of rows whose text is in the folder of a build."""

ROW: Final = ["source", "id"]
DROPPED: Final = pl.col("fate") == "dropped"
TOUCHED: Final = (pl.col("edited").list.len() > 0).fill_null(value=False) | (
    pl.col("evidence").list.len() > 0
).fill_null(value=False)
"""Whether a step changed a row or found something in it."""

Wanted: TypeAlias = Mapping[str, str | None]
"""Values of `source`, `step`, `reason` and `fate`; None for all. A step wants the rows that it dropped or changed."""


class Sample(NamedTuple):
    """The rows to show, of `total` that there are: `source`, `id` and `kind`, those first that matter most."""

    rows: pl.DataFrame
    total: int


def sample(build: BuildFolder, n: int, wanted: Wanted | None = None) -> Sample:
    """Choose up to `n` rows.

    Args:
        build: The build.
        n: How many rows.
        wanted: Which rows; None for all.
    """
    wanted = wanted or {}
    parts = [_lines(build, kind, wanted) for kind in build.kinds]
    lines = pl.concat(parts)
    total = int(lines.select(pl.len()).collect().item())
    lowest = pl.struct("order", "occurrence", "id", "kind").bottom_k_by(["order", "occurrence", "id"], n)
    found = _with_cause(lines).group_by("cause", "source").agg(lowest.alias("row"))
    caused = _in_turn(found.explode("row").unnest("row").collect())
    plain = _plain(build, lines.filter(~DROPPED, ~TOUCHED), n)
    # Half of them are rows with a cause, if there are so many of both.
    share = max(n - plain.height, (n + 1) // 2)
    chosen = [part.select(*ROW, "kind") for part in (caused.head(share), plain.head(n - min(share, caused.height)))]
    return Sample(pl.concat(chosen), total)


def _lines(build: BuildFolder, kind: Kind, wanted: Wanted) -> pl.LazyFrame:
    """Return the lines of rows of one kind that have a text."""
    with_text = FATES if kind == build.kind else FATES[:1]
    step = wanted.get("step")
    own = [pl.col(name) == value for name, value in wanted.items() if value is not None and name != "step"]
    by_step = [] if step is None else [(pl.col("step") == step) | pl.col("edited").list.contains(step)]
    return (
        build.lines_of(kind)
        .filter(pl.col("fate").is_in(with_text), *own, *by_step)
        .select(*ROW, "fate", "step", "reason", "edited", "evidence", "occurrence", order="key_low", kind=pl.lit(kind))
    )


def _with_cause(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Return the lines of rows that a step dropped or touched, with the `cause`: what did so."""
    by = pl.concat_str("step", "reason", separator="\n")
    matched = pl.col("evidence").list.eval(pl.element().struct["step"]).fill_null([]).list.unique().list.sort()
    touched = pl.concat_list(pl.col("edited").fill_null([]), matched).list.join("\n")
    # Two parts, since what finds out what touched a row is slow, and few kept rows were.
    parts = (lines.filter(DROPPED).with_columns(cause=by), lines.filter(~DROPPED, TOUCHED).with_columns(cause=touched))
    return pl.concat([part.select(*ROW, "order", "occurrence", "kind", "cause") for part in parts])


def _in_turn(found: pl.DataFrame) -> pl.DataFrame:
    """Order rows so that causes take turns, and sources within a cause."""
    by_hash = found.sort("order", "occurrence", "id", "source")
    within = by_hash.with_columns(turn=pl.int_range(pl.len()).over("cause", "source"))
    by_source = within.sort("turn", "source", maintain_order=True)
    numbered = by_source.with_columns(turn=pl.int_range(pl.len()).over("cause"))
    return numbered.sort("turn", "cause", maintain_order=True)


def _plain(build: BuildFolder, lines: pl.LazyFrame, n: int) -> pl.DataFrame:
    """Return the first kept rows of each source in the data files, of those lines; sources take turns."""
    paths = sorted((build.path / "data").glob("*.parquet"), reverse=True)  # train before test
    names = pl.scan_parquet(paths).select(ROW).with_row_index("place")
    first = names.group_by("source").agg(pl.struct("id", "place").head(2 * n)).explode("id").unnest("id").collect()
    near = lines.filter(pl.col("id").is_in(first["id"].implode()))
    once = first.group_by(ROW).agg(pl.col("place").min())
    there = near.join(once.lazy(), on=ROW).sort("place").collect()
    return there.with_columns(turn=pl.int_range(pl.len()).over("source")).sort("turn", "place")
