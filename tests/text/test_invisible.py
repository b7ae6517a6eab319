"""Invisible characters are Unicode's, and places among visible ones are counted among all."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import strings, view
from curate.text.invisible import PATTERN, has_invisible, invisible, places_among_all, stripped
from tests.reference.normal import INVISIBLE

EVERY = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
TEXTS = st.text(
    st.sampled_from("ab \n\u00ad\u034f\u061c\u200b\u3164\ufe0f\ufeff\U000e0041é\u2019東ー。\u0301😀"), max_size=80
)


def test_they_are_default_ignorable_code_points() -> None:
    wanted = pl.Series(EVERY).str.contains(r"\p{Default_Ignorable_Code_Point}").to_list()
    assert invisible()[list(map(ord, EVERY))].tolist() == wanted
    assert [INVISIBLE.match(letter) is not None for letter in EVERY] == wanted
    assert [re.match(PATTERN, letter) is not None for letter in EVERY] == wanted


@pytest.mark.thorough
def test_every_character_is_detected_wherever_it_is() -> None:
    texts = [before + letter + after for letter in EVERY for before, after in (("", ""), ("x" * 31, "é" * 20))]
    index = np.arange(len(texts), dtype=np.int32)
    found = has_invisible(view(pa.array(texts)), index)
    assert found.tolist() == [bool(INVISIBLE.search(text)) for text in texts]


@given(st.lists(TEXTS, min_size=1, max_size=8), st.data())
def test_texts_with_one_are_detected(texts: list[str], data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8))
    found = has_invisible(view(pa.array(texts, pa.string())), np.array(index, np.int32))
    assert found.tolist() == [bool(INVISIBLE.search(texts[i])) for i in index]


@given(st.lists(TEXTS, min_size=1, max_size=8), st.data())
def test_they_are_left_out(texts: list[str], data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8))
    shown = strings(*stripped(view(pa.array(texts, pa.string())), np.array(index, np.int32)))
    assert shown.to_pylist() == [INVISIBLE.sub("", texts[i]) for i in index]


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_places_are_counted_among_all(texts: list[str]) -> None:
    shown = [INVISIBLE.sub("", text) for text in texts]
    spans = [(i, start, end) for i, text in enumerate(shown) for end in range(len(text) + 1) for start in range(end)]
    index, start, end = np.array(spans or [(0, 0, 0)], np.int32).T
    found = places_among_all(view(pa.array(texts)), index, start, end)
    for i, first, last, one, other in zip(index, start, end, *found, strict=True):
        hit = texts[i][one:other]
        assert INVISIBLE.sub("", hit) == shown[i][first:last]
        assert hit[:1] + hit[-1:] == INVISIBLE.sub("", hit[:1] + hit[-1:])
