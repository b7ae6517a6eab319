"""What the readers of secrets ask of single bytes, and of words in lower case."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline

DIGIT, LETTER, UNDER, HEX, UPPER, LOCAL, BEFORE = (1 << bit for bit in range(7))
"""What a byte may be: part of words (the first three), of hexadecimal numbers, of the name of a mailbox, or a sign
that goes before the number in a sum, a price, a path or a version."""


@inline
def at(data: NDArray[np.uint8], i: int, begin: int, end: int) -> int:
    """Return the byte at `i`, or 0 outside the text."""
    return int(data[i]) if begin <= i < end else 0


@inline
def is_digit(byte: int) -> bool:
    """Tell whether a byte is a digit of ASCII."""
    return 0x30 <= byte <= 0x39


@inline
def is_word(byte: int) -> bool:
    """Tell whether a byte is a letter, a digit or an underscore of ASCII; letters of other scripts end a word."""
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A or byte == 0x5F


@inline
def begins_with(
    data: NDArray[np.uint8], i: int, stop: int, after: int, spelling: NDArray[np.uint8], low: int, high: int
) -> bool:
    """Tell whether `data[i:stop]` with the byte `after` behind it begins with a lower-case word, whatever its case."""
    for k in range(high - low):
        byte = data[i + k] if i + k < stop else after if i + k == stop else 0
        if byte | (0x20 if 0x41 <= byte <= 0x5A else 0) != spelling[low + k]:
            return False
    return True


@inline
def is_listed(
    data: NDArray[np.uint8],
    i: int,
    stop: int,
    after: int,
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    low: int,
    high: int,
) -> bool:
    """Tell whether `data[i:stop]`, with `after` behind it, begins with one of the words from `low` to `high`."""
    found = False
    for k in range(low, high):
        found |= begins_with(data, i, stop, after, spelling, words[k, 0], words[k, 1])
    return found
