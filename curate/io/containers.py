"""Bytes of a file, decompressed, in steps of bounded size; and its container format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

import msgspec
import pyarrow as pa

from curate.errors import FormatError
from curate.io.formats.base import json_fields, json_items
from curate.io.paths import File, suffix_of, unreadable
from curate.rows.validate import Fault

Container: TypeAlias = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow"]

BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_PACKING: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_OTHER: Final = ((b"PK\x03\x04", "a zip archive"), (b"BZh", "packed with bzip2"), (b"\xfd7zXZ", "packed with xz"))
_HEAD: Final = 1 << 20
"""Bytes read to distinguish JSON from JSON lines."""

_PROBE: Final = 100
"""Lines of these that are parsed."""


@contextmanager
def reading(file: File) -> Iterator[None]:
    """Turn an error while a file is read into a `FormatError` that names it."""
    try:
        yield
    except PermissionError as error:
        raise unreadable(file.path, error) from error
    except (OSError, EOFError, pa.ArrowException) as error:
        what = " ".join(str(error).split())
        hint = (
            "It is cut short: fetch or pack it again." if "runcated" in what else "Is it whole, and what its name says?"
        )
        raise FormatError(f"{file.path} cannot be read: {what}. {hint}") from error


def packing(file: File) -> str | None:
    """Return the compression of a file, by its first bytes; raises `FormatError` for unsupported ones."""
    with file.path.open("rb") as raw:
        head = raw.read(8)
    for magic, name in _PACKING:
        if head.startswith(magic):
            return name
    for magic, what in _OTHER:
        if head.startswith(magic):
            raise FormatError(f"{file.path} is {what}; unpack it, or pack it as .gz or .zst")
    return None


def open_bytes(file: File) -> tuple[pa.NativeFile, pa.NativeFile]:
    """Open a file for reading in sequence; returns its text, unpacked on the way, and the bytes on disk behind it."""
    packed = packing(file)
    raw = pa.OSFile(str(file.path))
    return (raw if packed is None else pa.CompressedInputStream(raw, packed)), raw


def chunks(file: File, size: int) -> Iterator[tuple[bytes | memoryview, int]]:
    """Give a file's bytes in steps of at most `size`, each with the bytes on disk consumed.

    Steps of a file that is not packed end with a line, where there is a line end in them: what follows it is read
    again, which is cheaper than to carry it over (two copies of every byte, 0.6 s a GB). A byte order mark is left out.
    Raises `FormatError` for UTF-16, and for a file that cannot be read to its end.
    """
    with reading(file):
        text, raw = open_bytes(file)
        with raw, text:
            head: bytes = text.read(len(BOM))
            if head.startswith(_UTF16):
                raise FormatError(f"{file.path} is UTF-16; write it again as UTF-8")
            head = head.removeprefix(BOM)
            while True:
                chunk: bytes = text.read(size)
                if not chunk:
                    if head:
                        yield head, raw.tell()
                    return
                end = chunk.rfind(b"\n") + 1 if raw is text else 0
                if 0 < end < len(chunk):
                    raw.seek(raw.tell() - len(chunk) + end)
                part = memoryview(chunk)[:end] if end else chunk
                yield (head + part if head else part), raw.tell()
                head = b""


def whole(file: File) -> bytes:
    """Return all bytes of a file, unpacked, without a byte order mark."""
    return b"".join(chunk for chunk, _ in chunks(file, 16 << 20))


def container_of(file: File) -> Container:
    """Return the container format of a file, by its suffix, and by its first bytes if they are more specific.

    JSON lines and one JSON text are distinguished by content: many of both are named `.json`. Raises
    `FormatError` for any other format.
    """
    suffix = suffix_of(file.name)
    if suffix in {".csv", ".tsv"}:
        return "csv" if suffix == ".csv" else "tsv"
    if suffix in {".jsonl", ".ndjson"}:
        return "jsonl"
    head = _head(file)
    if head.startswith(b"PAR1") or suffix == ".parquet":
        return "parquet"
    if head.startswith(b"ARROW1") or suffix in {".arrow", ".feather", ".ipc"}:
        return "arrow"
    start = head.lstrip()[:1]
    if start == b"[":
        return "json"
    if start == b"{" or suffix == ".json":
        return "jsonl" if _is_lines(head) else "json"
    raise FormatError(
        f"{file.path} is in none of the layouts that curate reads: JSON, JSON lines, CSV, TSV, Parquet, Arrow"
    )


def _head(file: File) -> bytes:
    head = b""
    for chunk, _ in chunks(file, _HEAD):
        head += chunk
        if len(head) >= _HEAD:
            break
    return head


def _is_lines(head: bytes) -> bool:
    """Return whether most of the first lines are objects of their own, and there are at least two."""
    lines = [line for line in head.split(b"\n")[: _PROBE + 1] if line.strip()]
    if len(head) >= _HEAD and len(lines) > 1:
        lines.pop()  # may be cut
    objects = sum(_is_object(line) for line in lines)
    return len(lines) > 1 and 2 * objects > len(lines)


def _is_object(line: bytes) -> bool:
    try:
        json_fields(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Fault):
        return False
    return True


def json_array(file: File, data: bytes) -> list[bytes]:
    """Split a JSON array into the bytes of its elements; raises `FormatError` naming the line where it is malformed."""
    try:
        return [bytes(item) for item in json_items(data)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(file, data, error) from error


def malformed(file: File, data: bytes, error: Exception) -> FormatError:
    """Return the error for a JSON text that is malformed, with the line it is on."""
    if isinstance(error, RecursionError):
        return FormatError(
            f"{file.path} is nested too deeply for one JSON text. Write it as JSON lines: only the bad row is lost."
        )
    what = str(error).removeprefix("JSON is malformed: ")
    if what == "Input data was truncated":
        where = f"line {data.count(bytes([10])) + 1}: it ends early, or has a lone surrogate"
    else:
        byte = int(what.rpartition("(byte ")[2].rstrip(")")) if "(byte " in what else 0
        where = f"line {data.count(bytes([10]), 0, byte) + 1}: {what}"
    return FormatError(
        f"{file.path} is not valid JSON, {where}. Repair it, or write it as JSON lines: then only the bad row is lost."
    )
