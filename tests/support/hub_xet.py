"""The Xet storage of the Hub on loopback, by which the real client sends large files: chunks in xorbs, files in shards.

The layouts are those of https://huggingface.co/docs/xet: a xorb is a run of compressed chunks, and a shard says of
which chunks of which xorbs each file is made. What a shard names is kept under its SHA-256, as other large files are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pyarrow as pa

if TYPE_CHECKING:
    from tests.support.hub_server import Api

TOKEN: Final = "xet_" + "x" * 20
"""What the client is given for this storage, in place of the token of the Hub."""

ENTRY: Final = 48
"""Bytes of each record of a shard."""

END: Final = b"\xff" * 32
VERIFIED, DESCRIBED = 1 << 31, 1 << 30


def answer(api: Api, parts: list[str], sent: bytes) -> None:
    """Answer a request to the storage: of `parts`, the first is the version of its API."""
    if api.token != TOKEN:
        return api.answer(401)
    if parts[:2] == ["v1", "xorbs"] and api.command == "POST":
        api.hub.xorbs[parts[3]] = list(chunks(sent))
        return api.json({"was_inserted": True})
    if parts == ["v1", "shards"]:
        kept = [api.hub.keep(oid, data) for oid, data in named_files(sent, api.hub.xorbs)]
        return api.json({"result": 1}) if all(kept) else api.answer(400)
    return api.answer(404)  # no chunk is known from elsewhere


def chunks(xorb: bytes) -> Iterator[bytes]:
    """Give the chunks of a xorb; one that is grouped by bytes is put back."""
    place = 0
    while place < len(xorb) and xorb[place] == 0:  # a footer of the client begins with its name
        size, scheme, whole = (int.from_bytes(xorb[place + at : place + to], "little") for at, to in BYTES)
        data = xorb[place + 8 : place + 8 + size]
        if scheme:
            data = pa.Codec("lz4").decompress(data, decompressed_size=whole, asbytes=True)
        yield ungrouped(data) if scheme == 2 else data
        place += 8 + size


BYTES: Final = ((1, 4), (4, 5), (5, 8))
"""Where the header of a chunk says its size, how it is compressed, and its size when it is not."""


def ungrouped(data: bytes) -> bytes:
    found = bytearray(len(data))
    start = 0
    for first in range(4):
        count = len(range(first, len(data), 4))
        found[first::4] = data[start : start + count]
        start += count
    return bytes(found)


def named_files(shard: bytes, xorbs: dict[str, list[bytes]]) -> Iterator[tuple[str, bytes]]:
    """Give the files of a shard, each by its SHA-256."""
    place = ENTRY
    while shard[place : place + 32] != END:
        flags, count = struct.unpack_from("<II", shard, place + 32)
        data = b""
        for number in range(count):
            at = place + ENTRY * (1 + number)
            first, end = struct.unpack_from("<II", shard, at + 40)
            data += b"".join(xorbs[written(shard[at : at + 32])][first:end])
        place += ENTRY * (1 + count * (2 if flags & VERIFIED else 1))
        yield written(shard[place : place + 32]), data
        place += ENTRY if flags & DESCRIBED else 0


def written(value: bytes) -> str:
    """Write a hash as the storage does: four numbers of eight bytes."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", value))
