"""The page: sound HTML that refers to nothing, with every mark where the evidence says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import polars as pl
import pytest
from jinja2 import UndefinedError

from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.report.dropped_rows import dropped_rows
from curate.report.notebook import show_dropped
from curate.report.page import page
from curate.report.templates import templates
from curate.result.build import Build
from curate.steps.base import Bound, Step
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.refusals import Refusals, refusals
from tests.report.conftest import NASTY, PHRASE, chat, write

VOID = {"meta", "br", "img", "link", "input", "hr", "wbr"}


class Reader(HTMLParser):
    """Reads a page back: its tags, its attributes, and the text inside each mark; fails where tags do not balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.marks: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "mark":
            self.marks.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self.open):
            return
        self.text += data
        if "mark" in self.open:
            self.marks[-1] += data


@pytest.fixture(params=["nasty", "demo", "pairs", "searched"])
def build(request: pytest.FixtureRequest) -> Build:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Build)
    return found


def test_page_is_sound_and_refers_to_nothing_outside(build: Build) -> None:
    pages = (page(build), build._repr_html_(), show_dropped(build)._repr_html_())
    for text in pages:
        read = Reader(text)
        assert not read.tags & {"iframe", "object", "embed", "link", "form", "base"}
        scripts = re.findall(r"<script([^>]*)>", text)
        own = [script for script in scripts if script != ' type="application/json" id="limits-data"']
        both = 1 + (len(own) < len(scripts))  # the row browser's script, and the sliders'
        assert sorted(own) == sorted(
            [' type="application/octet-stream" id="rows-data"', *[""] * both] * (text == pages[0])
        )
        names = {name for name, _ in read.attributes}
        assert not any(name.startswith("on") for name in names)
        assert not names & {"srcset", "action", "background"}
        held = [value for name, value in read.attributes if name == "src"]
        assert all(value.startswith("data:image/svg+xml;base64,") for value in held)
        assert len(held) == (text == pages[1])
        assert all(value.startswith("#") for name, value in read.attributes if name == "href")
        assert "url(" not in text
        assert "@import" not in text


def test_anchors_lead_somewhere(build: Build) -> None:
    attributes = Reader(page(build)).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:].partition("&")[0] for name, value in attributes if name == "href"} <= set(ids)


def test_texts_of_users_are_shown_and_never_obeyed(nasty: Build) -> None:
    text = page(nasty)
    read = Reader(text)
    for name in (
        "<script>alert(2)</script>",
        "<img src=x onerror=alert(1)>",
        "{{ 7 * 7 }} {% raw %} {# gone #}",
        "<b>mine|yours</b>",
    ):
        assert name in read.text
    assert "<script>alert(3)</script>" in read.text, "quarantined rows too"
    assert "\u202e" not in text
    assert "U+202E" in read.text


def test_every_row_is_marked_where_its_evidence_says(build: Build) -> None:
    evidence = build.dropped().select("source", "id", "evidence").explode("evidence").unnest("evidence")
    spans = evidence.filter(pl.col("end") > pl.col("start"))
    assert spans.height or build.name == "ratings"
    texts = {(row["source"], row["id"]): row for row in build.dropped().to_dicts()}
    expected = []
    for (source, name, side, turn), found in spans.group_by("source", "id", "side", "turn"):
        messages = texts[source, name]["messages" if side == "dialogue" else side]
        places = [range(start, end) for start, end in found.select("start", "end").iter_rows()]
        inside = [any(place in each for each in places) for place in range(len(messages[turn]["content"]))]
        expected += runs(zip(messages[turn]["content"], inside, strict=True))
    turns = [turn for row in dropped_rows(build, n=1000) for turn in row.turns]
    marked = [run for turn in turns for run in runs((span.text, bool(span.titles)) for span in turn.text)]
    assert sorted(marked) == sorted(expected)


def runs(parts: Iterable[tuple[str, bool]]) -> list[str]:
    """Return the marked parts of a text, neighbours as one: marks may overlap."""
    return ["".join(text for text, _ in group) for marked, group in groupby(parts, itemgetter(1)) if marked]


def test_marks_are_at_the_phrase_whatever_comes_before(nasty: Build) -> None:
    marks = Reader(page(nasty)).marks
    assert marks.count(PHRASE) == len(NASTY)
    wide = next(row for row in dropped_rows(nasty) if row.id == "wide")
    assert [span.text for span in wide.turns[1].text if span.titles] == [PHRASE]


def test_what_is_left_out_is_said(nasty: Build) -> None:
    text = Reader(page(nasty)).text
    assert "2,450 characters left out" in text
    assert "19 turns without a hit left out" in text


def test_a_duplicate_is_shown_beside_the_row_it_duplicates(nasty: Build, demo: Build) -> None:
    rows = dropped_rows(nasty, step="exact_dedup")
    assert [(row.id, row.survivor and row.survivor.name) for row in rows] == [
        ("z-again-0", "first/plain-0"),
        ("z-again-1", "first/plain-1"),
    ]
    survivor = rows[0].survivor
    assert survivor is not None
    assert survivor.fate.startswith("kept, in the t")
    assert [turn.text[0].text for turn in survivor.turns] == ["Question 0?", "Answer 0."]
    fates = {row.survivor.fate: len(row.survivor.turns) for row in dropped_rows(demo, n=99) if row.survivor}
    assert any(fate.startswith("kept") and turns for fate, turns in fates.items())
    assert not fates.get("not sampled, so its text is not in the build folder")


def test_rows_shown_are_those_of_lowest_id(demo: Build) -> None:
    for n in (1, 3):
        dropped = demo.dropped()
        chosen = dropped.sort("id", "source").group_by("step", "reason").head(n)
        assert sorted((row.source, row.id) for row in dropped_rows(demo, n=n)) == sorted(
            chosen.select("source", "id").rows()
        )


def test_counts_of_the_page_are_those_of_the_ledger(demo: Build) -> None:
    text = Reader(page(demo)).text
    for _, reason, count in demo.dropped().group_by("step", "reason").len().iter_rows():
        rows = "1 row" if count == 1 else f"{count} rows"
        assert f"{reason} {rows}" in text
    for excerpt in demo.quarantined()["expected"]:
        assert excerpt in text


def test_page_is_a_function_of_the_files(nasty: Build, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(nasty.path, moved)
    text = page(nasty)
    assert page(Build(moved)) == text
    assert str(nasty.path) not in text
    assert (nasty.path / "report.html").read_text("utf-8") == text


def test_notebook_shows_funnel_and_composition(demo: Build) -> None:
    read = Reader(demo._repr_html_())
    assert "instructions" in read.text
    assert "Fraction(share=0.75)" in read.text
    assert "tokens, estimated" in read.text


@dataclass(frozen=True, kw_only=True)
class Lenient(Refusals):
    """Lets a row refuse nine times."""

    def bounds(self) -> tuple[Bound, ...]:
        return tuple(bound._replace(at_most=9) for bound in super().bounds())


def late(tmp_path: Path, *steps: Step) -> Build:
    """Build rows with one prompt whose last answer refuses, beside others."""
    chats = [chat(f"late-{n}", "Hello.", "Hi.", "And?", PHRASE) for n in range(3)]
    fine = [chat(f"fine-{n}", f"Question {n}?", "Yes.") for n in range(9)]
    source = Source("chats", files(write(tmp_path / "chats.jsonl", *chats, *fine), format="messages"))
    return Mixture("late", (source,), steps).build(tmp_path / "build", threads=1)


def test_a_row_dropped_before_an_edit_is_shown_as_it_was_when_dropped(tmp_path: Path) -> None:
    build = late(tmp_path, refusals(), cut_refusals())
    rows = dropped_rows(build)
    assert [(row.id, row.stale, len(row.turns)) for row in rows] == [(f"late-{n}", (), 4) for n in range(3)]
    assert all(any(span.titles for span in row.turns[3].text) for row in rows)
    assert "after it was measured" not in Reader(page(build)).text


def test_text_changed_after_it_was_measured_is_not_marked(tmp_path: Path) -> None:
    build = late(tmp_path, Lenient(), cut_refusals(), exact_dedup("prompt"))
    rows = dropped_rows(build)
    assert [(row.stale, len(row.turns)) for row in rows] == [(("cut_refusals",), 2)] * 2
    assert not any(span.titles for row in rows for turn in row.turns for span in turn.text)
    text = Reader(page(build)).text
    assert "Changed by cut_refusals after it was measured" in text
    assert "changed 3 rows" in text


def test_templates_escape_even_what_no_filter_touched() -> None:
    assert templates().from_string("{{ text }}").render(text="<b>") == "&lt;b&gt;"
    with pytest.raises(UndefinedError, match="nothing"):
        templates().from_string("{{ nothing }}").render()
