"""The one definition of normal form: two texts that differ only in its terms are the same text to every step.

    text = NFKC(casefold(NFKC(apostrophes(visible(text)))))
    text = apostrophes(text), every run of white space one space, none at either end

This is Unicode's NFKC_Casefold, and beyond it apostrophes and white space. `visible` leaves out what is invisible
(`curate.text.invisible`), and comes first because a letter may meet its accent only then. `apostrophes` turns each of
`APOSTROPHES` into "'", before NFKC would take U+00B4 apart into a space and an accent. NFKC comes again for folded
letters that meet their accent only then ("J" and a caron, say). White space is what `str.isspace` says. Normal form is
idempotent.

ASCII runs 32 bytes at a time. Most other characters are *calm*: what they become depends on no neighbour, so a table
built once from `str.casefold` and `unicodedata` answers for them. Texts with any other character (a combining accent,
a Hangul jamo, a half-width voicing mark) go through Polars' NFKC. The table has the Unicode version of the running
Python (14.0 in 3.11), Polars its own, newer one: only characters unassigned in the older one can come out differently.
"""

from __future__ import annotations

import unicodedata
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from curate.kernels.buffers import Bytes, Flags, Int32s, Int64s, Text, UInt64s, frozen, strings, view
from curate.kernels.compile import inline, kernel
from curate.kernels.hashing import Hashes, hash_bytes, hash_strings
from curate.kernels.kept import code_of, kept
from curate.kernels.load_once import load_once
from curate.kernels.utf8 import CHARACTERS, POINTS, code_point, is_blank
from curate.kernels.vector import WIDTH, lower32, trailing, within32
from curate.text.invisible import PATTERN, invisible

APOSTROPHES: Final = "\u00b4\u02bb\u02bc\u1ffd\u2018\u2019\u201b\u2032\uff07"
"""Acute accent, okina, modifier apostrophe, oxia, single quotation marks, prime, full-width apostrophe."""

GROWTH: Final = 3
"""No calm character, and no folded one, becomes more than three times its bytes (U+0390 folds to three times two)."""

MOST: Final = 2**31 - 1
UNSETTLED: Final = -1
SPACE: Final = 0x20
WHITE_SPACE: Final = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
TO_APOSTROPHE: Final = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))
TO_SPACE: Final = str.maketrans(dict.fromkeys(WHITE_SPACE, " "))


CODE: Final = ("text/normal.py", "text/invisible.py", "kernels/utf8.py")
"""The modules that decide what the tables hold."""


class NormalTables(NamedTuple):
    """What a character becomes, by code point: 0 itself, -1 not calm, else `place << 6 | size` of its bytes in `extra`.

    `normal` gives the normal form of a calm character, `folded` the case folding of any.
    """

    normal: Int32s
    folded: Int32s
    extra: Bytes


def normalise(texts: pa.StringArray) -> pa.StringArray:
    r"""Return the normal form of every text; that of a null is the empty string.

    Raises `OverflowError` where an array cannot hold them all (2 GiB).

    >>> normalise(pa.array(["  Don’t\n\nPANIC ", "Straße", "ｶﾞ", "light\u200bhouse"])).to_pylist()
    ["don't panic", 'strasse', 'ガ', 'lighthouse']
    """
    normal, left = _rewrite(texts, tables().normal, lenient=False)
    if not len(left):
        return normal
    order = np.arange(len(texts))
    order[left] = len(texts) + np.arange(len(left))
    return pa.concat_arrays([normal, _normalise_composing(texts.take(pa.array(left)))]).take(pa.array(order))


def hash_normal(text: Text, index: Int32s) -> Hashes:
    """Hash the normal form of the strings of `text` at `index`, without keeping it.

    Equals `hash_strings` of what `normalise` gives.

    >>> hashes = hash_normal(view(pa.array(["Hello  there", "x", "hello THERE"])), np.array([0, 2], np.int32))
    >>> bool(hashes.high[0] == hashes.high[1]), bool(hashes.low[0] == hashes.low[1])
    (True, True)
    """
    table = tables()
    high, low, unsettled = _hash_normal(text.data, text.offsets, index, table.normal, table.extra)
    left = np.flatnonzero(unsettled)
    if len(left):
        rest = strings(text.data, text.offsets).take(pa.array(index[left]))
        high[left], low[left] = hash_strings(view(_normalise_composing(rest)))
    return Hashes(high, low)


def blank(text: Text, index: Int32s) -> Flags:
    r"""Tell which strings of `text` at `index` have an empty normal form: only white space and what is invisible.

    >>> blank(view(pa.array(["", " \n\u3000", "\u200b", "."])), np.arange(4, dtype=np.int32)).tolist()
    [True, True, True, False]
    """
    table = tables()
    return _blank(text.data, text.offsets, index, table.normal, table.extra)


def _normalise_composing(texts: pa.StringArray) -> pa.StringArray:
    """Return the normal form of texts with characters that are not calm."""
    composed = _nfkc(pl.Series(texts).str.replace_all(PATTERN, "").str.replace_all("[\u00b4\u1ffd]", "'"))
    normal, left = _rewrite(composed, tables().normal, lenient=False)
    if not len(left):
        return normal
    # What is left, accents that compose with nothing for the most part, needs each pass in its turn.
    folded, _ = _rewrite(composed.take(pa.array(left)), tables().folded, lenient=True)
    last, _ = _rewrite(_nfkc(pl.Series(folded)), tables().normal, lenient=True)
    order = np.arange(len(texts))
    order[left] = len(texts) + np.arange(len(left))
    return pa.concat_arrays([normal, last]).take(pa.array(order))


def _nfkc(texts: pl.Series) -> pa.StringArray:
    return texts.str.normalize("NFKC").to_arrow().cast(pa.string())


def _rewrite(texts: pa.StringArray, table: Int32s, *, lenient: bool) -> tuple[pa.StringArray, Int64s]:
    """Return the texts written anew by `table`, and the places of those that it cannot answer for, left empty."""
    text = view(texts)
    data, offsets, unsettled = _rewrite_all(text.data, text.offsets, table, tables().extra, lenient)
    if len(data) > MOST:
        raise OverflowError(
            f"the normal form of {len(texts):,} texts takes {len(data):,} bytes; one array holds {MOST:,}"
        )
    return strings(data, offsets), np.flatnonzero(unsettled)


@kernel
def _hash_normal(
    data: Bytes, offsets: Int32s, index: Int32s, table: Int32s, extra: Bytes
) -> tuple[UInt64s, UInt64s, Flags]:
    longest = 0
    for place in index:
        longest = max(longest, offsets[place + 1] - offsets[place])
    scratch = np.empty(GROWTH * longest + WIDTH, np.uint8)
    high = np.zeros(len(index), np.uint64)
    low = np.zeros(len(index), np.uint64)
    unsettled = np.zeros(len(index), np.bool_)
    for i in range(len(index)):
        start, end = offsets[index[i]], offsets[index[i] + 1]
        size = write_normal(data, start, end, scratch, 0, table, extra, lenient=False)
        if size == UNSETTLED:
            unsettled[i] = True
        else:
            high[i], low[i] = hash_bytes(scratch, 0, size, np.uint64(0))
    return high, low, unsettled


@kernel
def _rewrite_all(
    data: Bytes,
    offsets: Int32s,
    table: Int32s,
    extra: Bytes,
    lenient: bool,  # noqa: FBT001
) -> tuple[Bytes, Int32s, Flags]:
    count = len(offsets) - 1
    out = np.empty(GROWTH * np.int64(offsets[count] - offsets[0]) + WIDTH, np.uint8)
    ends = np.zeros(count + 1, np.int32)
    unsettled = np.zeros(count, np.bool_)
    at = 0
    for i in range(count):
        reached = write_normal(data, offsets[i], offsets[i + 1], out, at, table, extra, lenient)
        if reached == UNSETTLED:
            unsettled[i] = True
        else:
            at = reached
        ends[i + 1] = at
    return out[:at].copy(), ends, unsettled


@inline
def write_normal(
    data: Bytes,
    start: int,
    end: int,
    out: Bytes,
    base: int,
    table: Int32s,
    extra: Bytes,
    lenient: bool,  # noqa: FBT001
) -> int:
    """Write `data[start:end]` by `table` into `out` from `base`, white space in order; return where it ends.

    Returns -1 at the first character that is not calm, unless `lenient`, which takes it as it is. `out` has room for
    `GROWTH` times the text and `WIDTH` bytes more.
    """
    i, at = start, base
    spaced = 1  # a space at the start, or after a space, is one too many
    while i < end:
        count = min(WIDTH, end - i)
        if i + WIDTH <= len(data):
            high, space = _marks(data, i)
            lower32(data, i, out, at)
        else:
            for k in range(count):
                out[at + k] = data[i + k]
            high, space = _marks(out, at)
            lower32(out, at, out, at)
        stop = high | (space & ((space << 1) | spaced))
        # A branch, not arithmetic: guessed right, the next load need not wait for these marks.
        if stop == 0 and count == WIDTH:
            i += WIDTH
            at += WIDTH
            spaced = space >> (WIDTH - 1)
            continue
        kept = trailing(stop | 1 << count)
        i += kept
        at += kept
        if kept:
            spaced = (space >> (kept - 1)) & 1
        if kept == count:
            continue
        if (high >> kept) & 1:
            i, at, spaced = _write_run(data, i, end, out, at, table, extra, lenient, spaced)
            if i == UNSETTLED:
                return UNSETTLED
        else:
            i += min(trailing(~(space >> kept)), count - kept)
            spaced = 1
    return at - 1 if at > base and spaced else at


@inline
def _marks(data: Bytes, i: int) -> tuple[int, int]:
    """Mark, of the 32 bytes from `i`, those past ASCII and those of white space."""
    space = within32(data, i, 0x20, 0x20) | within32(data, i, 0x09, 0x0D) | within32(data, i, 0x1C, 0x1F)
    return within32(data, i, 0x80, 0xFF), space


@inline
def _write_run(
    data: Bytes,
    i: int,
    end: int,
    out: Bytes,
    at: int,
    table: Int32s,
    extra: Bytes,
    lenient: bool,  # noqa: FBT001
    spaced: int,
) -> tuple[int, int, int]:
    """Write the characters from `i` to the next ASCII one; -1 in place of `i` at one that is not calm."""
    while i < end and data[i] >= 0x80:
        point, width = code_point(data, i, end)
        entry = table[point]
        if entry > 0:
            for k in range(entry >> 6, (entry >> 6) + (entry & 63)):
                if extra[k] != SPACE:
                    spaced = 0
                elif spaced:
                    continue
                else:
                    spaced = 1
                out[at] = extra[k]
                at += 1
        elif entry == UNSETTLED and not lenient:
            return UNSETTLED, at, spaced
        else:
            for k in range(width):
                out[at + k] = data[i + k]
            at += width
            spaced = 0
        i += width
    return i, at, spaced


@kernel
def _blank(data: Bytes, offsets: Int32s, index: Int32s, table: Int32s, extra: Bytes) -> Flags:
    answer = np.ones(len(index), np.bool_)
    for i in range(len(index)):
        start, end = offsets[index[i]], offsets[index[i] + 1]
        while start < end:
            point, width = code_point(data, start, end)
            if point > 0x7F:
                entry = table[point]
                size = entry & 63  # 0: invisible
                if entry <= 0 or size > 1 or (size == 1 and extra[entry >> 6] != SPACE):
                    break
            elif not is_blank(point) and not 0x1C <= point <= 0x1F:
                break
            start += width
        answer[i] = start == end
    return answer


@load_once(1)
def tables() -> NormalTables:
    """Return the tables, made of `str.casefold` and `unicodedata` (0.3 s) once on a machine."""
    made = kept("normal", unicodedata.unidata_version.encode(), code_of(*CODE), lambda: _tables()._asdict())
    return NormalTables(**{name: frozen(array) for name, array in made.items()})


def _tables() -> NormalTables:
    normal = np.zeros(POINTS, np.int32)
    folded = np.zeros(POINTS, np.int32)
    extra = bytearray(b" ")  # no entry has place 0: it would be 0 for a character that becomes nothing
    blocks = _blocks()
    clinging = _clinging(blocks)
    unseen = set(map(chr, np.flatnonzero(invisible()).tolist()))
    marked = clinging.union(APOSTROPHES, WHITE_SPACE, unseen)
    for block in blocks:
        if unicodedata.is_normalized("NFKC", block) and block.casefold() == block and marked.isdisjoint(block):
            continue  # as 1,900 of 2,079 blocks
        for letter in block:
            if letter in unseen:
                normal[ord(letter)] = len(extra) << 6
                continue
            stages = _stages(letter)
            clings = any(stage[0] in clinging for stage in stages)
            grows = len(stages[-1].encode()) > GROWTH * len(letter.encode())
            normal[ord(letter)] = UNSETTLED if clings or grows else _entry(letter, stages[-1], extra)
            folded[ord(letter)] = _entry(letter, letter.casefold(), extra)
    return NormalTables(normal, folded, np.frombuffer(bytes(extra), np.uint8))


def _stages(letter: str) -> tuple[str, str, str, str]:
    """Return what `letter` is on its way to normal form, any white space turned to spaces in the last."""
    composed = unicodedata.normalize("NFKC", letter.translate(TO_APOSTROPHE))
    folded = composed.casefold()
    return letter, composed, folded, unicodedata.normalize("NFKC", folded).translate(TO_APOSTROPHE | TO_SPACE)


def _entry(letter: str, becomes: str, extra: bytearray) -> int:
    if becomes == letter:
        return 0
    place = len(extra)
    extra.extend(becomes.encode())
    return place << 6 | (len(extra) - place)


def _blocks() -> list[str]:
    """Return the code points past ASCII that may be characters, 128 at a time."""
    starts = (start for stretch in CHARACTERS for start in stretch if start >= 0x80)
    return ["".join(map(chr, range(start, start + 0x80))) for start in starts]


def _clinging(blocks: list[str]) -> frozenset[str]:
    """Return the characters that may change with, or change, the one before them in NFKC."""
    second = set(map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))))  # jamo, which compose by arithmetic
    decomposed = "".join(block for block in blocks if not unicodedata.is_normalized("NFKD", block))
    for letter in decomposed:
        parts = unicodedata.decomposition(letter).split()
        if len(parts) == 2 and parts[0][0] != "<":
            second.add(chr(int(parts[1], 16)))
    for block in blocks:
        second.update(filter(unicodedata.combining, block))
    first = ((letter, unicodedata.normalize("NFKD", letter)[0]) for letter in decomposed)
    return frozenset(second.union(letter for letter, begins in first if begins in second))
