"""Rows as vectors of static embeddings: one vector per row, of unit length."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.rows.segments import Segments
from curate.rows.shingles import row_slices
from curate.text.embeddings.pooling import add_vectors, unit_length
from curate.text.embeddings.static_model import StaticModel

PER_ROW: Final = 256
"""Bytes that a row counts for beside its text where rows are sliced: sums take 2 KB each, 8 MB a slice."""


def embed(segments: Segments, model: StaticModel) -> NDArray[np.float32]:
    """Return a vector for each row: the mean over all tokens of its segments, scaled to unit length.

    A dot product of two rows is their cosine. A row of one segment has the vector that model2vec's `encode` (without
    truncation) or wordllama's `embed` gives its text. Long segments count for more, and the order of words for nothing.

    Args:
        segments: The chosen texts of a batch of rows; sides and roles do not count.
        model: See `curate.text.embeddings.static_model.load_static_model`.

    Returns:
        float32, one line per row, `model.dimensions` wide. A row without a token that the model has a vector for
        (without text, or of words and signs that it does not know) is zeros, with cosine 0 to every row. The same on
        any machine, in any order of rows and batches.

    Example:
        >>> import pyarrow as pa
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from curate.rows.schema import BODIES
        >>> from curate.rows.segments import segments
        >>> words = Tokenizer(models.WordLevel({"sea": 0, "salt": 1}))
        >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> vectors, place = np.eye(2, dtype=np.float32), np.arange(2, dtype=np.int32)
        >>> model = StaticModel(vectors, place, np.ones(2, np.float32), words, {})
        >>> turns = [{"role": "user", "content": text} for text in ("sea salt", "")]
        >>> batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
        >>> embed(segments(batch), model).round(3).tolist()
        [[0.7070000171661377, 0.7070000171661377]]
    """
    out = np.empty((segments.rows, model.dimensions), np.float32)
    for first, last in row_slices(segments, PER_ROW):
        sums = np.zeros((last - first, model.dimensions))
        for part in segments.parts:
            low, high = np.searchsorted(part.row, (first, last))
            row = part.row[low:high] - np.int32(first)
            add_vectors(part.text, part.index[low:high], row, model, sums)
        out[first:last] = unit_length(sums)
    return out
