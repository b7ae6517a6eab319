"""Compiles the statistics of the `truecase` package (a pickle of 76 MB) to the table that the kernels read.

Only the 12,313 of 71,453 words that were seen in several casings have contexts: the package asks about no others.
Compiling takes about 5 s and 700 MB, once per machine (see `model`).
"""

from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import FormatError
from curate.kernels.buffers import Bytes, Float64s, Int32s, Int64s, UInt64s, frozen
from curate.text.casing.scoring_kernel import (
    MAX_FORMS,
    NO_CONTEXT,
    ROW_BITS,
    SEVERAL_BITS,
    UNSEEN,
    WORD_BITS,
    CasingTable,
    fill_contexts,
    fill_words,
)

WORD_SLOTS: Final = 1 << 18
"""Slots for 71,453 words."""

CONTEXT_SLOTS: Final = 1 << 22
"""Slots for 1,150,694 contexts of one word, and for 1,471,560 of two."""

PSEUDO: Final = 5.0
"""The package adds this to every count."""

COUNT_BITS: Final = 15
"""The highest count of a pair is 26,946; the counts of all forms of a word are packed into one number."""

FORMS: Final = "uni_dist"
BACKWARD, FORWARD, BOTH = CONTEXTS = ("backward_bi_dist", "forward_bi_dist", "trigram_dist")
"""The tables of counts in the pickle: of forms, and of forms in context."""

TYPES: Final = {("nltk.probability", "FreqDist"): dict, ("builtins", "set"): set}
"""The only classes that the pickle may name. Counts are read as a `dict`, so nltk is not needed."""


class Forms(NamedTuple):
    """The casings that were seen, and their counts; `words` are lower-case, and `first` is the first form of each.

    `word` is the number of each form's word and `place` its position among that word's forms; `sizes` counts the forms
    of each word.
    """

    texts: list[str]
    words: list[str]
    counts: Int32s
    first: Int64s
    word: Int64s
    place: Int64s
    sizes: Int64s


class _Statistics(pickle.Unpickler):
    """Loads dictionaries, sets, strings and numbers; refuses every other class."""

    def find_class(self, module: str, name: str) -> type:
        """Return the substitute class for `module.name`."""
        if (module, name) not in TYPES:
            raise FormatError(f"the statistics of truecase name the class {module}.{name}; expected counts only")
        return TYPES[module, name]


def compile_table(path: Path) -> CasingTable:
    """Compile the package's pickle. Raises `FormatError` where it is not laid out as in 0.0.14."""
    counts = _read(path)
    forms = _forms(counts[FORMS])
    contexts = [_contexts(counts.pop(section), section, forms) for section in CONTEXTS]
    packed = np.unique(np.concatenate([counted for _, counted in contexts]))
    rows = [[math.log(PSEUDO / (PSEUDO * (k + UNSEEN)))] * MAX_FORMS for k in range(NO_CONTEXT)] + [[0.0] * MAX_FORMS]
    rows += [_logs(_unpacked(key)) for key in packed.tolist()]
    return _assemble(forms, _hashed(contexts[:2], packed), _hashed(contexts[2:], packed), np.array(rows).reshape(-1))


def _read(path: Path) -> dict[str, dict[str, int]]:
    """Load the counts from the pickle."""
    try:
        with path.open("rb") as file:
            read: Any = _Statistics(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError) as error:
        raise FormatError(f"the statistics of truecase cannot be read: {error}") from error
    missing = [name for name in (FORMS, *CONTEXTS) if not isinstance(read, dict) or name not in read]
    if missing:
        raise FormatError(f"the statistics of truecase lack {', '.join(missing)}")
    return {name: read[name] for name in (FORMS, *CONTEXTS)}


def _forms(seen: dict[str, int]) -> Forms:
    """Return the casings that were seen. Words are lowered by `str.lower`, as in the package.

    Words with several forms come first; a word's forms are in the order in which they win a tie.
    """
    counted = sorted(seen.items(), reverse=True)
    often = Counter(form.lower() for form in seen)
    counted.sort(key=lambda pair: (often[pair[0].lower()] == 1, pair[0].lower(), -pair[1]))
    texts = [form for form, _ in counted]
    lower = [form.lower() for form in texts]
    first = np.array([place for place, word in enumerate(lower) if not place or word != lower[place - 1]])
    sizes = np.diff(first, append=len(texts))
    if sizes.max() > MAX_FORMS or len(texts) >= 1 << WORD_BITS or (sizes > 1).sum() >= 1 << SEVERAL_BITS:
        raise FormatError(
            f"the statistics of truecase have {len(texts):,} casings, {sizes.max()} of a word: more than the table"
        )
    return Forms(
        texts,
        [lower[place] for place in first],
        np.array([count for _, count in counted], np.int32),
        first,
        np.repeat(np.arange(len(first)), sizes),
        np.arange(len(texts)) - np.repeat(first, sizes),
        sizes,
    )


def _contexts(counts: dict[str, int], section: str, forms: Forms) -> tuple[UInt64s, UInt64s]:
    """Return the contexts of a section as keys of the table, each with the counts of all forms, see `_unpacked`.

    The keys of a section join by "_" the form before, the form and the word after.
    """
    width = 3 if section == BOTH else 2
    underscored = [text for text in {*forms.texts, *forms.words} if "_" in text]
    parts = (
        pl.Series(counts.keys(), dtype=pl.String)
        .str.replace_many(underscored, [text.replace("_", "\0") for text in underscored])
        .str.split_exact("_", width - 1)
        .struct.unnest()
    )
    columns = [parts[:, k].str.replace_all("\0", "_", literal=True).to_arrow() for k in range(width)]
    form_of, word_of = pa.array(forms.texts, columns[0].type), pa.array(forms.words, columns[0].type)
    nothing = np.full(len(counts), 0)
    before = nothing if section == FORWARD else _numbers(columns.pop(0), form_of)
    form = _numbers(columns.pop(0), form_of) - 1
    after = nothing if section == BACKWARD else _numbers(columns.pop(0), word_of)
    number = forms.word[form]
    several, count = (forms.sizes > 1).sum(), np.fromiter(counts.values(), np.uint64, len(counts))
    unread = (form < 0) | (number >= several)
    unread |= (before == 0) & (section != FORWARD) | (after == 0) & (section != BACKWARD)
    if unread.any() or count.max() >> COUNT_BITS:
        raise FormatError(f"the {section} of truecase counts {unread.sum():,} contexts that cannot be read")
    key = (before << (WORD_BITS + SEVERAL_BITS) | number << WORD_BITS | after).astype(np.uint64)
    order = np.argsort(key)
    key, first = key[order], np.flatnonzero(np.diff(key[order], prepend=np.uint64(2**64 - 1)))
    shares = count << forms.place[form].astype(np.uint64) * np.uint64(COUNT_BITS)
    sizes = (forms.sizes[number[order][first]] - UNSEEN).astype(np.uint64)
    packed = np.add.reduceat(shares[order], first) | sizes << np.uint64(COUNT_BITS * MAX_FORMS)
    return key[first], packed


def _numbers(texts: pa.Array, known: pa.Array) -> Int64s:
    """Return the number of each text among the known ones, from 1; 0 for an unknown text."""
    return np.asarray(pc.index_in(texts, value_set=known).fill_null(-1), np.int64) + 1


def _hashed(contexts: list[tuple[UInt64s, UInt64s]], packed: UInt64s) -> UInt64s:
    """Return a hash table from each context to the row whose counts it has; rows are numbered as in `packed`."""
    keys = np.concatenate([keys for keys, _ in contexts])
    rows = np.searchsorted(packed, np.concatenate([counted for _, counted in contexts])) + NO_CONTEXT + 1
    if len(keys) >= CONTEXT_SLOTS or rows.max() >> ROW_BITS:
        raise FormatError(f"the statistics of truecase have {len(keys):,} contexts: more than the table")
    slots = np.zeros(CONTEXT_SLOTS, np.uint64)
    fill_contexts(keys, rows.astype(np.uint64), slots)
    return frozen(slots)


def _unpacked(packed: int) -> list[int]:
    """Return the counts of a row, as many as the word has forms."""
    forms = (packed >> COUNT_BITS * MAX_FORMS) + UNSEEN
    return [packed >> COUNT_BITS * place & ((1 << COUNT_BITS) - 1) for place in range(forms)]


def _logs(counts: list[int], none: float = 0.0) -> list[float]:
    """Return the scores of forms with these counts, as the package computes them, `none` for the rest of a row."""
    total = 0.0
    for count in counts:
        total += count + PSEUDO
    return [math.log((count + PSEUDO) / total) for count in counts] + [none] * (MAX_FORMS - len(counts))


def _assemble(forms: Forms, pairs: UInt64s, triples: UInt64s, rows: Float64s) -> CasingTable:
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
    return CasingTable(
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


def _joined(texts: list[str]) -> tuple[Bytes, Int32s]:
    """Return the buffers of strings, with eight bytes after the last."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return frozen(np.frombuffer(b"".join(encoded) + bytes(8), np.uint8)), frozen(offsets)
