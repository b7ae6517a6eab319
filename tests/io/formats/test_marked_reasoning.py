"""Reasoning in the text of answers becomes a part of messages, and nothing of the text is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.io.formats.marked_reasoning import CLOSE, OPEN, around, split_reasoning
from curate.io.inputs import files
from curate.io.tables import frame
from curate.rows.schema import BODIES, FULL, Kind

SPACE = st.text(" \n\t", max_size=3)
TEXT = st.text("ab<>/think \n", max_size=8)
MARKED = st.builds("".join, st.tuples(SPACE, st.just("<think>"), TEXT, st.sampled_from(("</think>", "")), TEXT))


def rows(kind: Kind, *made: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in made], BODIES[kind])


def split(*texts: str, meta: str = "{}") -> list[dict[str, Any]]:
    chat = [{"role": "assistant", "content": text} for text in texts]
    return split_reasoning(rows("conversation", {"messages": chat, "meta": meta})).to_pylist()


def written_back(row: dict[str, Any], column: str, side: str) -> list[str]:
    odd = around(row["meta"])
    texts = []
    for turn, message in enumerate(row[column]):
        if message.get("reasoning") is None:
            texts.append(message["content"])
        else:
            opened, closed = odd.get((side, turn), (OPEN, CLOSE))
            texts.append(opened + message["reasoning"] + closed + message["content"])
    return texts


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("<think>\nHm.\n</think>\n\nYes.", "Hm.", "Yes."),
        ("<think>\n\n</think>\n\nYes.", "", "Yes."),
        ("<think>Hm.</think>Yes.", "Hm.", "Yes."),
        ("\n<think> Hm.\n\nSo.\n</think>\nYes.\n", "Hm.\n\nSo.", "Yes.\n"),
        ("<think>\na</think> b\n</think>\n\nc", "a", "b\n</think>\n\nc"),
        ("<think>Hm.</think>", "Hm.", ""),
    ],
)
def test_reasoning_is_split_and_can_be_written_back(text: str, reasoning: str, content: str) -> None:
    (row,) = split("Hi.", text)
    message = row["messages"][1]
    assert (message["reasoning"], message["content"]) == (reasoning, content)
    assert written_back(row, "messages", "dialogue") == ["Hi.", text]
    usual = text == f"{OPEN}{reasoning}{CLOSE}{content}"
    assert (row["meta"] == "{}") == usual


@pytest.mark.parametrize(
    "text", ["Yes.", "<think>Hm.", "So <think>Hm.</think> yes.", "</think>", "<thinking>a</thinking>"]
)
def test_other_text_stays(text: str) -> None:
    body = rows("conversation", {"messages": [{"role": "assistant", "content": text}]})
    assert split_reasoning(body) is body


def test_only_the_assistant_reasons() -> None:
    body = rows("conversation", {"messages": [{"role": "user", "content": "<think>a</think>b"}]})
    assert split_reasoning(body) is body


def test_reasoning_that_is_a_part_already_stays() -> None:
    message = {"role": "assistant", "content": "<think>a</think>b", "reasoning": "c", "tool_calls": []}
    body = pa.RecordBatch.from_pylist([{"messages": [message], "meta": "{}"}], FULL["conversation"])
    assert split_reasoning(body).equals(body)


def test_meta_keeps_its_bytes() -> None:
    (row,) = split("<think>a</think>b", meta='{"n": 1.50}')
    assert row["meta"].startswith('{"n": 1.50,"think_marks":[')
    assert json.loads(row["meta"])["think_marks"] == [
        {"side": "dialogue", "turn": 0, "open": "<think>", "close": "</think>"}
    ]


@given(st.lists(st.lists(MARKED | TEXT, max_size=3), max_size=4), st.booleans())
def test_no_text_is_lost(made: list[list[str]], first: bool) -> None:  # noqa: FBT001
    chats = [[{"role": "assistant", "content": text} for text in texts] for texts in made]
    body = split_reasoning(rows("conversation", *({"messages": chat} for chat in chats)).slice(int(first)))
    assert [written_back(row, "messages", "dialogue") for row in body.to_pylist()] == made[int(first) :]


def test_sides_of_pairs_and_completions() -> None:
    said = [{"role": "assistant", "content": "<think>\na\n</think>\n\nb"}]
    pair = {
        "prompt": [{"role": "user", "content": "q"}],
        "chosen": said,
        "rejected": [{"role": "assistant", "content": "c"}],
    }
    (row,) = split_reasoning(rows("preference", pair)).to_pylist()
    assert (row["chosen"][0]["reasoning"], row["chosen"][0]["content"], row["rejected"][0]["reasoning"]) == (
        "a",
        "b",
        None,
    )
    answers: list[dict[str, Any]] = [{"content": "<think>x</think>y", "model": None, "scores": []}]
    (row,) = split_reasoning(rows("rated", {"messages": [], "completions": answers})).to_pylist()
    assert (row["completions"][0]["reasoning"], row["completions"][0]["content"]) == ("x", "y")
    assert written_back(row, "completions", "completion") == ["<think>x</think>y"]


def test_inputs_split_where_they_are_asked_to(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>\na\n</think>\n\nb"}]
    }
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    for source in (files(path, reasoning="split"), frame(pl.DataFrame([row]), reasoning="split")):
        opened = source.open()
        (block,) = opened.blocks()
        assert opened.parse(block).body["messages"][0][1]["reasoning"].as_py() == "a"
    with pytest.raises(MixtureError, match=r"reasoning='splt': did you mean 'split'"):
        files(path, reasoning="splt")  # type: ignore[arg-type]
