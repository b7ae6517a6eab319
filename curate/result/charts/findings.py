"""Frames of what steps found in each source: eval items, duplicates, and the reasons of dropped rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from curate.result.folder import check_known
from curate.result.measures.costs import COSTS
from curate.result.measures.costs import costs as measured_costs
from curate.result.measures.texts import FEWEST, most_dropped

if TYPE_CHECKING:
    from curate.result.build import Build

CONTAMINATION: Final = pl.Schema(
    {
        "step": pl.String,
        "eval": pl.String,
        "source": pl.String,
        "reached": pl.Int64,
        "rows": pl.Int64,
        "row_share": pl.Float64,
        "items": pl.Int64,
        "item_share": pl.Float64,
        "generic": pl.Int64,
        "verdict": pl.String,
    }
)
OVERLAP: Final = pl.Schema(
    {
        "step": pl.String,
        "source": pl.String,
        "kept_source": pl.String,
        "rows": pl.Int64,
        "share": pl.Float64,
    }
)
REASONS: Final = pl.Schema(
    {"step": pl.String, "reason": pl.String, "source": pl.String, "rows": pl.Int64, "share": pl.Float64}
)


def contamination(build: Build) -> pl.DataFrame:
    """Return `Build.contamination` of every step that has one, with the column `step` before its own."""
    found = [
        build.contamination(label).select(pl.lit(label).alias("step"), pl.all())
        for label in build.steps_with("contamination")
    ]
    return pl.concat([pl.DataFrame(schema=CONTAMINATION), *(one.cast(CONTAMINATION) for one in found)])


def costs(build: Build) -> pl.DataFrame:
    """Return the groups of which a step dropped more than of all rows: the lines of `Build.costs` that are `above`.

    A language step and its languages are left out: they are what it decides by. In a build of more than 30,000 rows,
    some of the kept rows are searched for topics, and count for the others.
    """
    if all(most_dropped(build, kind) < FEWEST for kind in build.kinds):
        return pl.DataFrame(schema=COSTS)
    topics = build.text_measures.topics
    found = measured_costs(build, [] if topics is None else [topics]).filter("above")
    own = [name.removesuffix(".language") for name in build.ledger.collect_schema().names()]
    return found.filter(~((pl.col("dimension") == "language") & pl.col("step").is_in(own)))


def overlap(build: Build) -> pl.DataFrame:
    """Return `Build.overlap` of every step that drops duplicates, with the column `step` before its own."""
    found = [
        build.overlap(label).select(pl.lit(label).alias("step"), pl.all()) for label in build.steps_with("duplicates")
    ]
    return pl.concat([pl.DataFrame(schema=OVERLAP), *(one.select(OVERLAP.names()).cast(OVERLAP) for one in found)])


def reasons(build: Build, step: str | None = None) -> pl.DataFrame:
    """Return the rows that steps dropped, by step, reason and source: for `refusals`, its families of phrases.

    Columns: `step`, `reason`, `source`, `rows`, `share` (of the rows read from the source, or of its pairs where the
    step works on pairs). In the order of the steps, the most frequent reasons of each first.
    """
    check_known("step", step, build.steps)
    lines = build.lines
    wanted = [label for label in build.steps if step in {None, label}]
    by = ["step", "reason", "source"]
    dropped = lines.filter(pl.col("fate") == "dropped", pl.col("step").is_in(wanted))
    counts = dropped.group_by(by).agg(rows=pl.len().cast(pl.Int64)).collect()
    of_kind = pl.DataFrame({"step": build.steps, "kind": [build.kind_of_step(one) for one in build.steps]})
    sizes = [
        build.lines_of(kind).group_by("source").agg(read=pl.len()).with_columns(kind=pl.lit(kind)).collect()
        for kind in build.kinds
    ]
    found = counts.join(of_kind.cast(pl.String), on="step").join(pl.concat(sizes), on=["source", "kind"], how="left")
    places = {name: place for place, name in enumerate(build.steps)}
    sources = {name: place for place, name in enumerate(build.sources)}
    found = found.with_columns(
        share=pl.col("rows") / pl.col("read"),
        place=pl.col("step").replace_strict(places, return_dtype=pl.Int64),
        number=pl.col("source").replace_strict(sources, return_dtype=pl.Int64),
        whole=pl.col("rows").sum().over("step", "reason"),
    )
    ordered = found.sort(
        ["place", "whole", "reason", "number"], descending=[False, True, False, False], nulls_last=True
    )
    return ordered.select(REASONS.names()).cast(REASONS)
