"""Calls, results and tools within marks become parts, nothing of the text is lost, and it is written back the same.

The rows follow the card of NousResearch/hermes-function-calling-v1 (Python literals, JSON, both in one text) and the
splits of HuggingFaceTB/smoltalk2 with tools.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.io.formats.marked_calls import calls_in, calls_marked, forms, split_calls, tools_in, written
from curate.io.inputs import files
from curate.io.tables import frame
from curate.rows.schema import BODIES, FULL, Kind
from curate.rows.validate import Call
from curate.steps.filters.secrets_and_pii import secrets_and_pii
from tests.support.build_data import built, source, write_lines

FLIGHTS = {"type": "function", "function": {"name": "search_flights", "parameters": {"type": "object"}}}
SYSTEM = (
    "You are a function calling AI model. You are provided with function signatures within <tools> </tools> XML tags.\n"
    "<tools>\n{}\n</tools>\nFor each function call return a json object within <tool_call> </tool_call> tags:\n"
    "<tool_call>\n{{'arguments': <args-dict>, 'name': <function-name>}}\n</tool_call>\n"
)
ARGUMENTS = {"from": "Los Angeles", "to": 'Auckland\'s "port" \\d', "flexible": True, "stops": None, "price": 1.5}
PYTHON = f"<tool_call>\n{{'arguments': {ARGUMENTS!r}, 'name': 'search_flights'}}\n</tool_call>\n"
JSON = '<tool_call>\n{"name": "search_flights", "arguments": {"from":  "Oslo", "n": 1.50}}\n</tool_call>'
MIXED = '<tool_call>{"name": "search_flights", "arguments": {\'from\': \'Oslo\'}}</tool_call>'
RESULT = '<tool_response>\n{"name": "search_flights", "content": {\'stops\': None}}\n</tool_response>\n'
TEXTS = [
    PYTHON,
    JSON,
    MIXED,
    PYTHON + PYTHON,
    f"Let me see.\n{JSON}\n{MIXED}\n\n",
    f"  {JSON}",
    f"<think>\nHm.\n</think>\n\n{JSON}",
    f"<scratch_pad>\nGoal: fly.\n</scratch_pad>\n{PYTHON}",
]
LEFT = [
    "<tool_call>\n{'name': 'f', 'arguments': {'a': 1}\n</tool_call>",
    "<tool_call>\n{'name': 'f', 'arguments': {'a': (1, 2)}}\n</tool_call>",
    '<tool_call>{"name": "f", "arguments": {}, "id": 7}</tool_call>',
    '<tool_call>{"name": "f", "arguments": "{}"}</tool_call>',
    '<tool_call>{"name": "", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "f", "name": "f", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "f"}</tool_call>',
    "<tool_call></tool_call>",
    "<tool_call>",
    f"{JSON} That is it.",
    f"{JSON} and {JSON}",
    f"{JSON}<tool_call>no</tool_call>",
    "<code>\nanswer = web_search('tide')\n</code>",
    "Use `<tool_call>` tags.",
]
RESPONSES = [RESULT, RESULT * 3, "<tool_response>a</tool_response>", "\n<tool_response>\n\n</tool_response>"]
NO_RESPONSES = ["a", "<tool_response>a", f"So: {RESULT}", f"{RESULT}So."]


def turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def chat(*turns: dict[str, Any], meta: str = "{}") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"messages": [*turns], "meta": meta}], BODIES["conversation"])


def said(text: str) -> pa.RecordBatch:
    return chat(turn("user", "Fly?"), turn("assistant", text))


@pytest.mark.parametrize("text", TEXTS)
def test_calls_are_read_and_can_be_written_back(text: str) -> None:
    (row,) = split_calls(said(text)).to_pylist()
    message = row["messages"][1]
    assert {call["name"] for call in message["tool_calls"]} == {"search_flights"}
    assert len(message["tool_calls"]) == text.count("<tool_call>")
    assert "<tool_call>" not in (message["content"] or "")
    content, calls, form = calls_in(text)
    assert [call._asdict() for call in calls] == message["tool_calls"]
    assert written(content or "", calls, form) == text
    assert forms(row["meta"]).get(("dialogue", 1), []) == ([] if written(content or "", calls) == text else form)


def test_arguments_are_json_as_it_came_or_of_the_python_literal() -> None:
    assert calls_in(JSON)[1][0].arguments == '{"from":  "Oslo", "n": 1.50}'
    assert json.loads(calls_in(PYTHON)[1][0].arguments) == ARGUMENTS
    assert calls_in(f"Let me see.\n{JSON}")[0] == "Let me see."
    assert calls_in(f"<think>\nHm.\n</think>\n\n{JSON}")[0] == "<think>\nHm.\n</think>\n\n"


def test_a_changed_argument_is_written_in_the_form_of_the_text() -> None:
    content, calls, form = calls_in(PYTHON)
    masked = [calls[0]._replace(arguments='{"to":"<EMAIL>"}')]
    assert content is None
    assert (
        written("", masked, form)
        == "<tool_call>\n{'arguments': {'to': '<EMAIL>'}, 'name': 'search_flights'}\n</tool_call>\n"
    )
    assert "not json" in written("", [calls[0]._replace(arguments="not json")], form)


@pytest.mark.parametrize("text", LEFT)
def test_what_is_no_call_stays_text(text: str) -> None:
    body = said(text)
    assert split_calls(body) is body
    assert calls_marked(body).tolist() == ["<tool_call>" in text]


@pytest.mark.parametrize("text", RESPONSES)
def test_each_result_is_a_turn(text: str) -> None:
    (row,) = split_calls(chat(turn("assistant", JSON), turn("tool", text), turn("assistant", "So."))).to_pylist()
    assert [message["role"] for message in row["messages"]] == ["assistant", *["tool"] * text.count("</"), "assistant"]
    form = forms(row["meta"])[("dialogue", 1)]
    results = [message["content"] for message in row["messages"][1:-1]]
    assert "".join(word for pair in zip(form[::2], [*results, ""], strict=True) for word in pair) == text
    assert all(result == result.strip() and "tool_response" not in result for result in results)


@pytest.mark.parametrize("text", NO_RESPONSES)
def test_other_text_of_a_tool_stays(text: str) -> None:
    body = chat(turn("tool", text))
    assert split_calls(body) is body


def test_only_assistants_call_and_only_tools_answer() -> None:
    body = chat(turn("user", JSON), turn("assistant", RESULT), turn("tool", JSON))
    assert split_calls(body) is body


@pytest.mark.parametrize(
    ("tools", "found"),
    [
        (str([FLIGHTS]), [FLIGHTS]),
        (json.dumps([FLIGHTS, FLIGHTS], indent=1), [FLIGHTS, FLIGHTS]),
        (json.dumps(FLIGHTS, indent=1), [FLIGHTS]),
        (f"{json.dumps(FLIGHTS)}\n{FLIGHTS}", [FLIGHTS, FLIGHTS]),
        ("[]", None),
        ("['f']", None),
        ("[{'name': f}]", None),
        ("You have no access to tools.", None),
    ],
)
def test_tools_of_the_system_turn(tools: str, found: list[Any] | None) -> None:
    text = SYSTEM.format(tools)
    body = chat(turn("system", text), turn("user", "Fly?"), turn("assistant", "So."))
    (row,) = split_calls(body).to_pylist()
    assert row["messages"][0]["content"] == text
    assert json.loads(row.get("tools") or "null") == found


def test_tools_of_the_row_count_before_those_of_its_text() -> None:
    row = {"messages": [turn("system", SYSTEM.format(str([FLIGHTS]))), turn("assistant", "So.")], "tools": '["f"]'}
    body = pa.RecordBatch.from_pylist([row | {"meta": "{}"}], FULL["conversation"])
    assert split_calls(body) is body


@pytest.mark.parametrize(
    "xml_tools", [[SYSTEM.format(str([FLIGHTS]))], [f"{FLIGHTS}\n{json.dumps(FLIGHTS)}"], [str(FLIGHTS), str(FLIGHTS)]]
)
def test_tools_of_the_template_arguments(xml_tools: list[str]) -> None:
    """As SmolTalk2 has them: a text with the list (Hermes, xLAM), or an object per line (smolagents)."""
    kwargs = json.dumps({"enable_thinking": False, "xml_tools": xml_tools, "python_tools": []})
    row = {"messages": [turn("assistant", "So.")], "chat_template_kwargs": kwargs, "meta": "{}"}
    (made,) = split_calls(pa.RecordBatch.from_pylist([row], FULL["conversation"])).to_pylist()
    assert json.loads(made["tools"])[0] == FLIGHTS
    assert made["chat_template_kwargs"] == kwargs
    for other in ("[]", '["f"]', "[1]", "null", '[""]'):
        row["chat_template_kwargs"] = f'{{"xml_tools": {other}}}'
        body = pa.RecordBatch.from_pylist([row], FULL["conversation"])
        assert split_calls(body) is body


SAID = [turn("assistant", MIXED)]
KINDS: dict[Kind, tuple[dict[str, Any], list[tuple[str, str, int]]]] = {
    "preference": (
        {"prompt": [turn("user", "q"), *SAID, turn("tool", RESULT * 2)], "chosen": SAID, "rejected": SAID},
        [("prompt", "prompt", 1), ("prompt", "prompt", 2), ("chosen", "chosen", 0), ("rejected", "rejected", 0)],
    ),
    "unpaired": (
        {"prompt": SAID, "completion": SAID, "label": True},
        [("prompt", "prompt", 0), ("completion", "completion", 0)],
    ),
    "prompt": ({"prompt": SAID, "rewards": [{"name": "a", "value": "1"}]}, [("prompt", "prompt", 0)]),
    "rated": (
        {"messages": SAID, "completions": [{"content": JSON, "model": None, "scores": [{"name": "a", "value": 1.0}]}]},
        [("messages", "prompt", 0)],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: Kind) -> None:
    row, places = KINDS[kind]
    plain = pa.RecordBatch.from_pylist([{"meta": '{"n": 1.50}', **row}] * 2, BODIES[kind])
    made = split_calls(plain).to_pylist()
    assert made[0] == made[1]
    assert made[0]["meta"].startswith('{"n": 1.50,"call_marks":[')
    assert [*forms(made[0]["meta"])] == [(side, at) for _, side, at in places]
    for column, _, at in places:
        message = made[0][column][at]
        assert message["tool_calls"] or message["role"] == "tool"
    for name in row.keys() & {"completions", "rewards", "label"}:
        assert made[0][name] == pa.RecordBatch.from_pylist(plain.to_pylist(), FULL[kind]).to_pylist()[0][name]


MARKS = st.lists(
    st.sampled_from(["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>", "\n"])
    | st.sampled_from([*TEXTS, *LEFT, *RESPONSES, "{'name': 'f', 'arguments': {}}", "[{}]", "{", "'", "é", " "]),
    max_size=6,
).map("".join)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), MARKS), max_size=3), max_size=4
    )
)
def test_no_text_is_lost(made: list[list[tuple[str, str]]]) -> None:
    rows = [{"messages": [turn(*one) for one in each], "meta": "{}"} for each in made]
    after = split_calls(pa.RecordBatch.from_pylist(rows, BODIES["conversation"])).to_pylist()
    assert [[(one["role"], one["content"]) for one in restored(row)] for row in after] == made


def restored(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Turns with their calls and results as text again, in plain Python."""
    known, turns, at = forms(row["meta"]), [], 0
    while at < len(row["messages"]):
        message, form = row["messages"][at], known.get(("dialogue", at), [])
        count = len(form) // 2 if form[1:2] == ["result"] else 1
        text = message["content"]
        if message.get("tool_calls"):
            content = text or ""
            spelt = form or calls_in(written(content, calls_of(message)))[2]
            text = written(content, calls_of(message), spelt)
        elif form:
            results = [one["content"] for one in row["messages"][at : at + count]]
            text = form[0] + "".join(a + b for a, b in zip(results, form[2::2], strict=True))
        turns.append(turn(message["role"], text))
        at += count
    return turns


def calls_of(message: dict[str, Any]) -> tuple[Call, ...]:
    return tuple(Call(**call) for call in message["tool_calls"])


@pytest.mark.parametrize(
    "snippet",
    [
        "<tool_call>",
        "</tool_call>",
        JSON,
        f"{JSON}\n",
        MIXED,
        "<tool_call>{",
        "<tool_call>[</tool_call>",
        " ",
        "<tools>",
        "<tools>[",
        "<tools>{</tools>",
        "<tool_response>",
        RESULT,
    ],
)
@pytest.mark.parametrize("role", ["assistant", "tool", "system"])
def test_hostile_text_takes_time_by_its_length(snippet: str, role: str) -> None:
    start = time.perf_counter()
    for text in (snippet * (1_000_000 // len(snippet)), "<tools><tool_call><tool_response>" + snippet * 20_000):
        split_calls(chat(turn(role, text)))
    assert time.perf_counter() - start < 20


ROWS: list[dict[str, Any]] = [
    {
        "id": f"r{i}",
        "conversations": [
            {"from": "system", "value": SYSTEM.format(str([FLIGHTS]))},
            {"from": "human", "value": f"Fly {i}?"},
            {"from": "gpt", "value": text},
            {"from": "tool", "value": RESULT * (1 + i % 2)},
            {"from": "gpt", "value": f"Here {i}."},
        ],
        "category": "flights",
    }
    for i, text in enumerate([*TEXTS, LEFT[0]])
]


def test_a_build_writes_the_text_back_as_it_was(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", ROWS)
    build = built(tmp_path / "b", source("s", files(path, calls="split", reasoning="split")))
    kept = {row["id"]: row for row in build.kept().collect().to_dicts()}
    assert len(kept) == len(ROWS)
    assert [json.loads(row["tools"]) for row in kept.values()] == [[FLIGHTS]] * len(ROWS)
    assert kept["r6"]["messages"][2]["reasoning"] == "Hm."
    assert [len(kept[f"r{i}"]["messages"]) for i in range(len(ROWS))] == [5 + i % 2 for i in range(len(ROWS))]
    made = build.export("jsonl", tmp_path / "out", flatten=["calls", "reasoning"], without=["tools"])
    lines = [json.loads(line) for line in (made.path / "train.jsonl").read_text().splitlines()]
    roles = {"system": "system", "human": "user", "gpt": "assistant", "tool": "tool"}
    for row in ROWS:
        (line,) = [line for line in lines if line["id"] == row["id"]]
        assert line["messages"] == [turn(roles[one["from"]], one["value"]) for one in row["conversations"]]
        assert line.keys() == {"source", "id", "messages", "category"}


def test_what_is_masked_in_a_call_is_masked_in_its_text(tmp_path: Path) -> None:
    mail, text = "ann.lee@mail.org", PYTHON * 2
    row = {"messages": [turn("user", "Write."), turn("assistant", text.replace("Los Angeles", mail))]}
    path = write_lines(tmp_path / "rows.jsonl", [row])
    build = built(tmp_path / "b", source("s", files(path, calls="split")), steps=[secrets_and_pii("mask")])
    made = build.export("jsonl", tmp_path / "out", flatten=["calls"])
    (line,) = (made.path / "train.jsonl").read_text().splitlines()
    assert mail not in line + str(build.kept().collect().to_dicts())
    assert json.loads(line)["messages"][1]["content"] == text.replace("Los Angeles", "[EMAIL]")


def test_what_is_exported_as_parts_reads_back_the_same(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", ROWS)
    build = built(tmp_path / "b", source("s", files(path, calls="split")))
    made = build.export("jsonl", tmp_path / "out")
    again = built(tmp_path / "c", source("s", files(made.path / "train.jsonl", "messages")))
    rows = [one.kept().sort("id").drop("meta").collect().to_dicts() for one in (build, again)]
    assert rows[0] == rows[1]


def test_inputs_split_where_they_are_asked_to(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", ROWS[:1])
    rows = pl.DataFrame(ROWS[:1])
    for one, calls in ((files(path, calls="split"), 1), (frame(rows, calls="split"), 1), (files(path), 0)):
        opened = one.open()
        (block,) = opened.blocks()
        message = opened.parse(block).body.to_pylist()[0]["messages"][2]
        assert len(message.get("tool_calls", [])) == calls
    with pytest.raises(MixtureError, match=r"calls='splt': did you mean 'split'"):
        files(path, calls="splt")  # type: ignore[arg-type]


def test_tools_are_those_of_the_last_marks_before_an_end() -> None:
    assert tools_in("<tools><tools>[{}]</tools>") == "[{}]"
