r"""The strings and numbers of JSON text as its reader sees them, and the way back to the bytes that spell them.

In `{"to": "\nann@x.org"}` the mailbox is `ann`, and in `{"to": "ann\u0040x.org"}` there is one at all. A mask put at
such places leaves JSON text, and every other byte as it was.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from curate.kernels.buffers import Bytes, Flags, Int32s, Text, frozen
from curate.kernels.compile import kernel
from curate.text.invisible import RANGES

DEEPEST: Final = 200
"""Lists and objects within each other; deeper text is read as plain text. Python's own reader stops near 1000."""

TOKEN: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"|-?[0-9][0-9.eE+-]*+', re.DOTALL)
ESCAPE: Final = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.", re.DOTALL)
START: Final = re.compile(rb"[ \t\r\n]*[{[]")
BUT_BRACKETS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^][{}"]++', re.DOTALL)

_BACKSLASH: Final = "\x01"  # until all escapes are undone, so that it begins no further one
_TAGS: Final = r"\\u(?i:db4[0-3]\\ud[c-f][0-9a-f]{2})"
_OTHERS: Final = r"\\u[0-9A-Fa-f]{4}"
_ESCAPES: Final = {
    **dict(zip((r"\"", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t"), '"/\b\f\n\r\t', strict=True)),
    **{rf"\u{point:04x}": chr(point) for point in range(0x7F)},
    **{json.dumps(chr(p))[1:-1]: chr(p) for first, last in RANGES[:-1] for p in range(first, last + 1)},
    **dict.fromkeys((r"\\", r"\u005c"), _BACKSLASH),
}


class Token(NamedTuple):
    """A string or number of JSON text.

    `text` is what it says, as UTF-8; a half of a surrogate pair is a question mark. `places` has, for each of its bytes
    and for its end, the place in the JSON text.
    """

    text: bytes
    places: Sequence[int]
    is_string: bool


def is_json(text: bytes, *, values: bool) -> bool:
    """Tell whether this is JSON text: an object or a list, or with `values` any value.

    Line ends within strings, NaN and Infinity are allowed.

    >>> [is_json(text, values=False) for text in (b'{"a": 1}', b" []", b"1", b"[a]", b"")], is_json(b"1", values=True)
    ([True, True, False, False, False], True)
    """
    if not values and not START.match(text):
        return False
    try:
        decoded(text.decode(), parse_number=len)
    except ValueError:
        return False
    return True


def decoded(text: str, parse_number: Callable[[str], Any] | None = None) -> Any:  # noqa: ANN401  any JSON value
    """Return the value of JSON text; raises `ValueError` for other text, and for `DEEPEST` levels.

    >>> decoded('{"a": [1.5]}')
    {'a': [1.5]}
    """
    if text.count("[") + text.count("{") > DEEPEST:
        marks = np.frombuffer(BUT_BRACKETS.sub("", text).encode(), np.uint8)
        opens = np.isin(marks, np.frombuffer(b"[{", np.uint8))
        if np.cumsum(np.where(opens, 1, -1)).max(initial=0) > DEEPEST:
            raise ValueError("too deep")
    return json.loads(text, strict=False, parse_int=parse_number, parse_float=parse_number)


def tokens(text: bytes) -> Iterator[Token]:
    r"""Yield the strings (keys among them) and the numbers of JSON text.

    >>> [token.text for token in tokens(rb'{"a\n": [-1.5e3, "\u00e9"], "b": null}')]
    [b'a\n', b'-1.5e3', b'\xc3\xa9', b'b']
    """
    for found in TOKEN.finditer(text):
        if found[1] is None:
            yield Token(found[0], range(found.start(), found.end() + 1), is_string=False)
        else:
            yield Token(*_spelled(found[1], found.start(1)), is_string=True)


def _spelled(inner: bytes, start: int) -> tuple[bytes, Sequence[int]]:
    if b"\\" not in inner:
        return inner, range(start, start + len(inner) + 1)
    text, places, at = bytearray(), list[int](), 0
    for escape in ESCAPE.finditer(inner):
        character = _character(escape[0])
        text += inner[at : escape.start()] + character
        places += [*range(start + at, start + escape.start()), *[start + escape.start()] * len(character)]
        at = escape.end()
    return bytes(text + inner[at:]), [*places, *range(start + at, start + len(inner) + 1)]


@functools.lru_cache(4096)
def _character(escape: bytes) -> bytes:
    said: str = json.loads(b'"' + escape + b'"')
    return said.encode("utf-8", "replace")


def has_escapes(text: Text, index: Int32s) -> Flags:
    r"""Tell which strings of `text` at `index` may be JSON text with an escape.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> has_escapes(view(pa.array([r' {"a": "\n"}', "{}", r"\[x\]", ""])), np.arange(4, dtype=np.int32)).tolist()
    [True, False, False, False]
    """
    return _has_escapes(text.data, text.offsets, frozen(index))


@kernel
def _has_escapes(data: Bytes, offsets: Int32s, index: Int32s) -> Flags:
    answer = np.zeros(len(index), np.bool_)
    for i in range(len(index)):
        at, end = offsets[index[i]], offsets[index[i] + 1]
        while at < end and (data[at] == 0x20 or 0x09 <= data[at] <= 0x0D):
            at += 1
        if at < end and (data[at] == 0x22 or data[at] == 0x5B or data[at] == 0x7B):  # a quotation mark, [ or {
            while at < end and data[at] != 0x5C:
                at += 1
            answer[i] = at < end
    return answer


def unescaped(texts: pl.Series) -> pl.Series:
    r"""Return texts with the escapes of JSON undone, one level of them, for a search of what may be in their strings.

    Characters beyond ASCII are spaces, the invisible ones are themselves.

    >>> unescaped(pl.Series([r'"\nann\u0040x.org\u00e9 C:\\new"'])).to_list()
    ['"\nann@x.org  C:\\new"']
    """
    plain = texts.str.replace_all(_TAGS, "\U000e0041")
    plain = plain.str.replace_many(list(_ESCAPES), list(_ESCAPES.values()), ascii_case_insensitive=True)
    return plain.str.replace_all(_OTHERS, " ").str.replace_all(_BACKSLASH, "\\", literal=True)
