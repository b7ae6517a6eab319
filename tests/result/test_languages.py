"""Languages of a build: detected by a step, counted per source, shown where composition is."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import curate as c
from curate.errors import CallError
from curate.report.page import page
from curate.report.run_card import card
from curate.result.build import Build

TEXTS = {
    "en": "What will the weather be like in Hamburg tomorrow, and should I take a coat with me?",
    "de": "Wie wird das Wetter morgen in Hamburg, und soll ich einen Mantel mitnehmen?",
    "und": "42",
}


def source(name: str, *languages: str) -> c.Source:
    turns = [
        [{"role": "user", "content": f"{TEXTS[language]} {number}"}, {"role": "assistant", "content": "4"}]
        for number, language in enumerate(languages)
    ]
    return c.Source(name, c.frame(pl.DataFrame({"messages": turns}), "messages"))


@pytest.fixture
def build(tmp_path: Path) -> Build:
    sources = [source("b", "de", "en", "en", "und"), source("a", "de")]
    step = c.language("en", allow_large_drop=True)
    return c.Mixture("languages", sources, [step]).build(tmp_path / "build", quiet=True)


def test_languages_are_counted_before_and_after_the_steps(build: Build) -> None:
    assert build.languages.select("source", "language", "read", "kept").rows() == [
        ("b", "en", 2, 2),
        ("b", "de", 1, 0),
        ("b", "und", 1, 1),
        ("a", "de", 1, 0),
    ]
    assert build.languages["read_share"].to_list() == [0.5, 0.25, 0.25, 1.0]
    assert build.languages["kept_share"].to_list() == pytest.approx([2 / 3, 0, 1 / 3, 0])


def test_page_notebook_and_card_show_them(build: Build) -> None:
    for shown in (page(build), build._repr_html_()):
        assert "<td>2 of 2</td>" in shown
        assert "<td>0 of 1</td>" in shown
    assert "| b | en | 2 | 50.0 % | 2 | 66.7 % |" in card(build)
    assert build.dropped("language")["match"].str.slice(0, 2).to_list() == ["de", "de"]


def test_a_build_without_such_a_step_says_what_to_do(tmp_path: Path) -> None:
    build = c.Mixture("plain", [source("a", "en")], []).build(tmp_path / "build", quiet=True)
    assert "Languages" not in page(build)
    with pytest.raises(CallError, match="add language\\(\\) to the mixture"):
        _ = build.languages
