"""The page of a difference: what it says of two builds, in every case, and how it works in Chromium."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

from curate.compare.diff import Diff, diff
from curate.io.tables import frame
from curate.report.page import PAGE_BYTES
from curate.result.build import Build
from curate.steps.filters.shape import shape
from curate.steps.filters.truecase import truecase
from tests.compare.conftest import HOSTILE
from tests.report.browser.conftest import NARROW, WIDE, Open, data_of
from tests.support.build_data import built, chat, chats, source
from tests.support.chart_builds import build_of
from tests.support.svg import charts_in, sound
from tests.support.tool_rows import built as built_parts
from tests.support.tool_rows import one_call, parallel, reasoned


def test_the_page_has_every_row_that_differs(different: Diff) -> None:
    html = different.page()
    shown = data_of(html)["rows"]
    assert [(row["change"], row["source"], row["id"], row["why"]) for row in shown] == [
        line
        for change in ("entered", "left", "changed")
        for line in sorted(
            different.rows.filter(change=change).select("change", "source", "id", "why", "cause").rows(),
            key=lambda line: (line[4], ["first", "third", "second"].index(line[1]), line[2]),
        )
        for line in [line[:4]]
    ]
    assert (
        {row["id"] for row in shown if "before" in row}
        == set(different.rows.filter("text")["id"].to_list())
        >= {"long", HOSTILE}
    )
    for name, count in different.rows.group_by("change").len().rows():
        assert f'href="#rows&amp;change={name}">{count} row' in html
    for chart in charts_in(html):
        sound(chart)
    assert different.page() == html


def test_a_changed_row_shows_both_versions(different: Diff) -> None:
    rows = {row["id"]: row for row in data_of(different.page())["rows"]}

    def marked(parts: list[Any]) -> list[str]:
        return [span[0] for part in parts for span in part.get("text", ()) if isinstance(span, list)]

    long = rows["long"]
    assert [text.strip() for text in marked(long["parts"])] == ["extra"]
    assert [part["flags"] for part in rows[HOSTILE]["parts"] if "flags" in part] == [["only now"]] * 2
    assert "again and again" in "".join(marked(rows[HOSTILE]["before"]))


def test_hostile_names_and_texts_are_text(tmp_path: Path, opening: Open) -> None:
    before = [chat("Hi?", HOSTILE, id=HOSTILE), chat(HOSTILE, "Yes.", id="b\u202e<i>")]
    after = [chat("Hi?", HOSTILE * 2, id=HOSTILE), chat("No", HOSTILE, id="n{{ 1 }}")]
    a = built(tmp_path / "a", source("s", before, licence="<b>MIT</b>"), steps=[shape(), truecase()])
    b = built(tmp_path / "b", source("s", after, licence=HOSTILE), source("u", chats(3)), steps=[shape()])
    found = diff(a, b)
    html = found.page()
    assert HOSTILE not in html
    assert "<script>alert" not in html + found._repr_html_()
    assert "\u202e" not in html + found._repr_html_()
    opened = opening(html)
    for row in data_of(html)["rows"]:
        opened.choose("q", row["id"][:5])
        assert opened.found >= 1
        opened.clear()
    assert opened.page.evaluate("document.querySelectorAll('.shown script, .shown i').length") == 0


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([shape()], "The two builds are equal: the same settings"),
        ([shape(), truecase()], "Both builds have the same rows"),
    ],
)
def test_builds_without_a_difference_say_so(tmp_path: Path, opening: Open, steps: list[Any], says: str) -> None:
    rows = [chat(f"Ask {n}?", f"Answer {n}.") for n in range(5)]
    a = built(tmp_path / "a", source("first", rows), steps=[shape()])
    found = diff(a, built(tmp_path / "b", source("first", rows), steps=steps))
    html = found.page()
    assert says in html
    assert 'id="browser"' not in html
    opened = opening(html, live=False)
    assert opened.page.locator("h2").all_inner_texts() == ["Settings and data", "Composition", "Funnel", "Scores"]
    assert "5 rows the same, 0 entered, 0 left, 0 changed" in found._repr_html_()


@pytest.mark.parametrize(
    ("kind", "other"),
    [("pairs", "ratings"), ("unpaired", "unpaired"), ("rated", "rated"), ("empty", "plain"), ("fifty", "one")],
)
def test_every_kind_of_build_has_a_page(kind: str, other: str, tmp_path: Path) -> None:
    found = diff(build_of(kind, tmp_path), build_of(other, tmp_path / "other"))
    html = found.page()
    for chart in charts_in(html + found._repr_html_()):
        sound(chart)
    if found.rows.height:
        assert len(data_of(html)["rows"]) == found.rows.height


def test_what_a_row_carries_beside_its_turns_is_held_apart(tmp_path: Path) -> None:
    def pairs(score: float) -> pl.DataFrame:
        one = {
            "id": "p",
            "prompt": "Q?",
            "chosen": "A.",
            "rejected": "B.",
            "chosen_score": score,
            "rejected_score": 1.0,
        }
        return pl.DataFrame([one])

    a, b = (built(tmp_path / f"{n}", source("p", frame(pairs(n), "preference"))) for n in (4.0, 5.0))
    (row,) = data_of(diff(a, b).page())["rows"]
    assert row["apart"] == [["chosen_score", [["4", "changed"], ".0"], [["5", "changed"], ".0"]]]


def test_parts_of_rows_are_held_apart(tmp_path: Path) -> None:
    def parts(town: str, hat: str) -> Build:
        rows = [
            {"id": "call", "messages": one_call(town)},
            {"id": "two", "messages": parallel()},
            {"id": "why", "messages": reasoned(hat)},
        ]
        return built_parts(rows, tmp_path / town)

    a, b = parts("Oslo", "a hat"), parts("Bergen", "an umbrella")
    rows = {row["id"]: row for row in data_of(diff(a, b).page())["rows"]}
    assert sorted(rows) == ["call", "why"]
    for row, words in ((rows["call"], ("Oslo", "Bergen")), (rows["why"], ("hat", "umbrella"))):
        for side, word in zip(("before", "parts"), words, strict=True):
            marked = [span[0] for part in row[side] for span in part.get("text", ()) if isinstance(span, list)]
            assert any(word in text for text in marked)
            assert not any(
                part.get("folded") for part in row[side] if any(isinstance(one, list) for one in part.get("text", ()))
            )


def test_filters_find_what_they_say(different: Diff, opening: Open) -> None:
    html = different.page()
    opened, rows = opening(html), data_of(html)["rows"]
    for what in ("change", "cause", "source"):
        for value in sorted({row[what] for row in rows}):
            opened.page.locator(f".filters [name={what}]").select_option(value)
            opened.wait()
            assert opened.found == sum(row[what] == value for row in rows)
            opened.clear()
    opened.go("#rows&change=changed&q=once%20more")
    assert opened.found == 1
    assert opened.page.locator(".shown .versions .was mark").count() > 0
    assert opened.page.locator(".shown .versions .is mark").count() > 0
    opened.page.locator("dt + dd a", has_text="rows").first.click()
    opened.wait()
    assert opened.page.locator("[name=change]").input_value() == "entered"
    opened.page.keyboard.press("j")
    assert opened.page.locator(".rows-found a[aria-current]").get_attribute("href") == opened.listed()[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(different: Diff, scheme: Literal["light", "dark"], opening: Open) -> None:
    html = different.page()
    for size in (WIDE, NARROW):
        opened = opening(html, size=size, scheme=scheme)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        for fragment in ("#rows", "#rows&change=changed&q=once%20more"):
            opened.page.evaluate("to => { location.hash = to; }", fragment)
            opened.wait()
            assert opened.faults() == [], size


def test_long_tables_and_many_rows_are_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.compare.page.ROWS", 30)
    monkeypatch.setattr("curate.compare.page.LISTED", 5)
    names = [f"s{n}" for n in range(12)]
    a = built(tmp_path / "a", *(source(name, chats(9, 100 * n)) for n, name in enumerate(names[:6])))
    b = built(tmp_path / "b", *(source(name, chats(9, 100 * n)) for n, name in enumerate(names[3:], 3)), seed=3)
    html = diff(a, b).page()
    data = data_of(html)
    assert (len(data["rows"]), data["total"]) == (30, 9 * 9)
    assert {row["source"] for row in data["rows"]} == {*names} - {"s3", "s4", "s5"}
    assert "7 sources more are not listed" in html
    assert "4 lines more are not listed" in html


def test_save_writes_the_page(different: Diff, tmp_path: Path) -> None:
    path = different.save(tmp_path / "new" / "diff.html")
    assert path.read_text("utf-8") == different.page()
    assert path.stat().st_size <= PAGE_BYTES
    assert re.search(r'(src|href)="(?!#)', path.read_text("utf-8")) is None
