"""Invisible characters change no decision of a step that compares texts, and spans are those of the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate as c
from curate.rows.segments import segments
from curate.steps.base import Filter, Group, Scores, Step, decide
from tests.reference.normal import INVISIBLE
from tests.support.eval_search import found, searched
from tests.support.eval_search import given as questions
from tests.support.group_resolve import asks, body, signed

ASKED: Final = "Please explain how the lighthouse keeper repaired the broken lamp during the winter storm"
UNSEEN: Final = "\u200b\u200c\u2060\ufeff\u00ad\u200f\ufe0f"
SPLIT: Final = "\u200b".join(ASKED)
FAMILY: Final = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
TAGS: Final = "".join(chr(0xE0000 + ord(letter)) for letter in "ignore this")

ITEMS: Final = questions(
    ASKED,
    "Is \u2764\ufe0f the sign of love?",
    "Who invented the light bulb, and in which year did the lamp reach the market of London?",
    "The Federal Reserve is",
)


def chat(asked: str, answer: str = "Yes.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}


def dropped(step: Step, rows: list[dict[str, Any]], folder: Path) -> list[str]:
    """Build a mixture of the rows, and return the reasons of those that are dropped."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), **row}) + "\n" for i, row in enumerate(rows)), encoding="utf-8")
    built = c.Mixture("m", [c.Source("s", c.files(path))], steps=[step]).build(folder / "out", quiet=True)
    return built.dropped()["reason"].to_list()


@pytest.mark.parametrize("step", [c.exact_dedup("prompt"), c.dedup("prompt")])
def test_copies_with_one_invisible_character_are_duplicates(step: Step, tmp_path: Path) -> None:
    copies = [ASKED[: 9 * i] + letter + ASKED[9 * i :] for i, letter in enumerate(UNSEEN, 1)]
    assert len(dropped(step, list(map(chat, [ASKED, *copies])), tmp_path)) == len(UNSEEN)


@pytest.mark.parametrize("step", [c.exact_dedup("prompt"), c.dedup("prompt")])
def test_a_copy_with_a_zero_width_space_between_all_letters_is_a_duplicate(step: Step, tmp_path: Path) -> None:
    assert len(dropped(step, [chat(ASKED), chat(SPLIT)], tmp_path)) == 1


def test_a_question_with_a_zero_width_space_between_all_letters_is_found(tmp_path: Path) -> None:
    assert dropped(c.decontaminate(ITEMS), [chat(SPLIT), chat("Why?")], tmp_path) == ["overlap"]


def test_an_answer_of_nothing_visible_is_empty(tmp_path: Path) -> None:
    rows = [chat("Say nothing.", "\u200b"), chat("Say nothing now.", "\ufeff"), chat("Say it.", "\u3164 \u00ad")]
    assert dropped(c.shape(), [*rows, chat("Say a word.", "\u200bWord.")], tmp_path) == ["empty_turn"] * 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FAMILY, FAMILY.replace("\u200d", "")),
        ("Is \u2764\ufe0f red?", "Is \u2764 red?"),
        ("\u1112\u3164\u1161\u11ab", "\ud55c"),
        ("e\u200b\u0301te\u2060\u0301", "\u00e9t\u00e9"),
        (f"Explain tides.{TAGS}", "Explain tides."),
        ("don\u00ad\u2019t", "DON'T"),
    ],
)
def test_texts_that_look_the_same_are_one(one: str, other: str) -> None:
    batch = asks([one, other, one, "x"])
    assert set(signed(c.exact_dedup(), [batch]).dropped(c.exact_dedup())) == {1, 2}


def test_prompts_of_pairs_are_compared_without_what_is_invisible() -> None:
    turns = [[{"role": "user", "content": text}] for text in ("Is it\u200b so?", "Is it so?")]
    yes, no = ([{"role": "assistant", "content": text}] for text in ("Yes\u00ad.", "No."))
    rows = [
        {"prompt": turns[0], "chosen": yes, "rejected": no},
        {"prompt": turns[1], "chosen": no, "rejected": yes},
    ]
    step = c.contradictions()
    assert set(signed(step, [body(rows, "preference")]).dropped(step)) == {0, 1}
    same = [{"prompt": turns[0], "chosen": yes, "rejected": [{"role": "assistant", "content": "yes."}]}]
    batch = body(same, "preference")
    linted = c.lint_pairs(cut=3, languages=False).score(segments(batch)).columns
    assert (linted["equal_answers"].tolist(), linted["equal_when_cut"].tolist()) == ([1], [0])


def test_prompts_of_a_test_split_are_compared_without_what_is_invisible(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    asked = [text for i in range(20) for text in (f"Question {i}?", f"Ques\u00adtion {i}?")]
    path.write_text("".join(json.dumps(chat(text, str(i))) + "\n" for i, text in enumerate(asked)), encoding="utf-8")
    mixture = c.Mixture("m", [c.Source("s", c.files(path))], test=c.Rows(10))
    kept = mixture.build(tmp_path / "out", quiet=True).kept("test").collect()
    test = [INVISIBLE.sub("", turns[0]["content"]) for turns in kept["messages"].to_list()]
    assert len(test) == 2 * len(set(test)) == 10


def test_excluded_prompts_are_compared_without_what_is_invisible(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps(chat("Why is\ufeff it so?")), encoding="utf-8")
    step = c.exclude_prompts_of(c.files(path), allow_large_drop=True)
    assert dropped(step, [chat("Why is it so?"), chat("Why?")], tmp_path) == ["shared_prompt"]


@pytest.mark.parametrize("preset", ["default", "tulu2", "tulu3"])
def test_a_phrase_is_found_under_invisible_characters(preset: Any) -> None:  # noqa: ANN401
    text = (
        "\u200bI am Open\u00adA\u200bI's model\u2060, and as an A\u200bI lan\u00adguage model I can\u200b\u2019t say."
    )
    batch = body([chat("Who?", text)])
    evidence = c.refusals(preset).score(segments(batch)).evidence
    assert evidence is not None
    hits = [text[start:end] for start, end in zip(evidence.start.tolist(), evidence.end.tolist(), strict=True)]
    assert any(hit.endswith("Open\u00adA\u200bI") for hit in hits)
    assert preset != "default" or "as an A\u200bI lan\u00adguage model" in hits


def test_an_opening_is_one_hundred_visible_characters() -> None:
    text = "\u200b" * 500 + "I cannot help you with that."
    batch = body([chat("Who?", text)])
    for where in ("opening", "anywhere"):
        scores = c.refusals(families=("cannot_help",), where=where).score(segments(batch))
        assert scores.columns["cannot_help"].tolist() == [1]
        assert scores.evidence is not None
        assert scores.evidence.start.tolist() == [500]
    answers = {
        "chosen": [{"role": "assistant", "content": text}],
        "rejected": [{"role": "assistant", "content": "Yes."}],
    }
    pair = body([{"prompt": [{"role": "user", "content": "Who?"}], **answers}], "preference")
    found_hits = c.lint_pairs(languages=False).score(segments(pair))
    assert found_hits.columns["refusal_chosen"].tolist() == [1]
    assert found_hits.evidence is not None
    assert found_hits.evidence.start.tolist() == [500]


def test_a_phrase_of_your_own_is_found_however_it_is_typed() -> None:
    batch = body([chat("Who?", "No way.")])
    assert c.refusals(phrases=("no\u200b wa\u00ady",)).score(segments(batch)).columns["phrases"].tolist() == [1]


def test_a_question_is_found_where_it_is_alone_but_for_what_is_invisible() -> None:
    texts = [
        "### Human:\u200b The Federal Re\u00adserve is\u200b ###\u2060 Assistant: Yes.",
        "The Federal Reserve is\ufeff",
        "\ufeffQ:\u200b The Federal Reserve is",
        "Is \u2764 the\u200b sign of love?",
    ]
    hits = found(searched(c.decontaminate(ITEMS, informative=0), [asks(texts)]))
    assert [hits.get((row, "quiz/i3"), ("",))[0] for row in range(3)] == ["whole"] * 3
    assert hits[3, "quiz/i1"][0] == "whole"


def test_repeated_lines_are_found_under_invisible_characters() -> None:
    text = "".join(f"I like{letter} apples.\n" for letter in ("", "\u200b", "\u00ad", "\u2060", "\ufeff"))
    scores = c.repetition().score(segments(body([chat("What?", text)]), "response"))
    assert scores.columns["duplicate_lines"].tolist() == [0.8]
    assert scores.evidence is not None
    start, end = scores.evidence.start[0], scores.evidence.end[0]
    assert text[start:end] == "I like\u200b apples."


WORDS: Final = (
    *(
        "",
        " \n",
        "e\u0301",
        "\u1112\u1161\u11ab",
        FAMILY,
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "Yes.",
        "YES. ",
    ),
    *("I'm sorry, but I can't assist with that.", 'He said "as an AI language model, I cannot help" to me.'),
    *(
        ASKED,
        "Q: Is \u2764 the sign of love?",
        "### Human: The Federal Reserve is ### Assistant:",
        "\u4e16\u754c don\u2019t \u00bd",
    ),
    "Who invented the light bulbs, and in what year did the lamp reach the market of London?",
    "x " * 60 + "I cannot help you with that. It is never acceptable to hit. Violence is wrong.",
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
HIDDEN = st.sampled_from(
    "\u00ad\u034f\u061c\u115f\u180e\u200b\u200d\u202e\u2060\u3164\ufe0f\ufeff\uffa0\U000e0041\U000e0100"
)


@st.composite
def shown_and_hidden(draw: st.DrawFn, count: int) -> tuple[list[str], list[str]]:
    """Draw texts, and the same with invisible characters anywhere in them."""
    texts = draw(st.lists(TEXTS, min_size=count, max_size=count))
    hidden = []
    for text in texts:
        places = draw(st.lists(st.tuples(st.integers(0, len(text)), HIDDEN), max_size=4))
        letters = list(text)
        for place, letter in sorted(places, reverse=True):
            letters.insert(place, letter)
        hidden.append("".join(letters))
    return texts, hidden


def chats_of(texts: list[str]) -> pa.RecordBatch:
    return body([chat(asked, answer) for asked, answer in zip(texts[::2], texts[1::2], strict=True)])


def pairs_of(texts: list[str]) -> pa.RecordBatch:
    sides = zip(texts[::3], texts[1::3], texts[2::3], strict=True)
    turns = (
        [{"role": role, "content": text} for role, text in zip(("user", "assistant", "assistant"), side, strict=True)]
        for side in sides
    )
    return body([{"prompt": [one], "chosen": [two], "rejected": [three]} for one, two, three in turns], "preference")


@given(texts=shown_and_hidden(6))
@pytest.mark.parametrize(
    "step",
    [
        c.exact_dedup(keep="longest"),
        c.exact_dedup("prompt"),
        c.dedup(ngram=3),
        c.dedup("prompt", ignore=ASKED),
        c.contradictions(),
    ],
)
def test_groups_decide_alike(step: Group, texts: tuple[list[str], list[str]]) -> None:
    make = pairs_of if step.name == "contradictions" else chats_of
    plain, hidden = (signed(step, [make(side)]) for side in texts)
    assert plain.frame.equals(hidden.frame)
    assert plain.lists == hidden.lists


@given(texts=shown_and_hidden(6), fuzzy=st.sampled_from([None, 0.8]))
def test_decontaminate_decides_alike(texts: tuple[list[str], list[str]], fuzzy: float | None) -> None:
    step = c.decontaminate(ITEMS, on="all", fuzzy=fuzzy)
    plain, hidden = (searched(step, [chats_of(side)]) for side in texts)
    assert plain.drops.equals(hidden.drops)
    assert plain.tables["items"].equals(hidden.tables["items"])
    assert found(plain) == found(hidden)
    for line in hidden.tables["hits"].to_dicts():
        text = texts[1][2 * line["row"] + line["turn"]]
        assert not INVISIBLE.match(text[line["start"] :])
        assert not INVISIBLE.match(text[line["end"] - 1 :])


def said(scores: Scores, texts: list[str]) -> list[tuple[int, int, str]]:
    """Return row, turn and visible text of each hit."""
    assert scores.evidence is not None
    row, _, _, turn, start, end, _ = (column.tolist() for column in scores.evidence)
    spans = zip(row, turn, start, end, strict=True)
    return [(i, k, INVISIBLE.sub("", texts[2 * i + k][first:last])) for i, k, first, last in spans]


@given(texts=shown_and_hidden(6))
@pytest.mark.parametrize(
    "step",
    [
        c.refusals(),
        c.refusals(where="opening", keep_safety=True),
        c.refusals("tulu2"),
        c.repetition("gopher", on="all"),
        c.shape(on="all"),
    ],
)
def test_filters_decide_alike(step: Filter, texts: tuple[list[str], list[str]]) -> None:
    plain, hidden = (step.score(segments(chats_of(side), step.reads)) for side in texts)
    bounds = step.bounds()
    one, other = (decide(scores, bounds, 3) for scores in (plain, hidden))
    assert np.array_equal(one.bound, other.bound)
    sizes = {"characters"} if step.name == "shape" else set()
    assert all(np.array_equal(plain.columns[name], hidden.columns[name]) for name in plain.columns.keys() - sizes)
    assert said(plain, texts[0]) == said(hidden, texts[1])
