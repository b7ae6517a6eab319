"""`decontaminate(fuzzy=)` finds copies with a few words changed, and says how alike they are."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Final

import polars as pl
import pytest
from hypothesis import given as property_of
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from curate.steps.decontaminate._variants import FUNCTION_WORDS
from curate.steps.decontaminate.decontaminate import decontaminate
from tests.reference.contamination import split
from tests.reference.similarity import lacks, similarity
from tests.support.eval_search import found, given, searched
from tests.support.group_resolve import asks
from tests.support.real_evals import real_evals

ITEM = "A robe takes two bolts of blue fiber and half that much white fiber. How many bolts in total does it take?"
WORDS = ITEM.split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"

RATES: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
PLANTED: Final = 10
"""Items planted of each eval set; five times as many of GSM8K."""

VARIANTS: Final = (
    ("Where would you get a pen if you do not have one?", "Where would you get a dog if you do not have one?"),
    ("What do people aim to do when they are at a concert?", "What do people aim to do when they are at a funeral?"),
    (
        "Which of these is the best conductor of heat in a room?",
        "Which of these is the best source of light in a room?",
    ),
    (
        "Where is a person likely to keep an umbrella in the house?",
        "Where is a person likely to keep a hammer in the house?",
    ),
    (
        "What is the capital of the country that is south of Norway?",
        "What is the capital of the country that is south of Egypt?",
    ),
    (
        "What would happen to a plant if it were kept in the dark?",
        "What would happen to a candle if it were kept in the dark?",
    ),
    (
        "Who was the first woman to win the prize for chemistry?",
        "Who was the first woman to win the prize for literature?",
    ),
    (
        "What are you likely to feel after you have eaten too much?",
        "What are you likely to feel after you have slept too much?",
    ),
    (
        "How many legs do you count if there are six spiders here?",
        "How many legs do you count if there are six horses here?",
    ),
    ("Which of the following is not an example of a mammal?", "Which of the following is not an example of a metal?"),
    ("What should you do before you go into a cave alone?", "What should you do before you go into a bank alone?"),
    ("Is it true that you can see the wall from the moon?", "Is it true that you can see the river from the moon?"),
)

REPHRASED: Final = (
    ("Where would you get a pen if you do not have one?", "Where could you get a pen if you do not have one?"),
    ("What do people aim to do when they are at a concert?", "What do people aim to do while they're at a concert?"),
    (
        "Which of these is the best conductor of heat in a room?",
        "Which of these is the best conductor for heat in the room?",
    ),
    (
        "Where is a person likely to keep an umbrella in the house?",
        "Where is a person likely to keep umbrellas in the house?",
    ),
    (
        "What would happen to a plant if it were kept in the dark?",
        "What will happen to a plant if it was kept in the dark?",
    ),
    (
        "What are you likely to feel after you have eaten too much?",
        "What are you likely to feel when you have eaten too much?",
    ),
    (
        "How many legs do you count if there are six spiders here?",
        "How many legs can you count if there are six spiders?",
    ),
    (
        "Which of the planets is the one that is closest to our sun?",
        "Which of the planets is the one that's closest to our sun?",
    ),
    (
        "How many apples does Tom have left after he gives two to Ann?",
        "How many apples does Tom have left after giving two to Ann?",
    ),
    ("Is it true that you can see the wall from the moon?", "Is it true that one can see the wall from the moon?"),
    (
        "What colour is the flag of the country that is south of Norway?",
        "What color is the flag of the country which is south of Norway?",
    ),
)


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


@pytest.mark.parametrize(("item", "row"), VARIANTS)
def test_a_variant_of_one_template_is_another_question(item: str, row: str) -> None:
    for questions in ((item,), tuple(chain(*VARIANTS))[::2]):
        assert (
            found(searched(decontaminate(given(*questions), fuzzy=0.85, ngram=20), [asks([f"So tell me. {row}"])]))
            == {}
        )


@pytest.mark.parametrize(("item", "row"), REPHRASED)
def test_other_function_words_and_spellings_are_the_same_question(item: str, row: str) -> None:
    for questions in ((item,), (item, *(old for old, _ in REPHRASED if old != item))):
        hits = found(searched(decontaminate(given(*questions), fuzzy=0.85, ngram=20), [asks([f"So tell me. {row}"])]))
        assert set(hits) == {(0, "quiz/i0")}


def changed(words: list[str], rate: float, chance: random.Random, others: list[str]) -> list[str]:
    """Change, delete or insert words, in as many places as the share `rate` of them."""
    new = list(words)
    for place in sorted(chance.sample(range(len(words)), round(rate * len(words))), reverse=True):
        kind = chance.choice("ccdi")
        new[place : place + (kind != "i")] = [] if kind == "d" else [chance.choice(others)]
    return new


@pytest.fixture(scope="module")
def planted(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Items of real eval sets with some words changed, within real instructions."""
    chance = random.Random(5)
    sets = real_evals(real_data, tmp_path_factory.mktemp("evals"))
    rows = pl.read_json(real_data / "sft/alpaca_random_9k.json")["instruction"].to_list()
    others = sorted({word for row in rows[:2000] for word in split(row) if word.isalpha() and len(word) > 2})
    every: dict[str, tuple[str, list[str]]] = {}
    for one in sets:
        questions = [text for text in one.load().question.to_pylist() if text and 10 <= len(split(text)) <= 100]
        for text in chance.sample(questions, min(PLANTED * (5 if one.name == "gsm8k" else 1), len(questions))):
            every[" ".join(split(text))] = (text, split(text))
    lines = []
    for number, (text, words) in enumerate(every.values()):
        for rate in RATES:
            before, after = chance.choice(rows).split()[:30], chance.choice(rows).split()[:20]
            lines.append((number, text, rate, " ".join([*before, *changed(words, rate, chance, others), *after])))
    return pl.DataFrame(lines, schema=["item", "text", "rate", "row"], orient="row")


@pytest.mark.thorough
@pytest.mark.parametrize("fuzzy", [0.85, 0.7, 0.6])
def test_what_an_exhaustive_comparison_finds(planted: pl.DataFrame, fuzzy: float) -> None:
    """Of the rows that are similar by the definition, 95 % or more are found."""
    questions = planted.unique("item", maintain_order=True)["text"].to_list()
    step = decontaminate(given(*questions), fuzzy=fuzzy, ngram=1000, numbers=False)
    hits = found(searched(step, [asks(planted["row"].to_list())]))
    words = [split(text) for text in questions]
    having = Counter(chain(*map(set, words)))
    says = {word: 1 + math.log((len(words) + 101) / (having[word] + 1)) for word in having}
    says |= dict.fromkeys(FUNCTION_WORDS.split(), 1.0)
    alike = same = both = 0
    for number, (item, row) in enumerate(planted.select("item", "row").rows()):
        turn, hit = split(row), (number, f"quiz/i{item}") in hits
        if similarity(words[item], turn, fuzzy) < fuzzy - 1e-6:
            continue
        alike += 1
        if lacks(words[item], turn, says) <= (1 - fuzzy) * (2.7 - 2 * fuzzy):
            same += 1
            both += hit
    print(f"fuzzy={fuzzy}: {alike} alike, {same} of them the same question, {both} found: {both / same:.4f}")  # noqa: T201
    assert same > 400
    assert both >= 0.95 * same


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
