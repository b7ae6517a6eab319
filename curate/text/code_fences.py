"""Fences of code (Markdown's ``` and ~~~), as kernels find them."""

from __future__ import annotations

import numpy as np

from curate.kernels.buffers import Bytes
from curate.kernels.compile import inline

TAB, LINE_FEED, SPACE, GREATER = 0x09, 0x0A, 0x20, 0x3E


@inline
def run_of(data: Bytes, i: int, end: int) -> int:
    """Return how often the byte at `i` occurs in a row."""
    k = i + 1
    while k < end and data[k] == data[i]:
        k += 1
    return k - i


@inline
def is_indent(byte: np.uint8, quoted: bool) -> bool | np.bool:  # noqa: FBT001
    """Tell whether a byte may come before a fence on its line: a blank, or, if `quoted`, the `>` of a quotation."""
    return byte == SPACE or byte == TAB or (quoted and byte == GREATER)  # noqa: PLR1714  no set in a kernel


@inline
def fence_end(data: Bytes, start: int, end: int, i: int, quoted: bool) -> int:  # noqa: FBT001
    """Return where the fenced code that begins with the run of marks at `i` ends, or `i` where no fence opens.

    A fence is three marks or more at the start of a line, and ends with as many or more; one left open goes to the end.
    """
    count = run_of(data, i, end)
    before = i - 1
    while before >= start and is_indent(data[before], quoted):
        before -= 1
    if count < 3 or (before >= start and data[before] != LINE_FEED):
        return i
    k = i + count
    while k < end:
        while k < end and data[k] != LINE_FEED:
            k += 1
        k += 1
        while k < end and is_indent(data[k], quoted):
            k += 1
        if k < end and data[k] == data[i]:
            size = run_of(data, k, end)
            if size >= count:
                return k + size
            k += size
    return end
