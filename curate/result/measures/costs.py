"""What each step costs: of each group of rows that reached it, the share that it dropped.

A filter may drop most rows about a group of people for how they are written, as word lists against toxic text did
(Hartvigsen et al., ToxiGen, arXiv:2203.09509). So each share has a lower bound, and is held against the share of all
rows that the step dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from curate.result.folder import BuildFolder, reading
from curate.result.measures.groups import GroupCounts
from curate.result.measures.texts import FEWEST
from curate.rows.schema import Kind

COSTS: Final = pl.Schema(
    {
        "step": pl.String,
        "dimension": pl.String,
        "group": pl.String,
        "reached": pl.Int64,
        "dropped": pl.Int64,
        "share": pl.Float64,
        "overall": pl.Float64,
        "low": pl.Float64,
        "above": pl.Boolean,
    }
)

SURE: Final = 3.0
"""Standard errors of the lower bound (Wilson, one-sided 99.9 %): of a thousand groups, one is above it by chance."""

TIMES: Final = 1.5
"""A share is above where even its lower bound is so many times that of all rows, or where so many times fewer stay: of
300,000 rows, one in a thousand more would be beyond chance, and of no interest."""

LENGTHS: Final = (32, 128, 512, 2_048, 8_192)
"""Tokens at which bins of length begin."""

BINS: Final = (
    f"under {LENGTHS[0]:,} tokens",
    *(f"{low:,} to {high - 1:,} tokens" for low, high in pairwise(LENGTHS)),
    f"{LENGTHS[-1]:,} tokens or more",
)
"""The names of the bins."""

LINES: Final = pl.Schema(
    {
        "dimension": pl.String,
        "group": pl.String,
        "source": pl.String,
        "place": pl.Int64,
        "rows": pl.Float64,
        "seen": pl.Int64,
    }
)
"""Counted rows: those of a group that the step at `place` dropped, or none; without a group, all of the dimension."""


def costs(made: BuildFolder, topics: Sequence[GroupCounts] = ()) -> pl.DataFrame:
    """Return what each step costs by source, language and length, and by the topics that are given; see `Build.costs`.

    Args:
        made: The build.
        topics: The topics of rows of its own kind; steps before a Pairing have none.
    """
    with reading(made.path):
        parts = [_of_kind(made, kind, topics if kind == made.kind else ()) for kind in made.kinds]
    found = pl.concat([pl.DataFrame(schema=COSTS), *parts])
    order = {name: place for place, name in enumerate(made.steps)}
    by = pl.col("step").replace_strict(order, default=0, return_dtype=pl.Int64)
    return found.sort(by, "dimension", "low", "group", descending=[False, False, True, False], maintain_order=True)


def _of_kind(made: BuildFolder, kind: Kind, topics: Sequence[GroupCounts]) -> pl.DataFrame:
    lines = counted_rows(made, kind, topics)
    parts = []
    for place, step in enumerate(made.steps):
        if not made.drops(step) or made.kind_of_step(step) != kind:
            continue
        own = [step.partition(":")[0]] if ":" in step else made.sources
        reached = lines.filter(pl.col("place") >= place, pl.col("source").is_in(own))
        dropped = pl.col("rows").filter(pl.col("place") == place).sum()
        groups = reached.group_by("dimension", "group").agg(pl.col("rows", "seen").sum(), dropped=dropped)
        whole = groups.filter(pl.col("group").is_null()).select("dimension", overall=pl.col("dropped") / pl.col("rows"))
        each = groups.filter(pl.col("group").is_not_null()).join(whole, on="dimension")
        parts.append(each.select(pl.lit(step).alias("step"), pl.all()))
    return pl.concat([_judged(part) for part in parts] or [pl.DataFrame(schema=COSTS)])


def _judged(groups: pl.DataFrame) -> pl.DataFrame:
    """Add the lower bound of each share, and whether it is above that of all rows."""
    share, overall, low = pl.col("share"), pl.col("overall"), pl.col("low")
    far = (low >= TIMES * overall) | ((1 - overall) >= TIMES * (1 - low))
    measured = groups.with_columns(share=pl.col("dropped") / pl.col("rows")).with_columns(
        low=wilson(share, pl.col("seen"))
    )
    counts = {"reached": pl.col("rows").round(), "dropped": pl.col("dropped").round()}
    found = measured.with_columns(**counts, above=(low > overall) & far & (pl.col("dropped") >= FEWEST))
    return found.select(COSTS.names()).cast(dict(COSTS.items()))


def wilson(share: pl.Expr, rows: pl.Expr) -> pl.Expr:
    """Return the lower bound of a share of so many rows (Wilson, JASA 22, 1927).

    >>> frame = pl.DataFrame({"share": [2 / 3, 0.5], "rows": [3, 10_000]})
    >>> frame.select(wilson(pl.col("share"), pl.col("rows")).round(3)).to_series().to_list()
    [0.115, 0.485]
    """
    square = SURE * SURE / rows
    spread = (share * (1 - share) / rows + square / (4 * rows)).sqrt()
    return ((share + square / 2 - SURE * spread) / (1 + square)).clip(0, 1)


def counted_rows(made: BuildFolder, kind: Kind, topics: Sequence[GroupCounts] = ()) -> pl.DataFrame:
    """Count the rows of one kind by group, source and the place of the step that dropped them (`LINES`).

    Rows of protected sources, which no step drops, and rows that reached no step are left out.
    """
    protected = [source["name"] for source in made.manifest["sources"] if source["protect"]]
    places = {step: place for place, step in enumerate(made.steps)}
    gone = pl.when(pl.col("fate") == "dropped").then(pl.col("step"))
    known = made.ledger.collect_schema()
    named = [name for name, kind in known.items() if name.endswith(".language") and kind == pl.String]
    languages = pl.coalesce(named) if named else pl.lit(None, pl.String)
    lines = made.lines_of(kind).filter(
        pl.col("key_low").is_not_null(), pl.col("fate") != "quarantined", ~pl.col("source").is_in(protected)
    )
    place = gone.replace_strict(places, default=len(places), return_dtype=pl.Int64)
    by = (
        lines.group_by("source", "fate", "step", length_bin(), languages.alias("language")).agg(rows=pl.len()).collect()
    )
    counted = by.with_columns(place=place, length=pl.col("length").replace_strict(dict(enumerate(BINS))))
    stay = pl.col("rows").filter(pl.col("fate").is_in(["kept", "unsampled"])).sum()
    sums = by.group_by("source").agg(stay)
    stays = dict(zip(sums["source"], sums["rows"], strict=True))
    parts = [_by(counted, name, pl.col(name)) for name in ("source", "length", "language")]
    parts += [_by_group(made, found, stays) for found in topics]
    return pl.concat([pl.DataFrame(schema=LINES), *parts])


def length_bin() -> pl.Expr:
    """Return the number of the bin of a row's tokens; `BINS` has their names.

    >>> found = pl.DataFrame({"tokens": [3, 32, 9_000]}).select(length_bin()).to_series()
    >>> [BINS[number] for number in found]
    ['under 32 tokens', '32 to 127 tokens', '8,192 tokens or more']
    """
    return pl.sum_horizontal(pl.col("tokens") >= edge for edge in LENGTHS).cast(pl.UInt8).alias("length")


def _by(counted: pl.DataFrame, dimension: str, group: pl.Expr) -> pl.DataFrame:
    """Count rows by the groups of a dimension, then all of them together; none where no row has a group."""
    known = counted.filter(group.is_not_null())
    own = known.group_by("source", "place", group=group).agg(pl.col("rows").sum())
    whole = counted.group_by("source", "place").agg(pl.col("rows").sum()).with_columns(group=pl.lit(None, pl.String))
    both = pl.concat([own, whole.select(own.columns)]) if known.height else own.clear()
    return both.select(
        pl.lit(dimension).alias("dimension"),
        "group",
        "source",
        "place",
        rows=pl.col("rows").cast(pl.Float64),
        seen=pl.col("rows").cast(pl.Int64),
    )


def _by_group(made: BuildFolder, found: GroupCounts, stay: Mapping[str, int]) -> pl.DataFrame:
    """Count rows by the groups of texts; kept rows that were read count for all of their source that `stay`.

    Rows of sources that `stay` does not name are left out.
    """
    weights = np.ones(found.rows.shape[:2])
    weights[:, -1] = [stay.get(name, 0) for name in made.sources] / np.maximum(found.rows[:, -1, -1], 1)
    seen = found.rows * np.array([name in stay for name in made.sources])[:, None, None]
    source, place, group = np.nonzero(seen)
    return pl.DataFrame(
        {
            "dimension": pl.repeat(found.dimension, len(source), eager=True),
            "group": pl.Series([*found.groups, None], dtype=pl.String).gather(group),
            "source": pl.Series(made.sources, dtype=pl.String).gather(source),
            "place": place,
            "rows": seen[source, place, group] * weights[source, place],
            "seen": seen[source, place, group],
        },
        schema=LINES,
    )
