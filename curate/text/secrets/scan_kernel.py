"""Finds what names or opens something of a person's: one scan for places where it may begin, then strict reading.

Of most bytes only this is asked, 32 at a time: are they an "@", the first of some digits, or the first of a word? A
word goes on to the reader of keys only if its first four bytes are those of a known prefix. Each reader looks at a
bounded stretch of text, so the scan is linear whatever the text.
Measured on one core: see `tests/bench/bench_filters.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel, load64
from curate.kernels.vector import WIDTH, trailing, within32
from curate.text.secrets.api_key_kernel import read_key
from curate.text.secrets.bytes_kernel import DIGIT, LETTER, LOCAL, UNDER, at, is_digit, is_listed, is_word
from curate.text.secrets.ip_kernel import read_ip4, read_ip6
from curate.text.secrets.number_kernel import (
    A_CARD,
    NONE,
    read_card_or_phone,
    read_iban,
    read_international,
)

EMAIL, PHONE, IP, KEY, CARD, IBAN = range(6)
"""Kinds, in the order of `curate.text.secrets.find.KINDS`."""

LONGEST_LOCAL, LONGEST_DOMAIN, LONGEST_LABEL, LONGEST_TLD = 64, 253, 63, 24
MARGIN: Final = WIDTH + 8
"""Bytes past a place that the quick scan may read."""


class SecretTables(NamedTuple):
    """What bytes are, how keys begin, and what is plainly made up.

    `keys` has a line for each layout of keys: where its prefix begins and ends in `spelling`, the alphabet of the rest
    (a bit of `alphabets`), and its shortest and longest length. `words` are where words of `spelling` begin and end,
    in the order of `curate.text.secrets.find.WORDS`, and `sets` where each set of them ends.
    """

    kinds: NDArray[np.uint8]
    alphabets: NDArray[np.uint8]
    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    spelling: NDArray[np.uint8]
    keys: NDArray[np.int32]
    words: NDArray[np.int32]
    sets: NDArray[np.int32]
    countries: NDArray[np.uint8]
    ibans: NDArray[np.uint8]


@kernel
def scan(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    index: NDArray[np.int32],
    wanted: int,
    tables: SecretTables,
    digits: NDArray[np.uint8],
    groups: NDArray[np.int32],
    hits: NDArray[np.int32],
) -> int:
    """Write (place, kind, start, stop) of each hit of the kinds whose bits are in `wanted`; return how many there are.

    `digits` and `groups` are scratch space; a hit takes six bytes or more, so `hits` has room for a sixth of the text.
    """
    kinds, first, second = tables.kinds, tables.first, tables.second
    alphabets, spelling, keys, words = tables.alphabets, tables.spelling, tables.keys, tables.words
    sets, countries, ibans = tables.sets, tables.countries, tables.ibans
    mails, rows, numbers = -(wanted >> EMAIL & 1), -(wanted >> KEY & 1), -int(wanted & ~(1 << EMAIL | 1 << KEY) != 0)
    found = 0
    for place in range(len(index)):
        begin, end = int(offsets[index[place]]), int(offsets[index[place] + 1])
        known = found
        i = begin
        while i < end:
            marks, width = 1, 1
            if i > begin and i + MARGIN <= len(data):
                marks, width = find_marks(data, i, first, second, mails, rows, numbers), WIDTH - 1
            while marks:
                p = i + trailing(marks)
                marks &= marks - 1
                if p >= end:
                    break
                kind, start, stop = read_at(
                    data,
                    begin,
                    p,
                    end,
                    kinds,
                    wanted,
                    alphabets,
                    keys,
                    countries,
                    ibans,
                    digits,
                    groups,
                    spelling,
                    words,
                    sets,
                )
                if stop > start and wanted >> kind & 1:
                    found = push(hits, known, found, place, kind, start, stop)
            i += width
        for k in range(known, found):
            hits[k, 2] -= begin
            hits[k, 3] -= begin
    return found


@inline
def read_at(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    kinds: NDArray[np.uint8],
    wanted: int,
    alphabets: NDArray[np.uint8],
    keys: NDArray[np.int32],
    countries: NDArray[np.uint8],
    ibans: NDArray[np.uint8],
    digits: NDArray[np.uint8],
    groups: NDArray[np.int32],
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    sets: NDArray[np.int32],
) -> tuple[int, int, int]:
    """Return the kind of what the byte at `p` indicates, and where it starts and stops; all at `p` if nothing."""
    if data[p] == 0x40:
        start, stop = read_email(data, begin, p, end, kinds, spelling, words, sets)
        return EMAIL, start, stop
    if kinds[data[p]] & DIGIT and not is_digit(at(data, p - 1, begin, end)):
        return read_number(data, begin, p, end, kinds, wanted, countries, ibans, digits, groups, spelling, words, sets)
    if wanted >> KEY & 1 and kinds[data[p]] & LETTER:
        start, stop = read_key(data, begin, p, end, kinds, alphabets, spelling, keys, words, sets)
        return KEY, start, stop
    return NONE, p, p


@inline
def find_marks(
    data: NDArray[np.uint8],
    i: int,
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    mails: int,
    keys: int,
    numbers: int,
) -> int:
    """Mark, of the 31 bytes from `i`, each "@", each first digit, and each first letter of what may be a key.

    The last three are masks of all bits, or of none, that say what is looked for.
    """
    digit = within32(data, i - 1, 0x30, 0x39)
    letter = within32(data, i - 1, 0x41, 0x5A) | within32(data, i - 1, 0x61, 0x7A)
    word = digit | letter | within32(data, i - 1, 0x5F, 0x5F)
    marks = (digit & ~(digit << 1) & numbers | within32(data, i - 1, 0x40, 0x40) & mails) >> 1
    starts = (letter & ~(word << 1) & keys) >> 1
    while starts:
        here = load64(data, i + trailing(starts))
        if first[here & np.uint64(0xFFFF)] and second[here >> np.uint64(16) & np.uint64(0xFFFF)]:
            marks |= starts & -starts
        starts &= starts - 1
    return marks & ((1 << (WIDTH - 1)) - 1)


@inline
def push(hits: NDArray[np.int32], known: int, found: int, place: int, kind: int, start: int, stop: int) -> int:
    """Add a hit to those of its text, which begin at `known`, unless it overlaps one that is as long or longer."""
    k = found
    while k > known and hits[k - 1, 3] > start:
        if hits[k - 1, 3] - hits[k - 1, 2] >= stop - start:
            return found
        k -= 1
    hits[k, 0], hits[k, 1], hits[k, 2], hits[k, 3] = place, kind, start, stop
    return k + 1


@inline
def read_email(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    kinds: NDArray[np.uint8],
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    sets: NDArray[np.int32],
) -> tuple[int, int]:
    """Return where the address around the "@" at `p` starts and stops; `p` twice if there is none."""
    start = p
    while start > begin and p - start <= LONGEST_LOCAL and kinds[data[start - 1]] & (DIGIT | LETTER | UNDER | LOCAL):
        start -= 1
    if p - start > LONGEST_LOCAL:
        return p, p
    while start < p and kinds[data[start]] & LOCAL:
        start += 1
    if start == p or data[p - 1] == 0x2E or is_listed(data, start, p, 0x40, spelling, words, 0, sets[0]):
        return p, p
    for k in range(start, p - 1):
        if data[k] == 0x2E and data[k + 1] == 0x2E:
            return p, p
    stop = read_domain(data, begin, p + 1, end, kinds, spelling, words, sets)
    return (start, stop) if stop else (p, p)


@inline
def read_domain(
    data: NDArray[np.uint8],
    begin: int,
    i: int,
    end: int,
    kinds: NDArray[np.uint8],
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    sets: NDArray[np.int32],
) -> int:
    """Return the end of the domain at `i`; 0 if absent, a placeholder (example.com), or a function call."""
    stop, origin, last = 0, i, i
    while i - origin <= LONGEST_DOMAIN:
        letters = i
        while letters < end and kinds[data[letters]] & LETTER:
            letters += 1
        if i > origin and 2 <= letters - i <= LONGEST_TLD and not is_word(at(data, letters, begin, end)):
            stop, last = letters, i
        label = letters
        while (
            label < end
            and (kinds[data[label]] & (DIGIT | LETTER) or data[label] == 0x2D)
            and label - i <= LONGEST_LABEL
        ):
            label += 1
        if label == i or label - i > LONGEST_LABEL or at(data, label, begin, end) != 0x2E:
            break
        if data[i] == 0x2D or data[label - 1] == 0x2D:
            break
        i = label + 1
    tail = stop
    while tail < end and tail - origin <= 2 * LONGEST_DOMAIN and is_domain(data[tail], kinds):
        tail += 1
    if stop == 0 or at(data, tail, begin, end) == 0x28 or is_stand_in(data, origin, last, stop, spelling, words, sets):
        return 0
    return stop


@inline
def is_domain(byte: np.uint8, kinds: NDArray[np.uint8]) -> bool:
    """Tell whether a byte may stand in a domain."""
    return kinds[byte] & (DIGIT | LETTER) != 0 or byte in (0x2D, 0x2E)


@inline
def is_stand_in(
    data: NDArray[np.uint8],
    start: int,
    last: int,
    stop: int,
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    sets: NDArray[np.int32],
) -> bool:
    """Tell whether a label of the domain `data[start:stop]`, whose last one begins at `last`, is a placeholder."""
    label = start
    while label <= last:
        if is_listed(data, label, stop, 0x2E, spelling, words, sets[0], sets[1] if label == last else sets[2]):
            return True
        while label < stop and data[label] != 0x2E:
            label += 1
        label += 1
    return False


@inline
def read_number(
    data: NDArray[np.uint8],
    begin: int,
    p: int,
    end: int,
    kinds: NDArray[np.uint8],
    wanted: int,
    countries: NDArray[np.uint8],
    ibans: NDArray[np.uint8],
    digits: NDArray[np.uint8],
    groups: NDArray[np.int32],
    spelling: NDArray[np.uint8],
    words: NDArray[np.int32],
    sets: NDArray[np.int32],
) -> tuple[int, int, int]:
    """Return the kind of what begins with the digits at `p`, and where it starts and stops; all at `p` if nothing."""
    stop = p
    while stop < end and kinds[data[stop]] & DIGIT and stop - p < 20:
        stop += 1
    before, after = at(data, p - 1, begin, end), at(data, stop, begin, end)
    if before == 0x2B:
        kind, start, last = read_international(data, begin, p, end, kinds, countries, digits)
        return (PHONE, start, last) if kind != NONE else (NONE, p, p)
    if 0x41 <= before <= 0x5A:
        start, last = read_iban(data, begin, p, end, kinds, ibans)
        return (IBAN, start, last) if last else (NONE, p, p)
    if wanted >> IP & 1 and stop - p <= 4 and not is_word(before):
        last = 0
        if after == 0x2E and before != 0x2E:
            last = read_ip4(data, begin, p, end, kinds, spelling, words, sets)
        elif before != 0x3A and (data[p] == 0x32 or data[p] == 0x33):
            last = read_ip6(data, begin, p, end, kinds)
        if last:
            return IP, p, last
    # No number of a card or telephone goes on with anything else, or is one group of less than 14 digits.
    if stop - p < 14 and not (after in (0x20, 0x29) or 0x2D <= after <= 0x2F):
        return NONE, p, p
    kind, start, last = read_card_or_phone(data, begin, p, end, kinds, digits, groups)
    if kind == NONE:
        return NONE, p, p
    return (CARD if kind == A_CARD else PHONE), start, last
