"""The usual letter case of words: the statistics of the `truecase` package as a table, and its scoring.

The table (72 MB) is compiled once, in 5 s, and cached in `$XDG_CACHE_HOME/curate` or `~/.cache/curate` under a name
with the layout's number and the hash of its source. It is mapped into memory, so the processes of a machine share it.
The package itself takes 830 MB and 5 s in each.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import mmap
import os
import string
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import FormatError, MixtureError, SourceNotFoundError, did_you_mean
from curate.kernels.buffers import Text, frozen, strings, view
from curate.text.casing.compile_table import compile_table
from curate.text.casing.scoring_kernel import (
    CAPITALISED,
    FALLBACK,
    KEPT,
    LOWERED,
    SCORED,
    TITLE,
    UNKNOWN,
    CasingTable,
    choose,
    recognise,
    spell,
)

OutOfVocabulary: TypeAlias = Literal["title", "capitalize", "lower", "as-is"]
WRITTEN: Final = {"title": TITLE, "capitalize": CAPITALISED, "lower": LOWERED, "as-is": LOWERED}
"""How the kernel writes a word that is not in the table; the package lowers it before it leaves it "as is"."""

SOURCE: Final = "truecase/data/english.dist"
SOURCE_HASH: Final = "2c8543682aad0487e5523381e4e89de23c58d026134878c3447b12028f75569a"
"""SHA-256 of the statistics in `truecase` 0.0.14."""

LAYOUT: Final = 2
"""Raised when a table of the same source comes to hold other bytes."""

MAGIC: Final = b"curate truecase\n"
TYPES: Final = ("i4", "u1", "i4", "i4", "u1", "i4", "i4", "i4", "f8", "f8", "u8", "u8")
"""Types of the arrays of a `CasingTable`, in its order, little-endian."""
HEAD: Final = np.dtype([("magic", "S16"), ("hash", "V32"), ("lengths", "<i8", len(TYPES))])
"""A file begins with this: `hash` is SHA-256 of `lengths` and of the arrays after it, each from a multiple of 64."""
ALIGN: Final = 64

_LOCK: Final = threading.Lock()


class _Fallback(NamedTuple):
    """Words, forms and new text of the tokens with characters past ASCII."""

    word: NDArray[np.int32]
    chosen: NDArray[np.int32]
    text: pa.StringArray


def true_case(tokens: pa.ListArray, out_of_vocabulary: OutOfVocabulary = "title") -> pa.ListArray:
    """Return sentences of tokens in the case that `TrueCaser.get_true_case_from_tokens` gives them.

    `tokens` is a list of strings for each sentence; a null sentence stays null, a null token counts as an empty one and
    stays null. A word that is not in the table is written as `out_of_vocabulary` says. Where the package leaves it to
    chance (forms with the same score: it takes the first of a Python set), the form that was seen more often wins, then
    the one that sorts last. Raises `MixtureError` for an unknown option, `TypeError` for other types of array, and what
    `load` raises.

    >>> true_case(pa.array([["HELLO", "there", ",", "john", "SMITH", "of", "new", "york", "!"], []])).to_pylist()
    [['Hello', 'there', ',', 'John', 'Smith', 'of', 'New', 'York', '!'], []]
    """
    if out_of_vocabulary not in get_args(OutOfVocabulary):
        message = (
            f"out_of_vocabulary={out_of_vocabulary!r}; {did_you_mean(out_of_vocabulary, get_args(OutOfVocabulary))}"
        )
        raise MixtureError(message)
    if tokens.type != pa.list_(pa.string()):
        message = f"sentences are lists of strings, not {tokens.type}"
        raise TypeError(message)
    table = load()
    sentences = tokens.offsets.to_numpy(zero_copy_only=True)
    words = tokens.values.slice(sentences[0], sentences[-1] - sentences[0])
    sentences = frozen(sentences - sentences[0])
    text = view(words)
    word, chosen = recognise(text.data, text.offsets[:-1], text.offsets[1:], table)
    data, starts, ends = text.data, text.offsets[:-1], text.offsets[1:]
    places = np.flatnonzero(word == FALLBACK)
    if len(places):
        found = _fallback(words.take(pa.array(places)), out_of_vocabulary, table)
        word[places], chosen[places] = found.word, found.chosen
        data, starts, ends = _with(text, places, view(found.text))
    choose(sentences, word, chosen, table, table.capital)
    data, offsets = spell(data, starts, ends, chosen, WRITTEN[out_of_vocabulary], table)
    cased = strings(data, offsets)
    if words.null_count:
        cased = pc.if_else(words.is_valid(), cased, pa.scalar(None, pa.string()))
    return pa.ListArray.from_arrays(pa.array(sentences), cased, mask=tokens.is_null() if tokens.null_count else None)


def _with(
    text: Text, places: NDArray[np.int64], new: Text
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Return a buffer, and where each token begins and ends in it, with the tokens at `places` replaced by `new`."""
    size = len(text.data)
    if size + len(new.data) > np.iinfo(np.int32).max:
        message = "tokens of more than 2 GiB; give fewer sentences at once"
        raise OverflowError(message)
    starts, ends = text.offsets[:-1].copy(), text.offsets[1:].copy()
    starts[places], ends[places] = size + new.offsets[:-1], size + new.offsets[1:]
    return frozen(np.concatenate([text.data, new.data])), frozen(starts), frozen(ends)


def _fallback(tokens: pa.StringArray, out_of_vocabulary: OutOfVocabulary, table: CasingTable) -> _Fallback:
    """Look up tokens past ASCII by Python's `lower`, `isdigit`, `title` and `capitalize`, each distinct token once."""
    once = tokens.dictionary_encode()
    seen = once.dictionary.to_numpy(zero_copy_only=False).tolist()
    lower = [token.lower() for token in seen]
    words, forms = _past_ascii()
    word = _numbers(lower, words, UNKNOWN, strings(table.word_data, table.word_offsets))
    kept = np.array([token.isdigit() or token in string.punctuation for token in seen])
    cases = {"title": str.title, "capitalize": str.capitalize}
    write = cases.get(out_of_vocabulary, str.lower)
    texts = [token if as_is else write(low) for token, low, as_is in zip(seen, lower, kept, strict=True)]
    form = _numbers(texts, forms, KEPT, _forms(table))
    chosen = np.where((word != UNKNOWN) & ~kept, SCORED, form)
    place = once.indices.to_numpy()
    return _Fallback(word[place], chosen[place], pa.array(texts, pa.string()).take(once.indices))


def _numbers(texts: list[str], known: Mapping[str, int], other: int, every: pa.StringArray) -> NDArray[np.int32]:
    """Return the number of each text among `every`, or `other`; `known` has those past ASCII."""
    found = np.array([known.get(text, other) for text in texts], np.int32)
    plain = [place for place, text in enumerate(texts) if text.isascii()]  # "K", the Kelvin sign, has a small "k"
    if plain:
        known_places = pc.index_in(pa.array([texts[place] for place in plain], pa.string()), value_set=every)
        found[plain] = known_places.fill_null(other).to_numpy()
    return found


@functools.cache
def _past_ascii() -> tuple[dict[str, int], dict[str, int]]:
    """Return words and forms past ASCII with their numbers: a few hundred, where a set of all takes 7 ms to make."""
    table = load()
    found = []
    for every in (strings(table.word_data, table.word_offsets), _forms(table)):
        past = np.flatnonzero(~pc.string_is_ascii(every).to_numpy(zero_copy_only=False))[::-1]  # the first one counts
        found.append(dict(zip(pl.Series(every.take(pa.array(past))), past.tolist(), strict=True)))
    return found[0], found[1]


def _forms(table: CasingTable) -> pa.StringArray:
    return strings(table.form_data, table.form_offsets[: len(table.capital) + 1])


def load() -> CasingTable:
    """Return the table: mapped from the user's cache, or compiled and put there.

    A damaged file in the cache is compiled anew; where nothing can be written, the table stays in memory. Raises
    `MixtureError` where the package is not installed, `SourceNotFoundError` where its statistics are missing, and
    `FormatError` where they are not those of 0.0.14. With a table in the cache nothing is asked of the package.
    """
    with _LOCK:
        return _load()


@functools.cache
def _load() -> CasingTable:
    path = cache_file()
    return (read_table(path) if path else None) or _compile(path)


def cache_file() -> Path | None:
    """Return the cache path of the table; None if there is no home directory."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return folder / "curate" / f"truecase-{LAYOUT}-{SOURCE_HASH[:16]}.table"


def _compile(path: Path | None) -> CasingTable:
    """Compile the table and write it to `path`; return it mapped from there, or in memory if writing fails."""
    table = compile_table(source_file())
    if path is None:
        return table
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table)
    except OSError:
        return table
    return read_table(path) or table


def source_file() -> Path:
    """Return the package's statistics, once their hash has been checked; the package is not imported. See `load`."""
    package = importlib.util.find_spec("truecase")
    if package is None or package.origin is None:
        message = (
            "the package truecase, which brings the statistics of letter case, is not installed: pip install truecase"
        )
        raise MixtureError(message)
    path = Path(package.origin).parents[1] / SOURCE
    if not path.is_file():
        message = f"{path} is missing: install truecase again (pip install --force-reinstall truecase==0.0.14)"
        raise SourceNotFoundError(message)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SOURCE_HASH:
        message = (
            f"{path} is not what truecase 0.0.14 brings (SHA-256 {found[:16]}..., expected {SOURCE_HASH[:16]}...): "
            "install truecase==0.0.14"
        )
        raise FormatError(message)
    return path


def write_table(path: Path, table: CasingTable) -> None:
    """Write a table to a file, whole or not at all. Raises `OSError` where it cannot."""
    head = np.zeros(1, HEAD)
    head["magic"], head["lengths"] = MAGIC, [len(array) for array in table]
    places, size = _places(head["lengths"][0])
    body = bytearray(size - HEAD.itemsize)
    arrays: tuple[NDArray[Any], ...] = table
    for array, start, kind in zip(arrays, places, TYPES, strict=True):
        raw = array.astype(f"<{kind}").tobytes()
        body[start - HEAD.itemsize : start - HEAD.itemsize + len(raw)] = raw
    head["hash"] = np.void(_digest(head, memoryview(body)))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    draft = Path(name)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123  mkstemp gives a handle
            file.write(head.tobytes())
            file.write(body)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_table(path: Path) -> CasingTable | None:
    """Map a table from its file; None where there is none, or it is not whole."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # not there, or empty
        return None
    if len(mapped) < HEAD.itemsize:
        return None
    head = np.frombuffer(mapped, HEAD, 1)
    whole = memoryview(mapped)
    if head["magic"][0] != MAGIC.rstrip(b"\0") or head["hash"][0].tobytes() != _digest(head, whole[HEAD.itemsize :]):
        return None
    lengths = head["lengths"][0]
    places, _ = _places(lengths)
    parts = zip(TYPES, lengths.tolist(), places, strict=True)
    return CasingTable._make(np.frombuffer(mapped, np.dtype(f"<{kind}"), count, start) for kind, count, start in parts)


def _digest(head: NDArray[np.void], body: memoryview) -> bytes:
    digest = hashlib.sha256(head["lengths"].tobytes())
    digest.update(body)
    return digest.digest()


def _places(lengths: NDArray[np.int64]) -> tuple[list[int], int]:
    """Return where each array begins in the file, and the file's size."""
    sizes = [int(length) * int(kind[1]) for length, kind in zip(lengths, TYPES, strict=True)]
    places = [-(-HEAD.itemsize // ALIGN) * ALIGN]
    for size in sizes:
        places.append(places[-1] + -(-size // ALIGN) * ALIGN)
    return places[:-1], places[-1]
