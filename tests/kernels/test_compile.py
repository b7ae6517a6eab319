"""What kernels and their helpers are."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel


@inline
def seen(data: NDArray[np.uint8], i: int) -> int:
    return int(data[i]) + i


@kernel
def read(data: NDArray[np.uint8], places: NDArray[np.int32]) -> int:
    return seen(data, 0) + seen(data, 1) + sum([seen(data, place) for place in places])


def test_a_helper_is_compiled_once_for_all_integers() -> None:
    fresh = numba.njit(read.py_func)  # type: ignore[attr-defined]  # a kernel from the cache compiles no helper
    assert fresh(np.array([5, 6, 7], np.uint8), np.array([2], np.int32)) == 5 + 7 + 9
    assert len(seen.overloads) == 1  # type: ignore[attr-defined]


def test_a_helper_called_from_python_refuses() -> None:
    read(np.array([5, 6, 7], np.uint8), np.array([2], np.int32))
    with pytest.raises(TypeError, match="seen is a helper that only kernels call"):
        seen(np.zeros(1, np.uint8), 0)
