"""The container format of a file, by its content before its name."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

from curate.errors import FormatError
from curate.io.formats.base import json_fields, json_items
from curate.io.json_text import BAD, has_constants, without_nan
from curate.io.paths import File, suffix_of
from curate.io.unpack import Stored, chunks, decoded, first_bytes, reading, stored
from curate.rows.validate import Fault

Container: TypeAlias = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow"]

BINARY: Final = frozenset({"parquet", "arrow"})

_HEAD: Final = 1 << 20
"""Bytes read to distinguish containers."""

_PROBE: Final = 100
"""Lines of these that are parsed."""

LATIN: Final = "cp1252"
"""Windows-1252, which reads every letter of Latin-1 too."""

_UTF8: Final = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")

_BY_SUFFIX: Final[dict[str, Container]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}


@lru_cache(maxsize=4096)
def container_of(file: File, how: Stored) -> Container:
    """Return the container format of a file: by its first bytes, and by its suffix where they say nothing.

    JSON lines and one JSON text are distinguished by content: both are found under each other's names, and under those
    of CSV. Raises `FormatError` for any other format.
    """
    head = first_bytes(file, how.packing, _HEAD)
    suffix = suffix_of(file.name)
    named = _BY_SUFFIX.get(suffix)
    if head.startswith(b"PAR1") or (named == "parquet" and head):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")) or (named == "arrow" and head):
        return "arrow"
    found = _json_container(decoded(head, how), suffix, cut=len(head) == _HEAD) or named
    if found is None:
        raise FormatError(
            f"{file.place} is in none of the layouts that curate reads: JSON, JSON lines, CSV, TSV, Parquet, Arrow"
        )
    return found


def may_be_latin(file: File, encoding: str | None) -> bool:
    """Tell whether a file is text, not UTF-8, and perhaps `LATIN`: by the first step of it that is not ASCII.

    Of its other characters at most one in ten may be valid UTF-8, which letters of `LATIN` side by side rarely are.
    """
    with reading(file):
        how = stored(file, encoding)
        if encoding is not None or how.mark or how.encoding != "utf-8" or container_of(file, how) in BINARY:
            return False
    text = next((step for step in (bytes(chunk) for chunk, _ in chunks(file, how, _HEAD)) if not step.isascii()), b"")
    try:
        text.decode(LATIN)
    except UnicodeDecodeError:
        return False
    return text.decode("utf-8", "replace").count("\ufffd") > 10 * len(_UTF8.findall(text))


def _json_container(head: bytes, suffix: str, *, cut: bool) -> Container | None:
    """Return which kind of JSON a text is; None if it is none.

    JSON lines are lines of which most are JSON values. Otherwise the first line begins a value that ends on another
    line, or holds several values; or the text is one line, and that one value.
    """
    if head.lstrip()[:1] not in {b"{", b"["}:
        return None
    lines = [line for line in head.split(b"\n", _PROBE + 1)[: _PROBE + 1] if line.strip()]
    if cut and len(lines) <= _PROBE and len(lines) > 1:
        lines.pop()
    faults = [_fault(line.strip()) for line in lines]
    named_lines = suffix in {".jsonl", ".ndjson"}
    if len(lines) > 1 and (2 * faults.count("") > len(lines) or (named_lines and not faults[0])):
        return "jsonl"
    if cut and len(lines) == 1:
        return "jsonl" if named_lines and head.lstrip()[:1] == b"{" else "json"
    if suffix == ".json" or not faults[0] or _goes_on(head, cut=cut):
        return "json"
    return "jsonl" if named_lines else None


def _goes_on(head: bytes, *, cut: bool) -> bool:
    """Return whether a text begins with a JSON value that ends later than its first line, or before it."""
    text = head.decode("utf-8", "replace").strip()
    try:
        json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        return cut and error.pos >= len(text) - 1
    except RecursionError:
        return False
    return True


def _fault(line: bytes) -> str:
    """Return why a line is not a JSON object or array; an empty text if it is one."""
    split = json_items if line.startswith(b"[") else json_fields
    try:
        try:
            split(line)
        except msgspec.DecodeError:
            if not has_constants(line):
                raise
            split(without_nan(line))
    except Fault:  # a repeated key, or Infinity: its row will be quarantined
        return ""
    except BAD as error:
        return str(error) or type(error).__name__
    return ""
