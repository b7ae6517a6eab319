"""The text of a file as UTF-8, in steps of bounded size: unpacked, decoded, and without a byte order mark."""

from __future__ import annotations

import bz2
import codecs
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, NamedTuple

import pyarrow as pa

from curate.errors import FormatError
from curate.io.paths import File, unreadable

BOM: Final = codecs.BOM_UTF8
STEP: Final = 1 << 16
"""Packed bytes that are read at once: with more, the unpacked bytes of one step no longer fit into the cache."""

OUT: Final = 1 << 20
"""Bytes that are unpacked at once, so that an archive of zeros does not fill the memory."""

_PACKINGS: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    *((bytes([0x50 + i]) + b"\x2a\x4d\x18", "zstd") for i in range(16)),  # a frame to skip
    (b"\xfd7zXZ\0", "xz"),
    (b"\x5d\0\0", "xz"),  # the older layout, .lzma
    (b"BZh", "bzip2"),
)
_OTHER: Final = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x04\x22\x4d\x18", "packed with lz4"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
)
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The marks of UTF-32 come first: that of its little-endian form begins with one of UTF-16."""

_MEMBERS: Final[dict[str, Callable[[], Any]]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "xz": lzma.LZMADecompressor,
    "bzip2": bz2.BZ2Decompressor,
}


class Stored(NamedTuple):
    """How the text of a file is stored: its packing (None: as it is), its encoding, and the bytes of its mark."""

    packing: str | None
    encoding: str
    mark: int

    @property
    def plain(self) -> bool:
        """Whether the text is in the file as it is, so that a part of it can be read by its place."""
        return self.packing is None and self.encoding == "utf-8"


@contextmanager
def reading(file: File) -> Iterator[None]:
    """Turn an error while a file is read into a `FormatError` that names it."""
    try:
        yield
    except PermissionError as error:
        raise unreadable(file.place, error) from error
    except (OSError, EOFError, pa.ArrowException, UnicodeError, zlib.error, lzma.LZMAError, OverflowError) as error:
        what = " ".join(str(error).split())
        hint = (
            "It is cut short: fetch or pack it again." if "runcated" in what else "Is it whole, and what its name says?"
        )
        raise FormatError(f"{file.place} cannot be read: {what}. {hint}") from error


def packing(file: File) -> str | None:
    """Return the compression of a file, by its first bytes; raises `FormatError` for unsupported ones."""
    with file.path.open("rb") as raw:
        head = raw.read(8)
    for magic, what in _OTHER:
        if head.startswith(magic):
            raise FormatError(f"{file.place} is {what}; unpack it, or pack it as .gz, .zst or .xz")
    return next((name for magic, name in _PACKINGS if head.startswith(magic)), None)


@lru_cache(maxsize=4096)
def stored(file: File, encoding: str | None = None) -> Stored:
    """Return how the text of a file is stored.

    A byte order mark tells UTF-8, UTF-16 and UTF-32; without one, `encoding` is taken, or what the zero bytes among the
    first four say, as Python's json does.
    """
    packed = packing(file)
    head = first_bytes(file, packed, len(codecs.BOM_UTF32_LE))
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Stored(packed, name, len(mark))
    return Stored(packed, encoding or json.detect_encoding(head), 0)


def first_bytes(file: File, packed: str | None, most: int) -> bytes:
    """Return the first `most` bytes of a file, unpacked and as they are."""
    head = b""
    for chunk in _unpacked(file, packed, most if packed is None else min(most, STEP)):
        head += chunk
        if len(head) >= most:
            break
    return head[:most]


def decoded(head: bytes, how: Stored) -> bytes:
    """Return the beginning of a text as UTF-8, without its mark; a character that it cuts is left out."""
    text = head[how.mark :]
    return (
        text if how.encoding == "utf-8" else codecs.getincrementaldecoder(how.encoding)("replace").decode(text).encode()
    )


def chunks(file: File, how: Stored, size: int) -> Iterator[tuple[bytes | memoryview, int]]:
    """Give a file's text as UTF-8 in steps of about `size` bytes, each with the bytes on disk consumed.

    Steps of a plain file end with a line, where there is a line end in them: what follows it is read again, which is
    cheaper than to carry it over (two copies of every byte, 0.6 s a GB). Raises `FormatError` for a file that cannot be
    read to its end.
    """
    with reading(file):
        if how.plain:
            yield from _plain(file, size, how.mark)
            return
        with pa.OSFile(str(file.path)) as raw:
            for data in _decoded(_members(raw, how.packing, size), how):
                if data:
                    yield data, raw.tell()


def whole(file: File, how: Stored) -> bytes:
    """Return all of a file's text as UTF-8."""
    if how.plain:
        with reading(file):
            return file.path.read_bytes()[how.mark :]
    return b"".join(chunk for chunk, _ in chunks(file, how, 16 << 20))


def whole_bytes(file: File, packed: str | None) -> bytes:
    """Return all bytes of a file, unpacked."""
    return b"".join(_unpacked(file, packed, 16 << 20))


def _plain(file: File, size: int, mark: int) -> Iterator[tuple[memoryview, int]]:
    with pa.OSFile(str(file.path)) as raw:
        raw.seek(mark)
        while chunk := raw.read(size):
            end = chunk.rfind(b"\n") + 1
            if 0 < end < len(chunk):
                raw.seek(raw.tell() - len(chunk) + end)
            yield memoryview(chunk)[: end or len(chunk)], raw.tell()


def _decoded(chunks: Iterator[bytes | memoryview], how: Stored) -> Iterator[bytes | memoryview]:
    """Decode a text, without its mark; a character that UTF-8 cannot hold stays one that is not valid."""
    mark = how.mark
    decoder = None if how.encoding == "utf-8" else codecs.getincrementaldecoder(how.encoding)("surrogatepass")
    held = b""
    if decoder is None and not mark:
        yield from chunks
        return
    for chunk in chunks:
        data = held + chunk
        if len(data) < mark:
            held = data
            continue
        data, held, mark = data[mark:], b"", 0
        yield data if decoder is None else decoder.decode(data).encode("utf-8", "surrogatepass")
    if decoder is not None:
        yield decoder.decode(held, final=True).encode("utf-8", "surrogatepass")


def _unpacked(file: File, packed: str | None, size: int) -> Iterator[bytes | memoryview]:
    with pa.OSFile(str(file.path)) as raw:
        yield from _members(raw, packed, size)


def _members(raw: pa.NativeFile, packed: str | None, size: int) -> Iterator[bytes | memoryview]:
    """Unpack a file in steps of about `size` bytes; several packed files, one after the other, are one.

    Steps end with a line, where there is a line end in them: to carry a part over costs two copies of every byte.
    """
    if packed is None or packed == "zstd":
        with raw if packed is None else pa.CompressedInputStream(raw, packed) as text:
            while chunk := text.read(size):
                yield chunk
        return
    step = BytesIO()
    rest = raw.read(STEP)
    while rest:
        member = _MEMBERS[packed]()
        while not member.eof:
            given = _held(member)
            if given is None:
                given, rest = rest or raw.read(STEP), b""
            out = member.decompress(given, min(OUT, size))
            if not (given or out or member.eof):
                raise EOFError("truncated: its end is missing")
            if step.write(out) and step.tell() >= size:
                text = step.getvalue()  # without a copy
                end = text.rfind(b"\n") + 1 or len(text)
                yield memoryview(text)[:end]
                step = BytesIO()
                step.write(text[end:])
        rest = member.unused_data
        while not rest.strip(b"\0") and (more := raw.read(STEP)):  # zero bytes pad an archive
            rest = more
        rest = rest.lstrip(b"\0")
    yield step.getvalue()


def _held(member: Any) -> bytes | None:  # noqa: ANN401  # the three share no base
    """Return the packed bytes that a decompressor still has to be given; None if it wants new ones."""
    if hasattr(member, "needs_input"):
        return None if member.needs_input else b""
    return member.unconsumed_tail or None
