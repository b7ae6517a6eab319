"""Reads public IP addresses of hosts, of version 4 and 6; whose networks are whose is IANA's (RFC 6890)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline
from curate.text.secrets.bytes_kernel import DIGIT, HEX, at, is_listed, is_word

LONGEST_IP6: Final = 40
"""Bytes: 39, and a colon after it."""


@inline
def read_ip4(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    kinds: NDArray[np.uint8],
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    sets: NDArray[np.int32],
) -> int:
    """Return where the public IPv4 address that begins at `p` stops; 0 if there is none."""
    i, whole, large, straight, previous = p, 0, 0, 0, -1
    for part in range(4):
        if part and at(data, i, begin, end) != 0x2E:
            return 0
        i += part > 0
        low, value = i, 0
        while i < end and kinds[data[i]] & DIGIT and i - low < 3:
            value = value * 10 + data[i] - 0x30
            straight = straight + 1 if data[i] == previous + 1 else 1
            if straight == 6:
                return 0
            previous = int(data[i])
            i += 1
        if i == low or value > 255 or (data[low] == 0x30 and i - low > 1):
            return 0
        large += value >= 10
        whole = whole << 8 | value
    after = at(data, i, begin, end)
    if is_word(after) or (after == 0x2E and 0x30 <= at(data, i + 1, begin, end) <= 0x39):
        return 0
    if large < 2 or whole & 255 in (0, 255) or is_private(whole):
        return 0
    return 0 if is_version(data, begin, p, end, spelling, words, sets[2], sets[3]) else i


@inline
def is_private(ip: int) -> bool:
    """Tell whether an IPv4 address is private, shared, local, reserved, for documentation, benchmarks or many hosts."""
    a, b, c = ip >> 24, ip >> 16 & 255, ip >> 8 & 255
    if a in (0, 10, 127) or a >= 224:
        return True
    if (a == 100 and 64 <= b <= 127) or (a == 172 and 16 <= b <= 31) or (a == 198 and b in (18, 19)):
        return True
    if (a == 169 and b == 254) or (a == 192 and b == 168):
        return True
    return (
        (a == 192 and b == 0 and c in (0, 2))
        or (a == 198 and b == 51 and c == 100)
        or (a == 203 and b == 0 and c == 113)
    )


@inline
def is_version(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    low: int,
    high: int,
) -> bool:
    """Tell whether the word before `p` announces a version or a section."""
    i = p
    while i > begin and p - i < 4 and (data[i - 1] == 0x20 or data[i - 1] in (0x3A, 0x3D, 0x23)):
        i -= 1
    if at(data, i - 1, begin, end) == 0xA7 and at(data, i - 2, begin, end) == 0xC2:  # "§"
        return True
    stop = i
    while i > begin and stop - i < 12 and is_word(data[i - 1]):
        i -= 1
    return is_listed(data, i, stop, 0x20, spelling, words, low, high)


@inline
def read_ip6(data: NDArray[np.uint8], begin: int, p: int, end: int, kinds: NDArray[np.uint8]) -> int:
    """Return where the public IPv6 address (2000::/3) that begins at `p` stops; 0 if there is none."""
    i = p
    while i < end and i - p <= LONGEST_IP6 and (kinds[data[i]] & HEX or data[i] == 0x3A):
        i += 1
    if i - p > LONGEST_IP6 or is_word(at(data, i, begin, end)):
        return 0
    i -= data[i - 1] == 0x3A and data[i - 2] != 0x3A
    groups = size = gaps = 0
    for k in range(p, i):
        if data[k] == 0x3A:
            gaps += data[k - 1] == 0x3A
            size = 0
        else:
            groups += size == 0
            size += 1
        if size > 4 or (data[k] == 0x3A and k < p + 4):
            return 0
    right = (gaps == 0 and groups == 8) or (gaps == 1 and 3 <= groups <= 7)
    return i if right and not is_documentation(data, p, end) else 0


@inline
def is_documentation(data: NDArray[np.uint8], p: int, end: int) -> bool:
    """Tell whether an IPv6 address begins with 2001:db8."""
    if p + 8 > end or data[p] != 0x32 or data[p + 1] != 0x30 or data[p + 2] != 0x30 or data[p + 3] != 0x31:
        return False
    i = p + 5 + (data[p + 5] == 0x30)
    return (
        i + 3 <= end
        and data[i] | 0x20 == 0x64
        and data[i + 1] | 0x20 == 0x62
        and data[i + 2] == 0x38
        and (i + 3 == end or data[i + 3] == 0x3A)
    )
