"""`decontaminate(fuzzy=)` finds copies with a few words changed, and says how alike they are."""

from __future__ import annotations

import random

import pytest
from hypothesis import given as property_of
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from curate.steps.decontaminate.decontaminate import decontaminate
from tests.support.eval_search import found, given, searched
from tests.support.group_resolve import asks

ITEM = "A robe takes two bolts of blue fiber and half that much white fiber. How many bolts in total does it take?"
WORDS = ITEM.split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def edited(words: list[str], edit: str, place: int) -> str:
    new = ["zebra"] if edit != "delete" else []
    return " ".join([*words[:place], *new, *words[place + (edit != "insert") :]])


@pytest.mark.parametrize("edit", ["insert", "delete", "substitute"])
@pytest.mark.parametrize("place", range(len(WORDS)))
def test_one_changed_word_in_a_longer_turn(edit: str, place: int) -> None:
    text = edited(WORDS, edit, place)
    step = decontaminate(given(ITEM), ngram=13, fuzzy=0.85)
    ((key, (reason, score)),) = found(searched(step, [asks([f"Please answer. {text} Thanks a lot!"])])).items()
    assert key == (0, "quiz/i0")
    assert reason in {"overlap", "fuzzy"}
    assert score >= (0.5 if reason == "overlap" else 1 - 1 / len(WORDS) - 1e-9)


def test_changed_letters_count_as_letters() -> None:
    text = "A robe takes two bolts of bleu fibre and half that much white fibers, how many bolts in totals does it take"
    hits = found(searched(decontaminate(given(ITEM), fuzzy=0.85), [asks([text])]))
    ((_, (reason, score)),) = hits.items()
    plain = [" ".join("".join(c if c.isalnum() else " " for c in one.casefold()).split()) for one in (ITEM, text)]
    assert reason == "fuzzy"
    assert score == pytest.approx(Levenshtein.normalized_similarity(*plain))


def test_what_is_less_alike_is_not_found() -> None:
    text = "Two bolts of red fiber are in a robe, and white fiber too. How many does it take in total?"
    assert found(searched(decontaminate(given(ITEM), fuzzy=0.85), [asks([text])])) == {}
    short = "What is the meaning of life?"
    assert found(searched(decontaminate(given(short), fuzzy=0.85), [asks(["What is the meaning of love?"])])) == {}


def test_the_stretch_is_marked() -> None:
    text = f"Hello there! {edited(WORDS, 'substitute', 10)} Thanks."
    step = decontaminate(given(ITEM), ngram=13, fuzzy=0.85)
    (line,) = searched(step, [asks([text])]).tables["hits"].rows(named=True)
    assert text[line["start"] : line["end"]] == edited(WORDS, "substitute", 10).rstrip("?")
    assert (line["item_start"], line["item_end"], line["reason"]) == (0, len(WORDS), "fuzzy")


@property_of(st.integers(0, 2**32), st.integers(1, 3))
def test_similarity_is_that_of_the_definition(seed: int, edits: int) -> None:
    """The best stretch is not always the planted one, so it may be more alike, never less."""
    chance = random.Random(seed)
    item = ["".join(chance.choices(LETTERS, k=6)) for _ in range(24)]
    text = list(item)
    for _ in range(edits):
        place = chance.randrange(len(text))
        kind = chance.randrange(3)
        text[place : place + (kind > 0)] = ["new" + chance.choice(LETTERS)] if kind < 2 else []
    row = [*("before", "it"), *text, *("after", "it")]
    hits = found(searched(decontaminate(given(" ".join(item)), ngram=25, fuzzy=0.6), [asks([" ".join(row)])]))
    planted = Levenshtein.normalized_similarity(item, text)
    ((_, (reason, score)),) = hits.items()
    if reason == "whole":
        assert row.count(item[0]) == 1
        return
    assert reason == "fuzzy"
    assert score >= planted - 1e-9
    assert score <= 1


def test_one_turn_of_one_sentence_stays_cheap() -> None:
    sentence = " ".join(WORDS)
    items = given(*(edited(WORDS, "insert", place) for place in range(len(WORDS))))
    step = decontaminate(items, fuzzy=0.85, ngram=40)
    assert len(found(searched(step, [asks([(sentence + " ") * 5000])]))) == len(WORDS)
