"""With `keep_safety`, a refusal stays where the user's last turn before it is harmful."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from curate.rows.schema import BODIES, Kind
from curate.rows.segments import segments
from curate.steps.base import decide
from curate.steps.refusals.harm_phrases import SHIPPED, check_harmful, harmful_phrases
from curate.steps.refusals.phrase_files import rule_file
from curate.steps.refusals.refusals import Refusals, refusals

NO = "I'm sorry, but I can't assist with that."
BAD, GOOD = "How do I build a bomb?", "How do I bake bread?"


def dialogue(*texts: str | None) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def judged(rows: list[dict[str, Any]], kind: Kind = "conversation", **how: Any) -> list[tuple[str | None, int, int]]:  # noqa: ANN401
    """What each row falls for, its hits of refusal and those kept."""
    step = refusals(**({"keep_safety": True} | how))
    assert isinstance(step, Refusals)
    batch = pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])
    scores = step.score(segments(batch, step.reads))
    bounds = step.bounds()
    bound = decide(scores, bounds, batch.num_rows).bound.tolist()
    counts = [(scores.columns["cannot_help"][i], scores.columns["kept_safety"][i]) for i in range(batch.num_rows)]
    return [
        (bounds[b].reason if b >= 0 else None, int(one), int(kept))
        for b, (one, kept) in zip(bound, counts, strict=True)
    ]


def test_a_refusal_of_harm_stays() -> None:
    rows = [dialogue(BAD, NO), dialogue(GOOD, NO), dialogue(GOOD, "Yes."), dialogue(BAD, None), []]
    assert judged([{"messages": row} for row in rows]) == [
        (None, 0, 2),
        ("cannot_help", 2, 0),
        (None, 0, 0),
        (None, 0, 0),
        (None, 0, 0),
    ]


def test_the_last_request_before_it_decides() -> None:
    rows = [dialogue(BAD, NO, GOOD, NO), dialogue(GOOD, "Yes.", BAD, NO), dialogue(BAD, "Yes.", GOOD, NO)]
    rows.append([{"role": "assistant", "content": NO}, {"role": "user", "content": BAD}])
    assert judged([{"messages": row} for row in rows]) == [
        ("cannot_help", 2, 2),
        (None, 0, 2),
        ("cannot_help", 2, 0),
        ("cannot_help", 2, 0),
    ]


def test_the_prompt_of_other_kinds_decides() -> None:
    no = {"content": NO, "model": "", "scores": []}
    rated = [{"messages": dialogue(ask), "completions": [no, no | {"content": "Yes."}, no]} for ask in (BAD, GOOD)]
    assert judged(rated, "rated") == [(None, 0, 4), ("cannot_help", 4, 0)]
    pairs = [
        {"prompt": dialogue(ask), "chosen": dialogue(GOOD, NO)[1:], "rejected": dialogue(*more)}
        for ask, more in ((BAD, ()), (GOOD, ()), (GOOD, (BAD, NO)), (BAD, (GOOD, NO)))
    ]
    assert judged(pairs, "preference") == [
        (None, 0, 2),
        ("cannot_help", 2, 0),
        ("cannot_help", 2, 2),
        ("cannot_help", 2, 2),
    ]


def test_a_request_of_the_own_side_comes_before_the_prompt() -> None:
    no = dialogue(GOOD, NO)[1:]
    pairs = [
        {"prompt": dialogue(BAD), "chosen": no, "rejected": dialogue(GOOD, NO)},
        {"prompt": dialogue(BAD), "chosen": no, "rejected": no},
    ]
    assert judged(pairs, "preference") == [("cannot_help", 2, 2), (None, 0, 4)]


def test_moralising_about_harm_is_kept_too() -> None:
    sermon = (
        "It is never acceptable to hit a child. Violence is wrong. It is important to treat everyone with respect. "
    )
    sermon += "Everyone deserves to be treated with dignity."
    rows = [{"messages": dialogue(ask, sermon)} for ask in (BAD, GOOD)]
    assert [reason for reason, _, _ in judged(rows)] == [None, "moralising"]


def test_phrases_of_the_user() -> None:
    rows = [{"messages": dialogue(ask, NO)} for ask in (BAD, GOOD)]
    assert [reason for reason, _, _ in judged(rows, keep_safety=["bake bread"])] == ["cannot_help", None]
    assert check_harmful(["bake bread"]) == ("bake bread",)


def test_off_it_reads_and_scores_as_before() -> None:
    assert refusals(model=None).reads == "response"
    assert refusals(keep_safety=True).reads == "all"
    assert "kept_safety" not in [bound.reason for bound in refusals().bounds()]
    bound = refusals(keep_safety=True).bounds()[-1]
    assert (bound.reason, bound.at_least, bound.at_most) == ("kept_safety", None, None)


def test_evidence_has_its_own_reason() -> None:
    step = refusals(keep_safety=True)
    batch = pa.RecordBatch.from_pylist([{"meta": "{}", "messages": dialogue(BAD, NO)}], BODIES["conversation"])
    evidence = step.score(segments(batch, step.reads)).evidence
    assert evidence is not None
    assert {step.bounds()[place].reason for place in evidence.reason} == {"kept_safety"}


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("How can I kill a Python process?", False),
        ("How do I kill someone in Minecraft?", False),
        ("How do I steal someone's heart?", False),
        ("How do I shoot a good film?", False),
        ("A bath bomb for my mother", False),
        ("How do I kill my wife?", True),
        ("HOW DO I HACK INTO SOMEONE\u2019S EMAIL", True),
        ("Where can I buy cocaine?", True),
        ("", False),
        ("如何制造炸弹", False),
    ],
)
def test_the_shipped_phrases(text: str, bad: bool) -> None:  # noqa: FBT001
    assert judged([{"messages": dialogue(text, NO)}])[0][0] == (None if bad else "cannot_help")


def test_the_shipped_phrases_compile_once() -> None:
    assert harmful_phrases((SHIPPED,)) is harmful_phrases((SHIPPED,))
    assert len(rule_file("harmful.txt").phrases) < 30_000
