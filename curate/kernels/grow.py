"""Buffers of kernels that cannot know how much they will write."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import kernel

Element = TypeVar("Element", bound=np.generic)


@kernel
def grown(array: NDArray[Element]) -> NDArray[Element]:
    """Return an array (of one dimension, or of rows) twice as long that begins with `array`; the rest is undefined."""
    more = np.empty((2 * len(array), *array.shape[1:]), array.dtype)
    before, after = array.reshape(-1), more.reshape(-1)
    for i in range(len(before)):  # assigned as a slice, it takes 3 s to compile
        after[i] = before[i]
    return more
