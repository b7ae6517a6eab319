"""`row_texts` joins what is selected of each row, whatever its kind."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rows.joined_text import row_texts
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import On, Segments, segments

WORDS = st.sampled_from(["", " ", "One", "two\nthree", "東京", "四 "])


def turn(role: str, content: str | None) -> dict[str, Any]:
    return {"role": role, "content": content}


def texts(rows: list[dict[str, Any]], kind: Kind, on: On = "all", form: str = "spaced") -> list[str]:
    body = pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])
    whole = row_texts(segments(body, on), form)  # type: ignore[arg-type]
    cut = [row_texts(segments(body.slice(i, 1), on), form).to_pylist()[0] for i in range(len(rows))]  # type: ignore[arg-type]
    assert whole.to_pylist() == cut
    assert whole.type == pa.string()
    return cut


def test_the_sides_of_every_kind_in_their_order() -> None:
    ask, good, bad = turn("user", "Why?"), turn("assistant", "Because."), turn("assistant", "No!")
    pair = {"prompt": [ask], "chosen": [good], "rejected": [bad]}
    assert texts([pair, pair], "preference") == ["why ? because . no !"] * 2
    assert texts([pair], "preference", "chosen") == ["because ."]
    assert texts([pair], "preference", "response", "plain") == ["Because. No!"]
    answers: list[dict[str, Any]] = [{"content": text, "model": None, "scores": []} for text in ("One.", "", "Two.")]
    assert texts([{"messages": [ask], "completions": answers}], "rated") == ["why ? one . two ."]
    assert texts([{"messages": [ask, good, ask, bad]}], "conversation", frozenset({"assistant"})) == ["because . no !"]
    assert texts([{"messages": [ask, turn("assistant", None)]}], "conversation") == ["why ?"]


@given(st.lists(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), WORDS), max_size=4), max_size=5))
def test_plain_is_what_the_turns_say(rows: list[list[tuple[str, str]]]) -> None:
    bodies = [{"messages": [turn(*each) for each in row]} for row in rows]
    joined = [" ".join(text for role, text in row if role == "assistant" and text) for row in rows]
    assert texts(bodies, "conversation", "response", "plain") == joined


@pytest.mark.parametrize("form", ["plain", "spaced"])
def test_no_rows_and_rows_without_text(form: Any) -> None:  # noqa: ANN401
    assert row_texts(Segments(0, ()), form).to_pylist() == []
    assert row_texts(Segments(2, ()), form).to_pylist() == ["", ""]
    assert texts([{"messages": []}, {"messages": [turn("user", "x")]}], "conversation", "all", form) == ["", "x"]
