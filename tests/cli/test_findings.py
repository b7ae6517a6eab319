"""What `build`, `show` and `check` print of duplicates and eval items, and the exit code where one slips through."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from curate.preview.leak_test import LeakTest, Way
from tests.cli.test_commands import run
from tests.support.build_data import chat, chats, write_lines

MIXTURE = """\
import curate as c

mix = c.Mixture(
    "mix",
    [c.Source("a", c.files("data/a.jsonl", "messages"))],
    [c.exact_dedup(on="prompt"), c.decontaminate(c.evals.files("quiz.jsonl", question="q", name="quiz"))],
)
"""

ASKED = "Which of the seven bridges of [bold]Pellow[/bold] was the last to be built across the harbour?"


@pytest.fixture
def quiz(work: Path) -> Path:
    """The working directory with a mixture that looks for the items of `quiz.jsonl`."""
    rows = [*chats(30), chat("ASK 3?", "Again."), chat(f"Tell me: {ASKED}", "The seventh.", id="holds")]
    write_lines(work / "data" / "a.jsonl", rows)
    write_lines(work / "quiz.jsonl", [{"q": ASKED}, {"q": "Why did nobody paint the chimneys of the second ferry?"}])
    (work / "mix.py").write_text(MIXTURE, "utf-8")
    return work


def test_build_ends_with_what_was_found(quiz: Path) -> None:
    assert quiz.is_dir()
    output = run("build", "mix.py", "--out", "here").stdout
    found = """
exact_dedup
  a: 1 row (3.1%) is a duplicate within the source

decontaminate
  quiz: 2 items, 2 matchable
  a contains 1 item of quiz (50.0%) in 1 of 31 rows (3.2%): contaminated
  1 row that earlier steps dropped was not searched: a 1

The build is in here: train 30 rows.
"""
    assert found in output


def test_show_ends_with_what_was_found(quiz: Path) -> None:
    assert quiz.is_dir()
    run("build", "mix.py", "--out", "here", "-q")
    output = run("show", "here").stdout
    assert "decontaminate: overlap (1, at most 0.5)\n  contains quiz/0\n" in output
    assert "Tell me: »Which of the seven bridges of [bold]Pellow[/bold] was" in output
    assert "a contains 1 item of quiz (50.0%) in 1 of 31 rows (3.2%): contaminated\n" in output
    assert "is a duplicate within the source" in output
    one = run("show", "here", "--step", "exact_dedup").stdout
    assert one.endswith("\nexact_dedup\n  a: 1 row (3.1%) is a duplicate within the source\n")
    assert "quiz" not in one
    assert "contaminated" not in run("show", "here", "--fate", "kept").stdout
    assert "contaminated" not in run("show", "here", "--source", "a").stdout


def test_check_reports_recall_and_succeeds_where_only_changed_items_are_missed(quiz: Path) -> None:
    assert quiz.is_dir()
    output = run("check", "mix.py").stdout
    assert "  contains quiz/0\n" in output
    recall = """\
decontaminate finds what is planted
  quiz: 2 items, 2 matchable
  verbatim                         100.0%  of 2 items
  re-cased                         100.0%  of 2 items
  with prefix and suffix           100.0%  of 2 items
  in turn three                    100.0%  of 2 items
"""
    assert recall in output
    assert "no fuzzy search; fuzzy=0.85 finds more of those with a changed word" in output


def test_check_fails_where_a_verbatim_item_is_missed(quiz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert quiz.is_dir()
    ways = (Way("verbatim", 300, 299, ("quiz/\x1b[31m",)), Way("one word changed, of fewer", 5, 2, ("quiz/4",)))
    items = pl.DataFrame({"eval": ["quiz"], "item": ["0"], "kind": ["long"], "within": [0], "why": [""]})
    failing = LeakTest("decontaminate", 0.85, items, ways, Way("generic", 0, 0, ()))
    monkeypatch.setattr("curate.preview.check.leak_test", lambda *_: failing)
    output = run("check", "mix.py", code=1).stdout
    assert "verbatim                     99.7%  of 300 items  missed: quiz/[U+001B][31m\n" in output
    assert "one word changed, of fewer   40.0%  of 5 items\n" in output
    assert "fuzzy search from 0.85\n" in output
    monkeypatch.setattr("curate.preview.check.leak_test", lambda *_: failing._replace(ways=ways[1:]))
    run("check", "mix.py")


def test_check_says_where_nothing_could_be_planted(quiz: Path) -> None:
    (quiz / "mix.py").write_text(MIXTURE.replace('name="quiz")', 'name="quiz"), on={"tool"}'), "utf-8")
    assert "not tested: no row that was read has a turn that this step searches" in run("check", "mix.py").stdout
