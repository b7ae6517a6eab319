"""How far the length of an answer tells which one was chosen: frames for a report on preference rows."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import CallError
from curate.kernels.buffers import frozen, view
from curate.result.folder import BuildFolder
from curate.rows.segments import Part, Segments
from curate.rows.tokens import Tokenizer, tokens
from curate.text.words import measure

SLICE: Final = 20_000
"""Rows measured at a time: their texts have to fit an Arrow array of 2 GiB."""

BIAS: Final = pl.Schema(
    {
        "source": pl.String,
        **dict.fromkeys(("margin_from", "margin_to"), pl.Float64),
        "pairs": pl.Int64,
        **dict.fromkeys(("longer", "equal", "mean_words", "median_words", "mean_tokens", "median_tokens"), pl.Float64),
        **dict.fromkeys(("mean_characters", "median_characters", "accuracy", "auc"), pl.Float64),
    }
)


def length_bias(frame: pl.DataFrame, *, bands: int = 4, tokenizer: Tokenizer | None = None) -> pl.DataFrame:
    """Return by source, and by bands of margin, how much longer chosen answers are than rejected ones.

    `frame` holds preference rows: `source`, `chosen` and `rejected` (lists of messages), both scores. A line is for a
    source (null: all together) and for pairs whose margin (chosen less rejected score) is from `margin_from` to
    `margin_to`; both null: all pairs, also those without a margin. The bands are those of all rows, with as many pairs
    each as ties of margins let there be.

    - `longer`: the share of pairs whose chosen answer has more characters, among those of unequal length; null where
      all are equal. `equal`: the share of pairs of equal length among all.
    - `mean_words`, `median_words`, and so of `tokens` (estimated without a `tokenizer`) and `characters`: of the chosen
      answer less the rejected one.
    - `accuracy`: how often "the longer one was chosen" is right, half of the time for equal ones.
    - `auc`: how probable it is that a chosen answer of any prompt is longer than a rejected one of any, half for equal
      ones: the area under the curve for a judge who sees one length and no prompt.

    0.5 of either says that length tells nothing. Lengths are those of all turns of an answer.

    >>> say = lambda text: [{"role": "assistant", "content": text}]
    >>> rows = {"source": ["a"] * 2, "chosen": [say("Yes, it is."), say("No.")], "rejected": [say("Yes."), say("Oh.")]}
    >>> found = length_bias(pl.DataFrame(rows | {"chosen_score": [1.0, 2.0], "rejected_score": [0.0, 0.0]}))
    >>> found.filter(pl.col("source").is_null()).select("margin_from", "pairs", "longer", "equal", "accuracy").row(0)
    (None, 2, 1.0, 0.5, 0.75)
    """
    return bias(measured(frame, tokenizer), bands)


def bias(pairs: pl.DataFrame, bands: int = 4) -> pl.DataFrame:
    """Return what `length_bias` does, of pairs that `measured` measured."""
    margin = pairs["margin"].to_numpy()
    edges = _edges(margin, bands)
    known = pl.Series(np.isfinite(margin))
    band = pl.Series("band", np.searchsorted(edges[1:-1], margin, side="right"), pl.Int64)
    pairs = pairs.with_columns(pl.when(known).then(band).alias("band"))
    banded = pairs.filter(pl.col("band").is_not_null())
    together = [pl.lit(None, pl.String).alias("source")]
    unbanded = pairs.with_columns(pl.lit(None, pl.Int64).alias("band"))
    groups = [_bias(each) for one in (unbanded, banded) for each in (one.with_columns(together), one)]
    limits = pl.DataFrame(
        {"band": np.arange(max(len(edges) - 1, 0)), "margin_from": edges[:-1], "margin_to": edges[1:]},
        schema={"band": pl.Int64, "margin_from": pl.Float64, "margin_to": pl.Float64},
    )
    found = pl.concat(groups).join(limits, on="band", how="left").sort("source", "band", nulls_last=False)
    return found.select(BIAS.names()).cast(dict(BIAS.items()))


def _bias(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return a line for each source and band, null for all together."""
    difference = pl.col("chosen") - pl.col("rejected")
    more = {"words": pl.col("words"), "tokens": pl.col("tokens"), "characters": difference}
    unequal = (difference != 0).sum()
    return pairs.group_by("source", "band").agg(
        pairs=pl.len(),
        longer=pl.when(unequal > 0).then((difference > 0).sum() / unequal),
        equal=(difference == 0).mean(),
        **{f"mean_{name}": value.mean() for name, value in more.items()},
        **{f"median_{name}": value.median() for name, value in more.items()},
        accuracy=((difference > 0).cast(pl.Float64) + (difference == 0).cast(pl.Float64) / 2).mean(),
        auc=_area(),
    )


def _area() -> pl.Expr:
    """Return the area under the curve of a group of pairs, by the rank sum of the chosen answers (Mann-Whitney)."""
    count = pl.len().cast(pl.Float64)
    ranks = pl.col("chosen").append(pl.col("rejected")).rank("average").head(pl.len())
    return (ranks.sum() - count * (count + 1) / 2) / (count * count)


def _edges(margins: NDArray[np.float64], bands: int) -> NDArray[np.float64]:
    """Return the borders of bands with as many margins each; fewer bands where margins are equal."""
    finite = margins[np.isfinite(margins)]
    if not len(finite):
        return np.zeros(0)
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, bands + 1), method="lower"))
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def measured(frame: pl.DataFrame, tokenizer: Tokenizer | None = None) -> pl.DataFrame:
    """Return source and margin of each pair, the characters of both answers, and the words and tokens chosen has more.

    >>> say = lambda text: [{"role": "assistant", "content": text}]
    >>> pair = {"source": "a", "chosen": say("Yes, it is."), "rejected": say("No."), "chosen_score": 2.0}
    >>> measured(pl.DataFrame([pair | {"rejected_score": 0.5}])).row(0)
    ('a', 1.5, 11.0, 3.0, 2.0, 2.0)
    """
    chunks = [_sizes(part, tokenizer) for part in frame.iter_slices(SLICE)] or [_sizes(frame, tokenizer)]
    margin = (pl.col("chosen_score").cast(pl.Float64) - pl.col("rejected_score").cast(pl.Float64)).fill_nan(None)
    return frame.select(pl.col("source").cast(pl.String), margin=margin).hstack(pl.concat(chunks))


def measured_files(made: BuildFolder, tokenizer: Tokenizer | None = None) -> pl.DataFrame:
    """Return what `measured` does, of all pairs in the data files; raises `CallError` for a build of other rows."""
    if made.kind != "preference":
        raise CallError(f"this build holds {made.kind} rows, which have no chosen and rejected answers")
    own = ["source", "chosen", "rejected", "chosen_score", "rejected_score"]
    paths = sorted((made.path / "data").glob("*.parquet"))
    return pl.concat([measured(pl.read_parquet(path, columns=own), tokenizer) for path in paths])


def _sizes(frame: pl.DataFrame, tokenizer: Tokenizer | None) -> pl.DataFrame:
    chosen, rejected = _side(frame, "chosen", tokenizer), _side(frame, "rejected", tokenizer)
    more = {name: chosen[name] - rejected[name] for name in ("words", "tokens")}
    return pl.DataFrame({"chosen": chosen["characters"], "rejected": rejected["characters"], **more})


def _side(frame: pl.DataFrame, side: Literal["chosen", "rejected"], tokenizer: Tokenizer | None) -> pl.DataFrame:
    """Return the characters, words and tokens of one answer of each pair, all its turns together."""
    counts = frame[side].list.len().fill_null(0).to_numpy()
    contents = pl.element().struct.field("content").fill_null("")
    texts = frame[side].list.eval(contents).explode(empty_as_null=False, keep_nulls=False)
    text = view(texts.to_arrow().cast(pa.string()).fill_null(""))
    index = np.arange(len(text), dtype=np.int32)
    row = np.repeat(np.arange(frame.height, dtype=np.int32), counts)
    words, characters = (
        np.bincount(row, weights=each, minlength=frame.height) for each in measure(text, frozen(index))
    )
    part = Part(side, text, index, row, np.zeros(len(row), np.int32), np.zeros(len(row), np.uint8))
    size = tokens(Segments(frame.height, (part,)), tokenizer).astype(np.float64)
    return pl.DataFrame({"characters": characters, "words": words, "tokens": size})


def length_cost(lengths: pl.DataFrame) -> pl.DataFrame:
    """Return what balancing the lengths of answers took, by source (null: all), from the table that the step left.

    Columns: `source`, `pairs` and `pairs_left` (those of unequal length), `longer` and `longer_left` (the share of them
    whose chosen answer is the longer one), `margin` and `margin_left` (the mean margin, null without scores).

    >>> rows = {"source": ["a"] * 3, "chosen": [9, 8, 3], "rejected": [1, 2, 5], "margin": [3.0, 1.0, 2.0]}
    >>> length_cost(pl.DataFrame(rows | {"dropped": [True, False, False]})).row(0)
    (None, 3, 2, 0.6666666666666666, 0.5, 2.0, 1.5)
    """
    stays = ~pl.col("dropped")
    longer = pl.col("chosen") > pl.col("rejected")
    cost = {
        "pairs": pl.len().cast(pl.Int64),
        "pairs_left": stays.sum().cast(pl.Int64),
        "longer": longer.mean(),
        "longer_left": longer.filter(stays).mean(),
        "margin": pl.col("margin").mean(),
        "margin_left": pl.col("margin").filter(stays).mean(),
    }
    whole = lengths.select(pl.lit(None, pl.String).alias("source"), **cost)
    each = lengths.group_by("source").agg(**cost).sort("source")
    return pl.concat([whole.head(1), each])
