"""Copies of files of stores on this machine: each is fetched once, whole, and named by what it is a copy of.

They are in the folder `CURATE_BUCKETS`, else in `$XDG_CACHE_HOME/curate/buckets` or `~/.cache/curate/buckets`. A file
that changed in its store is another copy. Whoever reads fetches: a worker on another machine has copies of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from curate.errors import FormatError, MixtureError
from curate.io.atomic import replacing
from curate.io.paths import File, resolve
from curate.io.stores.drivers import at_once, explained, place_of, transfer, tried
from curate.io.stores.listing import is_still, named, of_content, reach
from curate.io.stores.urls import RemoteFile, is_url, path_of, shown

AT_ONCE: Final = 8
"""Files that are fetched at once."""

READ_ONLY: Final = 0o444
"""How copies are kept: a build that was fetched has links to them."""

LARGE: Final = 1 << 28
"""Bytes of a fetch that is announced."""

TRIES: Final = 3
"""How often a file is fetched that changes while it is read."""


def find(paths: Sequence[str], root: str | None = None) -> list[File]:
    """Return the files of paths or URLs, sorted by name, each once; those of a store are fetched if they are not here.

    Raises the errors of `resolve`, those of `reach`, and `MixtureError` for paths and URLs in one call.

    >>> from fsspec import filesystem
    >>> filesystem("memory").pipe_file("/bucket/in/a.jsonl", b'{"prompt": "Why?", "completion": "So."}')
    >>> [(file.name, file.place, file.size) for file in find(["memory://bucket/in/*.jsonl"])]
    [('a.jsonl', 'memory://bucket/in/a.jsonl', 39)]
    """
    urls = [path for path in paths if is_url(path)]
    if not urls:
        return resolve(tuple(map(path_of, paths)), root)
    other = next((path for path in paths if not is_url(path)), None)
    if other is not None:
        raise MixtureError(f"{shown(urls[0])} is in a store, and {other} is on this machine: read them as two sources")
    names: dict[RemoteFile, list[str]] = defaultdict(list)
    drivers: dict[RemoteFile, Any] = {}
    for name, remote, driver in named([reach(url) for url in urls]):
        names[remote].append(name)
        drivers[remote] = driver
    _say(urls[0], drivers)
    found = dict(zip(drivers, at_once(lambda each: fetched(*each), drivers.items(), AT_ONCE), strict=True))
    return sorted(
        File(name, path, path.stat().st_size, 0, tuple(also), remote)
        for (remote, path), (name, *also) in zip(found.items(), names.values(), strict=True)
    )


def _say(url: str, files: Iterable[RemoteFile]) -> None:
    """Say in a terminal that a fetch will take a while."""
    missing = [file for file in files if not _place(file).is_file()]
    size = sum(file.size or 0 for file in missing)
    if size >= LARGE and sys.stderr.isatty():
        sys.stderr.write(f"{shown(url)}: fetching {len(missing):,} files, {size / 1e9:,.1f} GB, to {copies()}\n")


def is_there(place: str) -> bool:
    """Return whether there is a file at a path or URL; raises the errors of `explained`."""
    if not is_url(place):
        return Path(path_of(place)).is_file()
    at = place_of(place)
    with explained(place):
        return bool(tried(lambda: at.driver.isfile(at.path)))


def here(file: File) -> Path:
    """Return where a file is on this machine; one of a store is fetched if it is not here.

    Raises the errors of `fetched`, and `FormatError` if it is no longer what it was.
    """
    if file.remote is None or file.path.is_file():
        return file.path
    found = fetched(file.remote)
    if found.name != file.path.name:
        raise FormatError(f"{file.place} changed while it was being read; build again when nothing writes to it")
    return found


def fetched(remote: RemoteFile, driver: Any = None) -> Path:  # noqa: ANN401
    """Return the copy of a file, after fetching it if it is not here.

    Raises `SourceNotFoundError` for what the store does not hand out, `FormatError` for a file that is cut short, or
    that is no longer what it was when it was listed.
    """
    place = _place(remote)
    if remote.stamp and place.is_file():
        return place
    with _alone(place), explained(remote.url):
        if not remote.stamp:
            return _fetched_by_content(remote, driver, place)
        if not place.is_file():
            with replacing(place) as draft:
                _fetch(remote, driver, draft)
                draft.chmod(READ_ONLY)
    return place


def _fetch(remote: RemoteFile, driver: Any, draft: Path) -> None:  # noqa: ANN401
    """Fetch a file to a draft, and again if it is cut short, or changed meanwhile."""
    at = place_of(remote.url, driver)
    info = partial(at.driver.info, at.path)
    before = None if of_content(remote) else tried(info)
    for _ in range(TRIES):
        transfer(at.driver.get_file, at.path, str(draft))
        after = tried(info)
        if is_still(remote, before, after) and remote.size in {None, draft.stat().st_size}:
            return
        before = before and after
    raise FormatError(
        f"{shown(remote.url)} changes while it is read, or comes incomplete: {remote.size or 0:,} bytes were to come, "
        f"and {draft.stat().st_size:,} came. Build again when nothing writes it"
    )


def _fetched_by_content(remote: RemoteFile, driver: Any, place: Path) -> Path:  # noqa: ANN401
    """Fetch a file of a store that says nothing of when it changes; its copy is named by its content."""
    draft = place.with_suffix(".new")
    _fetch(remote, driver, draft)
    draft.chmod(READ_ONLY)
    with draft.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    return draft.replace(place.with_name(f"{place.name}-{content[:32]}"))


def _place(remote: RemoteFile) -> Path:
    """Return where the copy of a file is: no name of a store is part of the path."""
    name = hashlib.sha256(repr(tuple(remote)).encode()).hexdigest()
    return copies() / "files" / name[:2] / name[2:]


def copies() -> Path:
    """Return the folder of copies; raises `MixtureError` where there is no home for it."""
    own = os.environ.get("CURATE_BUCKETS")
    if own:
        return Path(own).expanduser().absolute()
    root = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise MixtureError("there is no home for copies of files of a store; name a folder: CURATE_BUCKETS") from error
    return folder / "curate" / "buckets"


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let one process at a time fetch a file; the next one finds it."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = place.with_suffix(".lock").open("w")
    except OSError as error:
        raise MixtureError(f"{copies()} cannot be written: {error.strerror}; name a folder: CURATE_BUCKETS") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
