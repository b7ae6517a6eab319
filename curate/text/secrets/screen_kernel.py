"""Which texts have the digits that telephones, IP addresses, cards and bank accounts are made of: most have not.

Any stretch of 33 bytes is within two blocks of 32 beside each other, so it has no more than what is counted there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Bytes, Int32s, Text, frozen
from curate.kernels.compile import kernel
from curate.kernels.vector import WIDTH, ones, within32

PHONE, IP, CARD, IBAN = 1, 2, 4, 8
"""Bits of the answer: a text may have one of these."""

PHONE_DIGITS, CARD_DIGITS = 8, 14
"""Digits of the shortest telephone, within 29 bytes, and of the shortest card, within 24."""

ADDRESS_DIGITS, ADDRESS_POINTS = 4, 3
"""Digits and points of an IP address of version 4, within 11 bytes; one of version 6 has two colons, and a digit."""

ACCOUNT_DIGITS, ACCOUNT_SIGNS = 2, 13
"""Digits, and digits and capitals, of a bank account within 24 bytes."""


def screened(text: Text, index: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return for each of the strings of `text` at `index` what it may have, a bit each; the last ones may have all.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["In 2024 I was 32.", "or call +44 1632 960983", "x" * 32]))
    >>> screened(texts, np.arange(2, dtype=np.int32)).tolist() == [0, PHONE]
    True
    """
    return _screened(text.data, text.offsets, frozen(index))


@kernel
def _screened(data: Bytes, offsets: Int32s, index: Int32s) -> NDArray[np.uint8]:
    found = np.zeros(len(index), np.uint8)
    for k in range(len(index)):
        i, end = int(offsets[index[k]]), int(offsets[index[k] + 1])
        if end + WIDTH > len(data):
            found[k] = PHONE | IP | CARD | IBAN
            continue
        digits = signs = points = colons = some = 0
        may = 0
        while i < end:
            within = (1 << min(end - i, WIDTH)) - 1
            numbers = within32(data, i, 0x30, 0x39) & within
            colons += ones(within32(data, i, 0x3A, 0x3A) & within)
            own, own_points = ones(numbers), ones(within32(data, i, 0x2E, 0x2E) & within)
            own_signs = own + ones(within32(data, i, 0x41, 0x5A) & within)
            some += own
            may |= PHONE * (digits + own >= PHONE_DIGITS) | CARD * (digits + own >= CARD_DIGITS)
            may |= IP * ((digits + own >= ADDRESS_DIGITS) & (points + own_points >= ADDRESS_POINTS))
            may |= IBAN * ((digits + own >= ACCOUNT_DIGITS) & (signs + own_signs >= ACCOUNT_SIGNS))
            digits, points, signs = own, own_points, own_signs
            i += WIDTH
        found[k] = may | IP * (colons >= 2 and some > 0)
    return found
