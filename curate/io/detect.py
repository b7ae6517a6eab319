"""`format="auto"`: looks at the first rows, reports which format it chose and why, and refuses when unsure."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields as dataclass_fields
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from curate.errors import FormatError, MixtureError, did_you_mean
from curate.io import formats as room
from curate.io.formats.base import Format, json_fields, present
from curate.io.labels import check_fields, refuse_binary_feedback, unused_labels, values_of
from curate.io.parse import parse_lines, parse_objects
from curate.rows.validate import Fault

FormatName: TypeAlias = str
"""The name of a format's function, such as "messages", or "auto"."""

CANDIDATES: Final[tuple[Format, ...]] = tuple(
    one
    for module in sorted(module.name for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."))
    for one in getattr(importlib.import_module(module), "CANDIDATES", ())
)
"""What "auto" tries: the formats that the modules of `curate.io.formats` declare, in the order of their names."""

NAMED: Final[dict[str, Format]] = {one.name: one for one in reversed(CANDIDATES)}
"""Formats by name, with their default settings: the first of each name."""

DEFAULT: Final = next(one for one in CANDIDATES if one.fast_path is not None)
"""The format of an input without rows: of those that the scanner reads, the first."""

LOOKED_AT: Final = 100
"""Rows that "auto" looks at."""

_META: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

ENOUGH: Final = 0.9
"""Share of these that a format must read; the others will be quarantined, one by one."""

SHOWN: Final = 40
"""Characters of a field's name that an error shows: a first row mistaken for a header may be long."""


class Detected(NamedTuple):
    """A format, why it was chosen, and notes on what it leaves out."""

    format: Format
    why: str
    notes: tuple[str, ...] = ()


def named(format: FormatName | Format) -> Format | None:  # noqa: A002
    """Return the format that a user named; None for "auto". Raises `MixtureError` for an unknown name.

    >>> named("alpaca")
    Alpaca()
    """
    if isinstance(format, Format):
        return format
    known = ("auto", *NAMED)
    if format not in known:
        raise MixtureError(
            f"format={format!r} is unknown; {did_you_mean(str(format), known)}, or map the columns: columns(...)"
        )
    return NAMED.get(format)


def fits_json(formats: Sequence[Format], text: bytes) -> bool:
    """Tell whether one JSON object is a row of one of `formats`."""
    return any(parse_lines([text], [1], one, None).body.num_rows for one in formats)


def detect(rows: Sequence[Any], where: str) -> Detected:
    """Choose the format of rows (JSON objects as bytes, or Python values); `where` names them in errors.

    A format fits if it reads 90 % of them. If several fit, the one that reads all the fields that the others read, and
    more, is chosen (`prompt, chosen, rejected` over `prompt`). Raises `FormatError`, naming the fields present and the
    nearest formats, if no format fits or several fit equally well.
    """
    fields = Counter(name for row in rows for name in field_names(row))
    fitting = [(one, good) for one in CANDIDATES if (good := _good(rows, one, fields)) >= ENOUGH * len(rows)]
    chosen = _widest([one for one, _ in fitting], frozenset(fields))
    if len(chosen) == 1:
        good = dict(fitting)[chosen[0]]
        read = ", ".join(sorted(chosen[0].reads() & fields.keys())) or "a list of messages"
        return Detected(chosen[0], f"auto: {good} of the first {len(rows)} rows have {read} as it reads them")
    raise FormatError(_refusal(rows, fields, chosen, where))


def checked(found: Detected, rows: Sequence[Any], where: str) -> Detected:
    """Hold a format against the first rows, and return it with notes on labels that it leaves out.

    Raises `FormatError` for a field that the user named and no row has, and for answers marked good or bad.
    """
    values = values_of(rows)
    check_fields(found.format, values, where)
    refuse_binary_feedback(found.format, values, where)
    return found._replace(notes=tuple(unused_labels(found.format, values)))


def field_names(row: Any) -> list[str]:  # noqa: ANN401
    """Return the names of a raw row's fields; none if it cannot be read."""
    if not isinstance(row, bytes):
        return list(present(row)) if isinstance(row, dict) else []
    try:
        return list(json_fields(row))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Fault):
        return []


def meta_names(columns: Iterable[pa.StringArray], most: int = LOOKED_AT) -> tuple[str, ...]:
    """Return the names of the fields in the first `most` rows of `meta` columns, each once, in the order first seen.

    >>> meta_names([pa.array(['{"turn": 1}', "{}"]), pa.array(['{"turn": 2, "lang": "en"}'])])
    ('turn', 'lang')
    """
    texts = islice((text for column in columns for text in column.slice(0, most).to_pylist()), most)
    return tuple(dict.fromkeys(name for text in texts for name in _META.decode(text)))


def _bad(rows: Sequence[Any], one: Format) -> pa.RecordBatch:
    """Return the rows that `one` cannot read; a folder may hold JSON lines and tables, so each goes to its parser."""
    lines = [row for row in rows if isinstance(row, bytes)]
    values = [row for row in rows if not isinstance(row, bytes)]
    parts = [
        parse_lines(lines, range(len(lines)), one, None).bad,
        parse_objects(values, range(len(values)), one, None).bad,
    ]
    return pa.concat_batches(parts)


def _good(rows: Sequence[Any], one: Format, fields: Counter[str]) -> int:
    """Return how many rows `one` reads."""
    return one.recognises(len(rows), fields, _bad(rows, one)["column"].to_pylist())


def _widest(fitting: list[Format], fields: frozenset[str]) -> list[Format]:
    """Return the formats that read no fewer fields than any other; a decisive format wins over all.

    Rows that are bare lists have no fields, and fit a format whatever its column is: the first counts.
    """
    if not fields:
        return fitting[:1]
    if decisive := [one for one in fitting if one.decisive]:
        return decisive
    reads = [one.reads() & fields for one in fitting]
    return [one for one, mine in zip(fitting, reads, strict=True) if not any(mine < other for other in reads)]


def _refusal(rows: Sequence[Any], fields: Counter[str], chosen: list[Format], where: str) -> str:
    names = [name if len(name) <= SHOWN else f"{name[:SHOWN]}..." for name, _ in fields.most_common(12)]
    seen = ", ".join(map(repr, names)) or "none"
    if len(chosen) > 1:
        calls = " or ".join(call(one) for one in chosen)
        return f"{where}: more than one format fits (fields: {seen}). Choose one: format={calls}"
    if not fields and not (why := _why(rows, DEFAULT)).endswith("a field of this name"):
        lines = all(isinstance(row, bytes) for row in rows)
        cells = "" if lines else ", or describe its cells: separator=, quoted=, columns="
        return f"{where}: its first {len(rows)} rows cannot be read: {why}. Repair the file{cells}."
    near = sorted(CANDIDATES, key=lambda one: (-_likeness(one, fields), call(one)))[:2]
    tried = [f"Not {call(one)}: {_why(rows, one)}." for one in near if _likeness(one, fields)]
    nothing = f"{where}: no format fits its first {len(rows)} rows (fields: {seen})."
    fix = 'Map the columns yourself: format=columns(prompt="...", response="...")'
    header = "; for CSV or TSV without a header, name its columns: columns=(...)" if isinstance(rows[0], dict) else ""
    return " ".join([nothing, *tried, f"{fix}{header}."])


def _likeness(one: Format, fields: Counter[str]) -> float:
    reads = one.reads()
    return len(reads & fields.keys()) / len(reads)


def _why(rows: Sequence[Any], one: Format) -> str:
    bad = _bad(rows, one)
    faults = Counter(zip(bad["column"].to_pylist(), bad["expected"].to_pylist(), strict=True))
    (column, expected), _ = faults.most_common(1)[0] if faults else (("", "rows"), 0)
    return f"{column}: expected {expected}" if column else f"expected {expected}"


def call(one: Format) -> str:
    """Return how a user writes a format.

    >>> call(CANDIDATES[0])
    'messages()'
    """
    plain = NAMED.get(one.name)
    values = {field: getattr(one, field.name) for field in dataclass_fields(one)}
    shown = [
        f"{field.name}={_argument(value)}"
        for field, value in values.items()
        if value != getattr(plain, field.name, field.default)
    ]
    return f"{one.name}({', '.join(shown)})"


def _argument(value: Any) -> str:  # noqa: ANN401
    """Return how a user writes an argument: a single name as it is, pairs as a mapping."""
    if isinstance(value, tuple) and value:
        return repr(dict(value)) if isinstance(value[0], tuple) else repr(value if len(value) > 1 else value[0])
    return repr(value)
