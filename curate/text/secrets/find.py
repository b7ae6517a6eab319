"""Finds e-mail addresses, telephones, public IP addresses, API keys, cards and bank accounts in texts, and masks them.

A necessary pattern for each kind is tested on all texts first, by the regular expressions of Polars, which read a text
once and release the GIL. The exact patterns read only the texts that pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Text, strings
from curate.text.secrets.layouts import KEY_LAYOUTS
from curate.text.secrets.patterns import Span, cards, emails, ibans, ip_addresses, keys, phones

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
    "iban": (r"(?-u:\b)[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]){11}", ibans),
}
"""A pattern that every text with a hit of the kind matches (Rust's syntax, without look-around), and the reader."""


class Secrets(NamedTuple):
    """Every hit, as parallel arrays in text order.

    `place` counts within the given `index`, `kind` within `KINDS`; `start` and `stop` count bytes within the text.
    """

    place: NDArray[np.int32]
    kind: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]


def find_secrets(text: Text, index: NDArray[np.int32], kinds: tuple[Kind, ...] = KINDS) -> Secrets:
    """Find hits of these kinds in the strings of `text` at `index`; a null and an empty string have none.

    Hits do not overlap: the longer of two stays, and the first of two equally long ones.

    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["Write to ann@pellow.org.", "or call +44 1632 960983", ""]))
    >>> [column.tolist() for column in find_secrets(texts, np.arange(3, dtype=np.int32))]
    [[0, 1], [0, 1], [9, 8], [23, 23]]
    """
    hits = [(place, *hit) for place, found, some in _candidates(text, index, kinds) for hit in _read(found, some)]
    return Secrets(*np.array(hits, np.int32).reshape(-1, 4).T.copy())


def mask_secrets(
    text: Text, index: NDArray[np.int32], kinds: tuple[Kind, ...] = KINDS
) -> tuple[NDArray[np.int32], pa.StringArray]:
    """Return which of the strings of `text` at `index` have hits, and these strings with `MASKS` in place of the hits.

    A mask may separate what was next to it (the second of two adjacent numbers), so a text is read until it has no hit.

    >>> from curate.kernels.buffers import view
    >>> texts = view(pa.array(["Hi.", "Write to ann@pellow.org, bo@pellow.org"]))
    >>> places, masked = mask_secrets(texts, np.arange(2, dtype=np.int32))
    >>> places.tolist(), masked.to_pylist()
    ([1], ['Write to [EMAIL], [EMAIL]'])
    """
    masked = {}
    for place, whole, likely in _candidates(text, index, kinds):
        hits, left = _read(whole, likely), whole
        while hits:
            begins = [0, *(stop for _, _, stop in hits)]
            ends = [*(start for _, start, _ in hits), len(left)]
            masks = [*(MASKS[kind].encode() for kind, _, _ in hits), b""]
            left = b"".join(left[i:j] + mask for i, j, mask in zip(begins, ends, masks, strict=True))
            masked[place] = left
            hits = _read(left, kinds)
    return np.array(list(masked), np.int32), pa.array(masked.values(), pa.binary()).cast(pa.string())


def _candidates(
    text: Text, index: NDArray[np.int32], kinds: tuple[Kind, ...]
) -> Iterator[tuple[int, bytes, tuple[Kind, ...]]]:
    """Yield the place and the bytes of each string that may have a hit, and of which kinds."""
    every = pl.Series(strings(text.data, text.offsets))
    chosen = every if len(index) == len(every) else every.gather(index)
    likely = np.stack([chosen.str.contains(READERS[kind][0]).to_numpy() for kind in kinds])
    for place in np.flatnonzero(likely.any(axis=0)).tolist():
        start, stop = text.offsets[index[place] : index[place] + 2]
        some = tuple(kind for kind, may in zip(kinds, likely[:, place], strict=True) if may)
        yield place, text.data[start:stop].tobytes(), some


def _read(text: bytes, kinds: tuple[Kind, ...]) -> list[tuple[int, int, int]]:
    """Return kind, start and stop of the hits in a text, without overlaps."""
    hits: list[tuple[int, int, int]] = []
    for start, stop, kind in sorted((*span, KINDS.index(each)) for each in kinds for span in READERS[each][1](text)):
        first = len(hits)
        while first and hits[first - 1][2] > start:
            first -= 1
        if all(hit[2] - hit[1] < stop - start for hit in hits[first:]):
            hits[first:] = [(kind, start, stop)]
    return hits
