"""What steps see of calls, reasoning and tools: comparisons tell them apart, judgements read the answer alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import curate as c
from curate.engine.pipeline import Stage, run
from curate.rows.frame import row_frame
from curate.rows.parts import conform
from curate.rows.schema import BODIES, FULL, Kind
from curate.rows.segments import segments
from curate.rows.take import take
from curate.steps.base import Filter
from curate.steps.pairs.contradictions import contradictions
from curate.steps.pairs.lint_pairs import lint_pairs
from tests.support.eval_search import given, searched

REFUSAL = "I'm sorry, but I can't assist with that."
LOOP = "the same words again and again " * 60


def asked(content: str = "Is it safe to swim there?") -> dict[str, Any]:
    return {"role": "user", "content": content}


def call(name: str = "tide", arguments: str = '{"port": "Oslo"}', reasoning: str | None = None) -> dict[str, Any]:
    calls = [{"id": None, "name": name, "arguments": arguments}]
    return {"role": "assistant", "content": None, "reasoning": reasoning, "tool_calls": calls}


def said(content: str = "Yes, at noon.", reasoning: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "reasoning": reasoning}


def result(content: str = "12:00") -> dict[str, Any]:
    return {"role": "tool", "content": content}


def body(*rows: dict[str, Any], kind: Kind = "conversation") -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], FULL[kind])
    return take(batch, np.arange(len(rows), dtype=np.int32))


def chat(*messages: dict[str, Any], tools: str | None = None) -> dict[str, Any]:
    return {"messages": [asked(), *messages], "tools": tools}


BASE = chat(call(), result(), said(reasoning="Hm."), tools='["tide"]')
OTHERS = {
    "name": chat(call("weather"), result(), said(reasoning="Hm."), tools='["tide"]'),
    "arguments": chat(call(arguments='{"port": "Rome"}'), result(), said(reasoning="Hm."), tools='["tide"]'),
    "no call": chat(said(""), result(), said(reasoning="Hm."), tools='["tide"]'),
    "reasoning": chat(call(), result(), said(reasoning="Why not?"), tools='["tide"]'),
    "no reasoning": chat(call(), result(), said(), tools='["tide"]'),
    "tools": chat(call(), result(), said(reasoning="Hm."), tools='["tide", "weather"]'),
}


@pytest.mark.parametrize("what", OTHERS)
def test_rows_that_differ_in_a_part_are_no_exact_duplicates(what: str) -> None:
    step = c.exact_dedup(allow_large_drop=True)
    keys = step.sign(segments(body(BASE, BASE, OTHERS[what]), step.reads, step.reads_parts)).columns
    same, other = (keys["high"][0] == keys["high"][k] and keys["low"][0] == keys["low"][k] for k in (1, 2))
    assert same
    assert not other


@pytest.mark.parametrize("what", OTHERS)
def test_near_duplicates_are_compared_in_all_but_their_tools(what: str) -> None:
    step = c.dedup(threshold=0.99, ngram=1)
    batch = body(BASE, BASE, OTHERS[what])
    keys = step.sign(segments(batch, step.reads, step.reads_parts))
    columns = {name: column.tolist() for name, column in keys.columns.items()}
    columns |= {name: lists.to_pylist() for name, lists in keys.lists.items()}
    assert all(column[0] == column[1] for column in columns.values())
    assert all(column[0] == column[2] for column in columns.values()) == (what == "tools")


def pair(chosen: dict[str, Any], rejected: dict[str, Any]) -> dict[str, Any]:
    return {"prompt": [asked()], "chosen": [chosen], "rejected": [rejected]}


DIFFERENT = [
    (call(), call("weather")),
    (call(), call(arguments='{"port": "Rome"}')),
    (call(), said("")),
]


@pytest.mark.parametrize(("chosen", "rejected"), DIFFERENT)
def test_answers_that_differ_in_a_call_are_not_equal(chosen: dict[str, Any], rejected: dict[str, Any]) -> None:
    batch = body(pair(chosen, rejected), pair(chosen, chosen), kind="preference")
    step = lint_pairs(cut=100, languages=False)
    scores = step.score(segments(batch, step.reads, step.reads_parts)).columns
    assert scores["equal_answers"].tolist() == [0, 1]
    assert scores["equal_when_cut"].tolist() == [0, 1]
    vote = contradictions()
    assert vote.sign(segments(batch, vote.reads, vote.reads_parts)).columns["way"].tolist()[1] == 0
    assert vote.sign(segments(batch, vote.reads, vote.reads_parts)).columns["way"].tolist()[0] != 0


def test_reasoning_alone_makes_no_other_answer() -> None:
    """It is the way to an answer: `lint_pairs` and `contradictions` judge what is answered."""
    batch = body(pair(said(reasoning="Hm."), said(reasoning="Why not?")), kind="preference")
    step, vote = lint_pairs(languages=False), contradictions()
    assert step.score(segments(batch, step.reads, step.reads_parts)).columns["equal_answers"].tolist() == [1]
    assert vote.sign(segments(batch, vote.reads, vote.reads_parts)).columns["way"].tolist() == [0]


def test_a_side_with_a_call_is_not_empty() -> None:
    rows = [pair(call(), said("")), pair(call(), said()), pair(said(" "), said(""))]
    step = lint_pairs(languages=False)
    scores = step.score(segments(body(*rows, kind="preference"), step.reads, step.reads_parts)).columns
    assert scores["empty_side"].tolist() == [1, 0, 2]


def scores_of(step: Filter, row: dict[str, Any], kind: Kind) -> str:
    found = run((Stage(step.name, 0, step),), body(row, kind=kind), protect=False)
    return str([*((name, column.tolist()) for name, column in found.scores.items()), found.dropped_by.tolist()])


JUDGES: dict[str, Filter] = {
    "refusals": c.refusals(),
    "language": c.language("en", on="response"),
    "repetition": c.repetition(),
    "words": c.where(pl.col("response").str.len_chars() < 1000),
}


@pytest.mark.parametrize("name", JUDGES)
def test_the_answer_is_judged_and_not_the_trace(name: str) -> None:
    """A trace full of faults changes no score: in a conversation, and in both answers of a pair."""
    trace = f"{REFUSAL} {LOOP} Das ist ein ganz anderer Satz auf Deutsch. " * 3
    arguments = f'{{"text": "{LOOP}"}}'
    bad, good = call(arguments=arguments, reasoning=trace), call()
    rows = [chat(bad, result(), said(reasoning=trace), tools=f'["{LOOP}"]'), chat(good, result(), said())]
    assert scores_of(JUDGES[name], rows[0], "conversation") == scores_of(JUDGES[name], rows[1], "conversation")
    pairs = [pair(said(reasoning=trace), said("No.", reasoning="Hm.")), pair(said(), said("No."))]
    assert scores_of(JUDGES[name], pairs[0], "preference") == scores_of(JUDGES[name], pairs[1], "preference")


def test_the_length_of_answers_is_that_of_their_content() -> None:
    pairs = [pair(said(reasoning=LOOP), said("No, never.")), pair(said(), said("No, never."))]
    step = c.balance_length()
    one, other = (
        step.sign(segments(body(row, kind="preference"), step.reads, step.reads_parts)).columns for row in pairs
    )
    assert {name: column.tolist() for name, column in one.items()} == {
        name: column.tolist() for name, column in other.items()
    }


def test_marked_thoughts_read_as_reasoning_are_not_judged(tmp_path: Path) -> None:
    text = f"<think>\n{REFUSAL} {LOOP}\n</think>\n\nYes, at noon."
    frame = pl.DataFrame({"messages": [[asked(), {"role": "assistant", "content": one}] for one in (text, "Yes.")]})
    steps = [c.refusals(allow_large_drop=True), c.repetition(allow_large_drop=True)]
    kept = []
    for name, source in (("split", c.frame(frame, c.messages(), reasoning="split")), ("text", c.frame(frame))):
        build = c.Mixture("m", [c.Source("s", source)], steps).build(tmp_path / name, quiet=True)
        kept.append(build.kept().collect().height)
    assert kept == [2, 1]


def test_edits_change_contents_alone() -> None:
    lower = "i am sorry. it is so."
    row = chat(call("i", '{"i": "i am"}', reasoning=lower), result(), said(lower, reasoning=lower), tools='["i"]')
    step = c.truecase()
    after = run((Stage(step.name, 0, step),), body(row), protect=False).body.to_pylist()[0]
    before = body(row).to_pylist()[0]
    assert after["messages"][3]["content"] == "I am sorry. It is so."
    after["messages"][3]["content"] = lower
    assert after == before


@pytest.mark.parametrize("refusal", [said(REFUSAL), call() | {"content": REFUSAL}])
def test_a_cut_leaves_no_call_without_its_result(refusal: dict[str, Any]) -> None:
    row = chat(call(), result(), said(), asked(), call(), result(), refusal, result(), said())
    step, form = c.cut_refusals(), c.shape(unknown_tools=True)
    done = run((Stage(step.name, 0, step), Stage(form.name, 1, form)), body(row), protect=False)
    assert len(done.body["messages"][0]) == 4
    assert done.dropped_by.tolist() == [-1]
    only = chat(call(reasoning=REFUSAL), result(REFUSAL), said(reasoning=REFUSAL))
    kept = run((Stage(step.name, 0, step),), body(only), protect=False).body
    assert kept.to_pylist() == body(only).to_pylist(), "a trace or a result that refuses cuts nothing"


QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
PLACES = {
    "dialogue": [said(QUESTION)],
    "dialogue.reasoning": [said(reasoning=QUESTION)],
    "dialogue.call1.arguments": [call(arguments=json.dumps({"q": QUESTION})), result()],
    "dialogue.tools": [said()],
}


@pytest.mark.parametrize("place", PLACES)
def test_items_are_found_in_the_parts_that_are_asked_for(place: str) -> None:
    rows = body(chat(*PLACES[place], tools=json.dumps([QUESTION]) if place == "dialogue.tools" else None))
    quiz = given(QUESTION)

    def found(**settings: Any) -> list[tuple[str, str]]:  # noqa: ANN401
        step = c.decontaminate(quiz, **settings)
        hits = searched(step, [rows]).hits
        return hits.select("reason", "side").rows()

    part = "call" if "call" in place else place.partition(".")[2] or "content"
    assert found(on="all", parts="all") == found(on="all", parts=part) == [("overlap", place)]
    assert found(parts="all") == ([] if part == "content" else [("overlap", place)])
    assert found() == found(on={"user"}, parts="all") == []
    assert found(on="all") == ([("overlap", place)] if part == "content" else [])


def test_expressions_and_functions_see_calls_reasoning_and_tools() -> None:
    batch = body(BASE, chat(said()), chat(call(), result(), call("weather"), result(), said()))
    columns = row_frame(segments(batch))
    assert columns["calls"].to_list() == [1, 0, 2]
    assert columns["reasoning"].to_list() == ["Hm.", "", ""]
    assert columns["tools"].to_list() == ['["tide"]', None, None]
    assert columns["response"].to_list() == ["Yes, at noon."] * 3
    plain = batch.slice(1, 1).select(["messages", "meta"])
    plain = conform(plain, BODIES["conversation"])
    assert row_frame(segments(plain), ("calls", "reasoning", "tools")).rows() == [(0, "", None)]
    step = c.where(pl.col("calls") < 2, reason="many_calls")
    done = run((Stage(step.name, 0, step),), batch, protect=False)
    assert done.dropped_by.tolist() == [-1, -1, 0]


@pytest.mark.parametrize(
    ("parts", "changed"),
    [
        ("content", {"YES."}),
        ("reasoning", {"HM."}),
        ({"call"}, {"TIDE", "{}"}),
        ("all", {"YES.", "HM.", "TIDE", "{}"}),
    ],
)
def test_change_edits_the_parts_that_are_asked_for(parts: Any, changed: set[str]) -> None:  # noqa: ANN401
    step = c.change(lambda texts: texts.str.to_uppercase(), parts=parts)
    batch = body(chat(call(arguments="{}"), result("ok"), said("Yes.", reasoning="Hm."), tools='["t"]'))
    after = run((Stage(step.name, 0, step),), batch, protect=False).body.to_pylist()[0]
    turns = after["messages"]
    texts = {turns[3]["content"], turns[3]["reasoning"], *turns[1]["tool_calls"][0].values()} - {None}
    assert {text for text in texts if text.isupper() or text == "{}"} == changed | {"{}"}
    assert (turns[0]["content"], turns[2]["content"], after["tools"]) == ("Is it safe to swim there?", "ok", '["t"]')
