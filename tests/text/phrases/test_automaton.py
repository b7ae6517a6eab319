"""Phrases are spelled out in full, and the automaton meets each spelling where its slow definition does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.kernels.buffers import view
from curate.text.phrases import matching
from curate.text.phrases.automaton import APOSTROPHES, SPACES, Phrase, alternatives, compile_phrases, spellings
from curate.text.phrases.matching import find
from tests.reference import phrases as reference

PHRASES = (
    Phrase("I do not have opinions"),
    Phrase("as an AI"),
    Phrase("as an AI language model"),
    Phrase("language model"),
    Phrase("I cannot help"),
    Phrase("it is not"),
    Phrase("as an AI,"),
    Phrase("GPT-3"),
    Phrase("GPT-3.5"),
    Phrase("PaLM", exact=True),
    Phrase("Open AI", exact=True),
    Phrase("palm"),
    Phrase("作为AI"),
    Phrase("été"),
    Phrase("AI"),
    Phrase("作为 AI"),
    Phrase("été AI"),
    Phrase("是模型GPT-3"),
)
WORDS = "I do don't dont not have opinions as an AI ai Ai, language model cannot can can't help it's it is its"
FRAGMENTS = st.sampled_from(
    [
        *WORDS.split(),
        "GPT-3.5",
        "GPT-3",
        "PaLM",
        "palm",
        "Palm tree",
        "Open AI",
        "open ai",
        "作为",
        "是模型",
        "AI",
        "été",
        "É",
        "naïve",
        "_",
        "ß",
        "\U0001f600",
    ]
    + ["don" + apostrophe + "t" for apostrophe in APOSTROPHES]
    + ["I" + apostrophe + "m" for apostrophe in APOSTROPHES]
    + ["模型", "नमस्ते", "שלום", "e\u0301", "\u200d", "،", ".", "-", "'", "\u00ad"]
)
GAPS = st.one_of(st.just(" "), st.just(""), st.text(st.sampled_from(SPACES), max_size=3))
TEXTS = st.lists(st.tuples(FRAGMENTS, GAPS), max_size=12).map(lambda parts: "".join(a + b for a, b in parts))


def hits(
    texts: list[str | None], phrases: tuple[Phrase, ...], opening: int | None = None, **how: bool
) -> list[set[tuple[int, int, int]]]:
    text = view(pa.array(texts, pa.string()))
    found = find(text, np.arange(len(texts), dtype=np.int32), compile_phrases(phrases, **how), opening=opening)
    sets: list[set[tuple[int, int, int]]] = [set() for _ in texts]
    for place, *hit in zip(*(column.tolist() for column in found), strict=True):
        assert tuple(hit) not in sets[place], "a hit is reported once"
        sets[place].add(tuple(hit))
    return sets


@pytest.mark.parametrize(
    "how", [{"words": words, "loose": loose} for words in (True, False) for loose in (True, False)]
)
@given(texts=st.lists(TEXTS, max_size=5))
def test_hits_are_as_defined(texts: list[str], how: dict[str, bool]) -> None:
    assert hits([*texts], PHRASES, **how) == [reference.find(text, PHRASES, **how) for text in texts]


@given(text=TEXTS, opening=st.integers(0, 40))
def test_an_opening_has_the_hits_that_start_in_it(text: str, opening: int) -> None:
    every = reference.find(text, PHRASES, words=True, loose=True)
    assert hits([text], PHRASES, opening) == [{hit for hit in every if hit[1] < opening}]


def test_a_hit_that_starts_later_is_out_though_an_earlier_one_holds_it() -> None:
    said = ["as an AI language model"]
    assert hits([*said], PHRASES, 9) == [{(1, 0, 8), (2, 0, 23), (14, 6, 8)}]
    assert hits([*said], PHRASES, 10) == [{(1, 0, 8), (2, 0, 23), (14, 6, 8), (3, 9, 23)}]


def test_phrases_of_two_sets_may_be_spelled_alike() -> None:
    text = view(pa.array(["I can't help you, I said."]))
    automaton = compile_phrases(
        (Phrase("I cannot help"), Phrase("help you")), (Phrase("I can't help"), Phrase("I said"))
    )
    found = find(text, np.zeros(1, np.int32), automaton)
    assert sorted(found.phrase.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("text", ["x ", "我是", "AI我是 ", "，我是　	 "])
def test_chinese_text_is_searched_at_the_names_in_it(text: str) -> None:
    automaton = compile_phrases((Phrase("我是ChatGPT"), Phrase("我是 ChatGPT"), Phrase("作为AI")))
    assert not automaton.past_ascii
    expected = {(int(text[-1] != "是"), text.index("我"), len(text) + 7)} if "我" in text else set()
    assert hits([f"{text}chatgpt。"], (Phrase("我是ChatGPT"), Phrase("我是 ChatGPT"), Phrase("作为AI"))) == [expected]


@pytest.mark.parametrize("phrase", [Phrase("I am"), Phrase("I do"), Phrase("it is"), Phrase("a b c"), Phrase("abc is")])
def test_white_space_and_apostrophes_may_be_anywhere(phrase: Phrase) -> None:
    gaps = [*SPACES, "  ", " \n", "\u00a0 ", "\u2003\u3000"]
    said = [spelling.replace(" ", gap) for spelling in spellings(phrase) for gap in gaps if " " in spelling]
    said += [
        spelling.replace("'", letter) for spelling in spellings(phrase) for letter in APOSTROPHES if "'" in spelling
    ]
    assert hits([*said], (phrase,)) == [{(0, 0, len(text))} for text in said]
    within = [f"(x, {text}) and so on" for text in said]
    assert hits([*within], (phrase,)) == [{(0, 4, 4 + len(text))} for text in said]


def test_edges(edge_texts: dict[str, str]) -> None:
    texts = list(edge_texts.values())
    short = [text for text in texts if len(text) < 1_000_000]
    assert hits([*short], PHRASES) == [reference.find(text, PHRASES, words=True, loose=True) for text in short]
    refusal = "As an AI language model, I don\u2019t\u00a0have opinions."
    for text in texts:
        start = len(text) + 2
        found = hits([f"{text}. {refusal}"], PHRASES)[0]
        assert {(1, start, start + 8), (2, start, start + 23), (0, start + 25, start + 46)} <= found


def test_null_and_empty_have_none() -> None:
    assert hits([None, "", " ", "A", "as an AI"], PHRASES) == [set(), set(), set(), set(), {(1, 0, 8), (14, 6, 8)}]
    assert hits([], PHRASES) == []


def test_a_text_may_have_more_hits_than_the_kernel_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "ROOM", 2)
    texts: list[str | None] = ["AI", "AI AI AI " * 50, "", "AI, AI", "AI"] * 3
    assert [len(found) for found in hits(texts, PHRASES)] == [1, 150, 0, 2, 1] * 3


def test_texts_of_a_slice_and_chosen_by_index() -> None:
    text = view(pa.array(["AI", "no", "an AI", None, "AI"]).slice(1))
    found = find(text, np.array([3, 0, 1, 3], np.int32), compile_phrases((Phrase("AI"),)))
    assert [column.tolist() for column in found] == [[0, 2, 3], [0, 0, 0], [0, 3, 0], [2, 5, 2]]


def test_apostrophes_and_contractions() -> None:
    one = (Phrase("I do not have opinions"), Phrase("I am sorry"), Phrase("I cannot"))
    said = [f"I don{apostrophe}t have opinions" for apostrophe in APOSTROPHES]
    assert hits([*said], one) == [{(0, 0, 21)}] * len(said)
    assert hits(["I DONT\nhave \t opinions", "i'm sorry", "Im sorry", "I CAN NOT", "I can\u2019t", "I cant"], one) == [
        {(0, 0, 22)},
        {(1, 0, 9)},
        {(1, 0, 8)},
        {(2, 0, 9)},
        {(2, 0, 7)},
        {(2, 0, 6)},
    ]
    assert hits(["I don't have opinions"], (Phrase("I dont have opinions"),)) == [set()]


def test_a_phrase_given_short_matches_in_full() -> None:
    assert hits(["I cannot, I am not", "I can\u2019t, I'm not"], (Phrase("I can\u2019t"), Phrase("I'm not"))) == [
        {(0, 0, 8), (1, 10, 18)},
        {(0, 0, 7), (1, 9, 16)},
    ]


def test_words_are_whole_by_default() -> None:
    palm = (Phrase("Palm"), Phrase("PaLM", exact=True))
    assert hits(["palm tree", "PALMS", "napalm", "my_palm", "用Palm写", "PaLM 2"], palm) == [
        {(0, 0, 4)},
        set(),
        set(),
        set(),
        {(0, 1, 5)},
        {(0, 0, 4), (1, 0, 4)},
    ]
    assert hits(["napalms"], palm, words=False) == [{(0, 2, 6)}]


@given(st.sampled_from(PHRASES), st.data())
def test_every_spelling_matches(phrase: Phrase, data: st.DataObject) -> None:
    spelling = data.draw(st.sampled_from(spellings(phrase)))
    assert hits([f"({spelling})"], (phrase,)) == [{(0, 1, 1 + len(spelling))}]


def test_alternatives_nest() -> None:
    assert set(alternatives("I (can(not|)|will) go")) == {"I cannot go", "I can go", "I will go"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 symbols; a phrase has 2 to 250"),
        (" \n", "has 0 symbols"),
        ("a", "has 1 symbols"),
        ("a" * 251, "has 251 symbols"),
        ("'tis", "begins with an apostrophe"),
    ],
)
def test_phrases_that_cannot_match_are_refused(text: str, message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        compile_phrases((Phrase(text),))


def test_a_phrase_of_an_unspaced_script_may_follow_a_letter() -> None:
    assert hits(["I作为AI"], (Phrase("作为AI"),)) == [{(0, 1, 5)}]
