"""The vectors of texts: sums of those of their tokens."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pyarrow as pa

from curate.kernels.buffers import Float32s, Float64s, Int32s, Int64s, Text, frozen, strings
from curate.kernels.compile import kernel
from curate.text.embeddings.static_model import StaticModel


def add_vectors(text: Text, index: Int32s, row: Int32s, model: StaticModel, sums: Float64s) -> None:
    """Add to `sums[row[k]]` the vectors of all tokens of the text at `index[k]`, one after the other.

    Sums in float64 and in the order of tokens are the same however texts are split into calls. No text is truncated.
    """
    texts: list[str] = strings(text.data, text.offsets).take(pa.array(index)).to_pylist()
    encodings = model.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ends = np.cumsum(np.fromiter(chain((0,), map(len, encodings)), np.int64, len(texts) + 1))
    tokens = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, int(ends[-1]))
    _add(frozen(tokens), frozen(ends), frozen(row), model.vectors, model.place, model.weight, sums)


@kernel
def _add(
    tokens: Int32s, ends: Int64s, row: Int32s, vectors: Float32s, place: Int32s, weight: Float32s, sums: Float64s
) -> None:
    for k in range(len(row)):
        total = sums[row[k]]
        for at in range(ends[k], ends[k + 1]):
            token = tokens[at]
            if place[token] >= 0:
                vector, factor = vectors[place[token]], np.float64(weight[token])
                for i in range(len(vector)):
                    total[i] += factor * np.float64(vector[i])


@kernel
def unit_length(sums: Float64s) -> Float32s:
    """Return each vector divided by its length; one of zeros stays so."""
    out = np.zeros(sums.shape, np.float32)
    for k in range(len(sums)):
        square = 0.0
        for i in range(sums.shape[1]):
            square += sums[k, i] * sums[k, i]
        if square > 0:
            length = np.sqrt(square)
            for i in range(sums.shape[1]):
                out[k, i] = sums[k, i] / length
    return out
