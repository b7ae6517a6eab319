"""Segments without invisible characters, to be searched, and the places of the hits in the segments as they are."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import strings, view
from curate.kernels.utf8 import Places
from curate.rows.segments import Part
from curate.text.invisible import PATTERN, has_invisible, places_among_all


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
    texts = strings(part.text.data, part.text.offsets)
    bare = pl.Series(texts.take(pa.array(part.index[marked]))).str.replace_all(PATTERN, "")
    index = part.index.copy()
    index[marked] = len(texts) + np.arange(len(bare), dtype=np.int32)
    return part._replace(text=view(pa.concat_arrays([texts, bare.to_arrow().cast(pa.string())])), index=index)


def places_as_they_are(
    part: Part, seen: Part, place: NDArray[np.int32], start: NDArray[np.int32], end: NDArray[np.int32]
) -> Places:
    """Return in characters of `part` the spans that were found in `seen`, its visible segments, at `place`."""
    return Places(start, end) if seen is part else places_among_all(part.text, part.index[place], start, end)
