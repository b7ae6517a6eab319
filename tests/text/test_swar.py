"""The arithmetic on eight bytes against the same thing said byte by byte."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.text.swar import code_point, leading, load, marked, within

EIGHT = st.binary(min_size=8, max_size=8)
ASCII = st.lists(st.integers(0, 127), min_size=8, max_size=8).map(bytes)


def word(data: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(data, "little"))


@given(ASCII, st.integers(0, 127), st.integers(0, 127))
def test_within_marks_a_range(data: bytes, one: int, other: int) -> None:
    low, high = sorted((one, other))
    marks = bytes(0x80 if low <= byte <= high else 0 for byte in data)
    assert within(word(data), low, high) == int.from_bytes(marks, "little")


@given(st.lists(st.booleans(), min_size=8, max_size=8))
def test_marks_are_counted(marks: list[bool]) -> None:
    mask = word(bytes(0x80 if mark else 0 for mark in marks))
    assert leading(mask) == (marks.index(True) if True in marks else 8)
    assert marked(mask) == sum(marks)


@given(st.binary(max_size=20), st.data())
def test_load_stops_at_the_end(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, len(data)))
    assert load(np.frombuffer(data, np.uint8), start, end) == int.from_bytes(
        data[start : min(end, start + 8)], "little"
    )


def decode(data: NDArray[np.uint8], end: int) -> tuple[int, int]:
    point, width = code_point(data, 0, end)
    return int(point), width


@given(st.characters(codec="utf-8"))
def test_code_point_decodes(letter: str) -> None:
    data = np.frombuffer(letter.encode(), np.uint8)
    assert decode(data, len(data)) == (ord(letter), len(data))
    if len(data) > 1:
        assert decode(data, len(data) - 1) == (0xFFFD, 1), "a character cut off is read no further"
