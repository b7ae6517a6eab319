"""`length_bias` tells what a loop over the pairs tells."""

from __future__ import annotations

from itertools import product
from statistics import mean, median

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.result.length_bias import BIAS, length_bias

SIDE = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "source": pl.String,
    "chosen": SIDE,
    "rejected": SIDE,
    "chosen_score": pl.Float64,
    "rejected_score": pl.Float64,
}
TEXTS = st.lists(st.sampled_from(["", "a", "é é", "東京", "one two three"]), max_size=2)


def frame(rows: list[tuple[str, list[str], list[str], float | None]]) -> pl.DataFrame:
    records = [
        (source, *([{"role": "assistant", "content": text} for text in side] for side in (one, other)), margin, 0.0)
        for source, one, other, margin in rows
    ]
    return pl.DataFrame(records, SCHEMA, orient="row")


@given(
    st.lists(st.tuples(st.sampled_from("ab"), TEXTS, TEXTS, st.sampled_from([None, 0.5, 1.0, 2.0, 3.0])), max_size=12)
)
def test_each_line_is_as_defined(rows: list[tuple[str, list[str], list[str], float | None]]) -> None:
    found = length_bias(frame(rows), bands=2)
    assert found.schema == BIAS
    assert sum(found.filter(pl.col("source").is_null(), pl.col("margin_from").is_null())["pairs"]) == len(rows)
    for line in found.iter_rows(named=True):
        inside = [row for row in rows if line["source"] in {None, row[0]}]
        if line["margin_from"] is not None:
            inside = [
                row for row in inside if row[3] is not None and line["margin_from"] <= row[3] <= line["margin_to"]
            ]
            last = line["margin_to"] == found["margin_to"].max()
            inside = [row for row in inside if last or row[3] < line["margin_to"]]
        sizes = [tuple(sum(map(len, side)) for side in row[1:3]) for row in inside]
        more = [one - other for one, other in sizes]
        words = [sum(_words(text) for text in one) - sum(_words(text) for text in other) for _, one, other, _ in inside]
        tokens = [sum(map(_tokens, one)) - sum(map(_tokens, other)) for _, one, other, _ in inside]
        unequal = [each > 0 for each in more if each]
        cross = [(a > b) + (a == b) / 2 for (a, _), (_, b) in product(sizes, sizes)]
        assert line["pairs"] == len(inside)
        assert line["longer"] == (pytest.approx(mean(unequal)) if unequal else None)
        assert line["equal"] == pytest.approx(more.count(0) / len(more))
        assert (line["mean_words"], line["median_words"]) == (pytest.approx(mean(words)), median(words))
        assert (line["mean_tokens"], line["median_tokens"]) == (pytest.approx(mean(tokens)), median(tokens))
        assert (line["mean_characters"], line["median_characters"]) == (pytest.approx(mean(more)), median(more))
        assert line["accuracy"] == pytest.approx(mean((each > 0) + (each == 0) / 2 for each in more))
        assert line["auc"] == pytest.approx(mean(cross))


def _words(text: str) -> int:
    return 2 if text == "東京" else len(text.split())


def test_bands_hold_all_pairs_with_a_margin() -> None:
    found = length_bias(frame([("a", ["x"], ["y"], margin) for margin in (1.0, 2.0, 3.0, 4.0, None, float("nan"))]))
    bands = found.filter(pl.col("source").is_null(), pl.col("margin_from").is_not_null())
    assert bands["pairs"].sum() == 4
    assert found.filter(pl.col("source").is_null(), pl.col("margin_from").is_null())["pairs"].to_list() == [6]
    same = length_bias(frame([("a", ["x"], ["y"], 1.0)] * 3))
    assert same.filter(pl.col("source") == "a")["margin_from"].to_list() == [None, 1.0]


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4) + 4
