"""Tests of tool calls, reasoning and tools: each spelling goes in, nothing of it is lost, and no call becomes text."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from curate.errors import MixtureError
from curate.io.formats.base import Format
from curate.io.formats.calls import python_calls
from curate.io.formats.dialogues import messages, prompt_completion, sharegpt
from curate.io.formats.preference import preference
from curate.io.jsonl.fast_path import parse_block
from curate.io.parse import parse_lines, parse_objects
from curate.rows.schema import BODIES, FULL
from curate.rows.validate import Fault

ASK = {"role": "user", "content": "When is high tide?"}
SAY = {"role": "assistant", "content": "At 17:40."}
ARGUMENTS = '{"port":  "Brest", "days": 1.50}'
CALL = {"id": "c1", "name": "tide", "arguments": ARGUMENTS}
TOOLS = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}]


def parsed(form: Format, *rows: Any) -> pa.RecordBatch:  # noqa: ANN401
    """Parse rows as JSON lines and as Python values; both give the same, but for the bytes of JSON within them."""
    found = parse_lines([json.dumps(row).encode() for row in rows], range(len(rows)), form, None)
    assert found.bad.to_pylist() == []
    values = parse_objects(rows, range(len(rows)), form, None).body.to_pylist()
    assert plain(values) == plain(found.body.to_pylist())
    return found.body


def plain(value: Any) -> Any:  # noqa: ANN401
    """Decode JSON texts within rows."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def refused(form: Format, row: Any) -> tuple[str, str]:  # noqa: ANN401
    (bad,) = parse_lines([json.dumps(row).encode()], [1], form, None).bad.to_pylist()
    return bad["column"], bad["expected"]


def only(form: Format, row: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:  # noqa: ANN401
    (made,) = parsed(form, row).to_pylist()
    return made["messages"], {**made, "meta": json.loads(made["meta"])}


SPOKEN = f'{{"name": "tide", "arguments": {ARGUMENTS}}}'
OPENAI = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": ARGUMENTS}}
FLAT = {"id": "c1", "name": "tide", "arguments": ARGUMENTS}


@pytest.mark.parametrize(
    "said",
    [
        {"content": None, "tool_calls": [OPENAI]},
        {"tool_calls": [OPENAI]},
        {"content": None, "tool_calls": [FLAT]},
        {"content": None, "tool_calls": json.dumps([OPENAI])},
        {"content": None, "tool_calls": [{"id": "c1", "function": {"name": "tide", "parameters": ARGUMENTS}}]},
    ],
)
@pytest.mark.parametrize("form", [messages(), sharegpt("messages")])
def test_every_spelling_of_a_call_gives_the_same_call(form: Format, said: dict[str, Any]) -> None:
    turns, row = only(form, {"messages": [ASK, {"role": "assistant", **said}, SAY]})
    assert turns[1]["tool_calls"] == [CALL]
    assert (turns[1]["content"], row["meta"]) == (None, {})
    assert [turn["tool_calls"] for turn in (turns[0], turns[2])] == [[], []]


def test_arguments_that_are_an_object_keep_their_bytes() -> None:
    line = (
        b'{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a":  1.50}}}]}]}'
    )
    (made,) = parse_lines([line], [1], messages(), None).body.to_pylist()
    assert made["messages"][0]["tool_calls"] == [{"id": None, "name": "f", "arguments": '{"a":  1.50}'}]


def test_nulls_that_a_table_put_into_arguments_are_left_out() -> None:
    table = pa.Table.from_pylist(
        [{"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": {"b": 1, "c": None}}}]}]}]
    )
    made = parse_objects(table.to_pylist(), [1], messages(), None).body.to_pylist()
    assert made[0]["messages"][0]["tool_calls"][0]["arguments"] == '{"a":{"b":1}}'


def test_content_beside_a_call_stays_as_it_is() -> None:
    for content in ("", "Let me see."):
        turns, _ = only(messages(), {"messages": [ASK, {**SAY, "content": content, "tool_calls": [OPENAI]}]})
        assert (turns[1]["content"], turns[1]["tool_calls"]) == (content, [CALL])


def test_what_a_call_says_beyond_stays_in_meta() -> None:
    odd = {**OPENAI, "index": 0, "function": {**OPENAI["function"], "strict": True}}  # type: ignore[dict-item]
    turns, row = only(messages(), {"messages": [ASK, {"role": "assistant", "tool_calls": [odd]}]})
    assert turns[1]["tool_calls"] == [CALL]
    assert row["meta"] == {"messages": [{}, {"tool_calls": [{"index": 0, "function": {"strict": True}}]}]}


def test_the_call_of_old_is_read() -> None:
    said = {"role": "assistant", "content": None, "function_call": {"name": "tide", "arguments": ARGUMENTS}}
    turns, row = only(messages(), {"messages": [ASK, said]})
    assert (turns[1]["tool_calls"], row["meta"]) == ([{**CALL, "id": None}], {})


def test_results_have_the_id_of_their_call_and_the_name_of_the_tool() -> None:
    result = {"role": "tool", "tool_call_id": "c1", "name": "tide", "content": "17:40"}
    turns, row = only(messages(), {"messages": [{**ASK, "name": "Ann"}, result]})
    assert (turns[1]["tool_call_id"], turns[1]["name"], turns[0]["name"]) == ("c1", "tide", None)
    assert row["meta"] == {"messages": [{"name": "Ann"}, {}]}


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_a_part(name: str) -> None:
    turns, row = only(messages(), {"messages": [ASK, {**SAY, name: "It is spring."}]})
    assert (turns[1]["reasoning"], turns[1]["content"], row["meta"]) == ("It is spring.", "At 17:40.", {})
    turns, row = only(messages(), {"messages": [{**ASK, name: "odd"}, {**SAY, name: ""}, {**SAY, name: "x"}]})
    assert [turn["reasoning"] for turn in turns] == [None, None, "x"]
    assert row["meta"] == {"messages": [{name: "odd"}, {name: ""}, {}]}


def test_two_spellings_of_reasoning_lose_nothing() -> None:
    turns, row = only(messages(), {"messages": [ASK, {**SAY, "reasoning": "b", "reasoning_content": "a"}]})
    assert (turns[1]["reasoning"], row["meta"]) == ("a", {"messages": [{}, {"reasoning": "b"}]})
    turns, row = only(messages(), {"messages": [ASK, {**SAY, "reasoning": "a", "reasoning_content": "a"}]})
    assert (turns[1]["reasoning"], row["meta"]) == ("a", {})


def test_reasoning_in_parts_is_joined_and_the_parts_are_kept() -> None:
    parts = [{"type": "text", "text": "a ", "train": False}, {"type": "text", "text": "b", "train": True}]
    turns, row = only(messages(), {"messages": [ASK, {**SAY, "reasoning_content": parts}]})
    assert (turns[1]["reasoning"], row["meta"]) == ("a b", {"messages": [{}, {"reasoning_content": parts}]})


def test_parts_of_content_may_be_reasoning_and_calls() -> None:
    call = '{"name": "tide", "arguments": {"port": "Brest"}}'
    parts = [{"type": "reasoning", "value": "Hm."}, {"type": "tool_call", "value": call}]
    turns, row = only(messages(), {"messages": [ASK, {"role": "assistant", "content": parts}]})
    assert (turns[1]["content"], turns[1]["reasoning"]) == (None, "Hm.")
    assert turns[1]["tool_calls"] == [{"id": None, "name": "tide", "arguments": '{"port": "Brest"}'}]
    assert row["meta"] == {"messages": [{}, {"content": parts}]}


def test_sharegpt_calls() -> None:
    value = '{"name": "tide", "arguments": {"port":  "Brest"}}'
    turns = [
        {"from": "human", "value": "When?"},
        {"from": "function_call", "value": value},
        {"from": "observation", "value": "17:40"},
        {"from": "gpt", "value": "At 17:40."},
    ]
    said, row = only(sharegpt(), {"conversations": turns, "tools": json.dumps(TOOLS)})
    assert [turn["role"] for turn in said] == ["user", "assistant", "tool", "assistant"]
    assert (said[1]["content"], said[2]["content"]) == (None, "17:40")
    assert said[1]["tool_calls"] == [{"id": None, "name": "tide", "arguments": '{"port":  "Brest"}'}]
    assert row["tools"] == json.dumps(TOOLS)
    several, _ = only(
        sharegpt(), {"conversations": [turns[0], {"from": "function_call", "value": f"[{value}, {value}]"}]}
    )
    assert len(several[1]["tool_calls"]) == 2
    text, row = only(sharegpt(), {"conversations": [turns[0], {"from": "function_call", "value": "Action: tide"}]})
    assert (text[1]["content"], row["meta"]) == ("Action: tide", {"conversations": [{}, {"from": "function_call"}]})


def test_reasoning_before_a_call_in_one_text_is_text_beside_it() -> None:
    said = [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": f"<think>\nHm.\n</think>\n\n{SPOKEN}"}]
    turns, row = only(sharegpt(), {"conversations": said})
    assert turns[1]["content"] == "<think>\nHm.\n</think>\n\n"
    assert turns[1]["tool_calls"] == [CALL | {"id": None}]
    assert row["meta"] == {"conversations": [{}, {"from": "function_call"}]}


def test_python_calls_of_dolci() -> None:
    functions = json.dumps([{"name": "tide"}])
    said = 'tide(port="Brest", days=[1, 2])\nnow.utc()'
    chat = [
        {"role": "system", "content": "Help.", "functions": functions},
        ASK,
        {"role": "assistant", "content": None, "function_calls": said},
        {"role": "environment", "content": "17:40"},
        SAY,
    ]
    turns, row = only(messages(), {"messages": chat})
    assert turns[2]["tool_calls"] == [
        {"id": None, "name": "tide", "arguments": '{"port":"Brest","days":[1,2]}'},
        {"id": None, "name": "now.utc", "arguments": "{}"},
    ]
    assert (row["tools"], turns[3]["role"]) == (functions, "tool")
    assert row["meta"] == {"messages": [{}, {}, {"function_calls": said}, {"role": "environment"}, {}]}


@pytest.mark.parametrize(
    "text",
    [
        "tide('Brest')",
        "tide",
        "tide(port=open('x'))",
        "tide(**x)",
        "x = 1",
        "tide(",
        "import os",
        "(" * 5000,
        "f(a=1, a=2)",
        "f()()",
    ],
)
def test_python_that_is_no_call_of_plain_values_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(Fault, match="calls of functions"):
        python_calls(text, "function_calls")


@pytest.mark.parametrize(
    ("said", "column", "expected"),
    [
        ({"tool_calls": [{"function": {"arguments": "{}"}}]}, "messages[1].tool_calls[0].name", "the name of a tool"),
        ({"tool_calls": ["tide"]}, "messages[1].tool_calls[0]", "a call with"),
        ({"tool_calls": [{"type": "custom", "custom": {}}]}, "messages[1].tool_calls[0].type", "function; calls of"),
        ({"role": "user", "tool_calls": [OPENAI]}, "messages[1]", "calls of an assistant message, not of one by user"),
        ({"content": [{"type": "tool_call", "value": "tide"}]}, "messages[1].content[0]", "a call as JSON"),
        (
            {"content": [{"type": "image", "text": "x"}]},
            "messages[1].content[0]",
            "text, not content of another medium",
        ),
        (
            {"content": [{"type": "hologram", "text": "x"}]},
            "messages[1].content[0]",
            "a part of text, not content that",
        ),
    ],
)
def test_what_is_no_call_is_quarantined(said: dict[str, Any], column: str, expected: str) -> None:
    found, what = refused(messages(), {"messages": [ASK, {"role": "assistant", "content": None, **said}]})
    assert found == column
    assert what.startswith(expected)


@pytest.mark.parametrize("tools", [TOOLS, json.dumps(TOOLS, indent=1), ["python"], [{"name": "f"}]])
def test_tools_are_a_part_of_the_row(tools: Any) -> None:  # noqa: ANN401
    chat = [ASK, SAY]
    spelt = tools if isinstance(tools, str) else json.dumps(tools)
    _, row = only(messages(), {"messages": chat, "tools": tools})
    assert (row["tools"], row["meta"]) == (spelt, {})
    for form, rest in (
        (prompt_completion(), {"prompt": "q", "completion": "a"}),
        (preference(), {"prompt": "q", "chosen": "a", "rejected": "b"}),
    ):
        (made,) = parsed(form, {**rest, "tools": tools}).to_pylist()
        assert (made["tools"], made["meta"]) == (spelt, "{}")


@pytest.mark.parametrize("tools", [[], "[]", "", None, 3, "a hammer", {"a": 1}, [1]])
def test_what_is_no_list_of_tools_stays_in_meta(tools: Any) -> None:  # noqa: ANN401
    body = parse_lines([json.dumps({"messages": [ASK, SAY], "tools": tools}).encode()], [1], messages(), None).body
    assert body.schema.equals(BODIES["conversation"])
    assert json.loads(body["meta"][0].as_py()) == {"tools": tools}


def test_tools_that_are_json_texts_are_tools() -> None:
    chat, texts = {"messages": [ASK, SAY]}, ['{"name": "tide",  "n": 1.50}', '{"name": "moon"}']
    for row in ({**chat, "tools": texts}, {**chat, "tools": json.dumps(texts)}):
        assert parsed(messages(), row)["tools"].to_pylist() == [f"[{','.join(texts)}]"]
    assert json.loads(parsed(messages(), {**chat, "tools": [texts[0], "moon"]})["tools"][0].as_py()) == [
        texts[0],
        "moon",
    ]


def test_calls_of_messages_that_are_json_texts_keep_their_bytes() -> None:
    call = '{"type": "function", "function": {"name": "tide", "arguments": {"n":  1.50}}}'
    said = ['{"role": "user", "content": "Hi"}', f'{{"role": "assistant", "tool_calls": [{call}]}}']
    (turns,) = parse_objects([{"messages": said}], [1], messages(), None).body["messages"].to_pylist()
    assert turns[1]["tool_calls"][0]["arguments"] == '{"n":  1.50}'


def test_template_arguments_are_a_part_of_the_row() -> None:
    _, row = only(messages(), {"messages": [ASK, SAY], "chat_template_kwargs": {"enable_thinking": False}})
    assert (row["chat_template_kwargs"], row["meta"]) == ('{"enable_thinking": false}', {})


def test_an_answer_of_a_pair_may_be_a_call() -> None:
    pair = {"prompt": "When?", "chosen": {"role": "assistant", "tool_calls": [OPENAI]}, "rejected": [SAY]}
    (made,) = parsed(preference(), pair).to_pylist()
    assert made["chosen"][0]["tool_calls"] == [CALL]
    assert made["meta"] == "{}"


def test_rows_with_and_without_parts_come_in_line_order() -> None:
    rows = [{"messages": [ASK, SAY]}, {"messages": [ASK, SAY], "tools": TOOLS}, {"messages": [SAY]}]
    block = "".join(json.dumps(row) + "\n" for row in rows).encode()
    found = parse_block(block, 1, messages(), None)
    assert found.body.schema.equals(FULL["conversation"])
    assert [tools is not None for tools in found.body["tools"].to_pylist()] == [False, True, False]
    assert parse_block(block.splitlines(keepends=True)[0], 1, messages(), None).body.schema.equals(
        BODIES["conversation"]
    )


def test_other_media_are_marked_where_the_user_asks() -> None:
    parts = [
        {"type": "text", "text": "What is "},
        {"type": "image_url", "image_url": {"url": "a.png"}},
        {"type": "text", "text": "?"},
    ]
    for content, text in ((parts, "What is <image>?"), ([{"type": "audio", "path": "a.wav"}], "<audio>")):
        row = {"messages": [{"role": "user", "content": content}, SAY], "images": ["a.png"]}
        turns, made = only(messages(media="keep"), row)
        assert turns[0]["content"] == text
        assert made["meta"] == {"images": ["a.png"], "messages": [{"content": content}, {}]}
        assert refused(messages(), row)[0].startswith("messages[0].content[")
    with pytest.raises(MixtureError, match="media='kep'"):
        messages(media="kep")  # type: ignore[arg-type]


def test_nothing_beside_a_call_in_a_text_or_one_part_of_reasoning_is_lost() -> None:
    value = '{"name": "tide", "arguments": {}, "why": "asked"}'
    said, _ = only(sharegpt(), {"conversations": [{"from": "function_call", "value": value}]})
    assert (said[0]["content"], "tool_calls" in said[0]) == (value, False)
    part = {"text": "Hm.", "train": False}
    turns, row = only(messages(), {"messages": [ASK, {**SAY, "reasoning_content": [part]}]})
    assert (turns[1]["reasoning"], row["meta"]) == ("Hm.", {"messages": [{}, {"reasoning_content": [part]}]})
