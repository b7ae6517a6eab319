"""Frames of what sets two builds apart: rows by cause, composition, funnel and scores, each before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from curate.result.charts.scores import Scored, after, bin_edges, score_values, scored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from curate.compare.diff import Diff
    from curate.result.build import Build

SCORES: Final = pl.Schema(
    {
        "step": pl.String,
        "score": pl.String,
        "low": pl.Float64,
        "high": pl.Float64,
        "before": pl.Int64,
        "after": pl.Int64,
        "outside_before": pl.Boolean,
        "outside_after": pl.Boolean,
    }
)


def causes(found: Diff) -> pl.DataFrame:
    """Return how many rows of each source entered, left and changed for each cause, the most frequent cause first.

    Columns: `cause`, `source`, `entered`, `left`, `changed`.
    """
    counts = [
        (pl.col("change") == change).sum().cast(pl.Int64).alias(change) for change in ("entered", "left", "changed")
    ]
    rows = pl.sum_horizontal("entered", "left", "changed")
    lines = found.rows.group_by("cause", "source").agg(counts)
    return lines.sort(-rows.sum().over("cause"), "cause", -rows, "source")


def composition(found: Diff) -> pl.DataFrame:
    """Return what each source brings to the data files of both builds.

    Columns: `source`, `measure` ("rows", "tokens"), `before`, `after`, `difference`, `share_before`, `share_after` (of
    all sources). A source that a build does not have brings nothing to it.
    """
    parts = []
    for measure, share in (("rows", "share"), ("tokens", "token_share")):
        sides = [
            build.composition.select(
                "source", pl.col(measure).cast(pl.Int64).alias(name), pl.col(share).fill_nan(0.0).alias(f"share_{name}")
            )
            for name, build in (("before", found.a), ("after", found.b))
        ]
        both = pl.DataFrame({"source": sources(found)}).join(sides[0], on="source", how="left", maintain_order="left")
        both = both.join(sides[1], on="source", how="left", maintain_order="left").fill_null(0)
        difference = pl.col("after") - pl.col("before")
        parts.append(both.with_columns(measure=pl.lit(measure), difference=difference))
    names = ("source", "measure", "before", "after", "difference", "share_before", "share_after")
    return pl.concat(parts).select(names)


def sources(found: Diff) -> list[str]:
    """Return the sources of both builds: those of the second one in its order, then those that only the first has."""
    return list(dict.fromkeys([*found.b.sources, *found.a.sources]))


def funnel(found: Diff) -> pl.DataFrame:
    """Return the counts of `Build.funnel` of both builds, one line for each source and stage; the total is last.

    Columns: `source`, `stage` ("read", "quarantined", a step, ..., "kept", "rows"), `before`, `after` (null where the
    build does not have the source or the step), and `difference` (null counts as 0).
    """
    sides = [_long(build.funnel, name) for build, name in ((found.a, "before"), (found.b, "after"))]
    both = sides[0].join(sides[1], on=["source", "stage"], how="full", coalesce=True)
    order = {
        "source": [*sources(found), "total"],
        "stage": _stages([found.a.funnel.columns, found.b.funnel.columns]),
    }
    places = [
        pl.col(name).replace_strict(values, range(len(values)), return_dtype=pl.Int64) for name, values in order.items()
    ]
    difference = pl.col("after").fill_null(0) - pl.col("before").fill_null(0)
    return both.sort(places).select("source", "stage", "before", "after", difference=difference)


def _long(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    counts = frame.with_columns(pl.exclude("source").cast(pl.Int64))
    return counts.unpivot(index="source", variable_name="stage", value_name=name)


def _stages(funnels: Iterable[list[str]]) -> list[str]:
    """Return the stages of two funnels in one order: a stage that only the first has is where it was there."""
    before, after = funnels
    order = [name for name in after if name != "source"]
    place = 0
    for name in before[1:]:
        if name in order:
            place = order.index(name) + 1
        else:
            order.insert(place, name)
            place += 1
    last = [name for name in ("unsampled", "kept", "rows") if name in order]
    return [name for name in order if name not in last] + last


def shared_scores(found: Diff) -> list[tuple[Scored, Scored]]:
    """Return the scores that both builds have, of steps with one label on one kind of row, with the bounds of each."""
    later = {(found.b.kind_of_step(one.step), one.step, one.name): one for one in scored(found.b)}
    keys = [((found.a.kind_of_step(one.step), one.step, one.name), one) for one in scored(found.a)]
    return [(one, later[key]) for key, one in keys if key in later]


def scores(found: Diff) -> pl.DataFrame:
    """Return a histogram of each score that both builds have, with the same bins for both.

    Columns: `step`, `score`, `low` and `high` (a bin holds scores from `low` to less than `high`), `before`, `after`
    (rows), `outside_before`, `outside_after` (whether a limit of that build drops the rows of this bin). The limits of
    both are edges of bins. Rows are all that the filter scored, but for those of protected sources.
    """
    pairs = shared_scores(found)
    sides = zip(*(score_values(*side) for side in _in_order(found, pairs)), strict=True)
    lines: list[pl.DataFrame] = [pl.DataFrame(schema=SCORES)]
    for (one, values), (other, others) in sides:
        if not len(values) and not len(others):
            continue
        limits = [
            limit for bound in (one, other) for limit in (bound.at_least, after(bound.at_most)) if limit is not None
        ]
        edges = bin_edges(np.concatenate([values, others]), sorted(set(limits)))
        lines.append(
            pl.DataFrame(
                {
                    "step": [one.step] * (len(edges) - 1),
                    "score": [one.name] * (len(edges) - 1),
                    "low": edges[:-1],
                    "high": edges[1:],
                    "before": np.histogram(values, edges)[0].astype(np.int64),
                    "after": np.histogram(others, edges)[0].astype(np.int64),
                    "outside_before": _outside(one, edges),
                    "outside_after": _outside(other, edges),
                },
                schema=SCORES,
            )
        )
    return pl.concat(lines)


def _in_order(found: Diff, pairs: list[tuple[Scored, Scored]]) -> list[tuple[Build, list[Scored]]]:
    """Return both builds with the shared scores in one order, in which a build reads them: by kind of row."""
    kinds = found.a.kinds
    ordered = sorted(pairs, key=lambda pair: kinds.index(found.a.kind_of_step(pair[0].step)))
    return [(found.a, [pair[0] for pair in ordered]), (found.b, [pair[1] for pair in ordered])]


def _outside(one: Scored, edges: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[bool]:
    low, high = one.at_least, one.at_most
    return [
        bool((low is not None and start < low) or (high is not None and start > high)) for start in edges[:-1].tolist()
    ]
