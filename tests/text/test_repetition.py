"""Repetition is measured as the slow definition measures it, and in time that grows with the text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.text.repetition import SCORES, Repeats, measure_repeats
from tests.reference.repeats import repeats
from tests.reference.words import words

FRAGMENTS = (
    "a",
    "b",
    "A",
    "yes",
    "Yes",
    "don't",
    "don’t",
    "東京",
    "é",
    "e\u0301",
    "-",
    "--",
    "1",
    "😀",
    "long-word",
    "ab",
)
TEXTS = st.lists(
    st.sampled_from(
        [*FRAGMENTS, *FRAGMENTS, "\n", "\n", "\n\n", " \n", "\r\n", "\t", "a b c\n", "a b c d e f g h i j k"]
    ),
    max_size=60,
).flatmap(lambda fragments: st.sampled_from([" ", "", " "]).map(lambda gap: gap.join(fragments)))


def measured(texts: Sequence[str | None], min_words: int = 0, min_lines: int = 0) -> Repeats:
    """Measure texts with others after them, and as the last ones, which are read another way."""
    index = np.arange(len(texts), dtype=np.int32)
    found, last = (
        measure_repeats(view(pa.array(data, pa.string())), index, min_words=min_words, min_lines=min_lines)
        for data in ([*texts, "x" * 200], texts)
    )
    assert [column.tolist() for column in found] == [column.tolist() for column in last]
    return found


@given(st.lists(TEXTS, max_size=4), st.integers(0, 6), st.integers(0, 4))
def test_scores_are_as_defined(texts: list[str], min_words: int, min_lines: int) -> None:
    found = measured(texts, min_words, min_lines)
    expected = [repeats(text, min_words, min_lines) for text in texts]
    assert found.share.T.tolist() == [pytest.approx(each) for each in expected]


@given(st.lists(st.sampled_from("ab\n"), max_size=60).map("".join), st.text("ab \n", max_size=80))
def test_scores_of_few_words_are_as_defined(dense: str, sparse: str) -> None:
    for text in (dense, " ".join(dense), sparse):
        assert measured([text]).share[:, 0].tolist() == pytest.approx(repeats(text, 0, 0))


def test_scores_of_real_answers_are_as_defined(real_file: Callable[[str], Path]) -> None:
    rows = json.loads(real_file("sft/lima.json").read_bytes())[:60]
    rows += json.loads(real_file("sft/alpaca_random_9k.json").read_bytes())[:200]
    rows += json.loads(real_file("sft/code_alpaca_2k.json").read_bytes())[:100]
    rows += json.loads(real_file("sft/oasst_sft_zh.json").read_bytes())[:50]
    texts = [row["output"] for row in rows if len(row["output"]) < 4_000]
    found = measured(texts, 50, 5)
    for i, text in enumerate(texts):
        assert found.share[:, i].tolist() == pytest.approx(repeats(text, 50, 5)), text


def test_an_edge_text_is_measured(edge_text: str) -> None:
    if len(edge_text) > 200_000:
        assert measured([edge_text]).share[SCORES.index("duplicate_10grams"), 0] > 0.99
        return
    found = measured([None, edge_text, ""])
    assert found.share[:, 1].tolist() == pytest.approx(repeats(edge_text, 0, 0))
    assert not found.share[:, [0, 2]].any()


@given(TEXTS)
def test_a_span_shows_what_repeats(text: str) -> None:
    data = text.encode()
    found = measured([text])
    for column, name in enumerate(SCORES):
        start, stop = found.start[column, 0], found.stop[column, 0]
        assert (stop > start) == (found.share[column, 0] > 0)
        shown = data[start:stop].decode()
        if found.share[column, 0] and name.startswith("top"):
            assert len(words(shown)) == int(name[4])
        if found.share[column, 0] and name.endswith("grams"):
            assert len(words(shown)) >= int(name.removeprefix("duplicate_").removesuffix("grams"))
        if found.share[column, 0] and "line" in name:
            assert text.count(shown) >= 2


def test_texts_are_measured_wherever_they_lie() -> None:
    """Words in the last bytes of the data are read another way than others."""
    text = "one two three four five\nand One two three four five"
    alone, many = measured([text]), measured([text, text, "x" * 100])
    assert (many.share[:, :2] == alone.share).all()
    assert measured([f"{text} {'word' * 5} {'word' * 5}"]).share[SCORES.index("duplicate_5grams"), 0] > 0


def test_a_sliced_array_is_measured() -> None:
    whole = pa.array(["x x x", "yes yes", "no"])
    found = measure_repeats(view(whole.slice(1)), np.array([0], np.int32), min_words=0, min_lines=0)
    assert found.share[SCORES.index("top_2gram"), 0] == 0
    assert measured([]).share.shape == (len(SCORES), 0)


@pytest.mark.parametrize("unit", ["a ", "a\n", "a\n\n", "ab cd ", "a b c d e f g h i j ", "\n", "\u0301", "東"])
def test_hostile_texts_take_time_in_proportion(unit: str) -> None:
    """5 MB take 0.1 to 0.6 s; with a quadratic step they would take hours."""
    text = unit * (5_000_000 // len(unit.encode()))
    measured(["a"])
    began = time.process_time()
    measured([text])
    assert time.process_time() - began < 6
