"""`alternating` reads lists of texts, the user's and the assistant's in turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.errors import MixtureError
from curate.io.formats.texts import Alternating, alternating
from curate.io.parse import parse_lines, parse_objects
from curate.io.row_collector import Parsed


def parsed(form: Alternating, *rows: dict[str, Any]) -> Parsed:
    lines = [json.dumps(row).encode() for row in rows]
    found = parse_lines(lines, range(1, len(rows) + 1), form, None)
    assert found.body.equals(parse_objects(list(rows), range(1, len(rows) + 1), form, None).body)
    return found


def test_roles_alternate_and_an_odd_last_text_is_kept_or_cut() -> None:
    texts = ["q", "a", "more?"]
    kept, cut = (parsed(alternating(odd=odd), {"conversations": texts, "source": "s"}) for odd in ("keep", "cut"))
    turns = [(turn["role"], turn["content"]) for turn in kept.body["messages"][0].as_py()]
    assert turns == [("user", "q"), ("assistant", "a"), ("user", "more?")]
    assert json.loads(kept.body["meta"][0].as_py()) == {"source": "s"}
    assert [turn["content"] for turn in cut.body["messages"][0].as_py()] == ["q", "a"]
    assert json.loads(cut.body["meta"][0].as_py()) == {"source": "s", "conversations": ["more?"]}
    alone = parsed(alternating("data", odd="cut"), {"data": ["q"]}, {"data": ["q", "a"]})
    assert [len(turns) for turns in alone.body["messages"].to_pylist()] == [1, 2]


@pytest.mark.parametrize("texts", [[], ["q", None], ["q", 1], "q", None])
def test_what_is_no_list_of_texts_is_quarantined(texts: object) -> None:
    assert parsed(alternating(), {"conversations": texts}).bad.num_rows == 1


def test_a_wrong_call_says_so() -> None:
    with pytest.raises(MixtureError, match=r"alternating\(odd='drop'\): known: cut, keep"):
        alternating(odd="drop")  # type: ignore[arg-type]
