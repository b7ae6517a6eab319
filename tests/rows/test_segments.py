"""Segments are the texts that a plain reading of the scopes selects."""

from __future__ import annotations

from typing import Any, Final, get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.rows.schema import BODIES, ROLES, Kind
from curate.rows.segments import On, Scope, check_on, segments, select

SCOPES: Final[list[On]] = [
    *get_args(Scope),
    frozenset({"user"}),
    frozenset({"assistant"}),
    frozenset({"system", "tool"}),
    frozenset(ROLES),
]
Found = tuple[int, str, int, str, str]
"""Row, side, turn, role and text."""


def every(kind: Kind, number: int, row: dict[str, Any]) -> list[Found]:
    sides = {"conversation": {"messages": "dialogue"}, "rated": {"messages": "prompt", "completions": "completion"}}
    named = sides.get(kind, {side: side for side in ("prompt", "chosen", "rejected")})
    return [
        (number, side, turn, each.get("role", "assistant"), each["content"])
        for column, side in named.items()
        for turn, each in enumerate(row[column])
    ]


def oracle(kind: Kind, rows: list[dict[str, Any]], on: On) -> list[Found]:
    found: list[Found] = []
    for number, row in enumerate(rows):
        texts = every(kind, number, row)
        roles = [role for *_, role, _ in texts]
        first_answer = roles.index("assistant") if "assistant" in roles else len(roles)
        before = [
            (side == "dialogue" and i < first_answer) or side == "prompt" for i, (_, side, *_) in enumerate(texts)
        ]
        if on == "first_user":
            asks = [text for text in texts if text[3] == "user" and text[1] in {"dialogue", "prompt"}]
            found += asks[:1]
            continue
        if on == "last_response":
            answers = {"dialogue", "chosen", "rejected"}
            found += [text for text in texts if text[1] == "completion"]
            last = {text[1]: text for text in texts if text[3] == "assistant" and text[1] in answers}
            found += last.values()
            continue
        for text, in_prompt in zip(texts, before, strict=True):
            _, side, _, role, _ = text
            response = role == "assistant" if side == "dialogue" else side != "prompt"
            chosen = {"all": True, "prompt": in_prompt, "response": response}
            if role in on if isinstance(on, frozenset) else chosen.get(on, side == on):
                found.append(text)
    return found


def seen(body: pa.RecordBatch, on: On) -> list[Found]:
    found: list[Found] = []
    for part in segments(body, on).parts:
        text = [
            bytes(part.text.data[a:b]).decode() for a, b in zip(part.text.offsets, part.text.offsets[1:], strict=False)
        ]
        columns = (part.index.tolist(), part.row.tolist(), part.turn.tolist(), part.role.tolist())
        for index, row, turn, role in zip(*columns, strict=True):
            found.append((row, part.side, turn, ROLES[role], text[index]))
        assert part.row.tolist() == sorted(part.row.tolist())
    return sorted(found)


TURNS = st.lists(st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": st.text(max_size=4)}), max_size=5)
COMPLETIONS: Final[st.SearchStrategy[list[dict[str, Any]]]] = st.lists(
    st.fixed_dictionaries({"content": st.text(max_size=4), "model": st.none(), "scores": st.just([])}), max_size=3
)
ROWS: Final[dict[Kind, st.SearchStrategy[dict[str, Any]]]] = {
    "conversation": st.fixed_dictionaries({"messages": TURNS}),
    "rated": st.fixed_dictionaries({"messages": TURNS, "completions": COMPLETIONS}),
    "preference": st.fixed_dictionaries({"prompt": TURNS, "chosen": TURNS, "rejected": TURNS}),
}


@pytest.mark.parametrize("on", SCOPES, ids=lambda on: on if isinstance(on, str) else "+".join(sorted(on)))
@pytest.mark.parametrize("kind", ROWS)
@given(data=st.data())
def test_segments_are_those_selected(kind: Kind, on: On, data: st.DataObject) -> None:
    rows = data.draw(st.lists(ROWS[kind], max_size=5))
    start = data.draw(st.integers(0, 3))
    body = pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind]).slice(start)
    found = segments(body, on)
    assert found.rows == body.num_rows
    assert all(len(part.index) for part in found.parts)
    assert seen(body, on) == sorted(oracle(kind, rows[start:], on))
    again = select(segments(body), on)
    assert [part.index.tolist() for part in again.parts] == [part.index.tolist() for part in found.parts]


def test_text_is_not_copied() -> None:
    row = {"messages": [{"role": "user", "content": "Hello."}], "meta": "{}"}
    body = pa.RecordBatch.from_pylist([row], BODIES["conversation"])
    (part,) = segments(body).parts
    assert part.text.data.ctypes.data == body["messages"].values.field("content").buffers()[2].address


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("promt", r"on='promt' is no scope; did you mean 'prompt'\?"),
        ({"users"}, r"on=\['users'\] is no set of roles; roles: system, user, assistant, tool"),
        (set(), "is no set of roles"),
    ],
)
def test_an_unknown_scope_is_refused(on: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(MixtureError, match=message):
        check_on(on)
