"""Segments without invisible characters, to be searched, and the places of the hits in the segments as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Text, strings, view
from curate.kernels.utf8 import Places
from curate.rows.segments import Part, Segments
from curate.text.invisible import has_invisible, places_among_all, stripped
from curate.text.words import count_characters


class Visible(NamedTuple):
    """Segments of a part to be searched: string `index[i]` of `text` is the one at `places[i]` of the part.

    `stripped`: it has no more invisible characters, and so `text` is not that of the part.
    """

    text: Text
    index: NDArray[np.int32]  # type: ignore[assignment]  # a tuple has a method of this name
    places: NDArray[np.int32]
    stripped: bool


def without_invisible(part: Part, places: NDArray[np.int32]) -> Iterator[Visible]:
    """Give the segments of `part` at `places`: as they are, then those that have invisible characters without them."""
    index = part.index[places]
    marked = has_invisible(part.text, index)
    if not marked.any():
        yield Visible(part.text, index, places, stripped=False)
        return
    bare = stripped(part.text, index[marked])
    yield Visible(part.text, index[~marked], places[~marked], stripped=False)
    yield Visible(bare, np.arange(len(bare), dtype=np.int32), places[marked], stripped=True)


def visible(part: Part) -> Part:
    r"""Return the segments of `part` without invisible characters; `part` itself if it has none.

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> turns = [{"role": "user", "content": text} for text in ("a", "s\u200bo")]
    >>> part = segments(pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])).parts[
    ...     0
    ... ]
    >>> seen = visible(part)
    >>> strings(*seen.text).take(pa.array(seen.index)).to_pylist()
    ['a', 'so']
    """
    marked = has_invisible(part.text, part.index)
    if not marked.any():
        return part
    texts, bare = strings(*part.text), strings(*stripped(part.text, part.index[marked]))
    index = part.index.copy()
    index[marked] = len(texts) + np.arange(len(bare), dtype=np.int32)
    return part._replace(text=view(pa.concat_arrays([texts, bare])), index=index)


def places_as_they_are(
    part: Part, seen: Part, place: NDArray[np.int32], start: NDArray[np.int32], end: NDArray[np.int32]
) -> Places:
    """Return in characters of `part` the spans that were found in `seen`, its visible segments, at `place`."""
    return Places(start, end) if seen is part else places_among_all(part.text, part.index[place], start, end)


def row_characters(segments: Segments) -> NDArray[np.uint32]:
    """Return the number of visible characters in each row."""
    total = np.zeros(segments.rows)
    for part in map(visible, segments.parts):
        total += np.bincount(part.row, weights=count_characters(part.text, part.index), minlength=segments.rows)
    return total.astype(np.uint32)
