"""What each selection chooses, against a few lines of Python that say what it should."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from curate.mix.takes import diverse
from curate.mix.takes.diverse import Diverse
from curate.mix.takes.ranked import Longest, Top
from curate.mix.takes.selection import Budget, Selection
from curate.mix.takes.stratified import Stratified
from tests.reference import cover as reference
from tests.support.choices import choose


def test_top_puts_rows_without_a_score_last_and_ties_in_order() -> None:
    score = np.array([1.0, np.nan, 3.0, 1.0, -2.0])
    chats = [["Ask?", "Say."]] * 5
    top = choose(Top(3, by="own.score"), chats, Budget(rows=5), own__score=score)
    assert top.lines.tolist() == [2, 0, 3, 4, 1]
    assert top.why["score"].to_list()[:2] == [3.0, 1.0]
    low = choose(Top(3, by="own.score", lowest=True), chats, Budget(tokens=25), own__score=score)
    assert low.lines.tolist() == [4, 0, 3]


def test_longest_counts_visible_characters_of_the_answers() -> None:
    chats = [["A very long question indeed", "no"], ["?", "yes\u200b\u200b\u200b\u200b\u200b"], ["?", "four"]]
    found = choose(Longest(3), chats, Budget(rows=3))
    assert found.lines.tolist() == [2, 1, 0]
    assert found.why["characters"].to_list() == [4, 3, 2]


def test_stratified_goes_round() -> None:
    task = pa.array(["a", "a", "b", "a", "c", "b", ""])
    found = choose(Stratified(9, by="own.task"), [["Ask?", "Say."]] * 7, Budget(rows=7), own__task=task)
    assert found.lines.tolist() == [0, 2, 4, 6, 1, 5, 3]
    assert found.why["round"].to_list() == [1, 1, 1, 1, 2, 2, 3]
    assert found.why["rows_of_group"].to_list() == [3, 2, 1, 1, 3, 2, 3]
    assert found.why["group"].to_list() == ["a", "b", "c", "", "a", "b", "a"]


def test_two_labels_make_groups_of_their_pairs() -> None:
    first, second = pa.array(list("aabba")), np.array([1, 2, 1, 1, 1])
    chats = [["Ask?", "Say."]] * 5
    found = choose(Stratified(9, by=["x.one", "x.two"]), chats, Budget(rows=3), x__one=first, x__two=second)
    assert found.lines.tolist() == [0, 1, 2]
    assert found.why["group"].to_list() == ["a | 1", "a | 2", "b | 1"]


def test_a_template_is_an_end_that_five_rows_share() -> None:
    chats = [[f"Tell me more about {i} and {i * i}", "Well."] for i in range(5)]
    chats += [[f"{i} or {i + 1} or what?", "Well."] for i in range(4)]
    found = choose(Stratified(9, by="template"), chats, Budget(rows=9))
    assert Counter(found.why["group"]) == {"tell me more about | ...": 5, "... | ...": 4}
    assert found.lines.tolist()[:2] == [0, 5]


@pytest.mark.parametrize("ahead", [1.0, 2.5, 1e6])
def test_diverse_is_the_greedy_cover_of_word_sets(ahead: float) -> None:
    rng = random.Random(0)
    words = [f"w{i}" for i in range(40)]
    chats = [[" ".join(rng.choices(words, k=rng.randrange(1, 9))), rng.choice(words)] for _ in range(60)]
    found = choose(Diverse(60, ngram=1, ahead=ahead), chats, Budget(rows=60))
    names = {word: i for i, word in enumerate(words)}
    rows = [frozenset(names[word] for text in chat for word in text.split()) for chat in chats]
    counted = reference.rows_with(rows)
    worth = {
        item: float(count) if count * diverse.FREQUENT >= len(rows) else math.sqrt(count)
        for item, count in counted.items()
    }
    expected = reference.cover(rows, worth, [10] * 60, frame=diverse.FRAME, ahead=ahead, most=60)
    added = dict(expected)
    assert found.why["adds"].to_list() == [added[i] for i in found.lines.tolist()]
    assert found.why["ngrams"].to_list() == [len(rows[i]) for i in found.lines.tolist()]
    assert found.lines.tolist() == [i for i, _ in expected]
    assert not found.why["template"].any()


def test_diverse_counts_a_template_once() -> None:
    chats = [[f"Tell me more about {i}", "same"] for i in range(6)]
    found = choose(Diverse(6, ngram=1), chats, Budget(rows=6))
    assert found.why["template"].to_list() == [True, False, False, False, False, False]
    assert found.why["adds"].to_list() == [6, 1, 1, 1, 1, 1]


def test_quality_weighs_what_is_added() -> None:
    chats = [["one two three", "four"], ["five six", "seven"], ["eight", "nine"]]
    quality = np.array([0.0, 1.0, 10.0])
    with_it = choose(Diverse(3, ngram=1, ahead=9, quality="own.q"), chats, Budget(rows=3), own__q=quality)
    assert with_it.lines.tolist() == [0, 2, 1]  # the first is the only one seen before anything is chosen
    without = Diverse(3, ngram=1, ahead=9, quality="own.q", exponent=0)
    assert choose(without, chats, Budget(rows=3), own__q=quality).lines.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "take", [Diverse(3), Longest(3), Stratified(3, by="template"), Top(3, by="words")], ids=lambda take: take.name
)
def test_no_rows_and_rows_without_words(take: Selection) -> None:
    assert choose(take, [], Budget(rows=3)).lines.tolist() == []
    found = choose(take, [["", ""], ["🙂", ""], ["", " "]], Budget(rows=3))
    assert sorted(found.lines.tolist()) == [0, 1, 2]


def test_a_call_is_shown_as_it_was_written() -> None:
    assert repr(Diverse(5)) == "Diverse(5)"
    assert repr(Stratified(by=["turns"])) == "Stratified(by=('turns',))"
    assert repr(Top(5, by="words", lowest=True)) == "Top(5, by='words', lowest=True)"
