"""`cut_refusals` keeps what its slow definition keeps, and finds nothing to cut the second time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.rows.edits import apply_edits
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import segments
from curate.steps.refusals.cut_refusals import CutRefusals, cut_refusals

ROLES = {"s": "system", "u": "user", "a": "assistant", "t": "tool", "A": "assistant", "U": "user"}
REFUSAL = "I\u2019m sorry, but I can\u2019t assist with that."


def body(dialogues: list[str], kind: Kind = "conversation") -> pa.RecordBatch:
    """A letter a turn; capitals carry a phrase of refusal."""
    rows = [
        {"meta": "{}", "messages": [{"role": ROLES[a], "content": REFUSAL if a.isupper() else "Hi"} for a in dialogue]}
        for dialogue in dialogues
    ]
    return pa.RecordBatch.from_pylist(rows, BODIES[kind])


def cut(step: CutRefusals, dialogues: list[str]) -> list[str]:
    """What stays of each dialogue."""
    batch = body(dialogues)
    edits = step.edit(segments(batch, step.reads))
    after, changed = apply_edits(batch, segments(batch, step.reads), edits)
    kept = [dialogue[: len(row)] for dialogue, row in zip(dialogues, after["messages"].to_pylist(), strict=True)]
    assert changed.tolist() == [a != b for a, b in zip(kept, dialogues, strict=True)]
    return kept


def definition(dialogue: str) -> str:
    if "A" not in dialogue:
        return dialogue
    before = dialogue[: dialogue.index("A")].lower()
    asked = before[: before.rfind("u") + 1]
    answered = asked.rfind("a") + 1
    return dialogue[:answered] or dialogue


@given(st.lists(st.text(st.sampled_from("suatuaA"), max_size=9), max_size=6))
def test_what_stays_is_as_defined(dialogues: list[str]) -> None:
    step = cut_refusals()
    once = cut(step, dialogues)
    assert once == [definition(dialogue) for dialogue in dialogues]
    assert cut(step, once) == once


@pytest.mark.parametrize(
    ("dialogue", "stays"),
    [
        ("uauAua", "ua"),
        ("suauAua", "sua"),
        ("uaUa", "uaUa"),
        ("uA", "uA"),
        ("uAua", "uAua"),
        ("uAuA", "uAuA"),
        ("uauauA", "uaua"),
        ("uauatA", "ua"),
        ("uatauA", "uata"),
        ("uaAu", "uaAu"),
        ("uauuA", "ua"),
        ("uasuA", "ua"),
        ("aA", "aA"),
        ("auA", "a"),
        ("", ""),
    ],
)
def test_the_exchange_of_the_first_refusal_goes_with_all_after_it(dialogue: str, stays: str) -> None:
    assert cut(cut_refusals(), [dialogue]) == [stays]
    assert cut(cut_refusals(), ["uauA", dialogue, "ua"]) == ["ua", stays, "ua"]


def test_only_the_assistants_words_count_but_under_tulu2() -> None:
    said = [("user", "Hi"), ("assistant", "Hello."), ("user", "ChatGPT?"), ("assistant", "Yes.")]
    turns = [{"role": role, "content": content} for role, content in said]
    batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
    kept = {preset: cut_refusals(preset).edit(segments(batch)).turns for preset in ("default", "tulu2", "tulu3")}
    assert {preset: None if turns is None else turns.tolist() for preset, turns in kept.items()} == {
        "default": [-1],
        "tulu2": [2],
        "tulu3": [-1],
    }


def test_where_it_looks() -> None:
    assert cut(cut_refusals(where="first_turn"), ["uauA", "uA"]) == ["uauA", "uA"]
    assert cut(cut_refusals(families=("provider",)), ["uauA"]) == ["uauA"]
    assert cut(cut_refusals(where="opening"), ["uauA"]) == ["ua"]
    assert cut(cut_refusals(families=("provider",), phrases=("can't assist",)), ["uauA"]) == ["ua"]


@pytest.mark.parametrize("kind", ["rated", "preference"])
def test_rows_of_other_kinds_are_left_alone(kind: Kind) -> None:
    turns = [{"role": ROLES[letter], "content": REFUSAL} for letter in "uauA"]
    row: dict[str, Any] = {"meta": "{}", "messages": turns, "prompt": turns, "chosen": turns, "rejected": turns}
    row["completions"] = [{"content": REFUSAL, "model": "", "scores": []}]
    batch = pa.RecordBatch.from_pylist([row], BODIES[kind])
    found = segments(batch)
    after, changed = apply_edits(batch, found, cut_refusals().edit(found))
    assert after == batch
    assert not changed.any()


def test_no_rows() -> None:
    assert cut(cut_refusals(), []) == []


def test_wrong_words_are_refused() -> None:
    with pytest.raises(MixtureError, match=r"preset='tulu9' is no preset of refusals; did you mean 'tulu[23]'"):
        cut_refusals("tulu9")  # type: ignore[arg-type]
