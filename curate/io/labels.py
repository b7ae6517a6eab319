"""What the first rows of a source say about its format: fields that no row has, and labels that it would ignore."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from curate.errors import FormatError, did_you_mean
from curate.io.containers import container_of
from curate.io.formats.base import Format
from curate.io.formats.columns import Columns, canonical
from curate.io.formats.stored import inside
from curate.io.parse import parse_objects
from curate.io.paths import File
from curate.io.unpack import chunks, reading, stored
from curate.text.unseen import visible

FEEDBACK: Final = frozenset(
    {"label", "tag", "kto_tag", "kto_label", "feedback", "desirable", "is_desirable", "thumbs_up"}
)
"""Names of fields that say whether the answer beside them is good."""

GOOD: Final = (
    ("true", "false"),
    ("1", "0"),
    ("1", "-1"),
    ("good", "bad"),
    ("desirable", "undesirable"),
    ("chosen", "rejected"),
    ("accepted", "rejected"),
    ("thumbs_up", "thumbs_down"),
    ("up", "down"),
    ("like", "dislike"),
)
"""How they say it: the word for a good answer, and for a bad one. Class names, topics and other numbers say neither."""

WINNERS: Final = frozenset(
    {
        "winner",
        "label",
        "preference",
        "preferred",
        "overall_preference",
        "choice",
        "better",
        "verdict",
        "human_preference",
    }
)
"""Names of fields that say which of two answers won."""


_BETWEEN: Final = re.compile(r"[\s,]*")


def first_items(file: File, encoding: str | None, most: int, size: int) -> list[Any]:
    """Return the first values of a JSON array, of its first `size` bytes alone; none if the file is another one.

    Splitting all of a JSON array to see 100 rows would cost 0.9 s for 100 MB.
    """
    with reading(file):
        how = stored(file, encoding)
        if container_of(file, how) != "json":
            return []
    start = next((bytes(chunk) for chunk, _ in chunks(file, how, size)), b"").decode("utf-8", "ignore").lstrip()
    found: list[Any] = []
    place, decoder = 1, json.JSONDecoder()
    while start.startswith("[") and len(found) < most:
        try:
            value, place = decoder.raw_decode(start, _BETWEEN.match(start, place).end())  # type: ignore[union-attr]
        except (ValueError, RecursionError):
            break
        found.append(value)
    return found


def values_of(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the fields of raw rows, decoded: a bare list as `messages`; rows that cannot be read are left out."""
    found = []
    for row in rows:
        try:
            value = msgspec.json.decode(row) if isinstance(row, bytes) else row
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(value, dict | list):
            found.append(value if isinstance(value, dict) else {"messages": value})
    return found


def check_fields(form: Format, rows: Sequence[dict[str, Any]], where: str) -> None:
    """Raise `FormatError` for a field that the user named and no row has."""
    for name in form.named() if rows else ():
        if all(name not in row and inside(row, name) is None for row in rows):
            known = {visible(field) for row in rows for field in row}
            raise FormatError(
                f"{where}: {form.name}() names the field {name!r}, but none of the first {len(rows)} rows has it; "
                f"{did_you_mean(name, known)}"
            )


def binary_feedback(rows: Sequence[dict[str, Any]]) -> tuple[str, Any] | None:
    """Return the field that says whether answers are good, and its value for a good one; None if there is none.

    Its name is one of `FEEDBACK`, and all of its values are of one pair of `GOOD`.

    >>> binary_feedback([{"label": True}, {"label": False}]), binary_feedback([{"label": 1}, {"label": 2}])
    (('label', True), None)
    """
    for name in sorted({name for row in rows for name in row if name.lower() in FEEDBACK}):
        given = [row[name] for row in rows if row.get(name) is not None]
        if not given or not all(isinstance(value, str | int | float) for value in given):
            continue
        said = {canonical(value) for value in given}
        for good, bad in GOOD:
            if said <= {good, bad}:
                spelt = True if isinstance(given[0], bool) else good if isinstance(given[0], str) else 1
                return name, next((value for value in given if canonical(value) == good), spelt)
    return None


def refuse_binary_feedback(form: Format, rows: Sequence[dict[str, Any]], where: str) -> None:
    """Raise `FormatError` for answers marked good or bad that a format would read as conversations."""
    if form.kind != "conversation" or (found := binary_feedback(rows)) is None:
        return
    read = parse_objects(rows, range(len(rows)), form, None).body["messages"]
    if "assistant" not in read.values.field("role").unique().to_pylist():
        return
    name, good = found
    kept = f"pl.col({name!r})" if good is True else f"pl.col({name!r}) == {good!r}"
    first = f"{form.list_column!r}, " if form.list_column is not None else ""
    raise FormatError(
        f"{where}: its rows are binary feedback (KTO): {name!r} says whether an answer is good, and as plain "
        f"conversations the bad answers would be trained on. Read them as unpaired rows, format=unpaired({first}"
        f"label={name!r}), or take the good ones, with the rows as a Polars frame `data`: "
        f"frame(data.filter({kept}).drop({name!r}))"
    )


def unused_labels(form: Format, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a note for each field that looks like a label and that mapped columns leave out."""
    if not isinstance(form, Columns) or form.winner is not None:
        return
    if form.kind == "conversation":
        if (found := binary_feedback(rows)) is not None:
            yield f"the field {found[0]!r} says whether an answer is good, and is not used: bad answers are read alike"
        return
    for name in sorted({name for row in rows for name in row if name.lower() in WINNERS} - form.reads()):
        yield f"the field {name!r} is not used; if it says which answer won, name it: columns(..., winner={name!r})"
