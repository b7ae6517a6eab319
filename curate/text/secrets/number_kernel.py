"""Reads numbers of cards, telephones and bank accounts, digit by digit, strictly.

A number is groups of digits with one sign between two. Its shape, its first digits and, where it has one, its check
sum all have to be right, and nothing may go on before or behind it that makes it a part of something else.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline
from curate.text.secrets.bytes_kernel import BEFORE, at, is_digit, is_word

NONE, A_CARD, A_PHONE = -1, 1, 2

CLOSED, CLOSED_SPACE, CLOSED_DASH = 1, 2, 3
"""What is between a first group in brackets and the next one: nothing, a space, a dash."""

GROUPS: Final = 6
STRAIGHT: Final = 6
"""Digits in a row, rising by one or all the same, that only a number made up has."""


@inline
def is_made_up(digits: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Tell whether six digits in a row rise by one each, or are the same."""
    rising = same = 1
    for k in range(start + 1, stop):
        rising = rising + 1 if digits[k] == digits[k - 1] + 1 else 1
        same = same + 1 if digits[k] == digits[k - 1] else 1
        if max(rising, same) >= STRAIGHT:
            return True
    return False


@inline
def begins_well(
    data: NDArray[np.uint8],
    begin: int,
    start: int,
    end: int,
    kinds: NDArray[np.uint8],
    spaced: bool,  # noqa: FBT001
) -> bool:
    """Tell whether a number may begin at `start`; one with spaces does not follow a digit and a space."""
    before = at(data, start - 1, begin, end)
    if is_word(before) or (kinds[before] & BEFORE and not (before == 0x2D and data[start] == 0x28)):
        return False
    return not (spaced and before == 0x20 and is_digit(at(data, start - 2, begin, end)))


@inline
def ends_well(data: NDArray[np.uint8], begin: int, stop: int, end: int, spaced: bool) -> bool:  # noqa: FBT001
    """Tell whether a number may end before `stop`; one with spaces is not followed by a space and a digit."""
    after = at(data, stop, begin, end)
    if is_word(after):
        return False
    goes_on = 0x2D <= after <= 0x2F or (spaced and after == 0x20)
    return not (goes_on and is_digit(at(data, stop + 1, begin, end)))


@inline
def read_groups(
    data: NDArray[np.uint8], begin: int, p: int, end: int, digits: NDArray[np.uint8], groups: NDArray[np.int32]
) -> int:
    """Read up to six groups of digits from `p`; return how many there are.

    `groups` gets, of each, the place of its first digit in `digits`, where it stops, and what is before it.
    """
    i, total, count = p, 0, 0
    between = 0
    while count < GROUPS:
        groups[count, 0], groups[count, 2] = total, between
        while i < end and is_digit(data[i]) and total - groups[count, 0] < 20:
            digits[total] = data[i] - 0x30
            total += 1
            i += 1
        if total == groups[count, 0]:
            break
        groups[count, 1] = i
        count += 1
        between = at(data, i, begin, end)
        if count == 1 and between == 0x29 and at(data, p - 1, begin, end) == 0x28:
            i += 1
            between = CLOSED
            if at(data, i, begin, end) == 0x20:
                between = CLOSED_SPACE
            elif at(data, i, begin, end) == 0x2D:
                between = CLOSED_DASH
            i += between != CLOSED
        elif between == 0x20 or 0x2D <= between <= 0x2F:
            i += 1
        else:
            break
    groups[count, 0] = total
    return count


@inline
def has_shape(groups: NDArray[np.int32], count: int, shape: int) -> bool:
    """Tell whether the first groups have the sizes that the decimal digits of `shape` say, the last one first."""
    k = 0
    while shape:
        if k >= count or groups[k + 1, 0] - groups[k, 0] != shape % 10:
            return False
        shape //= 10
        k += 1
    return True


@inline
def is_even(groups: NDArray[np.int32], first: int, last: int) -> bool:
    """Tell whether the same sign is before each group from `first` to `last`."""
    even = True
    for k in range(first + 1, last + 1):
        even &= groups[k, 2] == groups[first, 2]
    return even


@inline
def is_north_american(digits: NDArray[np.uint8], k: int) -> bool:
    """Tell whether the ten digits from `k` may be a telephone in North America, and not one of films (555)."""
    area, exchange = digits[k] * 100 + digits[k + 1] * 10 + digits[k + 2], digits[k + 3] * 100
    exchange += digits[k + 4] * 10 + digits[k + 5]
    if digits[k] < 2 or digits[k + 3] < 2 or digits[k + 1] == 9 or area % 100 == 11 or exchange % 100 == 11:
        return False
    if area == 555 or exchange == 555 or (area % 100 == 0 and digits[k] < 8):
        return False
    return not is_made_up(digits, k, k + 10)


@inline
def phone_groups(digits: NDArray[np.uint8], groups: NDArray[np.int32], count: int) -> int:
    """Return how many of the groups make a telephone in the layout of some nation; 0 if none do."""
    second, third = groups[1, 2], groups[2, 2]
    bracket = CLOSED <= second <= CLOSED_DASH
    if has_shape(groups, count, 433) and is_north_american(digits, 0):  # (212) 736-5000, 212-736-5000, 212.736.5000
        return 3 if (bracket and third != 0x2F) or (second == third and 0x2D <= second <= 0x2E) else 0
    if bracket and has_shape(groups, count, 452) and digits[2] == 9 and third == 0x2D:  # (11) 98765-4321
        return 3 if second != CLOSED_DASH and not is_made_up(digits, 0, 11) else 0
    if bracket or not is_even(groups, 1, 2):
        return zero_groups(digits, groups, count)
    if has_shape(groups, count, 4331) and digits[0] == 1 and is_even(groups, 1, 3) and is_north_american(digits, 1):
        return 4 if 0x2D <= second <= 0x2E else 0  # 1-212-736-5000
    if has_shape(groups, count, 443) and digits[0] == 1 and digits[1] >= 3:  # 138 1234 5678
        return 3 if second in (0x20, 0x2D) and not is_made_up(digits, 0, 11) else 0
    if has_shape(groups, count, 22222) and digits[0] == 0 and digits[1] > 0 and is_even(groups, 1, 4):  # 01 42 68 53 00
        step = digits[3] + 10 * digits[2] - digits[1] - 10 * digits[0]
        return 5 if second != 0x2F and step != 1 and not is_made_up(digits, 0, 10) else 0
    return zero_groups(digits, groups, count)


@inline
def zero_groups(digits: NDArray[np.uint8], groups: NDArray[np.int32], count: int) -> int:
    """Return how many groups make a telephone that begins with 0 and has 10 or 11 digits; 0 if none do.

    020 7946 0018, (030) 1234567, 030/1234567, 0755-12345678: two to five digits, then groups of three or more.
    """
    second = groups[1, 2]
    if count < 2 or digits[0] != 0 or digits[1] == 0 or not 2 <= groups[1, 0] <= 5 or second in (0x2E, CLOSED_DASH):
        return 0
    k = 1
    while k < count and groups[k + 1, 0] - groups[k, 0] >= 3 and groups[k + 1, 0] <= 11:
        between = groups[k, 2]
        if k > 1 and between not in (0x20, 0x2D):
            break
        if k > 1 and between != groups[k - 1, 2] and (k > 2 or not (second == 0x2F or second <= CLOSED_SPACE)):
            break
        k += 1
    if groups[k, 0] < 10 or (second == 0x20 and groups[1, 0] < 3):
        return 0
    return 0 if is_made_up(digits, 0, groups[k, 0]) else k


@inline
def is_card(digits: NDArray[np.uint8], size: int) -> bool:
    """Tell whether digits are a card's.

    It begins as its brand does, has as many, four different ones or more, and a right check sum (Luhn).
    """
    total = seen = 0
    for k in range(size):
        seen |= 1 << digits[k]
        digit = digits[k] * (2 if (size - k) % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    different = 0
    while seen:
        different += 1
        seen &= seen - 1
    if total % 10 or different < 4 or is_made_up(digits, 0, size):
        return False
    four = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
    if size == 15:
        return four // 100 in (34, 37)
    if size == 14:
        return four // 100 in (36, 38) or 3000 <= four < 3060
    if four // 1000 == 4 or 5100 <= four < 5600 or 2221 <= four <= 2720 or four == 6011:
        return True
    return 6440 <= four < 6600 or 3528 <= four <= 3589 or 6200 <= four < 6300


@inline
def card_groups(digits: NDArray[np.uint8], groups: NDArray[np.int32], count: int) -> int:
    """Return how many of the groups make the number of a card; 0 if none do."""
    size = groups[1, 0]
    if 14 <= size <= 16:
        return 1 if is_card(digits, size) else 0
    if groups[1, 2] not in (0x20, 0x2D):
        return 0
    if has_shape(groups, count, 4444) and is_even(groups, 1, 3):
        return 4 if is_card(digits, 16) else 0
    if has_shape(groups, count, 564) and is_even(groups, 1, 2):
        return 3 if is_card(digits, 15) else 0
    if has_shape(groups, count, 464) and is_even(groups, 1, 2):
        return 3 if is_card(digits, 14) else 0
    return 0


@inline
def read_card_or_phone(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    kinds: NDArray[np.uint8],
    digits: NDArray[np.uint8],
    groups: NDArray[np.int32],
) -> tuple[int, int, int]:
    """Return what the digits at `p` begin, and where it starts and stops; `NONE` if it is no card and no telephone."""
    count = read_groups(data, begin, p, end, digits, groups)
    for k in range(count, GROUPS):
        groups[k + 1, 0], groups[k, 2] = groups[count, 0], 0
    used, kind = card_groups(digits, groups, count), A_CARD
    if used == 0:
        used, kind = phone_groups(digits, groups, count), A_PHONE
    if used == 0:
        return NONE, p, p
    spaced = False
    for k in range(1, used):
        spaced |= groups[k, 2] == 0x20
    stop = groups[used - 1, 1]
    start = p - (CLOSED <= groups[1, 2] <= CLOSED_DASH)
    if not begins_well(data, begin, start, end, kinds, spaced) or not ends_well(data, begin, stop, end, spaced):
        return NONE, p, p
    return kind, start, int(stop)


@inline
def read_international(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    kinds: NDArray[np.uint8],
    countries: NDArray[np.uint8],
    digits: NDArray[np.uint8],
) -> tuple[int, int, int]:
    """Return where the telephone with a "+" before `p` starts and stops; `NONE` if there is none.

    Of the groups, as many as come to 13 digits at most, or the first one with up to 15; to 11 after +1.
    """
    before = at(data, p - 2, begin, end)
    if is_word(before) or kinds[before] & BEFORE or before == 0x29:
        return NONE, p, p
    i, total, singles, best, size, count = p, 0, 0, p, 0, 0
    bracket = False
    while count < GROUPS:
        low = i
        while i < end and is_digit(data[i]) and i - low < 16:
            digits[total + i - low] = data[i] - 0x30
            i += 1
        total += i - low
        singles += count > 0 and i - low == 1 and not bracket
        if i == low or singles > 1 or total > 15 or (bracket and (at(data, i, begin, end) != 0x29 or i - low > 5)):
            break
        i += bracket
        if total <= 13 or count == 0:
            best, size = i, total
        if digits[0] == 1 and total >= 11:
            break
        after = at(data, i, begin, end)
        if after in (0x20, 0x2D, 0x2E):
            i += 1
        elif after != 0x28 and not bracket:
            break
        bracket = at(data, i, begin, end) == 0x28
        i += bracket
        count += 1
    if size < 8 or not ends_well(data, begin, best, end, False) or is_made_up(digits, 0, size):  # noqa: FBT003
        return NONE, p, p
    return (A_PHONE, p - 1, best) if is_of_country(digits, size, countries) else (NONE, p, p)


@inline
def is_of_country(digits: NDArray[np.uint8], size: int, countries: NDArray[np.uint8]) -> bool:
    """Tell whether digits begin with the code of a country; after 1 there are ten, and none are of films (555)."""
    if digits[0] != 1:
        return countries[digits[0] * 100 + digits[1] * 10 + digits[2]] != 0
    film = digits[1] == digits[2] == digits[3] == 5 or digits[4] == digits[5] == digits[6] == 5
    return size == 11 and digits[1] >= 2 and digits[4] >= 2 and not film


@inline
def read_iban(
    data: NDArray[np.uint8], begin: int, p: int, end: int, kinds: NDArray[np.uint8], ibans: NDArray[np.uint8]
) -> tuple[int, int]:
    """Return where the bank account with check digits at `p` starts and stops; 0 twice if there is none.

    Letters of the country and check digits, then capital letters and digits, as many as its country has; all together
    or in fours. The first four moved to the end, and letters counted from 10, they leave 1 when divided by 97.
    """
    start = p - 2
    if start < begin or not 0x41 <= data[start] <= 0x5A or is_word(at(data, start - 1, begin, end)):
        return 0, 0
    size = ibans[(data[start] - 0x41) * 26 + data[start + 1] - 0x41]
    spaced = at(data, p + 2, begin, end) == 0x20
    i, rest, head = start, 0, 0
    for k in range(size):
        if spaced and k and k % 4 == 0:
            if at(data, i, begin, end) != 0x20:
                return 0, 0
            i += 1
        byte = at(data, i, begin, end)
        if not is_digit(byte) and not 0x41 <= byte <= 0x5A:
            return 0, 0
        value = byte - 0x30 if byte < 0x41 else byte - 0x37
        if k < 4:
            if (k < 2) == is_digit(byte):
                return 0, 0
            head = head * (10 if value < 10 else 100) + value
        else:
            rest = (rest * (10 if value < 10 else 100) + value) % 97
        i += 1
    if size == 0 or is_word(at(data, i, begin, end)) or (rest * 1_000_000 + head) % 97 != 1:
        return 0, 0
    return start, i
