"""Raw rows into rows: one definition of each format for JSON lines and for rows of Python values.

A row that cannot be read is quarantined with its line, column and what was expected; the rows around it are unaffected.
Every function here is pure, so blocks may be parsed on any number of threads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from curate.io.formats.base import Fields, FileRow, Format, Row, json_fields, present
from curate.io.formats.calls import row_parts
from curate.io.json_text import NOT_UTF_8, has_constants, not_utf_8, without_nan
from curate.io.row_collector import Collector, Parsed, excerpt_of, meta_of
from curate.io.unpack import BOM
from curate.kernels.compile import kernel
from curate.rows.validate import Fault, check_text, refuse

MAX_LINE: Final = 32 << 20
"""Bytes of the longest line that is read; a longer one is quarantined. Real rows reach about 5 MB."""

MAX_NESTING: Final = 200
"""Levels of lists and objects in a row: without a limit, the depth would depend on the caller's stack."""

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR: Final = re.compile(rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_LIST: Final = re.compile(rb"\[\s*\{")
"""How a row begins that is a bare list of messages."""

_INTEGER: Final = re.compile(rb"-?[0-9]+")
_BAD: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Fault)
_text = msgspec.json.Decoder(str)


@lru_cache(maxsize=64)
def _decoder(layout: type[Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(layout)


def parse_lines(
    lines: Sequence[bytes],
    numbers: Sequence[int],
    form: Format,
    id_field: str | None,
    own: Sequence[str] | None = None,
) -> Parsed:
    r"""Parse JSON objects, one in each of `lines`; `numbers` are their line numbers.

    `id_field` names the field that holds the source's own id, a text or an integer; `own`, if given, holds the ids
    instead (keys of a JSON object). Fields that the format does not read go into `meta` byte for byte.

    >>> from curate.io.formats.dialogues import question_answer
    >>> parsed = parse_lines(
    ...     [b'{"id": 7, "question": "2+2?", "answer": "4", "x": 1.50}', b"{"], [1, 2], question_answer(), "id"
    ... )
    >>> parsed.body.to_pylist()
    [{'messages': [{'role': 'user', 'content': '2+2?'}, {'role': 'assistant', 'content': '4'}], 'meta': '{"x":1.50}'}]
    >>> parsed.ids.to_pylist(), parsed.bad.to_pylist()
    (['7'], [{'line': 2, 'column': '', 'expected': 'valid JSON; it ends early', 'excerpt': '{'}])
    """
    layout, prepare, list_column = _decoder(form.layout), form.prepare, form.list_column

    def read(i: int) -> tuple[Any, Fields, str | None]:
        line = lines[i].removeprefix(BOM)
        _check_size(line)
        if list_column is not None and _LIST.match(line):
            line = msgspec.json.encode({list_column: Raw(line)})
        try:
            found = json_fields(line)
        except msgspec.DecodeError:
            if not has_constants(line):
                raise
            line = without_nan(line)
            found = json_fields(line)
        fields = prepare(found)
        row = layout.decode(line if fields is found else msgspec.json.encode(fields))
        return row, fields, own[i] if own is not None else own_id(fields, id_field)

    return _parse(form, numbers, read, lines.__getitem__)


def parse_objects(
    rows: Sequence[Any],
    numbers: Sequence[int],
    form: Format,
    id_field: str | None,
    raw: Sequence[bytes] | None = None,
) -> Parsed:
    """Parse rows of Python values (of a table, or of CSV); a `Fault` in place of a row quarantines it.

    Types are those of JSON: a number is no text. Null fields count as absent. `raw` is for excerpts.
    """
    layout, prepare = form.layout, form.prepare

    def read(i: int) -> tuple[Any, Fields, str | None]:
        if isinstance(rows[i], Fault):
            raise rows[i]
        fields = prepare(present(rows[i]))
        row = msgspec.convert(fields, layout)
        return row, fields, own_id(fields, id_field)

    def shown(i: int) -> bytes:
        return json.dumps(rows[i], default=str, ensure_ascii=False).encode("utf-8", "backslashreplace")

    return _parse(form, numbers, read, shown if raw is None else raw.__getitem__)


def _parse(
    form: Format,
    numbers: Sequence[int],
    read: Callable[[int], tuple[Any, Fields, str | None]],
    raw: Callable[[int], bytes],
) -> Parsed:
    """Read every row, make rows of it, and collect them; a format that needs the whole file makes them at the end."""
    into = Collector(form.kind)
    owned: list[FileRow] = []
    ids: dict[int, str | None] = {}
    make, whole_file = form.rows, form.whole_file

    def bad(i: int, fault: BaseException) -> None:
        text = raw(i)
        into.refuse(numbers[i], *_expectation(fault, text), excerpt_of(text))

    def add(i: int, rows: Iterable[Row], own: str | None) -> None:
        made = [(one, row_parts(one.meta) if one.meta else None, meta_of(one)) for one in rows]
        for one, parts, meta in made:
            into.add(one, parts, meta, numbers[i], own)

    for i in range(len(numbers)):
        try:
            row, fields, own = read(i)
            if whole_file:
                owned.append(FileRow(i, row, fields))
                ids[i] = own
            else:
                add(i, make(row, fields), own)
        except _BAD as fault:
            bad(i, fault)
    if whole_file:
        for i, one in form.file_rows(owned, bad):
            try:
                add(i, (one,), ids[i])
            except _BAD as fault:
                bad(i, fault)
    return into.parsed()


def own_id(fields: Fields, name: str | None) -> str | None:
    """Take a row's own id out of its fields: non-empty text, or an integer as its digits; others stay."""
    if name is None or name not in fields:
        return None
    value = fields[name]
    if isinstance(value, Raw):
        raw = bytes(value)
        found = _text.decode(raw) if raw[:1] == b'"' else raw.decode() if _INTEGER.fullmatch(raw) else ""
    else:
        found = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not found:
        return None
    del fields[name]
    return check_text(found, name)


def _check_size(line: bytes) -> None:
    if len(line) > MAX_LINE:
        refuse("", f"a row of at most {MAX_LINE >> 20} MiB")
    if line.find(b"{", 1) < 0 and b"[" not in line:  # flat: 0.2 us instead of 0.6 for 750 bytes
        return
    if line.count(b"[") + line.count(b"{") > MAX_NESTING and _nesting(np.frombuffer(line, np.uint8)) > MAX_NESTING:
        refuse("", f"at most {MAX_NESTING} levels of lists and objects")


@kernel
def _nesting(line: NDArray[np.uint8]) -> int:
    """Return how deeply brackets nest in a JSON text; brackets within strings do not count."""
    depth = deepest = i = 0
    quoted = False
    while i < len(line):
        byte = line[i]
        if quoted:
            if byte == 92:  # backslash: skip what it escapes
                i += 1
            elif byte == 34:
                quoted = False
        elif byte == 34:
            quoted = True
        elif byte in (91, 123):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (93, 125):
            depth -= 1
        i += 1
    return deepest


def _expectation(fault: BaseException, line: bytes) -> tuple[str, str]:
    """Return the column and what was expected, as the quarantine reports them."""
    match fault:
        case Fault():
            return fault.column, fault.expected
        case UnicodeDecodeError():
            return "", f"UTF-8; {fault.reason}"
        case msgspec.DecodeError() if str(fault) == NOT_UTF_8:
            wrong = not_utf_8(line)
            return "", "UTF-8" if wrong is None else f"UTF-8; {wrong.reason}"
        case RecursionError():
            return "", f"at most {MAX_NESTING} levels of lists and objects"
        case msgspec.ValidationError():
            return _invalid(str(fault))
        case _ if _SURROGATE.search(_PAIR.sub(b"", line)):
            return "", "text without a lone surrogate"
        case _:
            what = str(fault).removeprefix("JSON is malformed: ")
            return "", "valid JSON; " + ("it ends early" if what == "Input data was truncated" else what)


def _invalid(message: str) -> tuple[str, str]:
    """Split msgspec's message into column and expectation.

    >>> _invalid("Expected `str`, got `int` - at `$.messages[0].content`")
    ('messages[0].content', 'str, not int')
    >>> _invalid("Object missing required field `answer`")
    ('answer', 'a field of this name')
    """
    what, _, place = message.partition(" - at `")
    column = place.rstrip("`").removeprefix("$").lstrip(".")
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        return f"{column}.{missing[1]}".lstrip("."), "a field of this name"
    expected = re.sub(r"^Expected ", "", what).replace("`", "").replace(", got ", ", not ")
    return column, expected[:1].lower() + expected[1:]
