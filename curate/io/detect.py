"""`format="auto"`: looks at the first rows, reports which format it chose and why, and refuses when unsure."""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import MISSING
from dataclasses import fields as dataclass_fields
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from curate.errors import FormatError, MixtureError, did_you_mean
from curate.io import formats as room
from curate.io.formats.base import Fields, Format, json_fields, present
from curate.io.formats.columns import TIED, Columns
from curate.io.guess import guesses, texts_of
from curate.io.labels import check_fields, refuse_binary_feedback, unused_labels, values_of
from curate.io.parse import parse_lines, parse_objects
from curate.rows.validate import Fault
from curate.text.unseen import visible

FormatName: TypeAlias = str
"""The name of a format's function, such as "messages", or "auto"."""

CANDIDATES: Final[tuple[Format, ...]] = tuple(
    one
    for module in sorted(module.name for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."))
    for one in getattr(importlib.import_module(module), "CANDIDATES", ())
)
"""What "auto" tries: the formats that the modules of `curate.io.formats` declare, in the order of their names."""

NAMED: Final[dict[str, Format]] = {
    one.name: one for one in reversed(CANDIDATES) if not any(f.default is MISSING for f in dataclass_fields(one))
}
"""Formats by name, with their default settings: the first of each name that has a default for all."""

DEFAULT: Final = next(one for one in CANDIDATES if one.fast_path is not None)
"""The format of an input without rows: of those that the scanner reads, the first."""

LOOKED_AT: Final = 100
"""Rows that "auto" looks at."""

_META: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

ENOUGH: Final = 0.9
"""Share of these that a format must read; the others will be quarantined, one by one."""

SHOWN: Final = 40
"""Characters of a field's name that an error shows: a first row mistaken for a header may be long."""


HEADING: Final = 4
"""Words of the name of a column, at most: a name with more is a text."""

_PLACE: Final = re.compile(r"\[[0-9]+\]")


class Detected(NamedTuple):
    """A format, why it was chosen, and notes on what it leaves out."""

    format: Format
    why: str
    notes: tuple[str, ...] = ()


class Tried(NamedTuple):
    """A format, how many of the first rows it reads, and the others."""

    format: Format
    good: int
    bad: pa.RecordBatch

    def likeness(self, fields: Container[str]) -> float:
        """Return the share of its fields that the rows have."""
        reads = self.format.reads()
        return sum(name in fields for name in reads) / len(reads)


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
    names = [list(fields_of(row)) for row in rows]
    fields = Counter(name for found in names for name in found)
    enough = ENOUGH * len(rows) - sum(not found for found in names)  # a row without names may be a list, or have NaN
    tried = [
        Tried(one, *_read(rows, one, fields))
        for one in CANDIDATES
        if all(fields[name] >= enough for name in _required(one))
    ]
    fitting = [one for one in tried if one.good >= ENOUGH * len(rows)]
    chosen = _widest([one.format for one in fitting], frozenset(fields))
    if len(chosen) != 1:
        known = (one for one in CANDIDATES if fields.keys() >= {*one.named()})
        tried = [Tried(one, *_read(rows, one, fields)) for one in known]
        raise FormatError(_refusal(rows, fields, chosen, tried, where))
    good = next(one.good for one in fitting if one.format == chosen[0])
    read = ", ".join(sorted(chosen[0].reads() & fields.keys())) or "a list of messages"
    return Detected(chosen[0], f"auto: {good} of the first {len(rows)} rows have {read} as it reads them")


def instead(rows: Sequence[Any], where: str) -> str:
    """Say which format reads rows of which the declared one reads none; what they need, where no format does."""
    try:
        found = detect(rows, where)
    except FormatError as error:
        return str(error)
    return f"{call(found.format)} reads such rows: name it, or leave out format="


@lru_cache
def _required(one: Format) -> tuple[str, ...]:
    """Return the fields that every row of a format has, and those that it names."""
    required = (field.encode_name for field in msgspec.structs.fields(one.layout) if field.required)
    return tuple(dict.fromkeys((*required, *one.named())))


def _half(one: Format, fields: Container[str]) -> bool:
    """Tell whether rows have at least half of the fields that every row of a format has."""
    needed = _required(one)
    return 2 * sum(name in fields for name in needed) >= len(needed)


def checked(found: Detected, rows: Sequence[Any], where: str) -> Detected:
    """Hold a format against the first rows, and return it with notes on labels that it leaves out.

    Raises `FormatError` for a field that the user named and no row has, and for answers marked good or bad.
    """
    values = values_of(rows)
    check_fields(found.format, values, where)
    if not isinstance(found.format, Columns):  # whoever maps columns has seen the label
        refuse_binary_feedback(found.format, values, where)
    return found._replace(notes=tuple(unused_labels(found.format, values)))


def fields_of(row: Any) -> Fields:  # noqa: ANN401
    """Return the fields of a raw row, undecoded if it is JSON; none if it cannot be read."""
    if not isinstance(row, bytes):
        return present(row) if isinstance(row, dict) else {}
    try:
        return json_fields(row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Fault):
        return {}


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


def _read(rows: Sequence[Any], one: Format, fields: Counter[str]) -> tuple[int, pa.RecordBatch]:
    """Return how many rows `one` reads, and those that it does not."""
    bad = _bad(rows, one)
    return one.recognises(len(rows), fields, bad["column"].to_pylist()), bad


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


def _refusal(
    rows: Sequence[Any], fields: Counter[str], chosen: list[Format], tried: Sequence[Tried], where: str
) -> str:
    names = [visible(name if len(name) <= SHOWN else f"{name[:SHOWN]}...") for name, _ in fields.most_common(12)]
    seen = ", ".join(map(repr, names)) or "none"
    if len(chosen) > 1:
        calls = " or ".join(call(one) for one in chosen)
        return f"{where}: more than one format fits (fields: {seen}). Choose one: format={calls}"
    plain = next(one for one in tried if one.format == DEFAULT)
    values = values_of(rows)
    if not values and not _fault(plain)[0].endswith("a field of this name"):
        is_lines = all(isinstance(row, bytes) for row in rows)
        cells = "" if is_lines else ", or describe its cells: separator=, quoted=, columns="
        return f"{where}: its first {len(rows)} rows cannot be read: {_fault(plain)[0]}. Repair the file{cells}."
    near = [one for one in tried if one.good or (one.likeness(fields) and _half(one.format, fields))]
    near.sort(key=lambda one: (-one.good, -one.likeness(fields), call(one.format)))
    lines = [f"{call(one.format)} reads {one.good} of them ({_faults(one)})." for one in near[:2]]
    return " ".join(
        [
            f"{where}: no format fits its first {len(rows)} rows (fields: {seen}).",
            *lines,
            _fix(rows, values, near[:1], where),
        ]
    )


def _fix(rows: Sequence[Any], values: Sequence[dict[str, Any]], near: Sequence[Tried], where: str) -> str:
    """Return the one call that reads the rows; if there is none, what the call would need."""
    header = _headerless(values, where)
    if header is not None:
        return header
    enough = ENOUGH * len(rows)
    guess = next((one for one in guesses(values) if len(rows) - _lost(rows, one) >= enough), None)
    if guess is not None:
        refuse_binary_feedback(guess, values, where)
        return f"Map them: format={call(guess)}"
    if near and near[0].good:
        limit = math.ceil(100 * near[0].bad.num_rows / len(rows)) + 1
        most = f", and Source(..., max_quarantine={limit / 100:g})"
        return f"To read the {near[0].good} and leave the others out: format={call(near[0].format)}{most}"
    texts = ", ".join(repr(visible(name)) for name in texts_of(values))
    if ", " in texts:
        return f"Map the columns yourself: format=columns(prompt=..., response=...), with two of {texts}"
    return "It has no two texts, nor a list of messages, that columns() or messages() could map."


def _lost(rows: Sequence[Any], one: Format) -> int:
    """Return how many rows a format does not read; a tie is read, though it makes no pair."""
    return sum(not expected.endswith(TIED) for expected in _bad(rows, one)["expected"].to_pylist())


def _headerless(rows: Sequence[Any], where: str) -> str | None:
    """Return how to read a table of texts whose header looks like a row."""
    names = list(rows[0]) if rows and isinstance(rows[0], dict) else []
    if len(names) < 2 or not re.search(r"\.[ct]sv(\.|$)", where) or not any(len(n.split()) > HEADING for n in names):
        return None
    own = tuple(f"c{i + 1}" for i in range(len(names)))
    return (
        f"Its first line looks like a row, not like a header. Name its {len(names)} columns: "
        f"files(..., format=columns('c1', 'c2'), columns={own!r})"
    )


def _fault(one: Tried) -> tuple[str, int]:
    """Return the most frequent fault of the rows that a format does not read, and in how many rows it is."""
    pairs = zip(one.bad["column"].to_pylist(), one.bad["expected"].to_pylist(), strict=True)
    faults: dict[tuple[str, str], list[str]] = {}
    for column, expected in pairs:
        text = f"{column}: expected {expected}" if column else f"expected {expected}"
        faults.setdefault((_PLACE.sub("[]", column), expected.partition("; not ")[0]), []).append(text)
    if not faults:
        return "expected rows", 0
    most = max(faults.values(), key=len)
    return most[0], len(most)


def _faults(one: Tried) -> str:
    what, count = _fault(one)
    return f"{count} have {what}" if one.good else what


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
