"""A source that cannot be read, or brings no row, stops the build or is said: nothing vanishes in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from curate.errors import EmptyBuildError, QuarantineError
from curate.io.inputs import Input, files
from curate.io.joined import joined
from curate.mix.amounts import Fraction, Rows, Tokens
from curate.mix.spec import MixtureSpec, Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.report.run_card import cell
from curate.result.build import Build
from curate.steps.base import Step
from curate.steps.dedup.dedup import dedup
from curate.steps.filters.shape import shape
from curate.steps.pairs.binarize import binarize
from tests.support.build_data import Row, built, built_empty, chat, chats, left_behind, source, write_lines

SHAREGPT: Row = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}


def lines(folder: Path, bad: int, good: int, name: str = "rows.jsonl") -> Input:
    return files(write_lines(folder / name, [*chats(good), *['{"messages": 5}'] * bad]), "messages")


def unreadable(folder: Path) -> dict[str, tuple[Input, str]]:
    """Small sources of which more than half cannot be read, each with what the error says of it."""
    (folder / "cells.csv").write_text("prompt;completion\na;b\nc;d\n")
    (folder / "array.json").write_text(json.dumps([SHAREGPT] * 3))
    answers = [{"q": "Why?", "a": text, "s": "high"} for text in ("So.", "No.")]
    shared = [chat(f"Ask {i}?", "x", id="same") for i in range(4)]
    return {
        "one row": (lines(folder, 1, 0), r"1 of 1 rows \(100\.0%\).*rows\.jsonl:1: messages: expected array, not int"),
        "ten rows": (lines(folder, 10, 0, "b.jsonl"), r"10 of 10 rows"),
        "three of five": (lines(folder, 3, 2, "c.jsonl"), r"3 of 5 rows \(60\.0%\)"),
        "the wrong format": (files(folder / "array.json", "alpaca"), r"array\.json:1: instruction: expected a field"),
        "the wrong separator": (
            files(folder / "cells.csv", "prompt_completion", separator=","),
            r"2 of 2 rows.*cells\.csv:2",
        ),
        "scores that are words": (
            joined(write_lines(folder / "d.jsonl", answers), on="q", content="a", score="s"),
            r"2 of 2 rows.*d\.jsonl:1: .*s: ",
        ),
        "one id for all": (files(write_lines(folder / "e.jsonl", shared), "messages"), r"3 of 4 rows have the id of"),
    }


WHAT = [
    "one row",
    "ten rows",
    "three of five",
    "the wrong format",
    "the wrong separator",
    "scores that are words",
    "one id for all",
]


@pytest.mark.parametrize("what", WHAT)
def test_a_source_of_which_half_is_unreadable_stops_however_small(tmp_path: Path, what: str) -> None:
    held, message = unreadable(tmp_path)[what]
    steps = [binarize()] if what == "scores that are words" else []
    mixture = Mixture("mix", [Source("s", held)], steps)
    with pytest.raises(QuarantineError, match=f"(?s)^source 's': .*{message}"):
        mixture.build(tmp_path / "out", threads=1)
    assert left_behind(tmp_path / "out") == []
    assert not (tmp_path / "out").exists()
    assert [stop.partition(" rows")[0] for stop in check(mixture).stops][:1] == ["source 's': " + first_count(message)]


def first_count(message: str) -> str:
    """Return the counts at the beginning of what an error says."""
    return message.partition(" rows")[0] if " of " in message else "3 of 3"


def test_half_of_a_small_source_may_be_unreadable(tmp_path: Path) -> None:
    done = built(tmp_path / "out", Source("s", lines(tmp_path, 3, 3)))
    assert done.funnel["quarantined"].to_list() == [3, 3]
    assert done.notes == []
    assert check(Mixture("mix", [Source("s", lines(tmp_path, 3, 3))])).stops == ()


def test_the_first_rows_of_a_long_source_are_no_half_of_it(tmp_path: Path) -> None:
    rows: list[Row | str | bytes] = ["no json", *chats(500)]
    mixture = Mixture("mix", [Source("s", files(write_lines(tmp_path / "a.jsonl", rows), "messages"))])
    assert check(mixture, 1).stops == check(mixture).stops == ()


@pytest.mark.parametrize(
    ("good", "allowed", "note"),
    [
        (0, 1.0, "none of the 6 rows of source 's' could be read"),
        (3, 0.7, "only 3 of 9 rows of source 's' could be read"),
    ],
)
def test_what_max_quarantine_allows_is_said(tmp_path: Path, good: int, allowed: float, note: str) -> None:
    sources = Source("s", lines(tmp_path, 6, good), max_quarantine=allowed), source("other", chats(3, 50))
    assert built(tmp_path / "out", *sources).notes == [note]
    found = check(Mixture("mix", sources))
    assert found.stops == ()
    assert note in found.warnings


def nothing(folder: Path, what: str) -> tuple[list[Source], dict[str, Any], str]:
    """Return sources of which `few` brings no row, the options of the mixture, and the note."""
    empty = files(write_lines(folder / "none.jsonl", []), "messages")
    many, few = source("many", chats(400, 50)), source("few", chats(5))
    match what:
        case "an empty file":
            return [many, Source("few", empty)], {}, "source 'few' has no rows"
        case "a fraction":
            part = source("few", chats(5), take=Fraction(0.01))
            return [many, part], {}, "source 'few' comes to 0 rows: Fraction(share=0.01) of 5 rows rounds to 0"
        case "size":
            options = {"weights": "size", "total": Rows(40)}
            return [few, many], options, "comes to 0 rows: weight by size of 5 rows is too little for total=Rows(n=40)"
        case "a weight":
            options = {"weights": {"few": 0.01, "many": 1}, "total": Rows(40)}
            return [few, many], options, "comes to 0 rows: weight 0.01 of 5 rows is too little for total=Rows(n=40)"
        case "a temperature":
            options = {"weights": {"few": 1, "many": 3}, "total": Rows(40), "temperature": 0.2}
            return [few, many], options, "comes to 0 rows: weight 1 of 5 rows is too little for total=Rows(n=40)"
        case "tokens":
            return [many, source("few", chats(5), take=Tokens(3))], {}, "comes to 0 rows: no row fits into 3 tokens"
        case "a total of tokens":
            options = {"weights": "size", "total": Tokens(400)}
            return [few, many], options, "comes to 0 rows: no row fits into 4 tokens"
    return [many, source("few", chats(5), steps=[shape(min_words=90)])], {}, "no row of source 'few' is left after"


@pytest.mark.parametrize(
    "what",
    ["an empty file", "a fraction", "size", "a weight", "a temperature", "tokens", "a total of tokens", "the steps"],
)
def test_a_source_that_brings_no_row_is_said(tmp_path: Path, what: str) -> None:
    sources, options, note = nothing(tmp_path, what)
    done = built(tmp_path / "out", *sources, **options)
    assert done.composition.filter(source="few")["rows"].item() == 0
    assert len(done.notes) == 1
    assert note in done.notes[0]
    found = check(Mixture("mix", sources, **options))
    assert (found.stops, found.warnings) == ((), tuple(done.notes))
    escaped = note.replace("'", "&#39;")
    assert escaped in (done.path / "report.html").read_text("utf-8")
    assert escaped in done._repr_html_()
    assert f"Note: {cell(done.notes[0])}." in (done.path / "README.md").read_text("utf-8")


def test_a_guess_of_what_a_source_has_may_come_to_nothing_too() -> None:
    few, many = source("few", chats(5)), source("many", chats(400, 50))
    found = check(Mixture("mix", [few, many], weights="size", total=Rows(40)), rows=100)
    assert not found.whole
    assert len(found.warnings) == 1
    assert "source 'few' comes to 0 rows" in found.warnings[0]


def test_a_mixture_that_keeps_no_row_fails_and_leaves_its_ledger(tmp_path: Path) -> None:
    bad = Source("a", lines(tmp_path, 4, 0), max_quarantine=1.0)
    short = source("b", chats(3), steps=[shape(min_words=90)])
    none = source("c", chats(7, 100), take=Fraction(0.01))
    mixture = Mixture("mix", [bad, short, none])
    with pytest.raises(EmptyBuildError, match="keeps no row") as caught:
        mixture.build(tmp_path / "out", threads=1)
    assert str(caught.value).split("\n  ") == [
        "mixture 'mix' keeps no row. Rows read: 14 (4 quarantined, 3 dropped by b:shape, 7 unsampled)",
        "none of the 4 rows of source 'a' could be read",
        "no row of source 'b' is left after the steps",
        "source 'c' comes to 0 rows: Fraction(share=0.01) of 7 rows rounds to 0",
        f"The build in {tmp_path / 'out'} has a line for each: curate show {tmp_path / 'out'}",
    ]
    done = Build(tmp_path / "out")
    assert done.ledger.collect().height == 14
    assert (done.quarantined().height, done.dropped().height) == (4, 3)
    assert left_behind(tmp_path / "out") == []
    assert check(mixture).stops == ("mixture 'mix' keeps no row",)


def test_rows_to_compare_with_that_cannot_be_read_stop_the_build(tmp_path: Path) -> None:
    """A wrong format here would compare with nothing, and let every copy pass."""
    other = write_lines(tmp_path / "other.jsonl", [SHAREGPT] * 3)
    mixture = MixtureSpec("mix", [source("s", chats(4))], [dedup("all", against=[files(other, "messages")])])
    message = r"step 'dedup': 3 of 3 rows of .*other\.jsonl, which it compares with, are invalid\. The first: other"
    with pytest.raises(QuarantineError, match=message):
        built(tmp_path / "out", *mixture.sources, steps=mixture.steps)
    with pytest.raises(QuarantineError, match=message):
        check(mixture)


EMPTY: Final[dict[str, tuple[list[Row], tuple[Step, ...], dict[str, Any]]]] = {
    "an empty file": ([], (), {}),
    "every row dropped": (chats(5), (shape(min_words=100),), {}),
    "every row unsampled": (chats(5), (), {"take": Fraction(0.01)}),
    "no row fits": (chats(5), (), {"take": Tokens(1)}),
}


@pytest.mark.parametrize("why", EMPTY)
def test_a_build_without_rows_can_be_read(tmp_path: Path, why: str) -> None:
    import datasets

    rows, steps, options = EMPTY[why]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    done = built_empty(tmp_path / "out", source("s", files(path, "messages"), **options), steps=steps, test=Rows(1))
    assert done.funnel["read"].to_list() == [len(rows), len(rows)]
    found = pl.scan_parquet(tmp_path / "out" / "data" / "*.parquet").collect()
    assert found.columns == ["source", "id", "messages", "meta"]
    assert found.height == done.kept("test").collect().height == 0
    # Only streamed: `datasets` itself cannot hold a split without rows.
    loaded = datasets.load_dataset(str(tmp_path / "out"), streaming=True)
    assert {split: list(loaded[split]) for split in loaded} == {"train": []}
    assert done.dropped().columns[-2:] == ["messages", "meta"]
    assert done.dropped().height == (5 if why == "every row dropped" else 0)
    assert done.composition["rows"].to_list() == [0]
