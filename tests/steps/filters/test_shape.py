"""`shape` measures what its slow definition measures, for every row kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import SIDES, Segments, segments
from curate.steps.base import Evidence, decide
from curate.steps.filters.shape import Shape, shape
from tests.reference.shape import scores

MARKED = ("<think>Hm", "\n<think>Hm</think> Hi", f"Hm\n</think>{'k' * 40}>")
TEXTS = st.sampled_from(["", " \n", "\u3000", "Hi.", "Don't stop", "東京へ", "é", *MARKED])
TURNS = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["system", "user", "user", "assistant", "assistant", "tool"]),
    TEXTS,
)
DIALOGUES = st.lists(TURNS, max_size=5)
ROWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "conversation": st.fixed_dictionaries({"messages": DIALOGUES}),
    "rated": st.fixed_dictionaries(
        {
            "messages": DIALOGUES,
            "completions": st.lists(
                st.builds(lambda text: {"content": text, "model": "", "scores": []}, TEXTS), max_size=3
            ),
        }
    ),
    "preference": st.fixed_dictionaries({"prompt": DIALOGUES, "chosen": DIALOGUES, "rejected": DIALOGUES}),
    "unpaired": st.fixed_dictionaries({"prompt": DIALOGUES, "completion": DIALOGUES, "label": st.booleans()}),
}


def body(rows: list[dict[str, Any]], kind: Kind = "conversation") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])


def talk(roles: str, text: str = "Hi") -> dict[str, Any]:
    names = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return {"messages": [{"role": names[role], "content": text} for role in roles]}


def reasons(step: Shape, batch: pa.RecordBatch) -> list[str | None]:
    """What each row falls for."""
    found = decide(step.score(segments(batch, step.reads)), step.bounds(), batch.num_rows)
    return [step.bounds()[place].reason if place >= 0 else None for place in found.bound]


def hits(step: Shape, batch: pa.RecordBatch) -> list[tuple[int, str, str, int, str]]:
    found = step.score(segments(batch, step.reads)).evidence
    assert isinstance(found, Evidence)
    assert not found.start.any()
    assert not found.end.any()
    names = [step.bounds()[reason].reason for reason in found.reason]
    sides = [SIDES[side] for side in found.side]
    return list(zip(found.row.tolist(), names, sides, found.turn.tolist(), found.match.to_pylist(), strict=True))


@pytest.mark.parametrize("kind", ROWS)
@given(data=st.data())
def test_scores_are_as_defined(kind: Kind, data: st.DataObject) -> None:
    rows = data.draw(st.lists(ROWS[kind], max_size=6))
    step = shape()
    columns = step.score(segments(body(rows, kind), step.reads)).columns
    found = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    assert found == [scores(row) for row in rows]


@given(
    st.lists(st.sampled_from(["", "u", "ua", "sua", "uaua", "uu", "au", "sa", "usa", "uata", "uta", "uat"]), max_size=8)
)
def test_a_row_is_judged_by_itself(rows: list[str]) -> None:
    step = shape()
    alone = [reasons(step, body([talk(row)]))[0] for row in rows]
    assert reasons(step, body([talk(row) for row in rows])) == alone


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        ("ua", None),
        ("sua", None),
        ("uaua", None),
        ("uatau", "unanswered"),
        ("uata", None),
        ("uatta", None),
        ("suatauata", None),
        ("", "unanswered"),
        ("u", "unanswered"),
        ("s", "unanswered"),
        ("uat", "unanswered"),
        ("a", "role_order"),
        ("sa", "role_order"),
        ("usa", "role_order"),
        ("ssua", "role_order"),
        ("uua", "role_order"),
        ("uaa", "role_order"),
        ("uta", "role_order"),
        ("tua", "role_order"),
        ("uatua", "role_order"),
    ],
)
def test_what_makes_a_dialogue(roles: str, reason: str | None) -> None:
    assert reasons(shape(), body([talk(roles)])) == [reason]


def test_an_unknown_role_is_out_of_order() -> None:
    batch = body([{"messages": [{"role": "human", "content": "Hi"}, {"role": "assistant", "content": "Hi"}]}])
    found = hits(shape(), batch)
    assert [(turn, match) for *_, turn, match in found] == [
        (0, "unknown role after the start"),
        (1, "assistant after unknown role"),
    ]


def test_bounds_count_what_on_selects() -> None:
    row = {"messages": [{"role": "user", "content": "one two three"}, {"role": "assistant", "content": "four"}]}
    batch = body([row])
    assert reasons(shape(min_words=4), batch) == [None]
    assert reasons(shape(on="response", min_words=2), batch) == ["too_few_words"]
    assert reasons(shape(on={"user"}, max_characters=12), batch) == ["too_many_characters"]
    assert reasons(shape(on="response", min_turns=2), batch) == ["too_few_turns"]
    assert reasons(shape(max_turns=1), batch) == ["too_many_turns"]
    assert reasons(shape(min_characters=18), batch) == ["too_few_characters"]
    assert reasons(shape(max_words=3), batch) == ["too_many_words"]
    assert reasons(shape(on="chosen", min_words=1), batch) == ["too_few_words"], "nothing selected measures 0"


def test_form_can_be_let_be() -> None:
    batch = body([talk("ua", " "), talk("uua"), talk("u")])
    assert reasons(shape(), batch) == ["empty_turn", "role_order", "unanswered"]
    assert reasons(shape(empty_turns=True, role_order=False, unanswered=True), batch) == [None, None, None]
    assert hits(shape(empty_turns=True, role_order=False, unanswered=True), batch) == []
    assert shape(empty_turns=True).score(segments(batch)).columns["empty_turns"].tolist() == [2, 0, 0], (
        "measured anyway"
    )


def test_evidence_names_side_and_turn_in_order() -> None:
    user, answer, blank = (
        {"role": role, "content": text} for role, text in (("user", "Hi"), ("assistant", "Yes"), ("assistant", ""))
    )
    rows = [
        {"prompt": [user], "chosen": [answer], "rejected": [blank]},
        {"prompt": [user, user], "chosen": [answer], "rejected": [user, blank]},
    ]
    assert hits(shape(), body(rows, "preference")) == [
        (0, "empty_turn", "rejected", 0, "assistant"),
        (1, "role_order", "prompt", 1, "user after user"),
        (1, "role_order", "rejected", 0, "user after user"),
        (1, "empty_turn", "rejected", 1, "assistant"),
    ]


def test_no_rows_and_no_parts() -> None:
    step = shape()
    assert {len(column) for column in step.score(Segments(0, ())).columns.values()} == {0}
    columns = step.score(Segments(2, ())).columns
    assert columns["unanswered"].tolist() == [1, 1]
    assert {column.dtype for column in columns.values()} == {np.dtype(np.int32)}


def test_a_text_at_the_edge(edge_text: str) -> None:
    batch = body([talk("ua", edge_text), talk("ua")])
    assert reasons(shape(min_words=1, max_characters=2**31 - 1), batch)[1] is None
    assert reasons(shape(), batch)[0] == (None if edge_text.strip() else "empty_turn")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_turns": -1}, r"min_turns=-1.*whole number from 0"),
        ({"max_words": 2.5}, r"max_words=2.5.*whole number"),
        ({"max_words": True}, r"max_words=True.*whole number"),
        ({"min_characters": 10, "max_characters": 9}, "lower limit is above"),
        ({"on": "answer"}, "is no scope"),
        ({"on": {"bot"}}, "no set of roles"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        shape(**wrong)
