"""The self-test of a search: it finds everything where the search is whole, and says so where it is broken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.evalsets.evals import evals
from curate.evalsets.items import EvalSet
from curate.io.inputs import files
from curate.kernels.buffers import view
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.preview.leak_test import (
    AROUND,
    CARRIED,
    CARRIERS,
    CASED,
    CHANGED,
    CHANGED_SHORT,
    ITEMS,
    MANY,
    NAMED,
    THIRD,
    VERBATIM,
    WAYS,
    WITHIN,
    LeakTest,
    Planted,
    leak_test,
    plant,
)
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import On, Scope, segments, select
from curate.steps.base import KeyLists, Resolved
from curate.steps.decontaminate._arguments import Mode
from curate.steps.decontaminate.decontaminate import Decontaminate, decontaminate
from curate.text.ngrams import hash_words
from curate.text.normal import normalise
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


LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"


def message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def body(kind: Kind, count: int = 3, text: str = "Own {}.") -> pa.RecordBatch:
    """Return rows of three turns: system, user, assistant."""
    rows: list[dict[str, Any]] = []
    for n in range(count):
        asked = [message("system", f"Be {n}."), message("user", text.format(n))]
        said = [message("assistant", f"Said {n}.")]
        scored = [{"content": f"Said {n}.", "model": "m", "scores": []}]
        each: dict[Kind, dict[str, Any]] = {
            "conversation": {"messages": asked + said, "meta": "{}"},
            "rated": {"messages": asked, "completions": scored, "meta": "{}"},
            "preference": {"prompt": asked, "chosen": said, "rejected": said, "meta": "{}"},
        }
        rows.append(each[kind])
    return pa.RecordBatch.from_pylist(rows, BODIES[kind])


def planted(bodies: list[pa.RecordBatch], on: On, *texts: str) -> Planted:
    found = plant(bodies, on, pa.array(texts, pa.string()), np.arange(3, 3 + len(texts), dtype=np.uint64))
    assert found is not None
    return found


def rows_of(found: Planted, way: str) -> dict[int, dict[str, Any]]:
    """Return the rows of one way, by the number of the text."""
    rows = found.body.to_pylist()
    return {int(found.text[i]): rows[i] for i in np.flatnonzero(found.way == WAYS.index(way))}


USERS: On = frozenset({"user"})


def test_each_way_says_the_text_as_it_should() -> None:
    found = planted([body("conversation")], USERS, LONG, "Who built it?")
    turns = {way: [row["messages"] for row in rows_of(found, way).values()] for way in WAYS}
    own = [message("system", "Be 0."), message("assistant", "Said 0.")]
    assert turns[VERBATIM][0] == [own[0], message("user", LONG), own[1]]
    assert turns[CASED][0] == [own[0], message("user", LONG.upper()), own[1]]
    assert turns[WITHIN][0] == [own[0], message("user", f"Own 0. {LONG} Own 0."), own[1]]
    assert turns[THIRD][1] == [message("system", "Be 1."), message("user", "Own 1."), message("user", "Who built it?")]
    assert turns[CHANGED][0][1]["content"].split() == LONG.replace("four", "otherwise").split()
    assert turns[CHANGED_SHORT][0][1]["content"].split() == ["Who", "otherwise", "it?"]
    assert len(turns[CHANGED]) == len(turns[CHANGED_SHORT]) == 1


@pytest.mark.parametrize("kind", ["conversation", "rated", "preference"])
@pytest.mark.parametrize("on", [USERS, frozenset({"assistant"}), *get_args(Scope)])
def test_a_step_reads_what_is_planted_for_it(kind: Kind, on: On) -> None:
    rows = body(kind)
    reads = bool(select(segments(rows), on).parts)
    texts = pa.array([LONG, "Who built it?"])
    found = plant([rows], on, texts, np.zeros(2, np.uint64))
    assert (found is not None) == reads
    if found is None:
        return
    assert found.body.schema.equals(BODIES[kind])
    found.body.validate(full=True)
    seen = dict.fromkeys(range(found.body.num_rows), "")
    for part in select(segments(found.body), on).parts:
        read = pl.Series(
            pa.StringArray.from_buffers(len(part.text), pa.py_buffer(part.text.offsets), pa.py_buffer(part.text.data))
        )
        for row, text in zip(part.row.tolist(), read.gather(part.index), strict=True):
            seen[row] += f"\n{text}"
    for i, said in seen.items():
        way = WAYS[found.way[i]]
        text = texts[int(found.text[i])].as_py()
        if way == CASED:
            assert text.upper() in said
        elif way in {VERBATIM, WITHIN, THIRD}:
            assert text in said
        else:
            assert "otherwise" in said


def test_turn_three_is_planted_only_where_it_is_read() -> None:
    ways = {
        on: {WAYS[way] for way in planted([body("conversation")], on, LONG).way} for on in ("first_user", "response")
    }
    assert THIRD not in ways["first_user"]
    assert THIRD in ways["response"]
    assert THIRD in {WAYS[way] for way in planted([body("preference")], "prompt", LONG).way}


def test_rows_of_one_turn_are_filled_up_to_turn_three() -> None:
    rows = pa.RecordBatch.from_pylist([{"messages": [message("user", "Own.")], "meta": "{}"}], BODIES["conversation"])
    assert rows_of(planted([rows], USERS, LONG), THIRD)[0]["messages"] == [
        message("user", "Own."),
        message("assistant", "Hello."),
        message("user", LONG),
    ]


def test_rows_without_a_turn_to_plant_in_carry_nothing() -> None:
    system = pa.RecordBatch.from_pylist(
        [{"messages": [message("system", "Hm.")], "meta": "{}"}], BODIES["conversation"]
    )
    empty = body("conversation", 0)
    texts, seed = pa.array([LONG]), np.zeros(1, np.uint64)
    assert plant([system, empty], USERS, texts, seed) is None
    assert plant([], USERS, texts, seed) is None
    found = plant([empty, system, body("conversation")], USERS, texts, seed)
    assert found is not None


def test_large_rows_carry_only_where_there_are_no_others() -> None:
    big = body("conversation", 2, "Big {}. " + "x" * CARRIED)
    mixed = pa.concat_batches([big, body("conversation", 200)])
    found = planted([mixed], USERS, *([LONG] * 300))
    assert not any("Big" in str(row) for row in rows_of(found, WITHIN).values())
    owns = {row["messages"][1]["content"].split(" one ")[0] for row in rows_of(found, WITHIN).values()}
    assert owns == {f"Own {n}." for n in range(CARRIERS)}
    alone = rows_of(planted([big], USERS, LONG), WITHIN)[0]["messages"][1]["content"]
    assert len(alone) == len(LONG) + 2 * AROUND + 2


LETTERS = st.sampled_from([*"ab zß?½ı\n", "İ", "你", "é", "e\u0301", "한", "\u200d", "’"])


@given(st.lists(st.lists(LETTERS, max_size=40).map("".join), min_size=1, max_size=5))
def test_whatever_the_text_it_is_there_in_normal_form(texts: list[str]) -> None:
    found = planted([body("conversation")], USERS, *texts)
    every = np.arange(len(texts), dtype=np.int32)
    words = np.diff(hash_words(view(pa.array(texts, pa.string())), every).offsets)
    normal = normalise(pa.array(texts, pa.string())).to_pylist()
    for way in (VERBATIM, CASED):
        said = [row["messages"][1]["content"] for row in rows_of(found, way).values()]
        assert normalise(pa.array(said, pa.string())).to_pylist() == normal
    for way, wanted in ((CHANGED, words >= MANY), (CHANGED_SHORT, (words > 1) & (words < MANY))):
        assert sorted(rows_of(found, way)) == np.flatnonzero(wanted).tolist()


def test_one_word_changes_and_no_other() -> None:
    texts = [LONG, "你好世界", "don't you know it's 3.5?", "otherwise OTHERWISE"]
    found = planted([body("conversation")], USERS, *texts)
    rows = {**rows_of(found, CHANGED), **rows_of(found, CHANGED_SHORT)}
    for number, text in enumerate(texts):
        both = pa.array([text, rows[number]["messages"][1]["content"]])
        words = hash_words(view(both), np.arange(2, dtype=np.int32))
        before, after = (words.hashes[words.offsets[i] : words.offsets[i + 1]] for i in range(2))
        assert len(before) == len(after)
        assert (before != after).sum() == 1
