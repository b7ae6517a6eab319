"""Normal form equals its slow definition on every input, and is idempotent."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.kernels.hashing import hash_strings
from curate.text.normal import APOSTROPHES, GROWTH, UNSETTLED, WHITE_SPACE, blank, hash_normal, normalise, tables
from tests.reference import normal as reference
from tests.reference.normal import normal

ASSIGNED = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) not in {"Cn", "Cs"}]
"""Characters that this Python's Unicode knows: of others Polars may know more."""

DELICATE = (
    "aBé@[`{'’\u00b4\u1ffd\u2032 \t\n\x1f\u3000"
    "\u0301\u0308\u0323\u0345\u030c\u200d\u00ad\u034f\u115f\ufe0f\uffa0\U000e0041JHTΐᾳᾼİIßẞŉǰſẛΣς½㎏ﷺﬁＡ。ｶﾞ한\u1100\u1161\u11a8각가😀"
)
TEXTS = st.text(st.one_of(st.sampled_from(DELICATE), st.sampled_from(ASSIGNED)), max_size=40)
LINES = st.text("aZ z.\n\t\x0b\x1f\x1b@[`{'", max_size=60)


def fast(texts: list[str]) -> list[str]:
    found = normalise(pa.array(texts, pa.string())).to_pylist()
    assert isinstance(found, list)
    return found


def test_the_oracle_knows_the_same_apostrophes_and_white_space() -> None:
    assert {chr(point) for point in reference.APOSTROPHES} == set(APOSTROPHES)
    assert set(WHITE_SPACE) == {letter for letter in ASSIGNED if letter.isspace() and ord(letter) > 127}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "context", ["{}", "a{}\u0301b C", "J{}\u030c", " {} {}A", "\u1100{}\u11a8", "ｶ{}ﾞ'", "J\u200b{}"]
)
def test_every_character_comes_out_as_defined(context: str) -> None:
    texts = [context.format(letter, letter) for letter in ASSIGNED]
    wrong = [(text, found) for text, found in zip(texts, fast(texts), strict=True) if found != normal(text)]
    assert not wrong, wrong[:5]


@given(st.lists(st.one_of(TEXTS, LINES), max_size=8))
@example(
    [
        "e\u200b\u0301",
        " \u200b ",
        "\u1100\u3164\u1161",
        "\u200b\u0301",
        "J\u030c",
        "\u00b4\u0301",
        "\u1ffd",
        "ᾼ\u0323",
        "\u0345",
        "ΐ\u0323",
        " \u0308",
        "¨",
        "a ¨",
    ]
)
def test_texts_come_out_as_defined(texts: list[str]) -> None:
    assert fast(texts) == [normal(text) for text in texts]


@given(st.one_of(TEXTS, LINES))
def test_the_definition_is_idempotent(text: str) -> None:
    assert normal(normal(text)) == normal(text)


def test_the_definition_is_idempotent_on_every_character() -> None:
    assert [letter for letter in ASSIGNED if normal(normal(letter)) != normal(letter)] == []


@given(TEXTS, st.sampled_from(["NFC", "NFD", "NFKC"]))
def test_equivalent_spellings_have_one_normal_form(text: str, form: str) -> None:
    if "NFKC" in form and any(letter in text for letter in "\u00b4\u1ffd"):
        return  # NFKC takes an acute accent apart before it is seen to be an apostrophe
    assert normal(unicodedata.normalize(form, text)) == normal(text)  # type: ignore[arg-type]


@given(st.lists(st.one_of(TEXTS, LINES), min_size=1, max_size=8), st.data())
def test_hashes_are_those_of_the_normal_form(texts: list[str], data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=10))
    found = hash_normal(view(pa.array(texts, pa.string())), np.array(index, np.int32))
    wanted = hash_strings(view(pa.array([normal(texts[i]) for i in index], pa.string())))
    assert found.high.tolist() == wanted.high.tolist()
    assert found.low.tolist() == wanted.low.tolist()


def casefold_of(letter: str) -> str:
    """Map a character as Unicode derives NFKC_Casefold (DerivedNormalizationProps.txt)."""
    text = ""
    while text != (text := letter):
        folded = unicodedata.normalize("NFD", text).casefold()
        letter = unicodedata.normalize("NFKC", reference.INVISIBLE.sub("", folded))
    return letter


def nfkc_casefold(text: str) -> str:
    """Fold a text as Unicode's R5 and D147 say, invisible characters left out first."""
    decomposed = unicodedata.normalize("NFD", reference.INVISIBLE.sub("", text))
    return unicodedata.normalize("NFC", "".join(map(casefold_of, decomposed)))


def without_our_own(text: str) -> str:
    """Leave out what normal form adds to NFKC_Casefold: apostrophes, and white space."""
    return " ".join(text.translate(reference.APOSTROPHES).split())


@pytest.mark.thorough
def test_every_character_comes_out_as_nfkc_casefold() -> None:
    texts = [letter for letter in ASSIGNED if letter not in APOSTROPHES]
    found = zip(texts, fast(texts), strict=True)
    assert [text for text, got in found if got != without_our_own(casefold_of(text))] == []


@given(TEXTS.map(lambda text: text.translate(reference.APOSTROPHES)))
def test_texts_come_out_as_nfkc_casefold(text: str) -> None:
    assert normal(text) == without_our_own(nfkc_casefold(text))


def test_texts_at_the_edge(edge_text: str) -> None:
    assert fast([edge_text, edge_text[1:], edge_text + "é"]) == [
        normal(edge_text),
        normal(edge_text[1:]),
        normal(edge_text + "é"),
    ]
    text = view(pa.array([edge_text]))
    assert blank(text, np.zeros(1, np.int32)).tolist() == [not normal(edge_text)]


def test_blank_is_an_empty_normal_form() -> None:
    texts = [*ASSIGNED, *(f" {letter}\n" for letter in ASSIGNED), "", "  x"]
    found = blank(view(pa.array(texts)), np.arange(len(texts), dtype=np.int32))
    assert found.tolist() == [not normal(text) for text in texts]


def test_slices_and_nulls() -> None:
    texts = pa.array(["AB", None, "e\u0301 X", "", "Ça  va"])
    assert normalise(texts.slice(1, 3)).to_pylist() == ["", "é x", ""]
    assert normalise(texts.slice(5)).to_pylist() == []
    assert normalise(pa.array([], pa.string())).to_pylist() == []


def test_no_character_outgrows_its_room() -> None:
    table = tables()
    for letter in ASSIGNED[128:]:
        size = len(letter.encode())
        for entry in (table.normal[ord(letter)], table.folded[ord(letter)]):
            assert entry == UNSETTLED or entry & 63 <= GROWTH * size, letter
        assert len(letter.casefold().encode()) <= GROWTH * size


def test_real_texts_come_out_as_defined(real_file: Callable[[str], Path]) -> None:
    for name in ("sft/alpaca_zh_demo.json", "sft/alpaca_cleaned_1000.json", "sft/oasst_sft_zh.json"):
        texts = [
            value
            for row in json.loads(real_file(name).read_bytes())
            for value in row.values()
            if isinstance(value, str)
        ]
        assert texts
        assert fast(texts) == [normal(text) for text in texts]
