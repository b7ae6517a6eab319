"""Frames of what went in and what came out: the flow of rows, what each source brings, lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from curate.result.charts.trained import trained_tokens
from curate.result.measures.answers import answer_lengths as lengths_of

if TYPE_CHECKING:
    from curate.result.build import Build

FUNNEL: Final = pl.Schema(
    {
        "source": pl.String,
        "stage": pl.String,
        "unit": pl.String,
        "lost": pl.Int64,
        "left": pl.Int64,
        "share": pl.Float64,
    }
)

QUANTILES: Final = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}

ENDS: Final = frozenset({"source", "read", "quarantined", "paired", "pairs", "unsampled", "kept", "rows"})
"""The columns of `Build.funnel` that are no step."""


def funnel(build: Build) -> pl.DataFrame:
    """Return the rows of each source that are left after each stage; the lines without a source are of all together.

    Columns: `source`, `stage` ("read", "quarantined", a step, "pairs", "unsampled", "kept"), `unit` ("rows", after a
    Pairing "pairs"), `lost` (at this stage), `left` (after it), and `share`: how much of the source is left, from 1 at
    the start. A pair counts for as much as the row that it was made of, shared with the other pairs of the source.
    """
    each = [
        {"source": line["source"], "place": place} | stage
        for line in build.funnel.to_dicts()[:-1]
        for place, stage in enumerate(_stages(line))
    ]
    found = pl.DataFrame(each, {**FUNNEL, "place": pl.Int64})
    read = found.filter(stage="read").select("source", read=pl.col("left"))
    weighed = (pl.col("share") * pl.col("read")).sum() / pl.col("read").sum()
    total = (
        found.join(read, on="source")
        .group_by("place", "stage", maintain_order=True)
        .agg(pl.col("unit").max(), pl.col("lost", "left").sum(), share=weighed.fill_nan(0.0))
    )
    return pl.concat([found.select(FUNNEL.names()), total.select(pl.lit(None).alias("source"), *FUNNEL.names()[1:])])


def _stages(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the stages of one line of `Build.funnel`."""
    left, scale = int(line["read"]), 1.0 / (line["read"] or 1)
    unit, paired = "rows", bool(line.get("pairs") or line.get("paired"))
    found = [{"stage": "read", "unit": unit, "lost": 0, "left": left, "share": left * scale}]
    for name, count in line.items():
        if name in {"source", "read", "paired", "rows"}:
            continue
        lost = 0 if name == "kept" else int(count)
        if name == "pairs":
            lost = 0
            if paired:
                whole, unit, left = left * scale, "pairs", int(count)
                scale = whole / left if left else 0.0
        left -= lost
        found.append({"stage": name, "unit": unit, "lost": lost, "left": left, "share": left * scale})
    return found


def composition(build: Build) -> pl.DataFrame:
    """Return what each source brings to the data files, in rows, tokens and trained tokens.

    Columns: `source`, `measure` ("rows", "tokens", "trained tokens"), `count` (copies counted), `share` (of all
    sources), `asked` (by the plan, in its unit; else null), `asked_share` (on the scale of `share`: more than it where
    the source could not deliver), and `estimated`. Trained tokens are those of answers: assistant turns of chats, both
    answers of pairs, completions; counted in the data files by the estimate that is used without a tokenizer, and where
    the mixture has one, scaled to its count of tokens.
    """
    brought = build.composition
    exact = build.manifest["tokens"] != "estimated"
    trained = (
        brought.select("source", "tokens")
        .join(trained_tokens(build), on="source", how="left")
        .select("source", count=pl.col("tokens") * pl.col("trained_share").fill_null(0.0))
    )
    parts = []
    for measure, unit, counts in (
        ("rows", "rows", brought.select("source", count=pl.col("rows"))),
        ("tokens", "tokens", brought.select("source", count=pl.col("tokens"))),
        ("trained tokens", "", trained),
    ):
        asked = brought.select("source", asked=pl.when(pl.col("unit") == unit).then(pl.col("asked").cast(pl.Int64)))
        whole = pl.col("count").sum()
        parts.append(
            counts.with_columns(pl.col("count").round().cast(pl.Int64))
            .join(asked, on="source", how="left", maintain_order="left")
            .select(
                "source",
                "count",
                "asked",
                measure=pl.lit(measure),
                share=pl.when(whole > 0).then(pl.col("count") / whole).otherwise(0.0),
                asked_share=pl.when(whole > 0).then(pl.col("asked") / whole),
                estimated=pl.lit(measure == "trained tokens" or (measure == "tokens" and not exact)),
            )
        )
    return pl.concat(parts).select("source", "measure", "count", "share", "asked", "asked_share", "estimated")


def lengths(build: Build) -> pl.DataFrame:
    """Return how long the rows in the data files are, in tokens, by source; a row counts once, whatever its copies.

    Columns: `source`, `rows`, `shortest`, `p5`, `p25`, `median`, `p75`, `p95`, `longest` (tokens), `mean`. Sources
    without a kept row are left out.
    """
    tokens = pl.col("tokens")
    quantiles = {name: tokens.quantile(share, "nearest").cast(pl.Int64) for name, share in QUANTILES.items()}
    kept = build.lines_of(build.kind).filter(pl.col("fate") == "kept", tokens.is_not_null())
    counted = kept.group_by("source").agg(
        rows=pl.len().cast(pl.Int64),
        shortest=tokens.min(),
        **quantiles,
        longest=tokens.max(),
        mean=tokens.mean(),
    )
    order = pl.LazyFrame({"source": build.sources})
    return order.join(counted, on="source", how="inner", maintain_order="left").collect()


def answer_lengths(build: Build) -> pl.DataFrame:
    """Return `Build.answer_lengths`, of the first 10,000 rows of each source, whose order in the files is random."""
    return lengths_of(build.sources, build.text_measures.answers)


def languages(build: Build) -> pl.DataFrame:
    """Return `Build.languages`, without sources whose languages are not known; empty where no step detects them."""
    if not build.tells_languages:
        return pl.DataFrame(
            schema={
                "source": pl.String,
                "language": pl.String,
                "read": pl.Int64,
                "read_share": pl.Float64,
                "kept": pl.Int64,
                "kept_share": pl.Float64,
            }
        )
    return build.languages.filter(pl.col("language").is_not_null())
