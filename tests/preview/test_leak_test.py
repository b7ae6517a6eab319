"""The self-test of a search: it finds everything where the search is whole, and says so where it is broken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from curate.evalsets.evals import evals
from curate.evalsets.items import EvalSet
from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.preview.leak_test import ITEMS, NAMED, LeakTest, leak_test
from curate.preview.planting import CASED, CHANGED, CHANGED_SHORT, MANY, THIRD, VERBATIM, WITHIN
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import KeyLists, Resolved
from curate.steps.decontaminate.decontaminate import Decontaminate, Mode, decontaminate
from tests.support.build_data import chats, source, turns, write_lines
from tests.support.real_evals import real_evals

WORDS = ["harbour", "ferry", "lantern", "bridge", "kettle", "barley", "copper", "willow", "marble", "saddle", "violin"]


def quiz(folder: Path, name: str = "quiz", count: int = 40) -> EvalSet:
    """Return an eval of items of 5 to 18 words, all rare, with a generic one and one without words."""
    rows = [
        {
            "id": f"q{n}",
            "question": " ".join(["Which", "is", *(f"{WORDS[(n + k) % 11]}{n}" for k in range(3 + n % 14))]),
        }
        for n in range(count)
    ]
    rows += [{"id": "who", "question": "Who is?"}, {"id": "none", "question": "?!"}]
    return evals.files(write_lines(folder / f"{name}.jsonl", rows), question="question", id="id", name=name)[0]


def bodies(count: int = 50) -> list[pa.RecordBatch]:
    rows = [{"messages": turns(f"Ask {n} of me?", f"Answer {n}.", "More?", "No."), "meta": "{}"} for n in range(count)]
    return [pa.RecordBatch.from_pylist(rows, BODIES["conversation"])]


def trial(step: Decontaminate, rows: list[pa.RecordBatch]) -> LeakTest:
    return leak_test(step, "label", rows, step.sign(segments(rows[0], step.reads)).totals)


def test_a_whole_search_finds_every_item_that_is_not_changed(tmp_path: Path) -> None:
    found = trial(decontaminate(quiz(tmp_path)), bodies())
    ways = {way.name: way for way in found.ways}
    assert [ways[name].found for name in (VERBATIM, CASED, WITHIN, THIRD)] == [40] * 4
    assert not found.failed
    long = sum(2 + 3 + n % 14 >= MANY for n in range(40))
    assert (ways[CHANGED].planted, ways[CHANGED_SHORT].planted) == (long, 40 - long)
    assert ways[CHANGED_SHORT].missed
    assert not ways[CHANGED_SHORT].failed, "a changed word may be missed"
    assert (found.generic.planted, found.generic.found) == (1, 1)
    assert found.items.filter(kind="unmatchable")["item"].to_list() == ["none"]


def test_a_fuzzy_search_finds_changed_words(tmp_path: Path) -> None:
    found = trial(decontaminate(quiz(tmp_path), fuzzy=0.8), bodies())
    ways = {way.name: way for way in found.ways}
    assert found.fuzzy == 0.8
    assert ways[CHANGED].found >= 0.95 * ways[CHANGED].planted


class Forgetful(Decontaminate):
    """Loses the hits on some items."""

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:
        answer = super().resolve(keys, lists, totals)
        hits = answer.tables["hits"].filter(~pl.col("item").str.starts_with("q1"))
        return answer._replace(tables={**answer.tables, "hits": hits})


def test_a_search_that_misses_items_fails_and_names_them(tmp_path: Path) -> None:
    found = trial(Forgetful(evals=(quiz(tmp_path),)), bodies())
    assert found.failed
    assert [way.failed for way in found.ways] == [True] * 4 + [False] * 2
    way = found.ways[0]
    assert (way.planted, way.found, len(way.missed)) == (40, 29, NAMED)
    assert way.missed[:2] == ("quiz/q1", "quiz/q10")


def test_generic_items_follow_from_the_data_and_not_from_what_is_planted(tmp_path: Path) -> None:
    found = trial(decontaminate(quiz(tmp_path, count=200)), bodies(3))
    assert found.items.filter(kind="generic")["item"].to_list() == ["who"]


def test_items_are_chosen_from_each_eval_and_always_the_same(tmp_path: Path) -> None:
    step = decontaminate([quiz(tmp_path, f"quiz{n}", 300) for n in range(3)])
    first, second = trial(step, bodies()), trial(step, bodies())
    assert first.ways == second.ways
    assert ITEMS - 6 <= first.ways[0].planted <= ITEMS
    assert first.items.height == 3 * 302


@pytest.mark.parametrize("mode", ["drop", "flag"])
def test_flagging_finds_what_dropping_finds(tmp_path: Path, mode: Mode) -> None:
    step = replace(decontaminate(quiz(tmp_path)), mode=mode)
    assert not trial(step, bodies()).failed


def test_rows_that_can_carry_nothing_leave_no_ways(tmp_path: Path) -> None:
    found = trial(decontaminate(quiz(tmp_path), on="rejected"), bodies())
    assert (found.ways, found.failed) == ((), False)


def test_check_tests_every_search_of_a_mixture(tmp_path: Path) -> None:
    one, two = quiz(tmp_path, "one"), quiz(tmp_path, "two")
    mixture = Mixture(
        "m",
        (
            source("a", chats(30), steps=(decontaminate(one),)),
            Source("b", files(write_lines(tmp_path / "b.jsonl", chats(9, 50)), "messages")),
        ),
        (decontaminate(two, fuzzy=0.85),),
    )
    found = check(mixture, 20)
    assert [(test.label, test.fuzzy, test.failed) for test in found.tests] == [
        ("a:decontaminate", None, False),
        ("decontaminate", 0.85, False),
    ]
    assert check(replace(mixture, sources=mixture.sources[1:], steps=())).tests == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.jsonl", "one.jsonl", "two.jsonl"], (
        "nothing is written"
    )


def test_a_source_without_rows_is_no_trouble(tmp_path: Path) -> None:
    empty = Source("b", files(write_lines(tmp_path / "b.jsonl", []), "messages"))
    (test,) = check(Mixture("m", (empty,), (decontaminate(quiz(tmp_path)),))).tests
    assert test.ways == ()


def test_no_item_of_the_real_evals_slips_through(real_data: Path, tmp_path: Path) -> None:
    lima = json.loads((real_data / "sft" / "lima.json").read_text("utf-8"))
    rows = [{"messages": turns(row["instruction"], row["output"] or "."), "meta": "{}"} for row in lima]
    step = decontaminate(real_evals(real_data, tmp_path))
    found = trial(step, [pa.RecordBatch.from_pylist(rows, BODIES["conversation"])])
    assert {way.name: way.missed for way in found.ways if way.failed} == {}
    assert found.items.height > 40_000
