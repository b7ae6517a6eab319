"""The vector instructions against the same thing said byte by byte, and texts by themselves against texts in a row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.kernels.compile import kernel
from curate.kernels.vector import LANES, WIDTH, least_affine, lower32, ones, trailing, within32
from curate.text.normal import hash_normal
from curate.text.phrases.automaton import Phrase, compile_phrases
from curate.text.phrases.matching import find
from curate.text.words import measure

VECTOR = st.binary(min_size=WIDTH, max_size=WIDTH)
WORDS = (
    "I",
    "can\u2019t",
    "I cannot help",
    "I  can\u2019t\nHELP",
    "d'help",
    "a_b",
    "1",
    "\u4f5c\u4e3aI",
    "\u00e9t\u00e9",
)
GAPS = ("", " ", "  ", "\n\n", "\u00a0", " \u3000", ", ", "'", "\u2019", ".")
LINES = st.lists(st.sampled_from(WORDS + GAPS), max_size=40).map("".join)
PHRASES = tuple(map(Phrase, ("I cannot help", "help I", "\u4f5c\u4e3aI", "1 1", "d'help", "...", "can't")))


NUMBERS = st.integers(0, 2**32 - 1)


@kernel
def least(members: NDArray[np.uint32], factor: NDArray[np.uint32], addend: NDArray[np.uint32]) -> NDArray[np.uint32]:
    out = np.zeros(len(factor), np.uint32)
    least_affine(members, len(members), factor, addend, len(factor) - LANES, out)
    return out


@kernel
def marks(data: NDArray[np.uint8], low: int, high: int) -> tuple[int, int, int]:
    mask = within32(data, 0, low, high)
    return mask, trailing(mask), ones(mask)


@kernel
def lowered(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    out = np.empty(WIDTH, np.uint8)
    lower32(data, 0, out, 0)
    return out


@given(VECTOR, st.integers(0, 255), st.integers(0, 255))
def test_within32_marks_a_range(data: bytes, one: int, other: int) -> None:
    low, high = sorted((one, other))
    places = [place for place, byte in enumerate(data) if low <= byte <= high]
    expected = (sum(1 << place for place in places), min(places, default=64), len(places))
    assert marks(np.frombuffer(data, np.uint8), low, high) == expected


@given(VECTOR)
def test_lower32_lowers_letters_and_evens_white_space(data: bytes) -> None:
    space = {byte: 0x20 for byte in range(0x80) if chr(byte).isspace()}
    assert lowered(np.frombuffer(data, np.uint8)).tobytes() == bytes(space.get(byte, byte) for byte in data.lower())


@given(st.lists(LINES, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_what_follows_a_text_changes_nothing(texts: list[str], words: bool, loose: bool) -> None:  # noqa: FBT001
    automaton = compile_phrases(PHRASES, words=words, loose=loose)
    row = view(pa.array([*texts, "." * 200]))
    index = np.arange(len(texts), dtype=np.int32)
    hits, hashes, counts = find(row, index, automaton), hash_normal(row, index), measure(row, index)
    for place, text in enumerate(texts):
        # In bytes of its own a text ends where the data end, so the last of it is read one byte at a time.
        alone, only = view(pa.array([text])), np.zeros(1, np.int32)
        found = np.stack(find(alone, only, automaton)[1:])
        assert np.array_equal(np.stack(hits[1:])[:, hits.place == place], found)
        assert hash_normal(alone, only).high[0] == hashes.high[place]
        assert [column[0] for column in measure(alone, only)] == [column[place] for column in counts]


@given(st.lists(NUMBERS, max_size=9), st.lists(NUMBERS, min_size=LANES, max_size=LANES), NUMBERS, st.integers(0, 3))
def test_the_least_of_affine_numbers(members: list[int], factors: list[int], addend: int, place: int) -> None:
    factor = np.array([0] * place + factors, np.uint32)
    found = least(np.array(members, np.uint32), factor, np.full(len(factor), addend, np.uint32))
    expected = [min([(each * member + addend) % 2**32 for member in members], default=2**32 - 1) for each in factors]
    assert found.tolist() == [0] * place + expected
