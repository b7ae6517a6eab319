"""`lint_pairs` finds what its slow definition finds, kind by kind, and drops only what it is asked to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.manifest import canonical
from curate.errors import MixtureError, SourceNotFoundError
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import SIDES, Segments, segments
from curate.rows.sides import Unit
from curate.rows.tokens import Tokenizer
from curate.steps.base import decide
from curate.steps.pairs._lint_texts import LINTS, Lint
from curate.steps.pairs.lint_pairs import LintPairs, lint_pairs
from tests.reference import pairs as slow
from tests.reference.words import words

FRAGMENTS = [
    "",
    " ",
    "Yes",
    "yes",
    "YES. ",
    "don't",
    "don\u2019t",
    "don'",
    "don",
    "東京へ",
    "e\u0301",
    "\u0301",
    "a b c d",
    "\n",
    ",",
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join) | st.lists(
    st.sampled_from(FRAGMENTS), max_size=6
).map(" ".join)
LONG = "please tell me why the sky is so blue"
SCORES = st.sampled_from([None, 1.0, 2.0, float("nan"), float("inf")])


def said(text: str, role: str = "assistant") -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def pair(prompt: str, chosen: str, rejected: str, **scores: float | None) -> dict[str, Any]:
    none = {"chosen_score": None, "rejected_score": None}
    return {"prompt": said(prompt, "user"), "chosen": said(chosen), "rejected": said(rejected)} | none | scores


def rated(*completions: dict[str, float]) -> dict[str, Any]:
    answers = [
        {"content": "Yes.", "model": "m", "scores": [{"name": name, "value": value} for name, value in scores.items()]}
        for scores in completions
    ]
    return {"messages": said("Is it?", "user"), "completions": answers}


def body(rows: list[dict[str, Any]], kind: Kind = "preference") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])


def found(step: LintPairs, batch: pa.RecordBatch) -> list[dict[str, int]]:
    """The lints that are not 0, by row."""
    columns = step.score(segments(batch, step.reads)).columns
    return [{lint: int(columns[lint][row]) for lint in LINTS if columns[lint][row]} for row in range(batch.num_rows)]


def hits(step: LintPairs, batch: pa.RecordBatch) -> list[tuple[int, str, str, int, int, int, str]]:
    evidence = step.score(segments(batch, step.reads)).evidence
    assert evidence is not None
    names, sides = [LINTS[reason] for reason in evidence.reason], [SIDES[code] for code in evidence.side]
    columns = evidence.turn.tolist(), evidence.start.tolist(), evidence.end.tolist(), evidence.match.to_pylist()
    return list(zip(evidence.row.tolist(), names, sides, *columns, strict=True))


@given(
    rows=st.lists(
        st.builds(
            lambda prompt, chosen, rejected, one, other: pair(
                prompt, chosen, rejected, chosen_score=one, rejected_score=other
            ),
            st.sampled_from([LONG, "Hi.", ""]),
            TEXTS | TEXTS.map(lambda text: f"You ask, '{LONG.upper()}'{text}"),
            TEXTS,
            SCORES,
            SCORES,
        ),
        max_size=6,
    ),
    cut=st.integers(1, 6),
    unit=st.sampled_from(["characters", "words"]),
)
def test_pairs_have_what_the_definition_says(rows: list[dict[str, Any]], cut: int, unit: Unit) -> None:
    batch = body(rows)
    for counts, row in zip(found(lint_pairs(cut=cut, unit=unit, languages=False), batch), rows, strict=True):
        assert counts == {lint: count for lint, count in slow.lints(row, cut, unit).items() if count}, row


@given(one=TEXTS, other=TEXTS)
def test_where_answers_part(one: str, other: str) -> None:
    columns = lint_pairs().score(segments(body([pair("Hi", one, other)]))).columns
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    assert columns["shared_characters"].tolist() == [same]


@given(rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=6), most=st.integers(0, 6))
def test_answers_that_differ_too_much_in_length_are_dropped(rows: list[tuple[str, str]], most: int) -> None:
    batch, step = body([pair("Hi", one, other) for one, other in rows]), lint_pairs(max_difference=most)
    scores = step.score(segments(batch, step.reads))
    apart = [abs(-(-len(one.encode()) // 4) + len(other.encode()) // -4) for one, other in rows]
    assert scores.columns["token_difference"].tolist() == apart
    dropped = [place == len(LINTS) for place in decide(scores, step.bounds(), len(rows)).bound]
    assert dropped == [difference > most for difference in apart]
    assert step.bounds()[len(LINTS)].reason == "length_difference"


def test_the_length_of_answers_is_counted_by_a_tokenizer(words_tokenizer: Path) -> None:
    batch = body([pair("Hi", "one two three", "three"), pair("Hi", "one", "one two three one two")])
    step = lint_pairs(max_difference=2, tokenizer=Tokenizer(str(words_tokenizer)))
    scores = step.score(segments(batch, step.reads))
    assert scores.columns["token_difference"].tolist() == [2, 4]
    assert [place >= 0 for place in decide(scores, step.bounds(), 2).bound] == [False, True]
    with pytest.raises(MixtureError, match=r"max_difference=-1\): a whole number from 0 up, in tokens, or None"):
        lint_pairs(max_difference=-1)


def test_turns_are_cut_as_one_text() -> None:
    ask, more = said("Why?", "user"), said("As I say.")
    rows = [
        {"prompt": ask, "chosen": said("No.") + ask + more, "rejected": said("No.") + ask + said("As I said.")},
        {"prompt": ask, "chosen": said("No."), "rejected": said("No.", "user")},
        {"prompt": ask, "chosen": said("No.") + said("x"), "rejected": said("No.x")},
        {"prompt": ask, "chosen": said("No."), "rejected": []},
    ]
    columns = lint_pairs(cut=12).score(segments(body(rows))).columns
    assert columns["shared_characters"].tolist() == [3 + 4 + 7, 0, 3, 0]
    assert columns["shared_words"].tolist() == [4, 0, 1, 0]
    assert columns["equal_when_cut"].tolist() == [1, 0, 0, 0]
    assert columns["empty_side"].tolist() == [0, 0, 0, 1]


def test_a_refusal_counts_where_the_other_side_answers() -> None:
    no, yes = "I'm sorry, but I can't assist with that.", "Sure: heat the pan."
    late = "Heat the pan. " * 10 + no
    rows = [
        pair("Hi", no, yes),
        pair("Hi", yes, no),
        pair("Hi", no, no + "."),
        pair("Hi", late, yes),
        pair("Hi", no, late),
    ]
    assert ["refusal_chosen" in each for each in found(lint_pairs(), body(rows))] == [True, False, False, False, False]
    shown = hits(lint_pairs(), body(rows))
    assert {(row, lint, side) for row, lint, side, *_ in shown} == {(0, "refusal_chosen", "chosen")}
    assert all(
        no[start:end].casefold().startswith(("i'm sorry", "i can't", "can't", "sorry")) for *_, start, end, _ in shown
    )


def test_an_answer_names_its_maker() -> None:
    leak = "I was made by OpenAI."
    asked = pair("I was made by OpenAI.", "Fine.", "Good.")
    batch = body([pair("Hi", leak, "Fine."), pair("Hi", "Fine.", leak), asked])
    assert [each.get("identity_leak", 0) > 0 for each in found(lint_pairs(), batch)] == [True, True, False]
    assert {(row, side) for row, _, side, *_ in hits(lint_pairs(), batch)} == {(0, "chosen"), (1, "rejected")}


def test_only_the_assistant_leaks_and_refuses() -> None:
    user = said("I can't assist with that. I was made by OpenAI.", "user")
    batch = body([{"prompt": said("Hi", "user"), "chosen": said("Fine.") + user, "rejected": said("Good.") + user}])
    assert found(lint_pairs(), batch) == [{}]


def test_evidence_is_cut_short_but_counted_in_full() -> None:
    batch = body([pair("Hi", "As an AI language model, I am. " * 20, "Fine.")])
    assert found(lint_pairs(), batch)[0]["identity_leak"] >= 20
    assert len(hits(lint_pairs(), batch)) == 8


def test_ratings_that_contradict_each_other_or_are_missing() -> None:
    good = {"honesty": 4.0, "truth": 5.0}
    rows = [
        rated(good | {"overall_score": 8.0}, {"honesty": 1.0, "truth": 2.0, "overall_score": 10.0}),
        rated(good | {"overall_score": 1.0}, good | {"overall_score": 9.0}),
        rated(good, good),
        rated(good | {"overall_score": 8.0}, {"honesty": 4.0, "overall_score": 8.0}),
        rated(good | {"overall_score": float("nan")}, good | {"overall_score": 8.0}),
        rated({}, {}),
        rated({"helpfulness": 0.0, "overall_score": 10.0}),
        rated({"honesty": 1.0, "overall_score": 100.0}),
        {"messages": said("Is it?", "user"), "completions": []},
    ]
    step, batch = lint_pairs(), body(rows, "rated")
    assert found(step, batch) == [
        {"score_inverted": 1},
        {"score_inverted": 1},
        {},
        {"bad_rating": 1},
        {"bad_rating": 1},
        {"bad_rating": 2},
        {},
        {},
        {"empty_side": 1},
    ]
    assert hits(step, batch) == [
        (0, "score_inverted", "completion", 1, 0, 0, "overall 10, aspects 1.5"),
        (1, "score_inverted", "completion", 0, 0, 0, "overall 1, aspects 4.5"),
    ]
    assert found(lint_pairs(aspect_scale=(0, 4)), batch)[6] == {"score_inverted": 1}
    assert found(lint_pairs(aspects=("truth",)), batch)[0] == {"score_inverted": 1}
    assert found(lint_pairs(overall="truth", overall_scale=(1, 5)), batch.slice(2, 1)) == [{}]
    assert [each for part in range(9) for each in found(step, batch.slice(part, 1))] == found(step, batch), "slices"


def test_nothing_is_dropped_unless_named() -> None:
    batch = body([pair("Hi", "Yes.", "yes."), pair("Hi", "", "No."), pair("Hi", "No.", "Yes.")])

    def dropped_by(step: LintPairs) -> list[str | None]:
        bounds = decide(step.score(segments(batch)), step.bounds(), 3).bound
        return [LINTS[place] if place >= 0 else None for place in bounds]

    assert dropped_by(lint_pairs()) == [None, None, None]
    assert dropped_by(lint_pairs("equal_answers")) == ["equal_answers", None, None]
    assert dropped_by(lint_pairs(["equal_answers", "empty_side"])) == ["equal_answers", "empty_side", None]
    assert dropped_by(lint_pairs("all")) == ["equal_answers", "empty_side", None]
    assert lint_pairs(["equal_answers", "empty_side"]) == lint_pairs(("empty_side", "equal_answers"))
    assert canonical(lint_pairs(cut=5)) != canonical(lint_pairs(cut=6))


def test_no_rows_no_parts_and_conversations() -> None:
    step = lint_pairs(cut=5)
    empty = step.score(Segments(0, ())).columns
    assert {len(column) for column in empty.values()} == {0}
    for kind in BODIES:
        batch = body([], kind)
        assert set(step.score(segments(batch)).columns) == set(empty)
        assert {column.dtype for column in step.score(segments(batch)).columns.values()} == {np.dtype(np.int32)}
    talk = body([{"messages": said("As an AI language model, no.")}], "conversation")
    assert found(step, talk) == [{}]


def test_texts_at_the_edge(edge_text: str) -> None:
    counts = found(lint_pairs(cut=5), body([pair(edge_text, edge_text, edge_text)]))[0]
    assert counts["equal_answers"] == counts["equal_when_cut"] == 1
    assert counts.get("empty_side", 0) == (0 if edge_text.strip() else 3)
    long = len(words(slow.normal(edge_text[:1000]))) >= 8
    assert counts.get("prompt_repeated", 0) == (2 if long else 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"drop": "equal_answer"}, "lint_pairs.drop='equal_answer'.*did you mean 'equal_answers'"),
        ({"drop": ("equal_when_cut",)}, "needs cut="),
        ({"drop": "other_language", "languages": False}, "by telling languages"),
        ({"cut": 0}, "cut=0.*whole number from 1"),
        ({"cut": True}, "cut=True.*whole number"),
        ({"unit": "tokens"}, "unit='tokens'"),
        ({"overall_scale": (10, 1)}, r"\(10, 1\) is no scale"),
        ({"aspect_scale": (1, 2, 3)}, "is no scale"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        lint_pairs(**wrong)


def test_answers_in_another_language_than_the_prompt() -> None:
    asked, answer = "Please tell me how to bake bread at home.", "You need flour, water, salt and quite some time."
    german, french = (
        "Du brauchst Mehl, Wasser, Salz und etwas Zeit.",
        "Il faut de la farine, de l'eau, du sel et du temps.",
    )
    rows = [
        pair(asked, german, french),
        pair(asked, german, answer),
        pair(asked, answer, answer + " Much."),
        pair("Translate into German: " + answer, german, german + " Viel."),
        pair("Hi", german, french),
        pair(asked, german, "Ja."),
    ]
    lint: Lint = "other_language"
    assert [each.get(lint, 0) for each in found(lint_pairs(lint), body(rows))] == [1, 0, 0, 0, 0, 0]
    assert not any(lint in each for each in found(lint_pairs(languages=False), body(rows)))
    assert lint_pairs(languages=False).data_hashes() == {}
    assert list(lint_pairs().data_hashes()) == ["lid.176.ftz"]


def test_a_language_model_that_is_not_there() -> None:
    step = lint_pairs(language_model="no/such.ftz")
    assert canonical(step) == canonical(lint_pairs()), "where it is stored is no part of what is meant"
    with pytest.raises(SourceNotFoundError, match="there is no model"):
        step.data_hashes()
