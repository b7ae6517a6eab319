"""What is read and shown of a build whose rows were paired: rated rows and pairs, each where it belongs."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Final

import polars as pl
import pytest
from rich.console import Console

from curate.compare.diff import diff
from curate.compare.terminal import diff_parts
from curate.errors import CallError
from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.report.check import check_parts
from curate.report.dropped_rows import dropped_rows
from curate.report.notebook import show_dropped
from curate.report.page import page
from curate.report.run_card import card
from curate.report.terminal import funnel_table
from curate.report.terminal_rows import show
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.pairs.binarize import Rejected, binarize
from tests.support.build_data import Row, built, source, write_lines
from tests.support.rated_data import LONG, STEPS, Tongue, ask, of_rated, pair

ROWS: Final = [
    ask("Ask 1?", ("best", 9.0), ("good", 5.0), ("bad", 1.0), id="a"),
    ask("Ask 2?", ("one " * 8, 9.0), ("two", 5.0), ("three", 4.0), id="b"),
    ask("Ask 3?", ("tied", 5.0), ("even", 5.0), id="c"),
    ask("Ask 4?", ("alone", 5.0), id="d"),
    ask(f"Ask 5? {LONG}", ("x", 5.0), ("y", 6.0), id="e"),
    ask("Ask 1?", ("x", 9.0), ("y", 5.0), id="f"),
]
READY: Final = [pair("Ask 9?", "yes", "no", id="p"), pair("Ask 8?", "long " * 9, "no", id="q")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("paired")
    return mixture(folder, ROWS).build(folder / "out", quiet=True)


def mixture(folder: Path, rows: list[Row], rejected: Rejected = "all_lower") -> Mixture:
    """Declare rated rows to be paired, and ready-made pairs beside them."""
    ready = files(write_lines(folder / "ready.jsonl", READY), "preference")
    steps = (exact_dedup("prompt", keep="longest"), STEPS[0], binarize(rejected=rejected))
    sources = Source("uf", of_rated(rows), steps=steps), Source("hh", ready)
    return Mixture("both", sources, (shape(on="chosen", max_words=6),))


def as_text(*parts: object) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(*parts)
    return console.export_text()


def test_the_funnel_tells_of_rows_then_of_pairs(made: Build) -> None:
    names = ["source", "read", "quarantined", "uf:exact_dedup", "uf:shape", "uf:binarize"]
    assert made.funnel.columns == [*names, "paired", "pairs", "shape", "unsampled", "kept", "rows"]
    assert made.funnel.rows() == [
        ("uf", 6, 0, 1, 1, 2, 2, 4, 2, 0, 2, 2),
        ("hh", 2, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1),
        ("total", 8, 0, 1, 1, 2, 2, 4, 3, 0, 3, 3),
    ]
    shown = as_text(funnel_table(made))
    assert "paired" in shown
    assert "pairs" in shown
    html = made._repr_html_()
    assert '<th class="wrap">pairs</th>' in html
    uf = html[html.index('name">uf<') : html.index('name">hh<')]
    assert uf.count('class="bar"') == 2
    assert 'title="paired 33.3%"' in uf
    assert 'title="kept 50.0%"' in uf


def test_dropped_rows_come_with_their_own_columns(made: Build) -> None:
    dropped = made.dropped("uf:binarize")
    assert dict(dropped.select("id", "reason").rows()) == {"c": "all_tied", "d": "one_completion"}
    assert dropped.columns[-3:] == ["messages", "completions", "meta"]
    assert dropped["completions"].null_count() == 0
    pairs = made.dropped("shape")
    assert sorted(pairs["id"]) == ["b/0", "b/1", "q"]
    assert pairs.columns[10:12] == ["prompt", "chosen"]
    assert pairs["chosen"].null_count() == 0
    both = made.dropped()
    assert both.height == 7
    assert {"messages", "completions", "prompt", "chosen", "rejected", "meta"} <= set(both.columns)
    assert made.dropped("shape", source="hh")["id"].to_list() == ["q"]
    assert made.dropped(reason="all_tied")["id"].to_list() == ["c"]
    assert made.scores("uf:shape").height == 6
    assert sorted(made.scores("shape")["id"]) == ["a/0", "a/1", "b/0", "b/1", "p", "q"]
    assert made.overlap("uf:exact_dedup").rows() == [("uf", "uf", 1, 1 / 6)]
    with pytest.raises(CallError, match="step 'uf:binarize' keeps no scores"):
        made.scores("uf:binarize")


def test_the_composition_counts_pairs(made: Build) -> None:
    lines = made.composition.select("source", "available", "delivered", "rows").rows()
    assert lines == [("uf", 2, 2, 2), ("hh", 1, 1, 1)]
    assert made.composition["tokens"].min() > 0  # type: ignore[operator]


def test_rows_of_both_kinds_are_shown(made: Build) -> None:
    rows = {row.id: row for row in dropped_rows(made)}
    assert [turn.side for turn in rows["c"].turns] == ["prompt", "completion", "completion"]
    assert [turn.side for turn in rows["b/0"].turns] == ["prompt", "chosen", "rejected"]
    assert {row.step for row in rows.values()} == {"uf:exact_dedup", "uf:shape", "uf:binarize", "shape"}
    survivor = rows["f"].survivor
    assert survivor is not None
    assert (survivor.fate, survivor.turns) == ("paired: its text is in its pairs", ())
    assert "uf/c" in repr(show_dropped(made, "uf:binarize"))
    assert "all_tied" in show_dropped(made)._repr_html_()
    shown = "\n".join(text.plain for text in show(made, n=20))
    assert "uf/b/0" in shown
    assert "uf:binarize: all_tied" in shown
    assert "uf/a/0" in "\n".join(text.plain for text in show(made, "kept"))
    assert show(made, reason="all_tied")


def test_page_and_card_tell_of_both(made: Build) -> None:
    html = page(made)
    assert "<dt>paired</dt><dd>2 rows <small>4 pairs</small></dd>" in html
    assert "Rows of uf were paired" in html
    assert "uf/b/0" in html
    assert "uf/c" in html
    text = card(made)
    assert "from 8 rows of 2 sources, of which 2 gave 4 pairs; 3 rows were kept." in text
    assert "`pairs/` one for each pair" in text
    assert "After the Pairing, counts are of pairs" in text
    assert "(pairing, version 2)" in text


def test_the_manifest_counts_both(made: Build) -> None:
    uf, hh = made.manifest["sources"]
    assert uf["fates"] == {"paired": 2, "dropped": 4, "quarantined": 0}
    assert uf["pairs"] == {"made": 4, "fates": {"kept": 2, "dropped": 2, "unsampled": 0}}
    assert "pairs" not in hh
    assert [(step["label"], step["kind"], step.get("of")) for step in made.manifest["steps"]] == [
        ("uf:exact_dedup", "group", "rated"),
        ("uf:shape", "filter", "rated"),
        ("uf:binarize", "pairing", "rated"),
        ("shape", "filter", None),
    ]


def test_a_difference_says_what_became_of_the_row_of_a_pair(tmp_path: Path, made: Build) -> None:
    rows = [ask("Ask 1?", ("best", 9.0), ("good", 9.0), ("bad", 9.0), id="a"), *ROWS[1:]]
    tied = mixture(tmp_path, rows).build(tmp_path / "tied", quiet=True)
    worst = mixture(tmp_path, ROWS, rejected="worst").build(tmp_path / "worst", quiet=True)
    lost = {row["id"]: (row["change"], row["why"]) for row in diff(made, tied).rows.to_dicts()}
    assert lost == dict.fromkeys(("a/0", "a/1"), ("left", "is dropped by uf:binarize: all_tied"))
    found = {row["id"]: (row["change"], row["why"]) for row in diff(made, worst).rows.to_dicts()}
    assert found == {"a/0": ("changed", "text"), "a/1": ("left", "its row is paired otherwise")}
    back = {row["id"]: (row["change"], row["why"]) for row in diff(worst, made).rows.to_dicts()}
    assert back == {"a/0": ("changed", "text"), "a/1": ("entered", "its row was paired otherwise")}
    assert "its row is paired otherwise" in as_text(*diff_parts(diff(made, worst)))


def test_languages_are_those_detected_first(tmp_path: Path) -> None:
    rows = of_rated(ROWS)
    early = built(tmp_path / "early", source("uf", rows), steps=(Tongue(), binarize(rejected="all_lower"), Tongue()))
    counts = early.languages.select("language", "read", "kept").rows()
    assert sum(read for _, read, _ in counts) == len(ROWS)
    assert sum(kept for *_, kept in counts) == early.manifest["sources"][0]["fates"]["paired"]
    late = built(tmp_path / "late", source("uf", rows), steps=(binarize(rejected="all_lower"), Tongue()))
    assert late.languages["read"].sum() == late.pairs.collect().height == late.languages["kept"].sum()
    assert "Languages" in page(late)


def test_a_check_shows_pairs(tmp_path: Path) -> None:
    text = as_text(*check_parts(check(mixture(tmp_path, ROWS))))
    assert "they give 4 pairs" in text
    assert "uf:binarize" in text
    assert "all_tied" in text
    assert "uf/b/0" in text


def test_lines_are_found_by_kind(made: Build) -> None:
    rated, final = made.lines_of("rated").collect(), made.lines_of("preference").collect()
    assert set(rated["source"]) == {"uf"}
    assert set(final["source"]) == {"uf", "hh"}
    assert rated.height + final.height == made.lines.collect().height == 6 + 2 + 4
    assert made.pairs.select("id").collect()["id"].to_list() == ["a/0", "a/1", "b/0", "b/1"]
    assert made.ledger.filter(pl.col("fate") == "paired").collect()["id"].to_list() == ["a", "b"]
