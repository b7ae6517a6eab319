"""What was searched for and found: page, terminal and card say what the tables of the build say, and obey no text."""

from __future__ import annotations

import io
import re

import polars as pl
import pytest
from rich.console import Console

from curate.errors import CallError
from curate.report.contamination import (
    LINES,
    LISTED,
    NAMED,
    STAYING,
    contamination,
    contamination_lines,
    coverage,
    coverage_lines,
    staying,
    unsearched_line,
)
from curate.report.dropped_rows import dropped_rows
from curate.report.page import page
from curate.report.run_card import card
from curate.report.terminal import findings
from curate.report.terminal_rows import show
from curate.result.build import Build
from tests.report.conftest import ASKED
from tests.report.test_page import Reader

STEP = "decontaminate"


def items(*lines: tuple[str, str, str, int]) -> pl.DataFrame:
    schema = {"eval": pl.String, "item": pl.String, "kind": pl.String, "within": pl.Int64}
    why = pl.when(pl.col("kind").is_in(["unmatchable", "generic"])).then(pl.lit("the question contains no words"))
    return pl.DataFrame(lines, schema=schema, orient="row").with_columns(why=why)


def pairs_of(count: int, verdict: str = "below 2 %") -> pl.DataFrame:
    line = {"reached": 12, "rows": 3, "row_share": 0.25, "items": 2, "item_share": 0.01, "generic": 0}
    return pl.DataFrame([{"eval": "quiz", "source": f"s{n:04d}", **line, "verdict": verdict} for n in range(count)])


def test_coverage_comes_first_and_names_what_cannot_be_found(searched: Build) -> None:
    found = contamination(searched, STEP)
    assert found is not None
    (quiz,) = found.evals
    assert (quiz.name, quiz.items, quiz.matchable, quiz.generic, quiz.lost) == ("qu<i>z", 7, 6, 1, 1)
    assert quiz.unmatchable == (("mark", "the question contains no words"),)
    assert quiz.common == (("who", 0),)
    text = Reader(page(searched)).text
    assert "qu<i>z: 7 items, 6 matchable, 1 of them generic" in text
    assert "Not matchable: mark (the question contains no words)" in text
    assert (
        text.index("7 items, 6 matchable") < text.index("Items found in each source") < text.index("over the bound 0.5")
    )


def test_the_table_is_the_builds_with_the_contaminated_first(searched: Build) -> None:
    found = contamination(searched, STEP)
    assert found is not None
    assert {(one.eval, one.source): (one.rows, one.items, one.generic) for one in found.found} == {
        ("qu<i>z", "two"): (3, 3, 1),
        ("qu<i>z", "ours"): (1, 1, 0),
    }
    assert [one.item_share for one in found.found] == [3 / 7, 1 / 7]
    assert [(one.reached, one.row_share) for one in found.found] == [(14, 3 / 14), (1, 1.0)]
    assert found.unsearched == "9 rows that earlier steps dropped were not searched: one 4, two 5"
    read = Reader(page(searched))
    assert read.text.count("contaminated\n") == 2
    assert ("class", "name bad") in read.attributes


def test_rows_are_marked_where_the_item_is_and_named_by_it(searched: Build) -> None:
    rows = {row.id: row for row in dropped_rows(searched, step=STEP)}
    assert sorted(rows) == ["holds-0", "holds-1", "holds-2", "holds-3"]
    for number, name in enumerate(("<b>bold</b>", "pipe|line", "\u202eturned", "who")):
        row = rows[f"holds-{number}"]
        assert row.eval_items == (f"qu<i>z/{name}",)
        assert row.matched is None
        assert row.survivor is None
        (marked,) = [span.text for turn in row.turns for span in turn.text if span.titles]
        assert marked == ASKED[name].rstrip("?")
    read = Reader(page(searched))
    assert "contains qu<i>z/<b>bold</b>" in " ".join(read.text.split())
    assert ASKED["<b>bold</b>"].rstrip("?") in read.marks
    assert "\u202e" not in page(searched)
    assert page(searched).count("<script") == 4, "the data of the browser and of the sliders, and their scripts"


@pytest.mark.parametrize(("name", "count"), [("searched", 1), ("flagged", 5)])
def test_rows_that_hold_an_item_and_stay_are_shown_apart(request: pytest.FixtureRequest, name: str, count: int) -> None:
    build: Build = request.getfixturevalue(name)
    found = contamination(build, STEP)
    assert found is not None
    assert (found.stay, len(found.shown)) == (count, count)
    assert all(row.step == STEP and row.turns and row.eval_items for row in found.shown)
    (ours,) = staying(build, STEP, source="ours", n=9)
    assert ours.eval_items == ("qu<i>z/kept",)
    assert [span.text for turn in ours.turns for span in turn.text if span.titles] == [ASKED["kept"].rstrip("?")]
    assert len(staying(build, STEP, n=1)) == 1
    text = Reader(page(build)).text
    assert f"contain an item and are kept {count} row" in text
    assert "So: Where did the keeper" in text


def test_lists_of_a_huge_build_are_cut_and_say_so(searched: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = searched.hits(STEP).head(1).with_columns(dropped=pl.lit(value=False))
    monkeypatch.setattr(Build, "hits", lambda *_: pl.concat([hits] * 5000))
    monkeypatch.setattr(Build, "contamination", lambda *_: pairs_of(5000))
    found = contamination(searched, STEP)
    assert found is not None
    assert (len(found.found), found.left_out) == (LINES, 5000 - LINES)
    assert len(found.shown) <= STAYING
    assert "4,900 more pairs of both: not shown." in Reader(page(searched)).text
    assert "4,900 more pairs of both: not listed." in card(searched)
    assert len(page(searched)) < 400_000
    lines = contamination_lines(searched, STEP)
    assert len(lines) == 1 + LISTED + 1 + 1 + 1
    assert "and 4,992 more pairs of source and eval, none contaminated" in lines
    monkeypatch.setattr(Build, "contamination", lambda *_: pairs_of(LISTED + 1))
    assert "and 1 more pair of source and eval, none contaminated" in contamination_lines(searched, STEP)
    (one,) = coverage(items(*(("big", f"i{n:05d}", "unmatchable", 0) for n in range(900))))
    assert (one.lost, len(one.unmatchable)) == (900, NAMED)


def test_of_generic_items_the_most_common_are_named() -> None:
    (one,) = coverage(items(("e", "a", "generic", 3), ("e", "b", "generic", 70), ("e", "c", "short", 900)))
    assert (one.items, one.generic, one.common) == (3, 2, (("b", 70), ("a", 3)))


def test_lines_for_a_terminal(searched: Build) -> None:
    assert contamination_lines(searched, STEP) == [
        "qu<i>z: 7 items, 6 matchable, 1 of them generic; 1 not: mark",
        "two contains 3 items of qu<i>z (42.9%) in 3 of 14 rows (21.4%): contaminated; 1 more contains generic ones",
        "ours contains 1 item of qu<i>z (14.3%) in 1 of 1 row (100.0%): contaminated",
        "9 rows that earlier steps dropped were not searched: one 4, two 5",
        "1 row contains an item and is kept, flagged or of a protected source",
    ]


def test_many_sources_with_unsearched_rows_are_cut(searched: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [(f"s{n}", 5, int(n < LISTED + 2)) for n in range(LISTED + 9)]
    many = pl.DataFrame(counts, schema=["source", "reached", "dropped_before"], orient="row")
    monkeypatch.setattr(Build, "reached", lambda *_: many)
    named = ", ".join(f"s{n} 1" for n in range(LISTED))
    assert unsearched_line(searched, STEP) == (
        f"{LISTED + 2} rows that earlier steps dropped were not searched: {named} and 2 more sources"
    )
    monkeypatch.setattr(Build, "reached", lambda *_: many.head(1))
    assert unsearched_line(searched, STEP) == "1 row that earlier steps dropped was not searched: s0 1"
    monkeypatch.setattr(Build, "reached", lambda *_: many.tail(1))
    assert unsearched_line(searched, STEP) == ""


def test_lines_where_nothing_was_found(searched: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    none = searched.hits(STEP).clear()
    monkeypatch.setattr(Build, "hits", lambda *_: none)
    monkeypatch.setattr(Build, "contamination", lambda *_: pairs_of(1).clear())
    unsearched = "9 rows that earlier steps dropped were not searched: one 4, two 5"
    assert contamination_lines(searched, STEP)[1:] == ["no row that reached it contains an item", unsearched]
    assert unsearched in Reader(page(searched)).text
    assert f"{unsearched}." in card(searched)
    assert "No row that reached this step contains an item." in Reader(page(searched)).text
    assert "No row that reached this step contains one." in card(searched)
    assert "contain an item and are kept" not in page(searched)


def test_generic_items_within_longer_text_are_named_where_nothing_was_found(
    searched: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = items(
        ("e", "a", "generic", 1), ("e", "b", "generic", 1200), ("e", "c", "generic", 0), ("e", "d", "long", 0)
    )
    none = searched.hits(STEP).clear()
    monkeypatch.setattr(Build, "hits", lambda *_: none)
    monkeypatch.setattr(Build, "contamination", lambda *_: pairs_of(1).clear())
    monkeypatch.setattr("curate.report.contamination.table", lambda *_: lines)
    assert contamination_lines(searched, STEP)[1:] == [
        "e: 2 items too generic to count are within longer text: b in 1,200 rows, a in 1 row",
        "no row is matched; generic items are within longer text",
        "9 rows that earlier steps dropped were not searched: one 4, two 5",
    ]
    text = Reader(page(searched)).text
    assert "No row that reached this step contains an item." not in text
    assert "No row is matched, but 2 items too generic to count are within longer text of rows that reached" in text
    assert coverage_lines(coverage(lines))[1].startswith("e: 2 items too generic to count")
    assert "No row is matched." in card(searched)
    assert "No row that reached this step contains one." not in card(searched)
    assert "e: 2 items too generic to count are within longer text: b in 1,200 rows" in card(searched)


def test_the_card_names_generic_items_beside_others_that_were_found(
    searched: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.report.contamination.table", lambda *_: items(("e", "b", "generic", 7)))
    written = card(searched)
    assert "e: 1 item too generic to count is within longer text: b in 7 rows" in written
    assert "The items in the rows of each source that reached this step" in written


def test_many_evals_are_reported_in_one_line(searched: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [(f"e{n}", "a", "long", 0) for n in range(LISTED)] + [
        ("odd", "b", "unmatchable", 0),
        ("odd", "c", "generic", 0),
    ]
    monkeypatch.setattr("curate.report.contamination.table", lambda *_: items(*many))
    assert contamination_lines(searched, STEP)[:2] == [
        f"{LISTED + 1} evals: {LISTED + 2} items, {LISTED + 1} matchable, 1 of them generic",
        "odd: 2 items, 1 matchable, 1 of them generic; 1 not: b",
    ]


def printed(build: Build, step: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in findings(build, step):
        console.print(part, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_shows_each_step_that_found_something(searched: Build, nasty: Build) -> None:
    text = printed(searched)
    assert re.findall(r"^\S+$", text, re.MULTILINE) == ["exact_dedup", "dedup", "decontaminate"]
    assert printed(searched, "dedup") == (
        "\ndedup\n  one: 4 rows (11.1%) are duplicates within the source\n"
        "  two: 4 rows (21.1%) are duplicates of rows in one\n"
    )
    assert printed(nasty, "exact_dedup") == "\nexact_dedup\n  second: 2 rows (5.9%) are duplicates of rows in first\n"
    refused = printed(nasty, "refusals")
    assert refused.startswith("\nrefusals\n  warning: no row that refuses a plainly harmful request was found, among ")
    assert printed(nasty) == refused + printed(nasty, "exact_dedup")
    assert printed(nasty, "shape") == ""


def test_show_names_the_items_and_adds_rows_that_stay(searched: Build, flagged: Build) -> None:
    blocks = [part.plain for part in show(searched, step=STEP, n=9)]
    assert [row.split("decontaminate: ")[1].split()[0] for row in blocks] == ["generic", *["overlap"] * 4]
    assert "\n  contains qu<i>z/[U+202E]turned\n" in blocks[3]
    assert blocks[-1].startswith("ours/ours")
    assert "So: »Where did the keeper of the lighthouse hide the spare key during the great storm«?" in blocks[-1]
    assert len(show(flagged, step=STEP, n=9)) == 5
    assert len(show(flagged, step=STEP, n=2)) == 2
    assert len(show(flagged, step=STEP, source="ours")) == 1


def test_the_card_has_a_contamination_table(searched: Build, flagged: Build) -> None:
    text = card(searched)
    assert "## Contamination: decontaminate\n" in text
    assert "| qu\\<i\\>z | 7 | 6 | 1 |" in text
    assert "| qu\\<i\\>z | two | 14 | 3 | 21.4 % | 3 | 42.9 % | 1 | contaminated |" in text
    assert "Rows with an item that were not dropped, flagged or of a protected source: 1." in text
    assert "a protected source: 5." in card(flagged)


def test_a_build_without_such_a_step_has_no_part(nasty: Build) -> None:
    assert contamination(nasty, "refusals") is None
    assert "Contamination" not in card(nasty)
    with pytest.raises(CallError, match="it is no step that makes one"):
        contamination_lines(nasty, "exact_dedup")
