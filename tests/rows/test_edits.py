"""An edit changes what it names, and not a byte beside it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rows.edits import Change, Edits, apply_edits
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import On, segments

TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=5)}), max_size=4
)
COMPLETIONS = st.lists(
    st.fixed_dictionaries(
        {
            "content": st.text(max_size=5),
            "model": st.none() | st.just("m"),
            "scores": st.lists(st.fixed_dictionaries({"name": st.just("s"), "value": st.just(1.0)}), max_size=2),
        }
    ),
    max_size=3,
)
META = st.just("{}")
ROWS: Final[dict[Kind, st.SearchStrategy[dict[str, Any]]]] = {
    "conversation": st.fixed_dictionaries({"messages": TURNS, "meta": META}),
    "rated": st.fixed_dictionaries({"messages": TURNS, "completions": COMPLETIONS, "meta": META}),
    "preference": st.fixed_dictionaries(
        {
            "prompt": TURNS,
            "chosen": TURNS,
            "rejected": TURNS,
            "chosen_score": st.none() | st.just(1.0),
            "rejected_score": st.none(),
            "meta": META,
        }
    ),
}
COLUMN: Final = {
    ("conversation", "dialogue"): "messages",
    ("rated", "prompt"): "messages",
    ("rated", "completion"): "completions",
}


@pytest.mark.parametrize("on", ["all", "response"])
@pytest.mark.parametrize("kind", ROWS)
@given(data=st.data())
def test_new_text_goes_where_it_belongs(kind: Kind, on: On, data: st.DataObject) -> None:
    rows = data.draw(st.lists(ROWS[kind], max_size=4))
    start = data.draw(st.integers(0, 2))
    body = pa.RecordBatch.from_pylist(rows, BODIES[kind]).slice(start)
    expected = body.to_pylist()
    found = segments(body, on)
    changes = []
    touched = set()
    for part in found.parts:
        place = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=len(part.index), max_size=len(part.index))))
        new = [data.draw(st.text(max_size=3)) for _ in place]
        changes.append(Change(place.astype(np.int32), pa.array(new, pa.string())))
        for at, text in zip(place.tolist(), new, strict=True):
            row, column = int(part.row[at]), COLUMN.get((kind, part.side), part.side)
            expected[row][column][int(part.turn[at])]["content"] = text
            touched.add(row)
    edited, changed = apply_edits(body, found, Edits(tuple(changes)))
    edited.validate(full=True)
    assert edited.schema.equals(body.schema)
    assert edited.to_pylist() == expected
    assert set(np.flatnonzero(changed).tolist()) == touched


@given(st.lists(ROWS["conversation"], min_size=1, max_size=5), st.integers(0, 2), st.data())
def test_turns_are_cut_from_the_end(rows: list[dict[str, Any]], start: int, data: st.DataObject) -> None:
    body = pa.RecordBatch.from_pylist(rows, BODIES["conversation"]).slice(start)
    held = body.to_pylist()
    keep = data.draw(st.lists(st.integers(-1, 5), min_size=len(held), max_size=len(held)))
    cut, changed = apply_edits(body, segments(body), Edits(turns=np.array(keep, np.int32)))
    cut.validate(full=True)
    expected = [row["messages"] if n < 0 else row["messages"][:n] for row, n in zip(held, keep, strict=True)]
    assert [row["messages"] for row in cut.to_pylist()] == expected
    assert changed.tolist() == [one != row["messages"] for one, row in zip(expected, held, strict=True)]


def test_nothing_to_do_hands_back_the_batch_itself() -> None:
    row = {"messages": [{"role": "user", "content": "x"}], "meta": "{}"}
    body = pa.RecordBatch.from_pylist([row], BODIES["conversation"])
    nothing = Change(np.zeros(0, np.int32), pa.array([], pa.string()))
    for edits in (Edits(), Edits((nothing,)), Edits(turns=np.array([-1], np.int32))):
        same, changed = apply_edits(body, segments(body), edits)
        assert same is body
        assert not changed.any()


def test_only_a_conversation_is_cut() -> None:
    row = {"messages": [{"role": "user", "content": "x"}], "completions": [], "meta": "{}"}
    body = pa.RecordBatch.from_pylist([row], BODIES["rated"])
    with pytest.raises(ValueError, match="only a conversation has turns to cut"):
        apply_edits(body, segments(body), Edits(turns=np.array([0], np.int32)))


def test_texts_at_the_edge_come_through(edge_texts: dict[str, str]) -> None:
    texts = list(edge_texts.values())
    rows = [{"messages": [{"role": "user", "content": text}], "meta": "{}"} for text in texts]
    body = pa.RecordBatch.from_pylist(rows, BODIES["conversation"])
    place = np.arange(0, len(texts), 2, dtype=np.int32)
    new = texts[::-1][: len(place)]
    edited, _ = apply_edits(body, segments(body), Edits((Change(place, pa.array(new)),)))
    found = [row["messages"][0]["content"] for row in edited.to_pylist()]
    assert found[1::2] == texts[1::2]
    assert found[::2] == new
