"""Compiles the statistics of the `truecase` package (a pickle of 76 MB) to the table that the kernels read.

The pickle is never loaded: a kernel walks its bytes, which are one string and one number after another. That takes
1 s and 300 MB for a moment, where unpickling alone took 1.5 s and 460 MB. What scoring can never ask for is left out:
the package looks at counts only for words seen in several casings, 12,313 of 71,453.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.kernels.buffers import Text, frozen, strings
from curate.kernels.compile import inline, kernel, load64
from curate.kernels.hashing import hash_bytes, hash_strings
from curate.text.casing.hash_kernel import MOVE_BITS, SLOT_BITS, Rows, fill_rows
from curate.text.casing.scoring_kernel import (
    ALIKE,
    MOST,
    NOTHING,
    SEVERAL_BITS,
    WORD_BITS,
    Casing,
    fill_words,
)

WORD_SLOTS: Final = 1 << 18
"""Slots for 71,453 words, and for their 86,924 forms."""

PSEUDO: Final = 5.0
"""What the package adds to every count."""

COUNT_BITS: Final = 15
"""The highest count of a pair is 26,946; four of them make a row's key."""

SECTIONS: Final = ("uni_dist", "backward_bi_dist", "forward_bi_dist", "trigram_dist")
"""The counts in the pickle, in its order. Casings of words follow; they are those of `uni_dist`."""

BACKWARD, FORWARD = 1, 2
UNREAD: Final = np.uint64(2**64 - 1)
UNDERSCORE: Final = 0x5F

LEAST: Final = 10
"""Bytes that an entry takes at least: a string of one letter with its size, its number, and a count."""

LINE_FEED: Final = 0x0A
STRING, BYTE, SHORT, INT, GLOBAL, GET, DICT = b"XKMJch}"
"""Opcodes of a pickle: a string, numbers of one, two and four bytes, a class, a class met before, an empty dict."""

ARGUMENT: Final = np.full(256, -1, np.int8)
"""Bytes of each opcode's argument (of `STRING`, of its size; -1: not one that is met here)."""
for _size, _known in enumerate((b"()tRcus}\x85", b"\x80KqhX", b"M", b"", b"JXr")):
    ARGUMENT[list(_known)] = _size


class Counts(NamedTuple):
    """What the walk reads: strings, a count each, and where the sections begin."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]
    counts: NDArray[np.int32]
    cuts: NDArray[np.int64]


class Forms(NamedTuple):
    """The casings that were seen, and how often; `words` are they in lower case, and `first` the first form of each.

    `word` and `place` tell of each form whose it is, and which of its forms; `sizes` of each word how many it has.
    """

    texts: list[str]
    words: list[str]
    counts: NDArray[np.int32]
    first: NDArray[np.int64]
    word: NDArray[np.int64]
    place: NDArray[np.int64]
    sizes: NDArray[np.int64]


class Contexts(NamedTuple):
    """Contexts as keys of the table, each with the counts of all forms in one number, which `_unpacked` takes apart."""

    code: NDArray[np.uint64]
    packed: NDArray[np.uint64]


class Hashed(NamedTuple):
    """Strings, and the number from 1 of each at the slot of its hash."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]
    slots: NDArray[np.int32]


def compile_table(path: Path) -> Casing:
    """Compile the package's pickle. Raises `FormatError` where it is not laid out as in 0.0.14."""
    read = _read(path)
    seen = strings(read.data, read.offsets[: read.cuts[1] + 1]) if len(read.cuts) == len(SECTIONS) + 1 else None
    if seen is None:
        message = (
            f"the statistics of truecase have {len(read.cuts)} sections; expected {', '.join(SECTIONS)} and casings"
        )
        raise FormatError(message)
    forms = _forms(seen.to_numpy(zero_copy_only=False).tolist(), read.counts[: len(seen)].tolist())
    contexts = [_contexts(read, section, forms) for section in range(1, len(SECTIONS))]
    packed = np.unique(np.concatenate([context.packed for context in contexts]))
    rows = [[math.log(PSEUDO / (PSEUDO * (k + ALIKE)))] * MOST for k in range(NOTHING)] + [[0.0] * MOST]
    rows += [_logs(_unpacked(key)) for key in packed.tolist()]
    return _assemble(
        forms, _hash_rows(contexts[:2], packed), _hash_rows(contexts[2:], packed), np.array(rows).reshape(-1)
    )


def _read(path: Path) -> Counts:
    """Read strings and counts out of the pickle's bytes."""
    pickle = np.memmap(path, np.uint8, "r").view(np.ndarray)
    most = len(pickle) // LEAST + 1
    data, offsets = np.empty(len(pickle), np.uint8), np.zeros(most + 1, np.int32)
    counts, cuts = np.empty(most, np.int32), np.zeros(len(SECTIONS) + 1, np.int64)
    found, sections = _walk(pickle, data, offsets, counts, cuts)
    return Counts(frozen(data[: offsets[found]]), frozen(offsets[: found + 1]), counts[:found], cuts[:sections])


@kernel
def _walk(
    pickle: NDArray[np.uint8],
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    counts: NDArray[np.int32],
    cuts: NDArray[np.int64],
) -> tuple[int, int]:
    """Copy each string that a number follows, and the number; one that a class follows names a section.

    Ends at the section without numbers. Returns how many entries and cuts it met; no cut for a pickle of other make.
    """
    i, found, sections, size, start = 0, 0, 0, -1, 0
    while i + 5 <= len(pickle) and found < len(counts) and sections < len(cuts):
        code, argument = pickle[i], ARGUMENT[pickle[i]]
        number = np.int64(load64(pickle, i) >> np.uint64(8)) & ((1 << 8 * argument) - 1)
        if argument < 0:
            break
        i += 1 + argument
        if code == STRING:
            size, start = number, i
            i += size
        elif size >= 0 and (code in (BYTE, SHORT, INT)):
            for k in range(size):
                data[offsets[found] + k] = pickle[start + k]
            counts[found], offsets[found + 1] = number, offsets[found] + size
            found, size = found + 1, -1
        elif size >= 0 and (code in (GLOBAL, GET, DICT)):
            cuts[sections], size = found, -1
            sections += 1
            if code == DICT:
                return found, sections
        lines = 2 if code == GLOBAL else 0
        while lines and i < len(pickle):
            lines -= pickle[i] == LINE_FEED
            i += 1
    return 0, 0


def _forms(seen: list[str], counts: list[int]) -> Forms:
    """Return the casings that were seen. Small letters are those of `str.lower`, as in the package.

    Words with several forms come first; a word's forms are in the order in which they win a tie.
    """
    counted = sorted(zip(seen, counts, strict=True), reverse=True)
    often = Counter(form.lower() for form in seen)
    counted.sort(key=lambda pair: (often[pair[0].lower()] == 1, pair[0].lower(), -pair[1]))
    texts = [form for form, _ in counted]
    lower = [form.lower() for form in texts]
    first = np.array([place for place, word in enumerate(lower) if not place or word != lower[place - 1]])
    sizes = np.diff(first, append=len(texts))
    if sizes.max() > MOST or len(texts) >= 1 << WORD_BITS or (sizes > 1).sum() >= 1 << SEVERAL_BITS:
        message = (
            f"the statistics of truecase have {len(texts):,} casings, {sizes.max()} of a word: more than the table"
        )
        raise FormatError(message)
    return Forms(
        texts,
        [lower[place] for place in first],
        np.array([count for _, count in counted], np.int32),
        first,
        np.repeat(np.arange(len(first)), sizes),
        np.arange(len(texts)) - np.repeat(first, sizes),
        sizes,
    )


def _contexts(read: Counts, section: int, forms: Forms) -> Contexts:
    """Return the contexts of a section, whose keys are joined by "_": the form before, the form, the word after."""
    low, high = int(read.cuts[section]), int(read.cuts[section + 1])
    form_strings, word_strings = _hashed(forms.texts), _hashed(forms.words)
    offsets, counts = read.offsets[low : high + 1], read.counts[low:high]
    code = _codes(
        read.data, offsets, section, form_strings, word_strings, forms.word, forms.place, int((forms.sizes > 1).sum())
    )
    unread = int((code == UNREAD).sum())
    if unread or counts.max() >> COUNT_BITS:
        message = f"the {SECTIONS[section]} of truecase counts {unread:,} contexts that cannot be read"
        raise FormatError(message)
    order = np.argsort(code)
    code, counts = code[order], counts[order]
    middle = code // np.uint64(MOST)
    starts = np.flatnonzero(np.append(True, middle[1:] != middle[:-1]))
    middle = middle[starts]
    sums = np.add.reduceat(counts.astype(np.uint64) << code % np.uint64(MOST) * np.uint64(COUNT_BITS), starts)
    number = (middle >> np.uint64(WORD_BITS)).astype(np.int64) & ((1 << SEVERAL_BITS) - 1)
    widths = forms.sizes[number].astype(np.uint64) - np.uint64(ALIKE)
    return Contexts(middle, sums | widths << np.uint64(COUNT_BITS * MOST))


@kernel
def _codes(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    section: int,
    forms: Hashed,
    words: Hashed,
    word: NDArray[np.int64],
    place: NDArray[np.int64],
    several: int,
) -> NDArray[np.uint64]:
    """Return the key of each context, times four, and the place of its form among those of the word; or `UNREAD`.

    One word has an underscore in it; so a part ends at the first underscore up to which it is known.
    """
    out = np.full(len(offsets) - 1, UNREAD, np.uint64)
    for i in range(len(out)):
        at, end = int(offsets[i]), int(offsets[i + 1])
        before, form, after = 0, 0, 0
        if section != FORWARD:
            at, before = _part(data, at, end, False, forms)  # noqa: FBT003
        at, form = _part(data, at, end, section == BACKWARD, forms)
        if section != BACKWARD:
            at, after = _part(data, at, end, True, words)  # noqa: FBT003
        if at == end + 1 and word[form - 1] < several:
            middle = word[form - 1] << WORD_BITS
            key = np.int64(before) << (WORD_BITS + SEVERAL_BITS) | middle | after
            out[i] = np.uint64(key * MOST + place[form - 1])
    return out


@inline
def _part(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    last: bool,  # noqa: FBT001
    known: Hashed,
) -> tuple[int, int]:
    """Return where the next part begins, and the number from 1 of the string that begins at `start`.

    The `last` part runs to the end. A part that is not known ends past every other.
    """
    stop = end if last else start
    while stop <= end:
        if stop == end or data[stop] == UNDERSCORE:
            slot = np.int64(hash_bytes(data, start, stop, np.uint64(0))[0]) & (len(known.slots) - 1)
            while known.slots[slot]:
                number = known.slots[slot] - 1
                at, size = known.offsets[number], known.offsets[number + 1] - known.offsets[number]
                k = 0
                while size == stop - start and k < size and known.data[at + k] == data[start + k]:
                    k += 1
                if size == stop - start and k == size:
                    return stop + 1, number + 1
                slot = (slot + 1) & (len(known.slots) - 1)
        stop += 1
    return end + 2, 0


def _hashed(texts: list[str]) -> Hashed:
    """Return strings hashed for `_part`."""
    data, offsets = _joined(texts)
    slots = np.zeros(WORD_SLOTS, np.int32)
    _fill(hash_strings(Text(data, offsets)).high, slots)
    return Hashed(data, offsets, frozen(slots))


@kernel
def _fill(hashes: NDArray[np.uint64], slots: NDArray[np.int32]) -> None:
    for i in range(len(hashes)):
        slot = np.int64(hashes[i]) & (len(slots) - 1)
        while slots[slot]:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = i + 1


def _hash_rows(contexts: list[Contexts], packed: NDArray[np.uint64]) -> Rows:
    """Hash the contexts with the numbers that their counts have among `packed`."""
    keys = np.concatenate([context.code for context in contexts])
    numbers = np.searchsorted(packed, np.concatenate([context.packed for context in contexts])) + NOTHING + 1
    slots, moves = np.zeros(1 << 64 - SLOT_BITS, np.uint64), np.zeros(1 << 64 - MOVE_BITS, np.uint16)
    if not fill_rows(keys, numbers.astype(np.uint64), slots, moves):
        message = f"the statistics of truecase have {len(keys):,} contexts: more than the table"
        raise FormatError(message)
    return Rows(frozen(slots), frozen(moves))


def _unpacked(packed: int) -> list[int]:
    """Return the counts of a row, as many as the word has forms."""
    forms = (packed >> COUNT_BITS * MOST) + ALIKE
    return [packed >> COUNT_BITS * place & ((1 << COUNT_BITS) - 1) for place in range(forms)]


def _logs(counts: list[int], none: float = 0.0) -> list[float]:
    """Return the scores of forms with these counts, as the package computes them, `none` for the rest of a row."""
    total = 0.0
    for count in counts:
        total += count + PSEUDO
    return [math.log((count + PSEUDO) / total) for count in counts] + [none] * (MOST - len(counts))


def _assemble(forms: Forms, pairs: Rows, triples: Rows, rows: NDArray[np.float64]) -> Casing:
    """Return the table with its strings, hashed words and scores without context."""
    number = {form: place for place, form in enumerate(forms.texts)}
    capitals = [form.capitalize() for form in forms.texts]
    unseen = sorted(set(capitals).difference(number))
    number.update((form, place) for place, form in enumerate(unseen, len(number)))
    capital = np.array([number[form] for form in capitals], np.int32)
    form_data, form_offsets = _joined(forms.texts + unseen)
    word_data, word_offsets = _joined(forms.words)
    slots = np.zeros(WORD_SLOTS, np.int32)
    fill_words(word_data, word_offsets, slots)
    ends = np.append(forms.first, len(forms.texts))
    several = itertools.pairwise(ends[: (forms.sizes > 1).sum() + 1].tolist())
    alone = [_logs(forms.counts[low:high].tolist(), -math.inf) for low, high in several]
    return Casing(
        slots=frozen(slots),
        word_data=word_data,
        word_offsets=word_offsets,
        first_form=frozen(ends.astype(np.int32)),
        form_data=form_data,
        form_offsets=form_offsets,
        capital=frozen(capital),
        opened=frozen(
            np.where([form == form.lower() for form in forms.texts], capital, np.arange(len(capital), dtype=np.int32))
        ),
        alone=frozen(np.array(alone).reshape(-1)),
        rows=frozen(rows),
        pairs=pairs,
        triples=triples,
    )


def _joined(texts: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the buffers of strings, with eight bytes after the last."""
    pieces = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, pieces)]).astype(np.int32)
    return frozen(np.frombuffer(b"".join(pieces) + bytes(8), np.uint8)), frozen(offsets)
