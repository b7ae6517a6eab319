"""`format="auto"`: looks at the first rows, says what it chose and why, and refuses when unsure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import msgspec
import pyarrow as pa

from curate.errors import FormatError, MixtureError, did_you_mean
from curate.io.formats.base import Format, json_fields, present
from curate.io.formats.dialogues import alpaca, messages, prompt_completion, question_answer, sharegpt
from curate.io.formats.oasst import oasst, oasst_messages
from curate.io.formats.preference import hh, preference
from curate.io.formats.rated import rated, ultrafeedback
from curate.io.parse import parse_lines, parse_objects
from curate.rows.validate import Fault

FormatName: TypeAlias = Literal[
    "auto",
    "messages",
    "alpaca",
    "sharegpt",
    "oasst",
    "oasst_messages",
    "prompt_completion",
    "question_answer",
    "hh",
    "ultrafeedback",
    "preference",
    "rated",
]

_NAMED: Final[dict[str, Callable[[], Format]]] = {
    "messages": messages,
    "alpaca": alpaca,
    "sharegpt": sharegpt,
    "oasst": oasst,
    "oasst_messages": oasst_messages,
    "prompt_completion": prompt_completion,
    "question_answer": question_answer,
    "hh": hh,
    "ultrafeedback": ultrafeedback,
    "preference": preference,
    "rated": rated,
}

CANDIDATES: Final[tuple[Format, ...]] = (
    messages(),
    messages("input"),
    messages("prompt"),
    *(make() for name, make in _NAMED.items() if name not in {"messages", "hh"}),
    hh(),
    hh(text=True),
)
"""What "auto" tries. The marks of `hh` are so plain that it goes before any other format that fits."""

LOOKED_AT: Final = 100
"""Rows that "auto" looks at."""

ENOUGH: Final = 0.9
"""Share of these that a format must be able to read; the others will be quarantined, one by one."""


SHOWN: Final = 40
"""Characters of a field's name that an error shows: a first row taken for a header may be long."""


class Found(NamedTuple):
    """What a format came to: the format, and why it was taken."""

    format: Format
    why: str


def named(format: FormatName | Format) -> Format | None:  # noqa: A002
    """Return the format that a user named; None for "auto". Raises `MixtureError` for an unknown name.

    >>> named("alpaca")
    Alpaca()
    """
    if isinstance(format, Format):
        return format
    if format not in get_args(FormatName):
        hint = did_you_mean(str(format), get_args(FormatName))
        message = f"format={format!r} is none; {hint}, or map the columns: columns(...)"
        raise MixtureError(message)
    return None if format == "auto" else _NAMED[format]()


def fits_json(formats: Sequence[Format], text: bytes) -> bool:
    """Tell whether one JSON object is a row of one of `formats`."""
    return any(parse_lines([text], [1], one, None).body.num_rows for one in formats)


def detect(rows: Sequence[Any], where: str) -> Found:
    """Choose the format of rows (JSON objects as bytes, or Python values); `where` names them in errors.

    A format fits when it reads 90 % of them. Where several fit, one that reads all the fields that the others read, and
    more, is taken (`prompt, chosen, rejected` says more than `prompt`). Raises `FormatError`, naming the fields that
    were seen and the nearest formats, where none fits or none says more than the others.
    """
    fields = Counter(name for row in rows for name in field_names(row))
    fitting = [(one, good) for one in CANDIDATES if (good := _good(rows, one)) >= ENOUGH * len(rows)] if rows else []
    chosen = _widest([one for one, _ in fitting], frozenset(fields))
    if len(chosen) == 1:
        good = dict(fitting)[chosen[0]]
        read = sorted(chosen[0].reads() & fields.keys())
        return Found(chosen[0], f"auto: {good} of the first {len(rows)} rows have {', '.join(read)} as it reads them")
    raise FormatError(_refusal(rows, fields, chosen, where))


def field_names(row: Any) -> list[str]:  # noqa: ANN401
    """Return the names of a raw row's fields; none for one that cannot be read."""
    if not isinstance(row, bytes):
        return list(present(row)) if isinstance(row, dict) else []
    try:
        return list(json_fields(row))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Fault):
        return []


def _bad(rows: Sequence[Any], one: Format) -> pa.RecordBatch:
    """Return the rows that `one` cannot read; a folder may give JSON lines and tables, so each goes to its parser."""
    lines = [row for row in rows if isinstance(row, bytes)]
    values = [row for row in rows if not isinstance(row, bytes)]
    parts = [
        parse_lines(lines, range(len(lines)), one, None).bad,
        parse_objects(values, range(len(values)), one, None).bad,
    ]
    return pa.concat_batches(parts)


def _good(rows: Sequence[Any], one: Format) -> int:
    """Return how many rows `one` reads. A reply of a flat file may have its parent further on, so it counts."""
    bad = _bad(rows, one)
    if not one.whole:
        return len(rows) - bad.num_rows
    if any(field_names(row).count("replies") for row in rows):
        return 0
    return len(rows) - sum(column != "parent_id" for column in bad["column"].to_pylist())


def _widest(fitting: list[Format], fields: frozenset[str]) -> list[Format]:
    """Return the formats that read no less than every other; several where it cannot be told."""
    marked = [one for one in fitting if one.name == "hh"]
    if marked:
        return marked
    reads = [one.reads() & fields for one in fitting]
    return [one for one, mine in zip(fitting, reads, strict=True) if not any(mine < other for other in reads)]


def _refusal(rows: Sequence[Any], fields: Counter[str], chosen: list[Format], where: str) -> str:
    names = [name if len(name) <= SHOWN else f"{name[:SHOWN]}..." for name, _ in fields.most_common(12)]
    seen = ", ".join(map(repr, names)) or "none"
    if len(chosen) > 1:
        calls = " or ".join(call(one) for one in chosen)
        return f"{where}: more than one format fits (fields: {seen}). Say which: format={calls}"
    if not fields and not (why := _why(rows, CANDIDATES[0])).endswith("a field of this name"):
        lines = all(isinstance(row, bytes) for row in rows)
        cells = "" if lines else ", or say how its cells stand: separator=, quoted=, columns="
        return f"{where}: its first {len(rows)} rows cannot be read: {why}. Mend the file{cells}."
    near = sorted(CANDIDATES, key=lambda one: (-_likeness(one, fields), call(one)))[:2]
    tried = [f"Not {call(one)}: {_why(rows, one)}." for one in near if _likeness(one, fields)]
    nothing = f"{where}: no format fits its first {len(rows)} rows (fields: {seen})."
    fix = 'Map the columns yourself: format=columns(prompt="...", response="...")'
    header = "; CSV or TSV without a header wants its columns named: columns=(...)" if isinstance(rows[0], dict) else ""
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

    >>> call(alpaca()), call(messages("input"))
    ('alpaca()', "messages(column='input')")
    """
    plain = _NAMED[one.name]() if one.name in _NAMED else None
    shown = {
        name: getattr(one, name)
        for name in one.__dataclass_fields__
        if getattr(one, name) != getattr(plain, name, None)
    }
    return f"{one.name}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
