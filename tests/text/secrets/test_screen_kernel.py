"""A text that the pattern of a kind matches is never screened out, wherever the match is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.text.secrets.find import READERS, SCREENED, Kind
from curate.text.secrets.screen_kernel import screened

MATCHES: dict[Kind, list[str]] = {
    "phone": ["+1  (2)) 3-- 4.. 5   6()(7   8", "1./2-(3  4  5  6  7  8  9--0", "+44 1632 960983", "0123456789"],
    "ip": ["1.222.222.2", "8.8.8.8", "2001:" + "a" * 90 + ":", "3fff::1"],
    "card": ["4111 1111 1111 11", "4111-1-1-1-1-1-1-1-1-1-1", "41111111111111"],
    "iban": ["12 A B C D E F G H I J K", "22ABCDEFGHIJK", "00 0 0 0 0 0 0 0 0 0 0 0"],
}
FILLER = "x" * 64


def bits(texts: list[str]) -> list[int]:
    return screened(view(pa.array([*texts, FILLER])), np.arange(len(texts), dtype=np.int32)).tolist()


@pytest.mark.parametrize("kind", SCREENED)
def test_shortest_and_longest_matches_pass_at_every_place(kind: Kind) -> None:
    for match in MATCHES[kind]:
        texts = ["x" * before + match + "x" * 40 for before in range(70)]
        assert pl.Series([match]).str.contains(READERS[kind][0]).all()
        assert all(found & SCREENED[kind] for found in bits(texts))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "22", "333", ".", " ", "-", "(", "+", ":", "AB", "2001:", "é"]), st.integers(1, 6)
        ),
        max_size=40,
    )
)
def test_what_a_pattern_matches_passes(parts: list[tuple[str, int]]) -> None:
    text = "".join(part * times for part, times in parts)
    (found,) = bits([text])
    for kind, bit in SCREENED.items():
        if pl.Series([text]).str.contains(READERS[kind][0]).all():
            assert found & bit


def test_plain_words_are_screened_out() -> None:
    assert bits(["In 2024 I was 32: a good year.", "", "No number. " * 40]) == [0, 0, 0]


def test_the_last_bytes_of_the_data_pass() -> None:
    assert screened(view(pa.array(["no number"])), np.zeros(1, np.int32)).tolist() == [sum(SCREENED.values())]
