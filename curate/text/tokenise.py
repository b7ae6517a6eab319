"""Text cut for a classifier that knows words by the spaces between them: words, and every other sign by itself.

fastText splits at white space alone, so to it "end" and "end." are two words, and a Chinese sentence is one. Here a
token is a word of `curate.text.words` (in Chinese, Japanese or Thai a character) or one sign that is part of no word,
and one space separates two. So no text can spell `__label__` or `</s>`, which fastText reads as its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from curate.kernels.buffers import Bytes, Int32s, strings, view
from curate.kernels.compile import kernel
from curate.kernels.utf8 import code_point
from curate.text.words import APOSTROPHE, LETTER, MARK, classes

MOST: Final = 2**31 - 1
SPACE: Final = 0x20
BETWEEN, IN_WORD, IN_TOKEN = range(3)
"""Where the writer is: after a space, in a word of letters, or in a token that only marks go on."""


def spaced(texts: pa.StringArray) -> pa.StringArray:
    """Return every text of `texts`, which are in normal form, with one space between its tokens.

    A null reads as the empty string. Idempotent. An apostrophe between two letters is part of their word, any other a
    token; marks (accents, joiners) go with the character before them. Raises `OverflowError` where an array cannot
    hold all texts (2 GiB).

    >>> spaced(pa.array(["don't stop: __label__x </s>", "東京へ。", "", "👍👍"])).to_pylist()
    ["don't stop : _ _ label _ _ x < / s >", '東 京 へ 。', '', '👍 👍']
    """
    text = view(texts)
    data, offsets, whole = _spaced(text.data, text.offsets, classes())
    if not whole:
        raise OverflowError(
            f"{len(texts):,} texts with spaces between all signs do not fit one array of {MOST:,} bytes"
        )
    return strings(data, offsets)


@kernel
def _spaced(data: Bytes, offsets: Int32s, table: Bytes) -> tuple[Bytes, Int32s, bool]:
    """Return the bytes and offsets of the texts, and whether they fit; no text grows to more than twice its bytes."""
    count = len(offsets) - 1
    out = np.empty(2 * (np.int64(offsets[-1]) - offsets[0]), np.uint8)
    ends = np.zeros(count + 1, np.int32)
    to = 0
    for i in range(count):
        at, end = offsets[i], offsets[i + 1]
        begin, state = to, BETWEEN
        while at < end:
            byte = data[at]
            if byte == SPACE:
                state = BETWEEN
                at += 1
                continue
            point, width = code_point(data, at, end)
            letter = table[point]
            joins = state == IN_WORD and letter == LETTER
            if letter == APOSTROPHE and state == IN_WORD and at + width < end:
                joins = table[code_point(data, at + width, end)[0]] == LETTER
            joins |= letter == MARK and state != BETWEEN
            if not joins:
                if to > begin:
                    out[to] = SPACE
                    to += 1
                state = IN_WORD if letter == LETTER else IN_TOKEN
            for k in range(width):
                out[to + k] = data[at + k]
            to += width
            at += width
        if to > MOST:
            return out[:0], ends[:1], False
        ends[i + 1] = to
    return out[:to], ends, True
