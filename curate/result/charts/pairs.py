"""Frames of preferences: length against label, margins, and how often each model wins."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.result.charts.scores import bin_edges
from curate.result.folder import reading

if TYPE_CHECKING:
    from curate.result.build import Build

STEPS: Final = (0, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10_000)
"""Token differences at which a bin of `length_difference` ends; longer ones share the last bin on either side."""

DIFFERENCE: Final = pl.Schema({"low": pl.Float64, "high": pl.Float64, "pairs": pl.Int64, "mirrored": pl.Int64})
MARGINS: Final = pl.Schema({"low": pl.Float64, "high": pl.Float64, "pairs": pl.Int64})
WINS: Final = pl.Schema(
    {"model": pl.String, "answers": pl.Int64, "compared": pl.Int64, "wins": pl.Float64, "win_rate": pl.Float64}
)
MODELS: Final = ("chosen_model", "chosen-model"), ("rejected_model", "rejected-model")
"""What sets of pairs call the models of the two answers in their `meta`."""


def length_difference(build: Build) -> pl.DataFrame:
    """Return how much longer the chosen answer of a pair is, in tokens, in bins that are the same on both sides of 0.

    Columns: `low`, `high` (tokens of the chosen answer less those of the rejected one), `pairs`, and `mirrored`: the
    pairs in the bin of the opposite difference. Were length no part of the choice, the two would be the same. Tokens
    are estimated. Empty for rows that are no pairs.
    """
    if build.kind != "preference":
        return pl.DataFrame(schema=DIFFERENCE)
    found = build.pair_lengths["tokens"].to_numpy()
    if not len(found):
        return pl.DataFrame(schema=DIFFERENCE)
    widest = float(np.abs(found).max())
    ends = np.array([*[step for step in STEPS if step < widest], max(widest, 1.0)], np.float64)
    upper = np.histogram(found[found > 0], np.nextafter(ends, np.inf))[0]
    lower = np.histogram(-found[found < 0], np.nextafter(ends, np.inf))[0]
    same = int((found == 0).sum())
    below = [(-high, -low) for low, high in pairwise(ends.tolist())]
    above = [(low, high) for low, high in pairwise(ends.tolist())]
    counts = [[int(count) for count in side] for side in (lower, upper)]
    lines = [(*ends_of, *both) for ends_of, *both in zip(reversed(below), *map(reversed, counts), strict=True)]
    lines += [(0.0, 0.0, same, same)]
    lines += [(*ends_of, *both) for ends_of, *both in zip(above, counts[1], counts[0], strict=True)]
    return pl.DataFrame(lines, DIFFERENCE, orient="row")


def margins(build: Build) -> pl.DataFrame:
    """Return a histogram of the margins of pairs: the score of the chosen answer less that of the rejected one.

    Columns: `low`, `high`, `pairs`; pairs without scores are left out. Empty for rows that are no pairs.
    """
    if build.kind != "preference":
        return pl.DataFrame(schema=MARGINS)
    found = build.pair_lengths["margin"].drop_nulls().to_numpy()
    found = found[np.isfinite(found)]
    if not len(found):
        return pl.DataFrame(schema=MARGINS)
    edges: NDArray[np.float64] = bin_edges(found, [])
    counts = np.histogram(found, edges)[0]
    return pl.DataFrame({"low": edges[:-1], "high": edges[1:], "pairs": counts}, MARGINS)


def label_lengths(build: Build) -> pl.DataFrame:
    """Return how long the completions of unpaired rows are, in tokens, by their label.

    Columns: `label`, `rows`, `shortest`, `p5`, `p25`, `median`, `p75`, `p95`, `longest`, `mean`; the tokens are
    estimated from the bytes of each text. Empty for rows of other kinds.
    """
    quantiles = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
    names = ("shortest", "p5", "p25", "median", "p75", "p95", "longest")
    schema = {"label": pl.Boolean, "rows": pl.Int64, **dict.fromkeys(names, pl.Int64), "mean": pl.Float64}
    if build.kind != "unpaired":
        return pl.DataFrame(schema=schema)
    content = pl.col("completion").list.eval(
        (pl.element().struct.field("content").str.len_bytes().fill_null(0) + 3) // 4 + 4
    )
    tokens = pl.col("tokens")
    parts = {name: tokens.quantile(share, "nearest") for name, share in quantiles.items()}
    with reading(build.path):
        found = (
            build.kept()
            .select("label", tokens=content.list.sum().cast(pl.Int64))
            .group_by("label")
            .agg(rows=pl.len(), shortest=tokens.min(), **parts, longest=tokens.max(), mean=tokens.mean())
            .sort("label", descending=True)
            .collect()
        )
    return found.cast(schema)  # type: ignore[arg-type]


def win_rate(build: Build) -> pl.DataFrame:
    """Return how often the answer of each model is the better one, as far as the data files name models.

    Columns: `model`, `answers`, `compared` (with answers of other rank or model), `wins` (a tie is half a win),
    `win_rate`. Of rated rows every two scored answers of a row are compared, by the mean of their scores; of pairs the
    chosen answer wins over the rejected one, unless their scores are equal, where `meta` names both models
    (`chosen_model` and `rejected_model`, as in the pairs that `binarize` makes).
    """
    none = pl.DataFrame(schema=WINS)
    with reading(build.path):
        if build.kind == "rated":
            counted = _of_ratings(build.kept())
        elif build.kind == "preference":
            counted = _of_pairs(build.kept())
        else:
            return none
        found = counted.filter(pl.col("compared") > 0).with_columns(win_rate=pl.col("wins") / pl.col("compared"))
        return found.sort(["win_rate", "model"], descending=[True, False]).collect().select(WINS.names()).cast(WINS)


def _of_ratings(rows: pl.LazyFrame) -> pl.LazyFrame:
    score = pl.col("completions").struct.field("scores").list.eval(pl.element().struct.field("value").fill_nan(None))
    answers = (
        rows.with_row_index("row")
        .select("row", "completions")
        .explode("completions")
        .select("row", model=pl.col("completions").struct.field("model"), score=score.list.mean())
        .filter(pl.col("model").is_not_null(), pl.col("score").is_not_null())
    )
    rank, others = pl.col("score").rank("average").over("row") - 1, pl.len().over("row") - 1
    ranked = answers.with_columns(wins=rank, compared=others)
    return ranked.group_by("model").agg(answers=pl.len(), compared=pl.col("compared").sum(), wins=pl.col("wins").sum())


def _of_pairs(rows: pl.LazyFrame) -> pl.LazyFrame:
    meta = pl.col("meta")
    chosen, rejected = (pl.coalesce(meta.str.json_path_match(f'$["{name}"]') for name in names) for names in MODELS)
    lead = pl.col("chosen_score").fill_nan(None) - pl.col("rejected_score").fill_nan(None)
    won = pl.when(lead == 0).then(0.5).otherwise(1.0)
    named = rows.filter(meta.str.contains('_model"|-model"')).select(chosen=chosen, rejected=rejected, won=won)
    named = named.filter(pl.col("chosen").is_not_null(), pl.col("rejected").is_not_null())
    shares = {"chosen": pl.col("won"), "rejected": 1 - pl.col("won")}
    sides = [named.select(model=pl.col(side), wins=share) for side, share in shares.items()]
    return pl.concat(sides).group_by("model").agg(answers=pl.len(), compared=pl.len(), wins=pl.col("wins").sum())
