"""Places in texts, turned from bytes, which kernels count, to characters, which people do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen
from curate.kernels.compile import kernel
from curate.kernels.utf8 import count_characters


class Places(NamedTuple):
    """Where each of n spans starts and ends in its text, in characters (Unicode code points)."""

    start: NDArray[np.int32]
    end: NDArray[np.int32]


def character_places(text: Text, index: NDArray[np.int32], start: NDArray[np.int32], stop: NDArray[np.int32]) -> Places:
    """Return the places in characters of spans given in bytes; span `i` is in the string of `text` at `index[i]`.

    Linear in the text where the spans of a text follow each other in order; each is counted from its text's start
    where they do not.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> one = np.array([1], np.int32)
    >>> [places.tolist() for places in character_places(view(pa.array(["", "\u00e9a"])), one, one * 2, one * 3)]
    [[1], [2]]
    """
    spans = (frozen(np.ascontiguousarray(column, np.int32)) for column in (index, start, stop))
    return Places(*_character_places(text.data, text.offsets, *spans))


@kernel
def _character_places(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    index: NDArray[np.int32],
    start: NDArray[np.int32],
    stop: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    first, last = np.empty(len(index), np.int32), np.empty(len(index), np.int32)
    text, at, count = -1, 0, 0
    for i in range(len(index)):
        base = offsets[index[i]]
        if index[i] != text or base + start[i] < at:
            text, at, count = index[i], base, 0
        count += count_characters(data, at, base + start[i])
        at = base + start[i]
        first[i] = count
        last[i] = count + count_characters(data, at, base + stop[i])
    return first, last
