"""One JSON text as rows.

It may be an array, objects by id, an object with one list of rows, columns as pandas writes them, or objects one after
the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from curate.errors import FormatError
from curate.io.formats.base import json_fields, json_items
from curate.io.paths import File
from curate.rows.validate import Fault

Fits: TypeAlias = Callable[[bytes], bool]
"""Returns whether one JSON object is a row, and not a file of rows."""

BAD: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text that is no JSON."""

_MORE: Final = "JSON is malformed: trailing characters"
_NUMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|(-?Infinity)|(NaN)', re.DOTALL)
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_encode_key = msgspec.json.encode


def without_nan(text: bytes) -> bytes:
    r"""Write null for each NaN outside strings, as Python's json and pandas write what is missing.

    Raises `Fault` for Infinity, which no JSON number is.

    >>> without_nan(b'{"NaN": NaN}')
    b'{"NaN": null}'
    """

    def null(found: re.Match[bytes]) -> bytes:
        if found[1]:
            raise Fault("", f"JSON, in which {found[1].decode()} is no number")
        return b"null" if found[2] else found[0]

    return _NUMBER.sub(null, text)


def has_constants(text: bytes) -> bool:
    """Return whether a text may have NaN or Infinity, which Python writes and JSON does not have."""
    return b"NaN" in text or b"Infinity" in text


def json_rows(file: File, data: bytes, fits: Fits) -> tuple[list[bytes], list[str] | None]:
    """Return the rows of a JSON text, and their ids where they are objects by id.

    Raises `FormatError` naming the line where the text is malformed.
    """
    text = data.strip()
    if not text:
        return [], None
    try:
        try:
            return _rows(text, fits)
        except msgspec.DecodeError:
            if not has_constants(text):
                raise
            return _rows(without_nan(text), fits)
    except Fault as fault:
        what = f"gives the key {fault.column!r} twice" if fault.column else f"is not {fault.expected}"
        raise FormatError(f"{file.place} {what}. {_REPAIR}") from fault
    except BAD as error:
        if str(error).startswith(_MORE):
            return _several(file, text), None
        raise malformed(file, data, error) from error


def _rows(text: bytes, fits: Fits) -> tuple[list[bytes], list[str] | None]:
    if text.startswith(b"["):
        return _items(text), None
    values = {name: bytes(value) for name, value in json_fields(text).items()}
    if not values or fits(text):
        return [text], None
    if set(map(_start, values.values())) == {b"{"}:
        return _by_key(values, fits)
    return _lists(text, values), None


def _by_key(values: dict[str, bytes], fits: Fits) -> tuple[list[bytes], list[str] | None]:
    """Return the rows of an object of objects: rows by id, or columns of cells by row as pandas writes a frame."""
    if fits(next(iter(values.values()))):
        return list(values.values()), list(values)
    columns = {name: {row: bytes(cell) for row, cell in json_fields(value).items()} for name, value in values.items()}
    names = list(dict.fromkeys(row for column in columns.values() for row in column))
    rows = [_object({name: column[row] for name, column in columns.items() if row in column}) for row in names]
    numbered = names == [str(i) for i in range(len(names))]
    if rows and (fits(rows[0]) or numbered):
        return rows, None if numbered else names
    return list(values.values()), list(values)


def _lists(text: bytes, values: dict[str, bytes]) -> list[bytes]:
    """Return the rows of an object that holds one list of objects, or a list for each column."""
    lists = {name: _items(value) for name, value in values.items() if _start(value) == b"["}
    names = [_text(name) for name in lists.get("columns", ())]
    if names and None not in names and all(_start(row) == b"[" for row in lists.get("data", [b""])):
        rows = [_items(row) for row in lists["data"]]  # pandas' orient="split"
        if all(len(row) == len(names) for row in rows):
            return [_object(dict(zip(names, row, strict=True))) for row in rows]  # type: ignore[arg-type]
    tables = [items for items in lists.values() if all(_start(item) == b"{" for item in items)]
    if len(tables) == 1:
        return tables[0]
    if len(lists) == len(values) and len(set(map(len, lists.values()))) == 1:
        return [_object(dict(zip(lists, row, strict=True))) for row in zip(*lists.values(), strict=True)]
    return [text]


def _several(file: File, text: bytes) -> list[bytes]:
    """Return JSON values that follow each other, over any number of lines."""
    try:
        whole = text.decode()
        decoder, found, at = json.JSONDecoder(), [], 0
        while at < len(whole):
            end = decoder.raw_decode(whole, at)[1]
            found.append(whole[at:end].encode())
            at = _SPACE.match(whole, end).end()  # type: ignore[union-attr]  # it matches nothing, too
    except (UnicodeDecodeError, RecursionError) as error:
        raise malformed(file, text, error) from error
    except json.JSONDecodeError as error:
        raise FormatError(f"{file.place} is not valid JSON, line {error.lineno}: {error.msg}. {_REPAIR}") from error
    return found


def _object(cells: dict[str, bytes]) -> bytes:
    return b"{" + b",".join(_encode_key(name) + b":" + cell for name, cell in cells.items()) + b"}"


def _items(text: bytes) -> list[bytes]:
    return [bytes(item) for item in json_items(text)]


def _start(value: bytes) -> bytes:
    return value[:1]


def _text(value: bytes) -> str | None:
    return msgspec.json.decode(value, type=str) if _start(value) == b'"' else None


NOT_UTF_8: Final = "Invalid UTF-8 encoded string"
"""What msgspec says of a text that is not UTF-8; before 0.23 it raised `UnicodeDecodeError`."""


def not_utf_8(data: bytes) -> UnicodeDecodeError | None:
    r"""Return what is wrong with bytes that are not UTF-8.

    >>> not_utf_8(b"caf\xe9").reason, not_utf_8(b"cafe")
    ('unexpected end of data', None)
    """
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error
    return None


_REPAIR: Final = "Repair it, or write it as JSON lines: then only the bad row is lost."


def malformed(file: File, data: bytes, error: Exception) -> FormatError:
    """Return the error for a JSON text that is malformed, with the line it is on."""
    if isinstance(error, RecursionError):
        return FormatError(
            f"{file.place} is nested too deeply for one JSON text. Write it as JSON lines: only the bad row is lost."
        )
    what = str(error).removeprefix("JSON is malformed: ")
    if what == "Input data was truncated":
        where = f"line {data.count(bytes([10])) + 1}: it ends early, or has a lone surrogate"
    else:
        byte = int(what.rpartition("(byte ")[2].rstrip(")")) if "(byte " in what else 0
        where = f"line {data.count(bytes([10]), 0, byte) + 1}: {what}"
    return FormatError(f"{file.place} is not valid JSON, {where}. {_REPAIR}")
