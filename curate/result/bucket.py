"""A build in a store: sent there file by file, its manifest last, so that a folder without one is no build.

A store has no way to move a folder into place. So while a build is sent, `unfinished.json` says so: what is beside it
is curate's, and may be replaced. Whoever opens a build of a store gets a copy on this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from curate.engine.workspace import MANIFEST, SHOWN, WRITTEN, check_target
from curate.errors import BuildFolderError, CallError, PushError
from curate.io.atomic import replacing, share
from curate.io.stores.copies import copies, fetched
from curate.io.stores.drivers import at_once
from curate.io.stores.listing import Entries
from curate.io.stores.remote_folder import RemoteFolder
from curate.io.stores.urls import is_url, path_of, shown, text_of

UNFINISHED: Final = "unfinished.json"
"""The file that marks a folder of a store as half of a build."""

AGAIN: Final = "What was sent is kept: build again to go on from there"

AT_ONCE: Final = 4
"""Files that are sent at once; drivers of object stores send parts of a large one at once, too."""


def is_in_store(place: str | os.PathLike[str] | None) -> bool:
    """Return whether a place is in a store, and no folder of this machine."""
    return place is not None and is_url(text_of(place))


def local_folder(place: str | os.PathLike[str], call: str) -> Path:
    """Return a folder of this machine; raises `CallError` for a URL, which `call` does not write to."""
    if is_in_store(place):
        raise CallError(f"{call} writes to folders of this machine, and {shown(text_of(place))} is in a store")
    return Path(path_of(text_of(place)))


def work_folder(url: str) -> Path:
    """Return where on this machine a build is made, and stays, that goes to a URL."""
    return _own(url) / "build" / _name(url)


def _own(url: str) -> Path:
    return copies() / "builds" / hashlib.sha256(shown(url).rstrip("/").encode()).hexdigest()[:32]


def _name(url: str) -> str:
    """Return the last part of a URL as the name of a folder, which is for people to read."""
    return re.sub(r"[^\w.-]", "_", shown(url).rstrip("/").rpartition("/")[2]).strip(".")[:64] or "build"


def check_place(place: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raise `BuildFolderError` if a build may not be put at a path or URL, as `check_target` does."""
    if is_in_store(place):
        url = text_of(place)
        _check(url, RemoteFolder(url, PushError).files(), overwrite=overwrite)
    else:
        check_target(Path(path_of(text_of(place))), overwrite=overwrite)


def claim(url: str, *, overwrite: bool) -> None:
    """Check a place as `check_place` does, and that it can be written, before a build is made for it."""
    remote = RemoteFolder(url, PushError)
    _check(url, remote.files(), overwrite=overwrite)
    mark = remote.read(UNFINISHED)
    remote.write(UNFINISHED, _mark(b"") if mark is None else mark)
    if mark is None:
        remote.delete(UNFINISHED)


def _check(url: str, there: Entries, *, overwrite: bool) -> None:
    """Raise `BuildFolderError` if what is in a folder of a store may not be replaced."""
    where = shown(url)
    if not there:
        return
    if MANIFEST in there and not overwrite:
        raise BuildFolderError(
            f"{where} exists; choose another place, or say --overwrite (overwrite=True) to replace the build in it"
        )
    if not {MANIFEST, UNFINISHED} & there.keys():
        raise BuildFolderError(
            f"{where} exists and is no build of curate (it has no {MANIFEST}); it will not be replaced"
        )
    other = sorted(name for name in there if name != UNFINISHED and not is_written(name))
    if other:
        more = f" and {len(other) - SHOWN:,} more" if len(other) > SHOWN else ""
        raise BuildFolderError(
            f"{where} holds files that no build wrote: {', '.join(other[:SHOWN])}{more}; nothing was deleted. "
            "Move them elsewhere, or choose another place"
        )


def is_written(name: str) -> bool:
    """Return whether a build has a file of this name.

    >>> is_written("data/train-00000-of-00001.parquet"), is_written("steps/../x.parquet")
    (True, False)
    """
    return WRITTEN.fullmatch(name) is not None and not {".", ".."} & set(name.split("/"))


def send(folder: Path, url: str, *, overwrite: bool) -> None:
    """Send a build to a URL, without what is there already; what an earlier build left there is deleted.

    Raises `PushError` for what the store refuses, and where someone else sends a build there at the same time;
    `BuildFolderError` as `check_place` does.
    """
    remote = RemoteFolder(url, PushError, AGAIN)
    there = remote.files()
    own = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    _check(url, there, overwrite=overwrite)
    manifest = own[MANIFEST].read_bytes()
    mark = _mark(manifest)
    if remote.read(UNFINISHED) != mark:
        remote.write(UNFINISHED, mark)
    if MANIFEST in there:
        remote.delete(MANIFEST)

    def put(name: str) -> None:
        if name not in there or not remote.holds(name, there[name], own[name]):
            remote.put(own[name], name)

    at_once(put, [name for name in own if name != MANIFEST], AT_ONCE)
    for name in there:
        if name not in own and name != UNFINISHED:
            remote.delete(name)
    _check_whole(url, remote, own, mark)
    remote.write(MANIFEST, manifest)
    remote.delete(UNFINISHED)


def _mark(manifest: bytes) -> bytes:
    """Return what says which build is half there."""
    said = "A build is being sent here, or was interrupted. The same build goes on from what is here."
    return json.dumps({"what": said, "manifest": hashlib.sha256(manifest).hexdigest()}, indent=2).encode() + b"\n"


def _check_whole(url: str, remote: RemoteFolder, own: dict[str, Path], mark: bytes) -> None:
    """Raise `PushError` unless all files of a build but its manifest are there, and no one else sends one."""
    there = remote.files()
    sent = own.keys() - {MANIFEST}
    if remote.read(UNFINISHED) != mark or there.keys() - sent - {UNFINISHED}:
        raise PushError(f"{shown(url)}: someone else sends a build there at the same time. Choose another place")
    different = sorted(name for name in sent if not remote.holds(name, there.get(name, {}), own[name], reads=False))
    if different:
        raise PushError(f"{shown(url)}: {different[0]} is not there, or not whole, after it was sent. {AGAIN}")


def folder_of(place: str | os.PathLike[str]) -> Path:
    """Return the folder of a build: the one at a path, or a copy of the one at a URL; see `copy_of`."""
    return copy_of(text_of(place)) if is_in_store(place) else Path(path_of(text_of(place)))


def copy_of(url: str) -> Path:
    """Return the folder of a copy of the build at a URL, which is fetched if it is not on this machine.

    Raises `BuildFolderError` if there is no build, or the store refuses it.
    """
    remote = RemoteFolder(url, BuildFolderError)
    manifest = remote.read(MANIFEST)
    if manifest is None:
        half = f". An upload of one was interrupted: {AGAIN}" if remote.read(UNFINISHED) is not None else ""
        raise BuildFolderError(f"no build at {shown(url)}: it has no {MANIFEST}{half}")
    name = hashlib.sha256(manifest).hexdigest()[:32]
    folder = _own(url) / "copies" / name / _name(url)
    for place in (work_folder(url), folder):
        if (place / MANIFEST).is_file() and (place / MANIFEST).read_bytes() == manifest:
            return place
    there = {name: info for name, info in remote.files().items() if is_written(name) and name != MANIFEST}
    driver = remote.at.shared()
    files = {name: remote.file(name, info) for name, info in there.items()}
    _lay(folder, zip(files, at_once(lambda one: fetched(one, driver), files.values(), AT_ONCE), strict=True))
    with replacing(folder / MANIFEST) as draft:
        draft.write_bytes(manifest)
    return folder


def _lay(folder: Path, files: Iterable[tuple[str, Path]]) -> None:
    """Give files their names in a folder, without a second copy where the disk has links."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in files:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        share(path, place)
