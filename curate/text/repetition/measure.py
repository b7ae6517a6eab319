"""How much of a text repeats itself: lines, paragraphs and runs of words that came before.

Source: Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher, arXiv:2112.11446.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text
from curate.text.repetition.kernel import LONGEST, SHORTEST, SPARE, TOP, Repeats, Space, measure
from curate.text.words import classes

SCORES: Final = (
    "duplicate_lines",
    "duplicate_paragraphs",
    "duplicate_line_characters",
    "duplicate_paragraph_characters",
    *(f"top_{n}gram" for n in range(SHORTEST, TOP + 1)),
    *(f"duplicate_{n}grams" for n in range(TOP + 1, LONGEST + 1)),
)
"""What is measured, in the order of the columns."""


def measure_repeats(text: Text, index: NDArray[np.int32], *, min_words: int, min_lines: int) -> Repeats:
    r"""Measure what repeats in the strings of `text` at `index`.

    Runs of words are measured in texts of `min_words` words or more, and lines and paragraphs in those with `min_lines`
    lines or paragraphs that have a word. Other texts measure 0, and so do an empty one and a null. Linear in the text.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["I see.\nI see.\nYes.\nNo.", ""]))
    >>> found = measure_repeats(texts, np.arange(2, dtype=np.int32), min_words=0, min_lines=0)
    >>> found.share[SCORES.index("duplicate_lines")].tolist(), found.start[0].tolist(), found.stop[0].tolist()
    ([0.25, 0.0], [7, 0], [13, 0])
    """
    out = Repeats(np.zeros((len(SCORES), len(index))), *np.zeros((2, len(SCORES), len(index)), np.int32))
    sizes = text.offsets[index + 1] - text.offsets[index]
    space = _space(int(sizes.max(initial=0)) // 2 + 1)  # a word of one byte, and what ends it
    measure(text.data, text.offsets, index, classes(), min_words, min_lines, space, out)
    return out


def _space(words: int) -> Space:
    """Make room for a text of so many words; what is not written to costs no memory."""
    slots = 1 << (SPARE * words).bit_length()
    return Space(
        begins=np.empty(words, np.int32),
        stops=np.empty(words, np.int32),
        hashes=np.empty(words, np.uint64),
        total=np.empty(words + 1, np.int32),
        unit_keys=np.empty((2, words), np.uint64),
        unit_sizes=np.empty((2, words), np.int32),
        unit_begins=np.empty((2, words), np.int32),
        unit_stops=np.empty((2, words), np.int32),
        grams=np.empty(words, np.uint64),
        places=np.empty(words, np.int32),
        slots=np.empty(words, np.int32),
        repeated=np.empty(words + 1, np.bool_),
        keys=np.empty(slots, np.uint64),
        stamps=np.zeros(slots, np.int32),
        first=np.empty(slots, np.int32),
        times=np.empty(slots, np.int32),
    )
