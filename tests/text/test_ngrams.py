"""Words, n-grams and spans are as their slow definitions say, on every input."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.text.ngrams import ROLL, WordHashes, hash_words, ngrams, word_spans
from curate.text.normal import tables
from curate.text.words_kernel import MARGIN
from tests.reference import ngrams as reference
from tests.reference.ngrams import hash_word, lines
from tests.reference.normal import normal
from tests.reference.words import words

ASSIGNED = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) not in {"Cn", "Cs"}]
"""Characters that this Python's Unicode knows: of others Polars may know more."""

DELICATE = (
    "aaBZ09''’\u00b4\u2032 -_./:@[`{\n\n\r\t\x1f\u3000\u2028\u0301\u0308\u0323\u0345\u030c\ufe0f"
    "\u200b\u200d\u00ad\u115f\u3164\U000e0041"
    "JHTΐİßŉǰΣς½㎏ﷺﬁＡ。，東は々カーｶﾞกัまخé٣한\u1100\u1161\u11a8각가—“…😀𠀀𐐀𝐀"
)
CONTEXT_FREE = "aB9'’é \n.東は—ﬁ½\u200b"
"""Characters whose texts are calm, and so are read by the kernel in one pass."""

TEXTS = st.one_of(
    st.text(st.one_of(st.sampled_from(DELICATE), st.sampled_from(ASSIGNED)), max_size=60),
    st.text("aZ9' \n.", max_size=200),
    st.text("aB'", max_size=200),
    st.text(CONTEXT_FREE, max_size=200),
)


def read(texts: list[str]) -> WordHashes:
    return hash_words(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32))


def lists(values: NDArray[Any], offsets: NDArray[np.int64]) -> list[list[Any]]:
    return [values[start:end].tolist() for start, end in pairwise(offsets.tolist())]


def wanted(texts: list[str]) -> tuple[list[list[int]], list[list[bool]]]:
    hashes = [[hash_word(word) for line in lines(text) for word in line] for text in texts]
    return hashes, [[k == 0 for line in lines(text) for k in range(len(line))] for text in texts]


def check(texts: list[str]) -> None:
    found = read(texts)
    hashes, opens = wanted(texts)
    wrong = [
        text for text, got, want in zip(texts, lists(found.hashes, found.offsets), hashes, strict=True) if got != want
    ]
    assert not wrong, wrong[:3]
    wrong = [
        text for text, got, want in zip(texts, lists(found.opens, found.offsets), opens, strict=True) if got != want
    ]
    assert not wrong, wrong[:3]


def spans(texts: list[str]) -> list[list[str]]:
    found = word_spans(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32))
    places = zip(lists(found.start, found.offsets), lists(found.end, found.offsets), texts, strict=True)
    return [[text[start:end] for start, end in zip(*both, strict=True)] for *both, text in places]


def test_hashes_are_fixed_for_ever() -> None:
    found = read(["Don’t  PANIC", "Donaudampfschifffahrtsgesellschaft", "東"])
    assert found.hashes.tolist() == [0xC4A7E022C2F85F88, 0x14250C4F6210D6FF, 0x521567552BF89E2A, 0x70431B882B259851]
    assert ngrams(found, 2)[0].tolist()[0] == 0xB35DDB2B893225FD
    assert int(ROLL) == reference.ROLL


@given(st.lists(TEXTS, max_size=8))
@example(["a'\u0301b", "\u0301a\n\u0301b", "l'e\u0301te\u0301 d'\n'a", "a¨b", "각\u11a8\n\u11a8"])
def test_words_are_as_defined(texts: list[str]) -> None:
    check(texts)


@given(TEXTS)
def test_lines_and_whole_texts_have_the_same_words(text: str) -> None:
    assert [word for line in lines(text) for word in line] == words(normal(text))


@pytest.mark.thorough
@pytest.mark.parametrize("context", ["{0} a'{0}'b{0} 東{0}\n{0}a", "e\u0301{0}e"])
def test_characters_make_the_words_defined(context: str) -> None:
    table = tables().normal
    changing = [letter for letter in ASSIGNED if table[ord(letter)]]
    others = [letter for letter in ASSIGNED if not table[ord(letter)]]
    check([context.format(letter) for letter in [*changing, *others[:3000], *others[3000::19]]])


@pytest.mark.parametrize(
    "word", ["a", "it's", "sevenletters", "donaudampfschifffahrt", "日", "é", "x\u0301", "o’clock"]
)
def test_words_cross_every_border(word: str) -> None:
    check([" " * k + word + end for k in range(2 * MARGIN + 3) for end in ("", " ", "'", "'s", "\n" + word, "é")])


@given(st.integers(0, 70), st.integers(0, 300), st.sampled_from("a'é東\u0301"), st.sampled_from(CONTEXT_FREE))
def test_long_words(before: int, size: int, letter: str, after: str) -> None:
    check(["." * before + "x" + letter * size + after + "y"])


@given(st.lists(TEXTS, min_size=1, max_size=8), st.data())
def test_some_strings_of_many(texts: list[str], data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=10))
    cut = data.draw(st.integers(0, len(texts)))
    found = hash_words(view(pa.array([*["é x"] * cut, *texts]).slice(cut)), np.array(index, np.int32))
    assert lists(found.hashes, found.offsets) == wanted([texts[i] for i in index])[0]
    assert lists(found.opens, found.offsets) == wanted([texts[i] for i in index])[1]


def test_nulls_and_nothing() -> None:
    text = view(pa.array(["one", None, "", " \n", "…", "two e\u0301"]).slice(1))
    found = hash_words(text, np.arange(5, dtype=np.int32))
    assert (
        found.offsets.tolist() == word_spans(text, np.arange(5, dtype=np.int32)).offsets.tolist() == [0, 0, 0, 0, 0, 2]
    )
    for text in (view(pa.array([], pa.string())), view(pa.array([None, ""], pa.string()))):
        index = np.arange(len(text), dtype=np.int32)
        assert hash_words(text, index).offsets.tolist() == [0] * (len(text) + 1)
        assert word_spans(text, index).offsets.tolist() == [0] * (len(text) + 1)
        assert ngrams(hash_words(text, index), 3)[1].tolist() == [0] * (len(text) + 1)


def test_texts_at_the_edge(edge_text: str) -> None:
    edge_text = edge_text[:200_000]  # the oracle is slow
    check([edge_text, edge_text[1:], edge_text + "x'é", "e\u0301" + edge_text[:20_000]])


def test_more_words_than_there_is_room_for_at_first() -> None:
    check(["a b c", "東" * 1000, "a " * 5000, "e\u0301", "東a" * 700, ""])


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=12), max_size=5), st.integers(1, 9))
def test_ngrams_are_as_defined(texts: list[list[int]], n: int) -> None:
    hashes = np.array([word for text in texts for word in text], np.uint64)
    offsets = np.cumsum([0, *map(len, texts)])
    found = WordHashes(hashes, offsets, np.zeros(len(hashes), np.bool_))
    assert lists(*ngrams(found, n)) == [reference.ngrams(text, n) for text in texts]
    long = [reference.ngrams(text, n) if len(text) >= n else [] for text in texts]
    assert lists(*ngrams(found, n, short=False)) == long


def test_an_ngram_has_a_word() -> None:
    with pytest.raises(ValueError, match="an n-gram has 1 word or more, not 0"):
        ngrams(read(["a"]), 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Don’t—PANIC\r\n½", ["Don’t", "PANIC", "½", "½"]),
        ("Cafe\u0301 l'e\u0301te\u0301", ["Cafe\u0301", "l'e\u0301te\u0301"]),
        ("e\u0301.東京へ", ["e\u0301", "東", "京", "へ"]),
        ("สวัสดี 각\u11a8", ["ส", "วั", "ส", "ดี", "각\u11a8"]),
        ("a¨b\n\u0301c", ["a", "b", "c"]),
        ("😀Straße", ["Straße"]),
        ("\u200bli\u00adght e\u200b\u0301\u200b x", ["li\u00adght", "e\u200b\u0301\u200b", "x"]),
        ("e\u0301 x\ufdfa", ["e\u0301", *["x\ufdfa"] * 4]),
    ],
)
def test_where_words_are(text: str, expected: list[str]) -> None:
    assert spans([text, "é", text]) == [expected, ["é"], expected]


@given(st.lists(st.text(st.one_of(st.sampled_from(DELICATE), st.characters(codec="utf-8")), max_size=60), max_size=6))
@example(["q\u0301 \U0001e030 x", "\U0001e030", "\U0001e030\nq\u0301\n\U0001e030"])  # newer than some Pythons
def test_spans_are_as_many_as_words(texts: list[str]) -> None:
    text, index = view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32)
    found = word_spans(text, index)
    assert found.offsets.tolist() == hash_words(text, index).offsets.tolist()
    assert (found.start < found.end).all()


@given(st.lists(TEXTS, max_size=6))
def test_spans_hold_their_words(texts: list[str]) -> None:
    for text, found in zip(texts, spans(texts), strict=True):
        assert all(word in normal(f".{span}.") for word, span in zip(words(normal(text)), found, strict=True))


@given(st.lists(st.text("aZ9'’ \n.é東—", max_size=60), max_size=6))
def test_spans_of_simple_texts_are_their_words(texts: list[str]) -> None:
    assert spans(texts) == [words(text) for text in texts]


def test_real_texts_are_as_defined(real_file: Callable[[str], Path]) -> None:
    check(real_file("evals/toxigen_prompts/hate_asian_1k.txt").read_text().splitlines())
    for name, fields in (("sft/alpaca_zh_demo.json", ["output"]), ("sft/lima.json", ["instruction", "output"])):
        rows = json.loads(real_file(name).read_bytes())[:1000]
        texts = [row[field] for row in rows for field in fields]
        check(texts)
        assert [len(found) for found in spans(texts)] == np.diff(read(texts).offsets).tolist()
