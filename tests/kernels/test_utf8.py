"""Characters decoded in kernels, against Python's own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.kernels.compile import kernel
from curate.kernels.utf8 import code_point


@kernel
def decode(data: NDArray[np.uint8], end: int) -> tuple[int, int]:
    point, width = code_point(data, 0, end)
    return int(point), width


@given(st.characters(codec="utf-8"))
def test_code_point_decodes(letter: str) -> None:
    data = np.frombuffer(letter.encode(), np.uint8)
    assert decode(data, len(data)) == (ord(letter), len(data))
    if len(data) > 1:
        assert decode(data, len(data) - 1) == (0xFFFD, 1), "a character cut off is read no further"
