"""A folder of a store that is written to: what is there, and whether a file there is the one that would be sent."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from curate.errors import CurateError
from curate.io.stores.drivers import Place, explained, place_of, transfer, tried
from curate.io.stores.listing import Entries, files_below, read, remote_file
from curate.io.stores.urls import RemoteFile

CHUNK: Final = 1 << 20
"""Bytes that are read at once of a file whose checksum no store says."""

_IN_PARTS: Final = re.compile(r"([0-9a-f]{32})-([0-9]+)")
"""The checksum of a file that came to S3 in parts: that of their checksums, and how many there were."""


class RemoteFolder:
    """A folder of a store; what its driver raises becomes `raised`, whose message ends with `after`."""

    def __init__(self, url: str, raised: type[CurateError], after: str = "") -> None:
        self.at = place_of(url)
        self.raised, self.after = raised, after

    def files(self) -> Entries:
        """Return what the store says of each file in it, by name; none of a folder that is not there.

        A file in its place counts as one without a name.
        """
        with self._explained(self.at):
            found = files_below(self.at)
            if not found and self.at.driver.isfile(self.at.path):
                return {"": {}}
            return found

    def file(self, name: str, info: Mapping[str, Any]) -> RemoteFile:
        """Return a file in it, as the store describes it."""
        return remote_file(self.at.below(name), info)

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if it is not there."""
        with self._explained(self.at.below(name)):
            try:
                return read(self.at, name)
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        at = self.at.below(name)
        with self._explained(at):
            if not at.driver.async_impl:  # drivers of object stores, which have no folders, are asynchronous
                at.driver.makedirs(at.above().path, exist_ok=True)
            tried(lambda: at.driver.pipe_file(at.path, content))

    def put(self, path: Path, name: str) -> None:
        """Send a file."""
        at = self._own(name)
        with self._explained(at):
            transfer(at.driver.put_file, str(path), at.path)

    def delete(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""
        at = self.at.below(name)
        with self._explained(at):
            try:
                tried(lambda: at.driver.rm_file(at.path))
            except FileNotFoundError:
                return

    def holds(self, name: str, info: Mapping[str, Any], path: Path, *, reads: bool = True) -> bool:
        """Return whether a file there has the size and the content of one here.

        One without a checksum is read, or else taken for the same.
        """
        if info.get("size") != path.stat().st_size:
            return False
        said = list(_checksums(info))
        if said:
            return any(one == _own_checksum(path, one) for one in said)
        if not reads:
            return True
        at, content = self._own(name), hashlib.sha256()
        with self._explained(at), at.driver.open(at.path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                content.update(chunk)
        with path.open("rb") as own:
            return content.digest() == hashlib.file_digest(own, "sha256").digest()

    def _own(self, name: str) -> Place:
        """Return a file with a driver that this thread may use."""
        at = self.at.below(name)
        return at if at.driver.async_impl else place_of(at.url)

    def _explained(self, at: Place) -> Any:  # noqa: ANN401
        return explained(at.url, self.raised, self.after)


def _checksums(info: Mapping[str, Any]) -> Iterator[str]:
    """Give the checksums that a store says of a file: MD5 in hexadecimal digits, or that of S3 for one in parts."""
    said = {str(name).lower(): value for name, value in info.items()}
    settings = said.get("content_settings") or {}
    for value in (said.get("md5hash"), said.get("content-md5"), settings.get("content_md5")):
        if isinstance(value, str):
            yield base64.b64decode(value).hex()
        elif value:
            yield bytes(value).hex()
    tag = str(said.get("etag") or "").strip('"')
    if re.fullmatch("[0-9a-f]{32}", tag) or _IN_PARTS.fullmatch(tag):
        yield tag


def _own_checksum(path: Path, like: str) -> str:
    """Return the checksum of a file here, of the kind of one that a store said."""
    in_parts = _IN_PARTS.fullmatch(like)
    with path.open("rb") as stream:
        if in_parts is None:
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        size = _part_size(path.stat().st_size)
        parts = [hashlib.md5(part, usedforsecurity=False).digest() for part in iter(lambda: stream.read(size), b"")]
    whole = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(parts)}"


def _part_size(size: int) -> int:
    """Return the bytes of the parts in which s3fs sends a file of this size."""
    chosen = getattr(sys.modules.get("s3fs.core"), "calculate_chunksize", None)
    return int(chosen(size)) if chosen is not None else max(1, size)
