"""`<think>` and `</think>`, the marks around reasoning in a text."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from curate.kernels.buffers import Bytes, Flags, Int32s, Text, frozen, strings
from curate.kernels.compile import kernel
from curate.kernels.vector import WIDTH, within32

BEGINS: Final = r"^\s*<think>"
ENDS: Final = r"(?:^|[^`\"'])</think>"


def open_reasoning(text: Text, index: Int32s) -> Flags:
    """Tell which strings of `text` at `index` begin with `<think>` and have no `</think>`, or have only the latter.

    The latter does not count in quotation marks or backticks.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["<think>Hm.", "<think>Hm.</think>So.", "Hm.</think>So.", "`</think>`", ""]))
    >>> open_reasoning(texts, np.arange(5, dtype=np.int32)).tolist()
    [True, False, True, False, False]
    """
    found = _may_be_marked(text.data, text.offsets, frozen(index))
    if found.any():
        texts = pl.Series(strings(text.data, text.offsets)).gather(index[found])
        begins, ends = (texts.str.contains(mark, literal=True) for mark in ("<think>", "</think>"))
        found[found] = ((texts.str.contains(BEGINS) & ~ends) | (texts.str.contains(ENDS) & ~begins)).to_numpy()
    return found


@kernel
def _may_be_marked(data: Bytes, offsets: Int32s, index: Int32s) -> Flags:
    """Mark the texts that have "h..k>", and some whose neighbour does: 32 bytes are read at once."""
    answer = np.zeros(len(index), np.bool_)
    safe = len(data) - WIDTH - 4
    for i in range(len(index)):
        at, end = offsets[index[i]], offsets[index[i] + 1]
        while at < end and not answer[i]:
            if at <= safe:
                marks = within32(data, at, 0x68, 0x68) & within32(data, at + 3, 0x6B, 0x6B)
                answer[i] = (marks & within32(data, at + 4, 0x3E, 0x3E)) != 0
                at += WIDTH
            else:
                answer[i] = data[at] == 0x68
                at += 1
    return answer
