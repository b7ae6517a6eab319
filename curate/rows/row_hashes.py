"""One hash for the text of each row: equal where two rows have the same segments in normal form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import kernel
from curate.kernels.hashing import Hashes, mix, rotate
from curate.rows.segments import SIDE_CODE, Segments
from curate.text.normal import blank, hash_normal


def row_hashes(segments: Segments) -> Hashes:
    """Return the hash of each row's segments with their sides and roles; 0 for a row with no text but white space."""
    high, low = np.zeros((2, segments.rows), np.uint64)
    full = np.zeros(segments.rows, np.bool_)
    for part in segments.parts:
        hashes = hash_normal(part.text, part.index)
        _fold(part.row, part.role, np.uint64(SIDE_CODE[part.side]), hashes.high, hashes.low, high, low)
        full[part.row[~blank(part.text, part.index)]] = True
    high[~full] = low[~full] = 0
    return Hashes(high, low)


@kernel
def _fold(
    row: NDArray[np.int32],
    role: NDArray[np.uint8],
    side: np.uint64,
    item_high: NDArray[np.uint64],
    item_low: NDArray[np.uint64],
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
) -> None:
    """Fold the hash of each segment, with its side and role, into the hash of its row."""
    for i in range(len(row)):
        which = (side << np.uint64(8)) | np.uint64(role[i]) | np.uint64(1 << 16)
        a = mix(rotate(high[row[i]], 5) ^ mix(which) ^ item_high[i]) + low[row[i]]
        high[row[i]] = a
        low[row[i]] = mix(rotate(low[row[i]], 7) ^ item_low[i]) + a
