"""`shape` knows whether calls name a tool, fit its schema and have their results, and whether reasoning is closed."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.rows.schema import FULL, Kind
from curate.rows.segments import place_names, segments
from curate.rows.take import take
from curate.steps.filters.shape import Shape, shape

DAYS = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
NESTED = {"type": "function", "function": {"name": "weather", "parameters": DAYS}}
FLAT = {"name": "weather", "input_schema": DAYS}
FAULTS = ("unknown_tool", "bad_arguments", "unmatched_call", "open_reasoning")
GOOD = '{"days": 2}'


def user(content: str = "Why?") -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(content: str | None = "So.") -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def called(*ids: str | None, name: str = "weather", arguments: str = GOOD) -> dict[str, Any]:
    calls = [{"id": call_id, "name": name, "arguments": arguments} for call_id in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call_id: str | None = None) -> dict[str, Any]:
    return {"role": "tool", "content": "{}", "tool_call_id": call_id}


def body(*rows: dict[str, Any], kind: Kind = "conversation") -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], FULL[kind])
    return take(batch, np.arange(len(rows), dtype=np.int32))


def faults(*messages: dict[str, Any], tools: Any = None, step: Shape | None = None) -> list[tuple[str, str, int, str]]:  # noqa: ANN401
    """Reason, place, turn and word of each hit of one row; the scores count the same."""
    row = {"messages": messages, "tools": tools if tools is None or isinstance(tools, str) else json.dumps(tools)}
    return found(body(row), step or shape(role_order=False, unanswered=True))


def found(batch: pa.RecordBatch, step: Shape) -> list[tuple[str, str, int, str]]:
    scores = step.score(segments(batch, step.reads, step.reads_parts))
    hits, bounds = scores.evidence, step.bounds()
    assert hits is not None
    for bound in bounds:
        assert (
            scores.columns[bound.score].sum()
            == (np.array([bounds[k].reason for k in hits.reason]) == bound.reason).sum()
        )
    columns = zip(hits.reason, place_names(hits.side).to_pylist(), hits.turn, hits.match.to_pylist(), strict=True)
    return [(bounds[reason].reason, side, int(turn), word) for reason, side, turn, word in columns]


@pytest.mark.parametrize(
    "tools",
    [
        [NESTED],
        [FLAT],
        ["weather"],
        ["time", NESTED],
        [{"type": "web_search"}, FLAT],
        [{"name": "weather", "parameters": None}],
    ],
)
def test_a_call_of_a_tool_on_offer_is_right(tools: list[Any]) -> None:
    assert faults(user(), called("1"), result("1"), said(), tools=tools) == []


@pytest.mark.parametrize("tools", [["time"], [{"name": "time"}], [NESTED | {"function": {"name": "time"}}]])
def test_a_call_of_another_tool_is_unknown(tools: list[Any]) -> None:
    assert faults(user(), called("1"), tools=tools) == [("unknown_tool", "dialogue.call1.name", 1, "weather")]


@pytest.mark.parametrize("tools", [None, "not JSON", "{}", [], [{"type": "web_search"}], [1]])
def test_where_the_tools_are_not_known_none_is_unknown(tools: Any) -> None:  # noqa: ANN401
    assert faults(user(), called("1"), tools=tools) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (GOOD, None),
        ('{"days": "two"}', "weather.days: type"),
        ("{}", "weather: required"),
        ("[]", "weather: type"),
        ('{"days": 2', "weather: not JSON"),
        ("", "weather: not JSON"),
        ("[" * 100_000, "weather: not JSON"),
        (f'{{"days": {"9" * 5000}}}', "weather: not JSON"),
        ('{"days": 2.0, "text": "\\ud800"}', None),
    ],
)
def test_arguments_are_json_and_fit_their_schema(arguments: str, word: str | None) -> None:
    expected = [("bad_arguments", "dialogue.call1.arguments", 1, word)] if word else []
    assert faults(user(), called("1", arguments=arguments), tools=[NESTED]) == expected


def test_without_a_schema_arguments_are_any_json() -> None:
    assert faults(user(), called("1", arguments='"Oslo"')) == []
    assert faults(user(), called("1", arguments="Oslo")) == [
        ("bad_arguments", "dialogue.call1.arguments", 1, "weather: not JSON")
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "dict"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "#/none"},
        {"$schema": "http://example.org/none"},
        {"properties": {"days": {"pattern": "(?=2)"}}},
        {"properties": ["days"]},
    ],
)
def test_a_schema_that_cannot_be_compared_is_not(schema: dict[str, Any]) -> None:
    assert faults(user(), called("1"), tools=[{"name": "weather", "parameters": schema}]) == []


def test_a_schema_of_bad_will_takes_little_time() -> None:
    schema = {"properties": {"days": {"type": "string", "pattern": "^(a+)+$"}, "more": {"items": {"$ref": "#"}}}}
    start = time.perf_counter()
    arguments = json.dumps({"days": "a" * 50_000 + "!"})
    hits = faults(user(), called("1", arguments=arguments), tools=[{"name": "weather", "parameters": schema}])
    assert hits == [("bad_arguments", "dialogue.call1.arguments", 1, "weather.days: pattern")]
    assert time.perf_counter() - start < 5


CALL, SECOND, THIRD, RESULT = (("unmatched_call", f"dialogue{of}") for of in (".call1", ".call2", ".call3", ""))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([user(), called("1", "2"), result("2"), result("1"), said()], []),
        ([user(), called("1"), result("1"), called("1"), result("1")], []),
        ([user(), called("1")], []),
        ([user(), called("1", "2"), result("1")], []),
        ([user(), called("1"), said()], [(*CALL, 1, "weather")]),
        ([user(), called("1", "2"), result("1"), said()], [(*SECOND, 1, "weather")]),
        ([user(), called("1"), result("2"), said()], [(*RESULT, 2, "result"), (*CALL, 1, "weather")]),
        ([user(), called("1"), result("1"), result("1")], [(*RESULT, 3, "result")]),
        ([user(), result("1"), said()], [(*RESULT, 1, "result")]),
        ([user(), called(None, None), result(), result(), said()], []),
        ([user(), called(None, None), result(), said()], []),
        ([user(), called(None, None), result(), result(), result(), said()], [(*RESULT, 4, "result")]),
        ([user(), called(None, None, None), result(), result(), said()], [(*THIRD, 1, "weather")]),
        ([user(), called("1", "2"), result(), said()], [(*SECOND, 1, "weather")]),
        ([user(), called("1", None), result("2"), result("1"), said()], []),
        ([user(), called("1"), user(), result("1"), said()], [(*RESULT, 3, "result"), (*CALL, 1, "weather")]),
    ],
)
def test_each_call_has_its_result(messages: list[dict[str, Any]], expected: list[tuple[str, str, int, str]]) -> None:
    assert faults(*messages) == expected


def test_results_of_plain_chat_are_let_be() -> None:
    assert faults(user(), said("<tool_call>{}</tool_call>"), result(), result(), said()) == []


MARKED = '<tool_call>\n{"name": "weather", "arguments": {"days": 2}}\n</tool_call>\n'


@pytest.mark.parametrize(
    ("text", "is_call"),
    [
        (MARKED, True),
        (f"Let me see. {MARKED}{MARKED}", True),
        (MARKED.replace('"', "'"), True),
        ("<tool_call>{}</tool_call>", False),
        (MARKED[:-20], False),
        (f"{MARKED}So.", False),
        ("So.", True),
    ],
)
def test_what_is_marked_as_a_call_is_one(text: str, is_call: bool) -> None:  # noqa: FBT001
    hits = [] if is_call else [("bad_arguments", "dialogue", 1, "<tool_call>: no call")]
    assert faults(user(), said(text), result(), said(), tools=["weather"]) == hits
    assert faults(user(), said(text), result(), said()) == []


def test_answers_of_pairs_go_on_from_their_prompt() -> None:
    row = {
        "prompt": [user(), called("1")],
        "chosen": [result("1"), said()],
        "rejected": [said()],
        "tools": '["weather"]',
    }
    step = shape(role_order=False)
    assert found(body(row, kind="preference"), step) == [("unmatched_call", "prompt.call1", 1, "weather")]
    row["rejected"] = [result("1"), called("2", name="no"), result("3")]
    assert found(body(row, kind="preference"), shape(role_order=False, unanswered=True)) == [
        ("unmatched_call", "rejected", 2, "result"),
        ("unknown_tool", "rejected.call1.name", 1, "no"),
    ]
    rated = {"messages": [user(), called("1"), result("1")], "completions": [{"content": "So.", "scores": []}]}
    assert found(body(rated, kind="rated"), step) == []


@pytest.mark.parametrize(
    ("content", "is_open"),
    [
        ("<think>Hm.</think>So.", False),
        ("<think>Hm.", True),
        (" \n<think>\nHm.", True),
        ("Hm.\n</think>\nSo.", True),
        ("</think>So.", True),
        ("Models write <think> first.", False),
        ("It ends with `</think>`.", False),
        ("So.", False),
    ],
)
def test_reasoning_is_closed(content: str, is_open: bool) -> None:  # noqa: FBT001
    expected = [("open_reasoning", "dialogue", 1, "assistant")] if is_open else []
    assert faults(user(), said(content)) == expected
    assert faults(user(content), said()) == []


def test_each_check_can_be_left_out_and_is_measured() -> None:
    wrong = [user(), called("1", name="no", arguments="no"), said("<think>")]
    assert [fault[0] for fault in faults(*wrong, tools=["weather"])] == [
        *("open_reasoning", "unknown_tool"),
        *FAULTS[1:3],
    ]
    names = ("unknown_tools", "bad_arguments", "unmatched_calls", "open_reasoning")
    step = shape(unanswered=True, role_order=False, **dict.fromkeys(names, True))  # type: ignore[arg-type]
    assert faults(*wrong, tools=["weather"], step=step) == []
    batch = body({"messages": wrong, "tools": '["weather"]'})
    scores = step.score(segments(batch, step.reads, step.reads_parts))
    assert [scores.columns[name].tolist() for name in names] == [[1], [1], [1], [1]]
