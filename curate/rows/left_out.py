"""Segments without templates: what a row says beside the text that it shares with all others."""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Bytes, Int32s, frozen, strings, view
from curate.kernels.compile import inline, kernel
from curate.rows.segments import Part, Segments
from curate.text.normal import SPACE, normalise
from curate.text.words import LETTER, MARK, classes, count_words

PLACEHOLDER: Final = r"\{\w*\}"
"""Where a template has the prompt: `{}`, `{instruction}`."""


class Templates(NamedTuple):
    """Templates in normal form, one behind the other, and a regular expression for all that is between placeholders."""

    data: Bytes
    offsets: Int32s
    pattern: str


def leave_out(segments: Segments, templates: tuple[str, ...]) -> Segments:
    r"""Return the segments in normal form without these templates; a row with no word beside them stays as it is.

    A template is left out wherever it is as whole words, the longer one first, and where it is around a text: the text
    begins with its first part and ends with the rest. With placeholders, each part between them is a template.

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> turns = [{"role": "user", "content": text} for text in ("Q: Why?\nA:", "q: So?")]
    >>> batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
    >>> part = leave_out(segments(batch), ("Q: {}\nA:",)).parts[0]
    >>> strings(*part.text).take(pa.array(part.index)).to_pylist()
    ['  why?  ', '  so?']
    """
    known = _templates(templates)
    if not known.pattern:
        return segments
    bare = [_without(part, known) for part in segments.parts]
    words = np.zeros(segments.rows)
    for part, texts in zip(segments.parts, bare, strict=True):
        counts = count_words(view(texts), np.arange(len(texts), dtype=np.int32))
        words += np.bincount(part.row, counts, segments.rows)
    parts = (_replaced(part, texts, words[part.row] > 0) for part, texts in zip(segments.parts, bare, strict=True))
    return segments._replace(parts=tuple(parts))


@functools.lru_cache(maxsize=8)
def _templates(texts: tuple[str, ...]) -> Templates:
    normal = [text for text in pl.Series(normalise(pa.array(texts, pa.string()))).to_list() if text]
    parts = {part.strip() for text in normal for part in re.split(PLACEHOLDER, text)} - {""}
    pattern = "|".join(_as_words(part) for part in sorted(parts, key=lambda part: (-len(part), part)))
    around = view(pa.array([text for text in normal if text in parts], pa.string()))
    return Templates(around.data, around.offsets, pattern)


def _as_words(text: str) -> str:
    r"""Return a regular expression for a text that begins and ends with whole words.

    >>> _as_words("a."), _as_words("東京")
    ('\\ba\\.', '東京')
    """
    begins, ends = (r"\b" if classes()[ord(letter)] in (LETTER, MARK) else "" for letter in (text[0], text[-1]))
    return begins + re.escape(text) + ends


def _without(part: Part, known: Templates) -> pa.StringArray:
    """Return the normal form of the segments of `part` without the templates."""
    text = view(normalise(strings(part.text.data, part.text.offsets).take(pa.array(part.index))))
    inner = strings(*_inner(text.data, text.offsets, known.data, known.offsets))
    return pl.Series(inner).str.replace_all(known.pattern, " ").to_arrow().cast(pa.string())


def _replaced(part: Part, texts: pa.StringArray, mask: NDArray[np.bool_]) -> Part:
    """Return the segments of `part`, those in `mask` with the text of `texts` for their own."""
    own = strings(part.text.data, part.text.offsets)
    index = np.where(mask, len(own) + np.arange(len(texts), dtype=np.int32), part.index).astype(np.int32)
    return part._replace(text=view(pa.concat_arrays([own, texts])), index=frozen(index))


@kernel
def _inner(data: Bytes, offsets: Int32s, known: Bytes, known_offsets: Int32s) -> tuple[Bytes, Int32s]:
    """Return what is left of each text within the templates around it."""
    out, ends = np.empty(offsets[-1] - offsets[0], np.uint8), np.zeros(len(offsets), np.int32)
    to = 0
    for i in range(len(offsets) - 1):
        start, end = offsets[i], offsets[i + 1]
        for k in range(len(known_offsets) - 1):
            begin, stop = known_offsets[k], known_offsets[k + 1]
            first = around(data, start, end, known, begin, stop)
            if first:
                start, end = start + first, end - (stop - begin - first)
        for at in range(start, end):
            out[to] = data[at]
            to += 1
        ends[i + 1] = to
    return out[:to].copy(), ends


@inline
def around(data: Bytes, start: int, end: int, known: Bytes, begin: int, stop: int) -> int:
    """Return how much of the template comes before what it is around, the most there is; 0 if it is around nothing."""
    size = stop - begin
    if end - start < size:
        return 0
    first = last = 0
    while first < size - 1 and data[start + first] == known[begin + first]:
        first += 1
    while last < size - 1 and data[end - 1 - last] == known[stop - 1 - last]:
        last += 1
    while first >= max(size - last, 1):
        apart = known[begin + first] == SPACE or known[begin + first - 1] == SPACE
        if apart and not is_inside(data, start + first) and not is_inside(data, end - (size - first)):
            return first
        first -= 1
    return 0


@inline
def is_inside(data: Bytes, at: int) -> bool | np.bool:
    """Tell whether the bytes before and after `at`, of a text in normal form, may belong to one word."""
    return is_spelt(data[at - 1]) and is_spelt(data[at])


@inline
def is_spelt(byte: np.uint8) -> bool | np.bool:
    """Tell whether a byte may belong to a word."""
    return byte >= 0x80 or 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39
