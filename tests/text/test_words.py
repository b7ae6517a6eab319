"""Words and characters are counted as their slow definitions say."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.text.words import ALONE, classes, count_characters, count_words
from tests.reference.words import words

DELICATE = "aZ09'’\u2032 -_./:@[`{\n\u0301\ufe0f\u200b\u200d\u00ad\u3164東はカーｶﾞกั한é٣😀½"
TEXTS = st.text(st.one_of(st.sampled_from(DELICATE), st.characters(codec="utf-8")), max_size=60)

SCRIPTS = (
    "BALINESE", "BOPOMOFO", "CJK COMPATIBILITY IDEOGRAPH", "CJK UNIFIED", "HALFWIDTH KATAKANA", "HENTAIGANA",
    "HIRAGANA", "IDEOGRAPHIC", "JAVANESE", "KATAKANA", "KHITAN", "KHMER", "LAO", "MASU MARK", "MYANMAR",
    "NEW TAI LUE", "NUSHU", "OLD CHINESE", "TAI LE", "TAI THAM", "TAI VIET", "TANGUT", "THAI", "VERTICAL IDEOGRAPHIC",
    "VERTICAL KANA", "YI SYLLABLE",
)  # fmt: skip
"""How the Unicode names of letters in scripts without spaces begin."""


def count(texts: list[str]) -> tuple[list[int], list[int]]:
    text, index = view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32)
    return count_words(text, index).tolist(), count_characters(text, index).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't panic", ["Don't", "panic"]),
        ("dogs’ tails, rock'n'roll", ["dogs", "tails", "rock'n'roll"]),
        ("well-known snake_case 3.14", ["well", "known", "snake", "case", "3", "14"]),
        ("東京へ行く", ["東", "京", "へ", "行", "く"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("❤\ufe0f 😀 ''' !", []),
        ("GPT4は", ["GPT4", "は"]),
        ("a'\u0301b", ["a", "b"]),
        ("light\u200bhouse don'\u2060t \u3164", ["light\u200bhouse", "don'\u2060t"]),
    ],
)
def test_what_a_word_is(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert count([text])[0] == [len(expected)]


@given(st.lists(TEXTS, max_size=8))
def test_counts_are_as_defined(texts: list[str]) -> None:
    assert count(texts) == ([len(words(text)) for text in texts], [len(text) for text in texts])


@given(st.text("aZ9' \n.", max_size=50))
def test_counts_of_ascii_are_as_defined(text: str) -> None:
    assert count([text, text[1:]])[0] == [len(words(text)), len(words(text[1:]))]


@pytest.mark.thorough
def test_every_character_counts_as_defined() -> None:
    texts = [f"a{chr(point)}'b" for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    assert count(texts)[0] == [len(words(text)) for text in texts]


def test_unspaced_scripts_are_what_their_names_say() -> None:
    table = classes()
    letters = filter(str.isalpha, map(chr, range(0x110000)))
    named = {letter: name for letter in letters if (name := unicodedata.name(letter, ""))}  # Tangut has names from 3.12
    wrong = [name for letter, name in named.items() if name.startswith(SCRIPTS) != (table[ord(letter)] == ALONE)]
    assert not wrong, wrong[:5]


def test_texts_at_the_edge(edge_text: str) -> None:
    edge_text = edge_text[:200_000]  # the oracle is slow
    assert count([edge_text, edge_text + "x'é"]) == (
        [len(words(edge_text)), len(words(edge_text + "x'é"))],
        [len(edge_text), len(edge_text) + 3],
    )


def test_some_strings_of_many() -> None:
    text = view(pa.array(["one", None, "two words", "", "dr\u00fcber und dr\u00fcber"]).slice(1))
    assert count_words(text, np.array([3, 1, 0], np.int32)).tolist() == [3, 2, 0]
    assert count_characters(text, np.array([3, 1, 0], np.int32)).tolist() == [17, 9, 0]


def test_real_texts_count_as_defined(real_file: Callable[[str], Path]) -> None:
    for name in ("sft/alpaca_zh_demo.json", "sft/alpaca_cleaned_1000.json"):
        texts = [row["output"] for row in json.loads(real_file(name).read_bytes())]
        assert count(texts)[0] == [len(words(text)) for text in texts]
