"""Finds e-mail addresses, telephones, public IP addresses, API keys, cards and bank accounts in texts, and masks them.

A necessary pattern for each kind is tested on all texts first, by the regular expressions of Polars, which read a text
once and release the GIL. The exact patterns read only the texts that pass. A text with invisible characters is read as
it is and without them, JSON text string by string; the places are always those in the text as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Text, strings
from curate.text.invisible import PATTERN, has_invisible
from curate.text.json_text import has_escapes, is_json, tokens, unescaped
from curate.text.secrets.layouts import KEY_LAYOUTS
from curate.text.secrets.patterns import Span, cards, emails, ibans, ip_addresses, keys, phones
from curate.text.secrets.screen_kernel import CARD, IBAN, IP, PHONE, screened

Kind: TypeAlias = Literal["email", "phone", "ip", "key", "card", "iban"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

MASKS: Final = tuple(f"[{kind.upper()}]" for kind in KINDS)
"""The replacement for each kind; no reader finds anything in one."""

_PREFIXES: Final = "|".join(re.escape(prefix) for prefix in ("eyJ", *(layout.prefix for layout in KEY_LAYOUTS)))
READERS: Final[dict[Kind, tuple[str, Callable[[bytes], Iterator[Span]]]]] = {
    "email": (r"[0-9A-Za-z_.%+-]@[0-9A-Za-z-]+\.", emails),
    "phone": (r"[0-9](?:[ ./()-]{0,2}[0-9]){9}|\+[0-9](?:[ .()-]{0,3}[0-9]){7}", phones),
    "ip": (r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]*:", ip_addresses),
    "key": (rf"(?-u:\b)(?:{_PREFIXES})[0-9A-Za-z_.-]{{10}}|-----BEGIN ", keys),
    "card": (r"[0-9]{4}(?:[ -]?[0-9]){10}", cards),
    "iban": (r"[0-9]{2}(?: ?[0-9A-Z]){11}", ibans),  # without its country: digits are found five times as fast
}
"""A pattern that every text with a hit of the kind matches (Rust's syntax, without look-around), and the reader."""

SCREENED: Final[dict[Kind, int]] = {"phone": PHONE, "ip": IP, "card": CARD, "iban": IBAN}
"""The kinds whose pattern only reads texts that have enough digits."""

FEW: Final = 8
"""JSON texts with escapes that are read without a test before: it takes 2 ms for one and for hundreds."""


class Secrets(NamedTuple):
    """Every hit, as parallel arrays in text order.

    `place` counts within the given `index`, `kind` within `KINDS`; `start` and `stop` count bytes within the text.
    """

    place: NDArray[np.int32]
    kind: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]


class _Hit(NamedTuple):
    """A hit in a text: its kind, as a place in `KINDS`, its first and last byte, and what masks it there."""

    kind: int
    start: int
    stop: int
    mask: bytes


def find_secrets(
    text: Text, index: NDArray[np.int32], kinds: tuple[Kind, ...] = KINDS, *, values: bool = False
) -> Secrets:
    """Find hits of these kinds in the strings of `text` at `index`; a null and an empty string have none.

    Hits do not overlap: the longer of two stays, and the first of two equally long ones. A hit covers the invisible
    characters within it. A text that is a JSON object or list is read string by string, with `values` any JSON text.

    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["Write to ann@pellow.org.", "or call +44 1632 960983", ""]))
    >>> [column.tolist() for column in find_secrets(texts, np.arange(3, dtype=np.int32))]
    [[0, 1], [0, 1], [9, 8], [23, 23]]
    """
    hits = [
        (place, hit.kind, hit.start, hit.stop)
        for place, found, marked, some in _candidates(text, index, kinds)
        for hit in _read(found, some, marked=marked, values=values)
    ]
    return Secrets(*np.array(hits, np.int32).reshape(-1, 4).T.copy())


def mask_secrets(
    text: Text, index: NDArray[np.int32], kinds: tuple[Kind, ...] = KINDS, *, values: bool = False
) -> tuple[NDArray[np.int32], pa.StringArray]:
    """Return which of the strings of `text` at `index` have hits, and these strings with `MASKS` in place of the hits.

    A mask may separate what was next to it (the second of two adjacent numbers), so a text is read until it has no hit.
    JSON text (see `find_secrets`) stays JSON text: a number that is masked becomes a string.

    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["Hi.", "Write to ann@pellow.org, bo@pellow.org"]))
    >>> places, masked = mask_secrets(texts, np.arange(2, dtype=np.int32))
    >>> places.tolist(), masked.to_pylist()
    ([1], ['Write to [EMAIL], [EMAIL]'])
    """
    masked = {}
    for place, whole, marked, likely in _candidates(text, index, kinds):
        hits, left = _read(whole, likely, marked=marked, values=values), whole
        while hits:
            begins = [0, *(hit.stop for hit in hits)]
            ends = [*(hit.start for hit in hits), len(left)]
            masks = [*(hit.mask for hit in hits), b""]
            left = b"".join(left[i:j] + mask for i, j, mask in zip(begins, ends, masks, strict=True))
            masked[place] = left
            hits = _read(left, kinds, marked=marked, values=values)
    return np.array(list(masked), np.int32), pa.array(masked.values(), pa.binary()).cast(pa.string())


def _candidates(
    text: Text, index: NDArray[np.int32], kinds: tuple[Kind, ...]
) -> Iterator[tuple[int, bytes, bool, tuple[Kind, ...]]]:
    """Yield place and bytes of each string that may have a hit, whether it has invisible characters, and the kinds."""
    every = pl.Series(strings(text.data, text.offsets))
    chosen = every if len(index) == len(every) else every.gather(index)
    likely, marked = _likely(chosen, kinds, screened(text, index)), has_invisible(text, index)
    if marked.any():
        likely[:, marked] |= _likely(chosen.filter(pl.Series(marked)).str.replace_all(PATTERN, ""), kinds)
    rows = np.flatnonzero(has_escapes(text, index))
    if len(rows) <= FEW:
        likely[:, rows] = True
    else:
        _mark_escaped(likely, rows, chosen.gather(rows), kinds)
    for place in np.flatnonzero(likely.any(axis=0)).tolist():
        start, stop = text.offsets[index[place] : index[place] + 2]
        some = tuple(kind for kind, may in zip(kinds, likely[:, place], strict=True) if may)
        yield place, text.data[start:stop].tobytes(), bool(marked[place]), some


def _mark_escaped(
    likely: NDArray[np.bool_], rows: NDArray[np.int64], texts: pl.Series, kinds: tuple[Kind, ...]
) -> None:
    """Mark, kind by kind, the JSON texts that may have a hit once their escapes, and those within them, are undone."""
    while len(rows):
        plain = unescaped(texts)
        changed = plain != texts
        rows, texts = rows[changed.to_numpy()], plain.filter(changed)
        both = _likely(pl.concat([texts, texts.str.replace_all(PATTERN, "")]), kinds)
        likely[:, rows] |= both[:, : len(rows)] | both[:, len(rows) :]


def _likely(texts: pl.Series, kinds: tuple[Kind, ...], may: NDArray[np.uint8] | None = None) -> NDArray[np.bool_]:
    """Tell, kind by kind, which texts may have a hit; `may` is what `screened` says of them."""
    found = np.zeros((len(kinds), len(texts)), np.bool_)
    for place, kind in enumerate(kinds):
        if may is None or kind not in SCREENED:
            found[place] = texts.str.contains(READERS[kind][0]).to_numpy()
            continue
        rows = np.flatnonzero(may & SCREENED[kind])
        found[place, rows] = texts.gather(rows).str.contains(READERS[kind][0]).to_numpy()
    return found


def _read(text: bytes, kinds: tuple[Kind, ...], *, marked: bool, values: bool = False) -> list[_Hit]:
    """Return the hits in a text, without overlaps; if `marked`, it has invisible characters."""
    if is_json(text, values=values):
        return list(_read_json(text, kinds))
    spans = [(*span, KINDS.index(kind)) for kind in kinds for span in READERS[kind][1](text)]
    if marked:
        visible, places = _visible(text)
        spans += [
            (places[start], places[stop - 1] + 1, KINDS.index(kind))
            for kind in kinds
            for start, stop in READERS[kind][1](visible)
        ]
    hits: list[_Hit] = []
    for start, stop, kind in sorted(spans):
        first = len(hits)
        while first and hits[first - 1].stop > start:
            first -= 1
        if all(hit.stop - hit.start < stop - start for hit in hits[first:]):
            hits[first:] = [_Hit(kind, start, stop, MASKS[kind].encode())]
    return hits


def _read_json(text: bytes, kinds: tuple[Kind, ...]) -> Iterator[_Hit]:
    """Yield the hits in the strings and numbers of JSON text; a number is masked as a whole, by a string."""
    for token in tokens(text):
        hits = _read(token.text, kinds, marked=not token.text.isascii())
        if token.is_string:
            for kind, start, stop, mask in hits:
                yield _Hit(kind, token.places[start], token.places[stop], json.dumps(mask.decode())[1:-1].encode())
        elif hits:
            yield _Hit(hits[0].kind, token.places[0], token.places[-1], b'"' + hits[0].mask + b'"')


def _visible(text: bytes) -> tuple[bytes, list[int]]:
    """Return a text without its invisible characters, and the place in `text` of each byte that stays."""
    parts = [part.encode() for part in re.split(f"({PATTERN})", text.decode())]
    stays = np.repeat(np.arange(len(parts)) % 2 == 0, list(map(len, parts)))
    return b"".join(parts[::2]), np.flatnonzero(stays).tolist()
