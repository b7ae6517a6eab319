"""What of a text is prose: words of some language, without code, addresses, numbers and signs.

A language model for identification takes code, links and lists of numbers for some language, and knows few words in
capitals. So it is given only the words, lowercased where most of them are capitals.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curate.kernels.buffers import Bytes, Int32s, Text, frozen
from curate.kernels.compile import inline, kernel, load64
from curate.kernels.utf8 import code_point
from curate.kernels.vector import ones, trailing
from curate.text.code_fences import LINE_FEED, SPACE, fence_end, run_of
from curate.text.words import ALONE, LETTER, classes
from curate.text.words_kernel import MARGIN, store64, within64

MOST: Final = 1024
"""Bytes of prose that are read of a text: with four times as many, 37 of 300,000 real chats had another language."""
ALONE_COUNTS: Final = 2
"""Letters that a character of a script without spaces counts as."""
NEAR: Final = 400
"""Bytes within which code between backticks is closed."""

BLOCK: Final = 64
"""Bytes that are read at a time."""
LAST: Final = -1 << 63
"""The mark of the last byte of a block."""

APOSTROPHE, BACKTICK, TILDE = 0x27, 0x60, 0x7E
ADDRESSES: Final = (
    frozen(np.frombuffer(b"http://", np.uint8)),
    frozen(np.frombuffer(b"https://", np.uint8)),
    frozen(np.frombuffer(b"www.", np.uint8)),
)


class Prose(NamedTuple):
    """The prose of some texts, and how many letters each has; one of a script without spaces counts as two."""

    text: Text
    letters: Int32s


def prose(text: Text, index: Int32s) -> Prose:
    r"""Return the prose of the strings of `text` at `index`; a null and an empty one have none.

    Letters and what else is past ASCII stay, and apostrophes; fenced code, code between backticks, addresses
    (`http://`, `https://`, `www.`), digits, signs and line ends are a space. Letters A to Z are made small in a text
    that has more of them as capitals than as small letters. At most 1,024 bytes of prose are read of a text.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import strings, view
    >>> texts = view(pa.array(["2. Don't `rm -rf` it,\n```sh\nls\n```\nsee https://a.org/b!", "你好 OK"]))
    >>> found = prose(texts, np.arange(2, dtype=np.int32))
    >>> strings(*found.text).to_pylist(), found.letters.tolist()
    ([" Don't it see ", '你好 ok'], [9, 6])
    """
    data, ends, letters = _prose(text.data, text.offsets, frozen(index), classes())
    return Prose(Text(frozen(data), frozen(ends)), letters)


@kernel
def _prose(data: Bytes, offsets: Int32s, index: Int32s, table: Bytes) -> tuple[Bytes, Int32s, Int32s]:
    room = np.int64(0)
    for place in index:
        room += min(offsets[place + 1] - offsets[place], MOST + 4)
    out = np.empty(room + BLOCK, np.uint8)
    ends = np.zeros(len(index) + 1, np.int32)
    letters = np.zeros(len(index), np.int32)
    for i in range(len(index)):
        start, end, base = offsets[index[i]], offsets[index[i] + 1], ends[i]
        at = write_prose(data, start, end, out, base)
        letters[i] = count_letters(out, base, at, table)
        ends[i + 1] = at
    return out[: ends[-1]], ends, letters


@inline
def write_prose(data: Bytes, start: int, end: int, out: Bytes, base: int) -> int:
    """Write the prose of `data[start:end]` to `out` from `base`; return where it ends."""
    i, at = start, base
    while i < end and at < base + MOST:
        if i + BLOCK + MARGIN <= len(data) and at + BLOCK < base + MOST:
            marks, count = kept_bytes(data, start, i, min(BLOCK, end - i))
            at = copy_runs(data, i, marks, count, out, base, at)
            i += count
            if count:
                continue
        byte = data[i]
        stop = i
        if byte in (BACKTICK, TILDE):
            stop = code_end(data, start, end, i)
        elif byte | 0x20 == 0x68 or byte | 0x20 == 0x77:  # h, w
            stop = address_end(data, start, end, i)
        kept = stop == i and (byte >= 0x80 or is_letter(byte) or byte == APOSTROPHE)
        while kept and data[i] >= 0x80 and i + 1 < end and data[i + 1] & 0xC0 == 0x80:  # a character is kept whole
            out[at] = data[i]
            at += 1
            i += 1
        if kept or at == base or out[at - 1] != SPACE:
            out[at] = data[i] if kept else SPACE
            at += 1
        i = max(stop, i + 1)
    return at


@inline
def kept_bytes(data: Bytes, start: int, i: int, count: int) -> tuple[int, int]:
    """Mark those of the bytes from `i` that are prose, and return before how many no code and no address may begin."""
    capital, small = within64(data, i, 0x41, 0x5A), within64(data, i, 0x61, 0x7A)
    letters = capital | small
    heads = ~(letters << 1 | int(i > start and is_letter(data[i - 1])))
    first = either(data, i, 0x68) | either(data, i, 0x77)
    second = (either(data, i, 0x74) | either(data, i, 0x77)) >> 1 | LAST
    special = (heads & first & second) | within64(data, i, BACKTICK, BACKTICK) | within64(data, i, TILDE, TILDE)
    kept = letters | within64(data, i, APOSTROPHE, APOSTROPHE) | within64(data, i, 0x80, 0xFF)
    return kept, min(count, trailing(special))


@inline
def either(data: Bytes, i: int, letter: int) -> int:
    """Mark those of the 64 bytes from `i` that are a letter, small or capital."""
    return within64(data, i, letter, letter) | within64(data, i, letter - 0x20, letter - 0x20)


@inline
def copy_runs(data: Bytes, i: int, kept: int, count: int, out: Bytes, base: int, at: int) -> int:
    """Write the marked ones of so many bytes from `i` on, and a space for those between; return where they end."""
    if count < BLOCK:
        kept &= (1 << count) - 1
    done = 0
    while done < count:
        gap = min(trailing(kept), count) - done
        if gap > 0:
            if at == base or out[at - 1] != SPACE:
                out[at] = SPACE
                at += 1
            done += gap
            continue
        run = trailing(~(kept | ((1 << done) - 1))) - done
        for k in range(0, run, 8):
            store64(out, at + k, load64(data, i + done + k))
        at += run
        done += run
        kept = kept & (-1 << done) if done < BLOCK else 0
    return at


@inline
def is_letter(byte: np.uint8) -> bool | np.bool:
    """Tell whether a byte is an ASCII letter."""
    return 0x61 <= (byte | 0x20) <= 0x7A


@inline
def code_end(data: Bytes, start: int, end: int, i: int) -> int:
    """Return where the code that begins at `i` ends, or `i` where none does. A fence left open goes to the end."""
    stop = fence_end(data, start, end, i, False)  # noqa: FBT003  a kernel takes no keyword here
    if stop > i or data[i] == TILDE:
        return stop
    mark, run = data[i], i + run_of(data, i, end)
    k = run
    while k < min(end, run + NEAR) and not (data[k] == LINE_FEED and k + 1 < end and data[k + 1] == LINE_FEED):
        closing = k
        while k < end and data[k] == mark:
            k += 1
        if k - closing == run - i:
            return k
        k = max(k, closing + 1)
    return run if run - i >= 3 else i


@inline
def address_end(data: Bytes, start: int, end: int, i: int) -> int:
    """Return where the address at `i` ends, or `i` where none is: at white space, a bracket, a quote, past ASCII."""
    if i > start and is_letter(data[i - 1]):
        return i
    for scheme in ADDRESSES:
        k = 0
        while k < len(scheme) and i + k < end and (data[i + k] | (0x20 if is_letter(data[i + k]) else 0)) == scheme[k]:
            k += 1
        if k == len(scheme):
            while i + k < end and ends_no_address(data[i + k]):
                k += 1
            return i + k
    return i


@inline
def ends_no_address(byte: np.uint8) -> bool | np.bool:
    """Tell whether an address goes on with this byte."""
    return 0x20 < byte < 0x80 and byte not in (0x22, 0x29, 0x3C, 0x3E, 0x5D, 0x60)


@inline
def count_letters(out: Bytes, start: int, end: int, table: Bytes) -> int | np.integer:
    """Count the letters of prose, after which `BLOCK` bytes may be read; make them small where most are capitals."""
    capitals = small = high = 0
    for k in range(start, end, BLOCK):
        within = -1 if end - k >= BLOCK else (1 << (end - k)) - 1
        capitals += ones(within64(out, k, 0x41, 0x5A) & within)
        small += ones(within64(out, k, 0x61, 0x7A) & within)
        high |= within64(out, k, 0x80, 0xFF) & within
    if capitals > small:
        for k in range(start, end):
            if is_letter(out[k]):
                out[k] |= 0x20
    return capitals + small + (count_others(out, start, end, table) if high else 0)


@inline
def count_others(data: Bytes, start: int, end: int, table: Bytes) -> int | np.integer:
    """Count the letters past ASCII."""
    letters: int | np.integer = 0
    i = start
    while i < end:
        if data[i] < 0x80:
            i += 1
            continue
        point, width = code_point(data, i, end)
        kind = table[point]
        letters += ALONE_COUNTS if kind == ALONE else 1 if kind == LETTER else 0
        i += width
    return letters
