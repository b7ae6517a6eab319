"""Cosines as whole numbers of a fixed grid, so that what they decide is the same on any machine.

A product of matrices in float32 adds in an order of its own, which depends on the machine: it only finds candidates, by
a limit that is lower by more than its error. What counts is computed again in float64, in a fixed order, and rounded.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from curate.kernels.buffers import Float32s
from curate.kernels.compile import inline

STEPS: Final = 1 << 20
"""The cosine 1 on the grid."""


def margin(dimensions: int) -> float:
    """Return more than a product of unit vectors in float32 can be off by, plus the rounding to the grid."""
    return dimensions * 2.0**-23 + 2.0 / STEPS


@inline
def grid_cosine(a: Float32s, i: int, b: Float32s, j: int) -> int:
    """Return the cosine of two rows of unit length on the grid; exactly `STEPS` if they are equal.

    Eight sums, of every eighth dimension each, are added at the end: the order is fixed, and no sum waits for another.
    """
    size = a.shape[1]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = size - size % 8
    for k in range(0, whole, 8):
        s0 += np.float64(a[i, k]) * np.float64(b[j, k])
        s1 += np.float64(a[i, k + 1]) * np.float64(b[j, k + 1])
        s2 += np.float64(a[i, k + 2]) * np.float64(b[j, k + 2])
        s3 += np.float64(a[i, k + 3]) * np.float64(b[j, k + 3])
        s4 += np.float64(a[i, k + 4]) * np.float64(b[j, k + 4])
        s5 += np.float64(a[i, k + 5]) * np.float64(b[j, k + 5])
        s6 += np.float64(a[i, k + 6]) * np.float64(b[j, k + 6])
        s7 += np.float64(a[i, k + 7]) * np.float64(b[j, k + 7])
    for k in range(whole, size):
        s0 += np.float64(a[i, k]) * np.float64(b[j, k])
    found = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    return int(min(np.floor(found * STEPS + 0.5), STEPS))
