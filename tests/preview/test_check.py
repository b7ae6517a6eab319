"""A look at the first rows says what the build will do, and leaves nothing behind."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.errors import CallError, MixtureError, SourceNotFoundError
from curate.io.inputs import files
from curate.mix.amounts import Fraction, Repeat, Rows, Tokens
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import Check, check
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import Row, chat, chats, of_rows, source, write_lines

REFUSAL = "As an AI language model, I do not have opinions."


def mixed(folder: Path) -> Mixture:
    """Every kind of step and fate, over two sources, with duplicates across them."""
    first: list[Row | str | bytes] = [chat(f"Ask {n}?", f"Answer {n}.", id=f"a{n}") for n in range(40)]
    first[3:3] = ['{"messages": 5}', "no json", chat("Ask 3?", REFUSAL, id="r1"), chat("Ask 5?", "", id="e1")]
    first += [chat("Ask 7?", "Other words.", id="a8"), chat("ask 9?", "Another answer.", id="d1")]
    second = [chat(f"Ask {n}?", f"Second answer {n}.", id=f"b{n}") for n in range(30, 60)]
    second += [chat("So?", "Yes.", "And?", REFUSAL, id="cut")]
    return Mixture(
        "mixed",
        (
            Source("first", files(write_lines(folder / "first.jsonl", first), "messages"), take=Fraction(0.5)),
            Source("second", files(write_lines(folder / "second.jsonl", second), "messages"), steps=(cut_refusals(),)),
        ),
        (refusals(), shape(), exact_dedup(on="prompt")),
        seed=3,
    )


def test_reading_everything_says_what_the_build_does(tmp_path: Path) -> None:
    mixture = mixed(tmp_path)
    found, made = check(mixture), mixture.build(tmp_path / "out", threads=1)
    assert found.whole
    assert found.stops == ()
    assert fates(found) == drops_of(made)
    for report, source_of in zip(found.sources, made.manifest["sources"], strict=True):
        assert (report.read, report.rows) == (source_of["read"], source_of["read"])
        assert report.quarantined == source_of["fates"]["quarantined"]
        assert report.left == report.expected == source_of["plan"]["available"]
        assert report.share is not None
        assert (report.share.asked, report.share.amount) == (source_of["plan"]["asked"], source_of["plan"]["delivered"])
        assert report.exact
        reached = report.read - report.quarantined
        for step in report.steps:
            assert step.reached == reached
            reached -= step.rows if step.kind != "edit" else 0
    edited = [step.rows for step in found.sources[1].steps if step.kind == "edit"]
    assert edited == [made.ledger.filter(pl.col("edited").list.len() > 0).collect().height] == [1]


def fates(found: Check) -> Counter[tuple[str, str, str]]:
    return Counter(
        {(one.name, step.label, reason): n for one in found.sources for step in one.steps for reason, n in step.reasons}
    )


def drops_of(made: Build) -> Counter[tuple[str, str, str]]:
    return Counter(made.dropped().select("source", "step", "reason").rows())


def test_the_row_shown_is_as_the_ledger_has_it(tmp_path: Path) -> None:
    mixture = mixed(tmp_path)
    lines = {(row["source"], row["id"]): row for row in mixture.build(tmp_path / "out", threads=1).dropped().to_dicts()}
    shown = [step.seen for report in check(mixture).sources for step in report.steps if step.seen is not None]
    assert {seen.line["step"] for seen in shown} == {"refusals", "shape", "exact_dedup"}
    for seen in shown:
        line = lines[seen.line["source"], seen.line["id"]]
        names = ("step", "reason", "score", "bound", "match", "evidence", "file", "line")
        assert {name: seen.line[name] for name in names} == {name: line[name] for name in names}
        assert seen.body["messages"] == line["messages"]
        assert (seen.survivor is not None) == (line["step"] == "exact_dedup")


@pytest.mark.parametrize("rows", [1, 7, 44, 45, 46, 47, 2_000])
def test_so_many_rows_are_read_bad_ones_among_them(tmp_path: Path, rows: int) -> None:
    mixture = mixed(tmp_path)
    first = check(mixture, rows).sources[0]
    assert first.read == min(rows, 46)
    assert first.whole == (rows >= 46)
    assert first.quarantined == (0 if rows < 4 else 2 if rows < 45 else 3)
    assert sum(step.rows for step in first.steps) + first.left + first.quarantined == first.read


def test_what_is_not_read_is_a_guess_from_the_size(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "many.jsonl", chats(5_000))
    mixture = Mixture("m", (Source("many", files(path, "messages"), take=Rows(1_000)), source("few", chats(50))))
    many, few = check(mixture, 500).sources
    assert many.rows is not None
    assert abs(many.rows - 5_000) < 100
    assert (many.read, many.whole, few.whole) == (500, False, True)
    assert many.exact, "Rows(n) is kept, however many rows there are"
    assert not few.exact
    assert many.share is not None
    assert many.share.amount == 1_000


def test_rows_in_memory_are_counted_not_guessed() -> None:
    assert check(Mixture("m", (source("a", chats(300)),)), 100).sources[0].rows == 300


def test_without_a_count_there_is_no_plan() -> None:
    unknown = replace(of_rows(chats(300)), rows=None)  # type: ignore[call-arg]
    reports = check(Mixture("m", (Source("a", unknown, take=Rows(500)), source("b", chats(5)))), 100).sources
    assert (reports[0].rows, reports[0].expected, reports[0].share, reports[1].share) == (None, None, None, None)


def test_each_layout_tells_its_fields(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [chat("Q?", "A.", id="1", lang="en"), chat("R?", "B.", id="2", mood="")])
    report = check(Mixture("m", (Source("a", files(path)),))).sources[0]
    assert report.format.startswith("messages() (auto: 2 of the first 2 rows")
    assert report.fields == ("messages", "id", "lang", "mood")
    assert report.carries == ("lang", "mood")


def test_too_many_bad_rows_would_stop_the_build(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [*chats(50), *["bad"] * 11])
    found = check(Mixture("m", (Source("a", files(path, "messages")),)))
    assert found.stops == ("source 'a': 11 of 61 rows (18.0%) are invalid, more than max_quarantine=0.01 allows",)
    assert len(found.sources[0].bad) == 5
    assert found.sources[0].bad[0].startswith("a.jsonl:51: expected valid JSON")


def test_rows_in_another_format_than_the_declared_one_name_it(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", chats(20))
    notes = check(Mixture("m", (Source("a", files(path, "sharegpt")),))).sources[0].notes
    assert notes == ("messages() reads such rows: name it, or leave out format=",)


def test_a_large_drop_would_stop_the_build() -> None:
    rows = [*chats(20), *(chat(f"Ask {n} of you?", REFUSAL) for n in range(30))]
    found = check(Mixture("m", (source("a", rows),), (refusals(),)))
    assert len(found.stops) == 1
    assert "step 'refusals' drops 30 of the 50 rows of source 'a' (60%)" in found.stops[0]
    meant = check(Mixture("m", (source("a", rows),), (refusals(allow_large_drop=True),)))
    assert meant.stops == ()
    assert meant.warnings == ("step 'refusals' drops 60% of the rows of source 'a' that reach it",)


def test_a_drop_under_half_is_worth_a_look() -> None:
    rows = [*chats(20), *(chat(f"Ask {n} of you?", REFUSAL) for n in range(10))]
    found = check(Mixture("m", (source("a", rows),), (refusals(),)))
    assert (found.stops, found.warnings) == ((), ("step 'refusals' drops 33% of the rows of source 'a' that reach it",))


def test_a_shortage_would_stop_the_build() -> None:
    found = check(Mixture("m", (source("a", chats(20), take=Rows(21)), source("b", chats(5, 50), take=Repeat(2)))))
    assert "a has 20 rows after the steps, asked: 21" in found.stops[0]
    share = found.sources[0].share
    assert share is not None
    assert (share.asked, share.amount) == (21, 20)
    assert not found.sources[0].exact or found.whole


def test_nothing_to_weigh_by_would_stop_the_build(tmp_path: Path) -> None:
    empty = Source("a", files(write_lines(tmp_path / "a.jsonl", []), "messages"))
    found = check(Mixture("m", (empty,), weights="size", total=Rows(10)))
    assert found.stops == ("no source has anything left to weigh by",)
    assert found.warnings == ("source 'a' has no rows",)
    assert (found.sources[0].read, found.sources[0].rows, found.sources[0].share) == (0, 0, None)


@pytest.mark.parametrize(
    ("options", "take"),
    [({"weights": {"a": 3, "b": 1}}, "weight 3"), ({"weights": "size"}, "weight by size")],
)
def test_weights_are_shown_in_place_of_takes(options: dict[str, Any], take: str) -> None:
    found = check(Mixture("m", (source("a", chats(40)), source("b", chats(40, 50))), total=Tokens(100), **options))
    assert found.sources[0].take == take
    share = found.sources[0].share
    assert share is not None
    assert share.unit == "tokens"


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mixture = mixed(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    check(mixture)
    assert sorted(tmp_path.rglob("*")) == before


def test_it_answers_the_same_every_time(tmp_path: Path) -> None:
    mixture = mixed(tmp_path)
    assert check(mixture, 30) == check(mixture, 30)


def test_what_the_build_refuses_is_refused(tmp_path: Path) -> None:
    pairs = of_rows([{"prompt": "Q?", "chosen": "A.", "rejected": "B."}])
    both = Mixture("m", (source("a", chats(3)), Source("b", replace(pairs, format=None))))
    with pytest.raises(MixtureError, match="a holds conversation rows, b holds preference rows"):
        check(both)
    with pytest.raises(SourceNotFoundError, match=r"'.*gone\.jsonl' is not there"):
        check(Mixture("m", (Source("a", files(tmp_path / "gone.jsonl")),)))
    with pytest.raises(CallError, match="rows=0: a whole number from 1"):
        check(both, 0)
