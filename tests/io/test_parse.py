"""JSON lines: text comes out as it went in, a bad line is found and spoils nothing, the scan agrees with the parser."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.io import parse
from curate.io.formats.dialogues import Messages, ShareGPT, messages, question_answer, sharegpt
from curate.io.jsonl.fast_path import parse_block
from curate.io.parse import MAX_NESTING, parse_lines, parse_objects
from curate.io.row_collector import Parsed

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
turns = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": texts})
more = st.dictionaries(texts.filter(lambda name: name not in {"messages", "id"}), values, max_size=3)
rows = st.builds(
    lambda row, rest: rest | row, st.fixed_dictionaries({"messages": st.lists(turns, min_size=1, max_size=4)}), more
)


@given(st.lists(rows, max_size=5), st.booleans())
def test_text_comes_out_as_it_went_in(many: list[dict[str, Any]], ascii_only: bool) -> None:  # noqa: FBT001
    block = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in many).encode()
    parsed = parse_block(block, 1, messages(), "id")
    assert parsed.bad.num_rows == 0
    assert parsed.body["messages"].to_pylist() == [row["messages"] for row in many]
    carried = [{name: value for name, value in row.items() if name != "messages"} for row in many]
    assert [json.loads(meta) for meta in parsed.body["meta"].to_pylist()] == carried
    assert parsed.line.tolist() == list(range(1, len(many) + 1))


def test_fields_that_are_not_read_keep_their_bytes() -> None:
    line = b'{ "a" : 1.50, "question":"q", "b": {"x" :  "\\u0041\xc3\xa9"},"answer":"a","c":1e2}'
    assert parse_lines([line], [1], question_answer(), None).body["meta"].to_pylist() == [
        '{"a":1.50,"b":{"x" :  "\\u0041é"},"c":1e2}'
    ]


@pytest.mark.parametrize(
    ("id_json", "own", "kept"),
    [
        ('"a"', "a", False),
        ("7", "7", False),
        ("12345678901234567890123", "12345678901234567890123", False),
        ('""', None, True),
        ("1.0", None, True),
        ("true", None, True),
        ("null", None, True),
        ("[1]", None, True),
    ],
)
def test_only_text_and_integers_are_ids(id_json: str, own: str | None, kept: bool) -> None:  # noqa: FBT001
    line = f'{{"id":{id_json},"question":"q","answer":"a"}}'.encode()
    parsed = parse_lines([line], [1], question_answer(), "id")
    assert parsed.ids.to_pylist() == [own]
    assert parsed.body["meta"].to_pylist() == [f'{{"id":{id_json}}}' if kept else "{}"]


GOOD = b'{"messages":[{"role":"user","content":"%d"}]}'
BAD: dict[str, tuple[bytes, str, str]] = {
    "no JSON": (b"hello", "", "valid JSON; invalid character (byte 0)"),
    "cut": (GOOD[:20], "", "valid JSON; it ends early"),
    "two values": (GOOD + b" {}", "", "valid JSON; trailing characters (byte 47)"),
    "no object": (b'["messages"]', "", "object, not array"),
    "a number": (b'{"messages":[{"role":"user","content":1}]}', "messages[0].content", "str | array | null, not int"),
    "nothing": (b"{}", "messages", "a field of this name"),
    "UTF-8": (b'{"messages":[{"role":"user","content":"\xff"}]}', "", "UTF-8; invalid start byte"),
    "UTF-8 in a field that is not read": (GOOD[:-1] + b',"x":"\xff"}', "", "UTF-8; invalid start byte"),
    "half a pair": (b'{"messages":[{"role":"user","content":"\\ud83d."}]}', "", "text without a lone surrogate"),
    "the other half": (b'{"messages":[{"role":"user","content":"\\ude00"}]}', "", "text without a lone surrogate"),
    "half in a field that is not read": (GOOD[:-1] + b',"x":"\\ud800"}', "", "text without a lone surrogate"),
    "NUL": (b'{"messages":[{"role":"user","content":"\\u0000"}]}', "messages[0].content", "text without NUL"),
    "a raw NUL": (b'{"messages":[{"role":"user","content":"\0"}]}', "", "valid JSON; invalid character (byte 39)"),
    "a key twice": (GOOD[:-1] + b',"x":1,"\\u0078":2}', "x", "a key once, not twice"),
    "a role twice": (
        b'{"messages":[{"role":"user","role":"user","content":""}]}',
        "messages[0].role",
        "a key once, not twice",
    ),
    "deep": (
        GOOD[:-1] + b',"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        "",
        f"at most {MAX_NESTING} levels of lists and objects",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_found_and_spoils_no_other(name: str) -> None:
    line, column, expected = BAD[name]
    block = b"\n".join([GOOD % 1, b"", line, b"  ", GOOD % 5, b""])
    parsed = parse_block(block, 10, messages(), "id")
    assert parsed.line.tolist() == [10, 14]
    excerpt = line.decode("utf-8", "backslashreplace").replace("\0", "\\x00")[:200]
    assert parsed.bad.to_pylist() == [{"line": 12, "column": column, "expected": expected, "excerpt": excerpt}]


def test_nesting_is_bounded_by_a_number_and_not_by_the_stack() -> None:
    def line(depth: int) -> bytes:
        return GOOD[:-1] + b',"x":' + b"[" * (depth - 1) + b'"[[[{\\"["' + b"]" * (depth - 1) + b"}"

    assert parse_lines([line(MAX_NESTING)], [1], messages(), None).bad.num_rows == 0
    assert parse_lines([line(MAX_NESTING + 1)], [1], messages(), None).bad.num_rows == 1


def test_a_line_may_be_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "MAX_LINE", len(GOOD))
    bad = parse_lines([GOOD, GOOD + b" "], [1, 2], messages(), None).bad
    assert bad["line"].to_pylist() == [2]


def lines_of(block: bytes) -> tuple[list[bytes], list[int]]:
    split = [(line.strip(), number) for number, line in enumerate(block.split(b"\n"), 1)]
    return [line for line, _ in split if line], [number for line, number in split if line]


def as_python(parsed: Parsed) -> list[Any]:
    return [parsed.body.to_pylist(), parsed.ids.to_pylist(), parsed.line.tolist(), parsed.bad.to_pylist()]


@pytest.mark.parametrize(("value", "own"), [("a", "a"), (7, "7"), (True, None), (1.0, None), ("", None), ([1], None)])
def test_ids_of_python_values_follow_the_same_rule(value: Any, own: str | None) -> None:  # noqa: ANN401
    parsed = parse_objects([{"id": value, "question": "q", "answer": "a"}], [1], question_answer(), "id")
    assert parsed.ids.to_pylist() == [own]
    assert json.loads(parsed.body["meta"][0].as_py()) == ({} if own else {"id": value})


MIXED = [
    {"messages": [{"role": "user", "content": "plain"}], "id": "a"},
    {"messages": [{"role": "narrator", "content": "a role that is none"}]},
    {"messages": [{"role": "user", "content": "more"}, {"role": "bing", "content": "no role of messages"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "part"}]}], "id": 7},
    {"conversations": [{"from": "human", "value": "plain"}, {"from": "gpt", "value": "plain"}]},
    {"conversations": [{"from": "human", "value": "with a system text"}], "system": "S", "x": 1},
    {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "says more"}]},
    {"conversations": [{"from": "x", "value": "a role that is none"}]},
    {"conversations": [{"role": "user", "content": "the other spelling"}], "id": ""},
    {"messages": [{"role": "assistant", "content": "plain again"}], "x": {"y": 1.50}},
]


@pytest.mark.parametrize("form", [messages(), sharegpt()])
def test_rows_that_the_scan_leaves_come_back_in_their_place(form: Messages | ShareGPT) -> None:
    block = b"\n\n".join(json.dumps(row).encode() for row in MIXED)
    parsed = parse_block(block, 1, form, "id")
    assert as_python(parsed) == as_python(parse_lines(*lines_of(block), form, "id"))
    assert (parsed.body.num_rows, parsed.bad.num_rows) == {"messages": (3, 7), "sharegpt": (4, 6)}[form.name]


odd_messages = st.lists(
    turns
    | st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "User", "human", "bing", ""]), "content": texts | st.none()}
    )
    | st.fixed_dictionaries(
        {"from": st.sampled_from(["human", "gpt", "system", "bing", "x"]), "value": texts | st.none()}
    )
    | st.fixed_dictionaries(
        {"role": st.just("user"), "content": st.just([{"type": "text", "text": "a"}]), "x": values}
    ),
    max_size=3,
)
odd_rows = st.builds(
    lambda row, rest: rest | row,
    st.fixed_dictionaries(
        {},
        optional={"messages": odd_messages, "conversations": odd_messages, "id": values, "system": texts | st.none()},
    ),
    more,
)


@given(
    st.lists(
        st.builds(json.dumps, odd_rows, ensure_ascii=st.booleans()).map(str.encode) | st.binary(max_size=9), max_size=6
    )
)
def test_the_scan_says_what_the_parser_says(lines: list[bytes]) -> None:
    block = b"\n".join(lines)
    for form in (messages(), messages("conversations"), sharegpt(), sharegpt("messages")):
        parsed = parse_block(block, 1, form, "id")
        assert as_python(parsed) == as_python(parse_lines(*lines_of(block), form, "id"))
        parsed.body.validate(full=True)
        assert all(column.offset == 0 for column in parsed.body.columns)


def test_an_empty_block_has_no_rows() -> None:
    parsed = parse_block(b"\n \n", 1, messages(), "id")
    assert (parsed.body.num_rows, parsed.bad.num_rows, len(parsed.ids)) == (0, 0, 0)
    assert pa.types.is_string(parsed.ids.type)
