"""The vectors of texts, the slow way: one text and one token after the other, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer


def encode(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    vectors: NDArray[np.floating],
    unknown: int | None = None,
    weights: NDArray[np.floating] | None = None,
    mapping: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    """Return the mean vector of each text, of unit length; zeros for a text without tokens."""
    out = np.zeros((len(texts), vectors.shape[1]))
    for row, text in enumerate(texts):
        found = [token for token in tokenizer.encode(text, add_special_tokens=False).ids if token != unknown]
        for token in found:
            vector = vectors[token if mapping is None else mapping[token]].astype(np.float64)
            out[row] += vector * (1 if weights is None else float(weights[token])) / len(found)
        out[row] /= np.linalg.norm(out[row]) or 1
    return out
