"""Reads keys: a known prefix, then letters and digits as many as its maker gives them, drawn and not made up."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline
from curate.kernels.vector import ones
from curate.text.secrets.bytes_kernel import DIGIT, LETTER, UPPER, at, is_listed, is_word

LONGEST_HEADER, LONGEST_PAYLOAD, LONGEST_SIGNATURE, LONGEST_BLOCK, LONGEST_LABEL = 512, 8192, 1024, 20_000, 60
"""Bytes of the three parts of a JSON Web Token, of a private key, and of the line that opens or closes one."""

DIFFERENT: Final = 6
"""The fewest different characters of a key."""

URL_SAFE, BASE64 = 2, 64
"""Alphabets of tokens and of private keys; see `curate.text.secrets.find.SETS`."""


@inline
def read_key(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    kinds: NDArray[np.uint8],
    alphabets: NDArray[np.uint8],
    spelling: NDArray[np.uint8],
    keys: NDArray[np.int32],
    words: NDArray[np.int32],
    sets: NDArray[np.int32],
) -> tuple[int, int]:
    """Return where the key whose prefix begins at `p` starts and stops; `p` twice if there is none."""
    if is_word(at(data, p - 1, begin, end)):
        return p, p
    for k in range(len(keys)):
        low, high = keys[k, 0], keys[k, 1]
        i = p
        while i < end and i - p < high - low and data[i] == spelling[low + i - p]:
            i += 1
        if i - p < high - low:
            continue
        if k == 0:
            return read_private_key(data, begin, p, end, alphabets, spelling, words, sets[4], sets[5])
        if k == 1:
            return p, read_web_token(data, begin, p, end, alphabets)
        stop, longest = i, i + int(keys[k, 4])
        while stop < end and stop <= longest and alphabets[data[stop]] & keys[k, 2]:
            stop += 1
        size = stop - i
        fits = keys[k, 3] <= size <= keys[k, 4] and not is_word(at(data, stop, begin, end))
        if fits and is_random(data, i, stop, kinds, keys[k, 5], spelling, words, sets[3], sets[4]):
            return p, stop
    return p, p


@inline
def is_random(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    kinds: NDArray[np.uint8],
    stretch: int,
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    low: int,
    high: int,
) -> bool:
    """Tell whether a key looks drawn: six different characters or more, and no word that says it is made up.

    Where `stretch` is not 0, so many letters and digits stand together, a digit among them or letters of both cases.
    """
    small = large = np.uint64(0)
    run = mixed = longest = 0
    for i in range(start, stop):
        byte = np.uint64(data[i])
        if byte < 64:
            small |= np.uint64(1) << byte
        else:
            large |= np.uint64(1) << (byte & np.uint64(63))
        if kinds[data[i]] & (DIGIT | LETTER):
            run += 1
            mixed |= 4 if kinds[data[i]] & DIGIT else 2 if kinds[data[i]] & UPPER else 1
            if mixed >= 3 and run > longest:
                longest = run
        else:
            run = mixed = 0
        if is_listed(data, i, stop, 0, spelling, words, low, high):
            return False
    return ones(int(small)) + ones(int(large)) >= DIFFERENT and longest >= stretch


@inline
def read_web_token(data: NDArray[np.uint8], begin: int, p: int, end: int, alphabets: NDArray[np.uint8]) -> int:
    """Return where the JSON Web Token that begins at `p` stops; `p` if there is none."""
    i = p
    for part in range(3):
        low, longest = i, LONGEST_HEADER if part == 0 else LONGEST_PAYLOAD if part == 1 else LONGEST_SIGNATURE
        while i < end and i - low <= longest and alphabets[data[i]] & URL_SAFE:
            i += 1
        if not 10 <= i - low <= longest:
            return p
        if part == 2:
            return p if is_word(at(data, i, begin, end)) else i
        if at(data, i, begin, end) != 0x2E:
            return p
        i += 1
        if part == 0 and (at(data, i, begin, end) != 0x65 or at(data, i + 1, begin, end) != 0x79):
            return p
    return p


@inline
def count_dashes(data: NDArray[np.uint8], i: int, end: int) -> int:
    """Count the dashes from `i` on, up to five."""
    count = 0
    while count < 5 and i + count < end and data[i + count] == 0x2D:
        count += 1
    return count


@inline
def read_private_key(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    alphabets: NDArray[np.uint8],
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    low: int,
    high: int,
) -> tuple[int, int]:
    """Return where the block of a private key with the word "BEGIN" at `p` starts and stops; `p` twice if none."""
    if p - 5 < begin or count_dashes(data, p - 5, p) < 5:
        return p, p
    i = p
    private = False
    while i < end and i - p < LONGEST_LABEL and data[i] != 0x2D:
        private |= is_listed(data, i, end, 0, spelling, words, low, high)
        i += 1
    if not private or count_dashes(data, i, end) < 5:
        return p, p
    i += 5
    body, count = i, 0
    while i < end and i - body < LONGEST_BLOCK and count_dashes(data, i, end) < 5:
        count += alphabets[data[i]] & BASE64 != 0
        i += 1
    if count < 64 or i + 8 > end or data[i + 5] != 0x45 or data[i + 6] != 0x4E or data[i + 7] != 0x44:
        return p, p
    i += 5
    label = i
    while i < end and i - label < LONGEST_LABEL and data[i] != 0x2D:
        i += 1
    return (p - 5, i + 5) if count_dashes(data, i, end) == 5 else (p, p)
