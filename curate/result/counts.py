"""What a finished build comes to, counted from its ledger: the funnel, languages, contamination."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar, cast

import polars as pl

from curate.mix.licences import verdict
from curate.result.folder import GENERIC, BuildFolder, table

TOUCHED: Final = 0.02
"""A source that touches more of an eval's items than this share is contaminated by it as a whole (Tulu 3, 3.2)."""

CONTAMINATED, BELOW, BELOW_IN_REST = "contaminated", "below 2 %", "below 2 % in rows left by earlier steps"
"""The verdicts on a source."""

N = TypeVar("N", bound=str)
T = TypeVar("T")


def counted_once(count: Callable[[BuildFolder, N], T]) -> Callable[[BuildFolder, N], T]:
    """Count once what a page, a card and a terminal show: the files of a build do not change.

    What is counted is of all rows or dropped ones, so that builds of the same rows with other takes share it.
    """

    @wraps(count)
    def counted(made: BuildFolder, name: N) -> T:
        key = count.__name__, name
        if key not in made.counted:
            made.counted[key] = count(made, name)
        found = made.counted[key]
        return cast("T", found.clone()) if isinstance(found, pl.DataFrame) else cast("T", found)

    return counted


def composition(made: BuildFolder) -> pl.DataFrame:
    """Return `Build.composition`."""
    sources = made.manifest["sources"]
    plan = pl.DataFrame([{"source": source["name"], "capped": 0} | source["plan"] for source in sources])
    brought = made.lines.group_by("source").agg(
        rows=pl.col("copies").sum().cast(pl.Int64), tokens=(pl.col("tokens") * pl.col("copies")).sum()
    )
    found = plan.join(made.in_order(brought), on="source", how="left", maintain_order="left").with_columns(
        pl.col("rows", "tokens").fill_null(0)
    )
    names = ("source", "take", "unit", "capped", "asked", "delivered", "available")
    return found.with_columns(
        share=pl.col("rows") / pl.col("rows").sum(), token_share=pl.col("tokens") / pl.col("tokens").sum()
    ).select(*names, "rows", "share", "tokens", "token_share")


def licences(manifest: Mapping[str, Any], composition: pl.DataFrame) -> pl.DataFrame:
    """Return `Build.licences`."""
    use, rows = manifest.get("use"), dict(composition.select("source", "rows").rows())
    lines = [
        {"source": source["name"], "licence": name, "rows": count, "use": use and verdict(name, use)}
        for source in manifest["sources"]
        for name, count in source.get("licences", {source["licence"] or "": rows[source["name"]]}).items()
    ]
    return pl.DataFrame(lines, {"source": pl.String, "licence": pl.String, "rows": pl.Int64, "use": pl.String})


def funnel(made: BuildFolder, ledger: pl.LazyFrame, pairs: pl.LazyFrame) -> pl.DataFrame:
    """Return `Build.funnel` of these lines of a ledger, and of those of pairs."""
    is_pair = pl.col("pair")
    steps = {step: (pl.col("step") == step).sum() for step in made.steps if made.drops(step)}
    early = {step: count for step, count in steps.items() if made.kind_of_step(step) != made.kind}
    if made.paired:
        early |= {"paired": (pl.col("fate") == "paired").sum(), "pairs": is_pair.sum()}
    lines = [ledger.with_columns(pair=False), *([pairs.with_columns(pair=True)] if made.paired else [])]
    fates = (
        pl.concat(lines)
        .group_by("source")
        .agg(
            read=(~is_pair).sum(),
            quarantined=(pl.col("fate") == "quarantined").sum(),
            **early,
            **{step: count for step, count in steps.items() if step not in early},
            unsampled=(pl.col("fate") == "unsampled").sum(),
            kept=(pl.col("fate") == "kept").sum(),
            rows=pl.col("copies").sum().cast(pl.Int64),
        )
    )
    found = made.in_order(fates)
    return pl.concat(
        [found, found.select(pl.lit("total").alias("source"), pl.exclude("source").sum())], how="vertical_relaxed"
    )


def languages(made: BuildFolder, columns: list[str]) -> pl.DataFrame:
    """Return `Build.languages`; `columns` are those of the ledger that name a row's language."""
    named, stays = pl.coalesce(columns).alias("language"), pl.col("fate").is_in(["kept", "paired"])
    found: list[pl.DataFrame] = []
    for kind in made.kinds:
        lines = made.lines_of(kind).filter(named.is_not_null())
        counts = lines.group_by("source", named).agg(read=pl.len().cast(pl.Int64), kept=stays.sum().cast(pl.Int64))
        known = [source for frame in found for source in frame["source"].unique()]
        found.append(counts.filter(~pl.col("source").is_in(known)).collect())
    shares = [(pl.col(name) / pl.col(name).sum().over("source")).fill_nan(0.0) for name in ("read", "kept")]
    counted = pl.concat(found).with_columns(read_share=shares[0], kept_share=shares[1])
    counted = counted.select("source", "language", "read", "read_share", "kept", "kept_share")
    counted = counted.sort(["source", "read", "language"], descending=[False, True, False])
    return pl.DataFrame({"source": made.sources}).join(counted, on="source", maintain_order="left_right")


@counted_once
def reached(made: BuildFolder, step: str) -> pl.DataFrame:
    """Return `Build.reached`."""
    gone = (pl.col("fate") == "dropped") & pl.col("step").is_in(made.steps[: made.steps.index(step)])
    left = made.readable_of(made.kind_of_step(step)).filter(~gone)
    counts = [
        lines.group_by("source").agg(pl.len().cast(pl.Int64).alias(name))
        for name, lines in (("reached", left), ("dropped_before", made.lines.filter(gone)))
    ]
    own = [step.partition(":")[0]] if ":" in step else made.sources
    return made.in_order(counts[0].join(counts[1], on="source", how="full", coalesce=True)).filter(
        pl.col("source").is_in(own)
    )


@counted_once
def overlap(made: BuildFolder, step: str) -> pl.DataFrame:
    """Return `Build.overlap` of a dedup step."""
    dropped, lines = _duplicates(made, step)
    read = lines.group_by("source").agg(read=pl.len())
    kept = pl.col("match").str.split_exact("/", 1).struct.field("field_0").alias("kept_source")
    found = dropped.group_by("source", kept).agg(rows=pl.len().cast(pl.Int64)).join(read, on="source")
    share = pl.col("rows") / pl.col("read")
    return found.with_columns(share=share).drop("read").sort("source", "kept_source").collect()


def clusters(made: BuildFolder, step: str) -> pl.DataFrame:
    """Return `Build.clusters` of a dedup step."""
    dropped, _ = _duplicates(made, step)
    size = pl.len().over("cluster").cast(pl.Int64) + 1
    found = dropped.select(pl.col("match").alias("cluster"), "source", "id", "score").with_columns(size=size)
    return found.sort(["size", "cluster", "source", "id"], descending=[True, False, False, False]).collect()


def _duplicates(made: BuildFolder, step: str) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return the lines of the rows that a dedup step dropped, and those of all rows of their kind."""
    lines = made.lines_of(made.kind_of_step(step))
    return lines.filter(pl.col("fate") == "dropped", pl.col("step") == step), lines


@counted_once
def contamination(made: BuildFolder, step: str) -> pl.DataFrame:
    """Return `Build.contamination` of a decontaminate step."""
    hits, items = (table(made.path, step, name) for name in ("hits", "items"))
    by = ["eval", "source"]
    size = items.group_by("eval").agg(size=pl.len())
    plain = pl.col("reason") != GENERIC
    rows = hits.group_by(*by, "id").agg(plain=plain.any()).group_by(by)
    counts = rows.agg(rows=pl.col("plain").sum().cast(pl.Int64), generic=(~pl.col("plain")).sum().cast(pl.Int64))
    held = hits.filter(plain).group_by(by).agg(items=pl.col("item").n_unique().cast(pl.Int64))
    found = counts.join(held, on=by, how="left").join(reached(made, step), on="source").join(size, on="eval")
    found = found.with_columns(items=pl.col("items").fill_null(0)).with_columns(
        row_share=pl.col("rows") / pl.col("reached"), item_share=pl.col("items") / pl.col("size")
    )
    below = pl.when(pl.col("dropped_before") > 0).then(pl.lit(BELOW_IN_REST)).otherwise(pl.lit(BELOW))
    over = pl.when(pl.col("item_share") > TOUCHED).then(pl.lit(CONTAMINATED)).otherwise(below)
    columns = ("reached", "rows", "row_share", "items", "item_share", "generic")
    return found.select(*by, *columns, verdict=over).sort(["rows", *by], descending=[True, False, False])
