"""Which files of a store a URL reaches: one file, a folder, or those that a pattern matches, as with paths."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from curate.errors import SourceNotFoundError
from curate.io.paths import MAGIC, SUFFIXES, fits, holds, no_data, no_match, rows_only, suffix_of
from curate.io.stores.drivers import NO_BUCKET, Place, explained, place_of, tried
from curate.io.stores.urls import RemoteFile, scheme_of, shown

CONTENT: Final = ("etag", "md5hash", "content-md5", "blob_id", "sha", "checksum", "crc32c", "digest")
"""What a store may say of a file that its content decides, by the names of its drivers in lower case."""

_CHANGED: Final = (
    *("versionid", "version_id", "generation", "lastmodified", "last_modified", "last-modified"),
    *("updated", "modified", "modify", "mtime", "last_write_time", "created"),
)
"""What it may say of when a file changed."""

Entries: TypeAlias = dict[str, dict[str, Any]]
"""What a driver says of files, by name."""


class FoundFiles(NamedTuple):
    """What a URL reaches: the folder that its names are relative to, in parts, and its files by their names in it.

    `driver` reaches them from any thread; None for one that each thread must have of its own.
    """

    base: tuple[str, ...]
    files: dict[str, RemoteFile]
    driver: Any


def reach(url: str) -> FoundFiles:
    """Return the files that a URL reaches. A name that exists is no pattern; a web address never is.

    Raises `SourceNotFoundError` if there is none, and for what the store refuses; `FormatError` for a folder that
    holds several splits or a build of curate.
    """
    at = place_of(url)
    with explained(url):
        found = _info(at)
        if found is None:
            return _matched(at) if _is_pattern(url) else _nothing(at)
        if found["type"] != "directory":
            *above, own = _parts(url)
            return FoundFiles(tuple(above), {own: remote_file(at, found)}, at.shared())
        asked = shown(url).rstrip("/")
        files = {
            name: remote_file(at.below(name), info)
            for name, info in _only_rows(at, files_below(at), asked).items()
            if suffix_of(name) in SUFFIXES and all(fits(part, "*") for part in name.split("/"))
        }
    if not files:
        raise no_data(asked)
    return FoundFiles(_parts(url), files, at.shared())


def files_below(at: Place, depth: int | None = None) -> Entries:
    """Return what the store says of each file in a folder, at any depth or down to one, by its name there."""
    folder = at.path.rstrip("/")
    found = tried(lambda: at.driver.find(folder, maxdepth=depth, detail=True))
    names = ((path.removeprefix(f"{folder}/"), info) for path, info in found.items() if path != folder)
    return {name: info for name, info in names if name and not name.endswith("/")}


def remote_file(at: Place, info: Mapping[str, Any]) -> RemoteFile:
    """Return a file as its store describes it; its stamp is empty where nothing is said that changes with it."""
    said, size = _said(info), info.get("size")
    own = next((f"{name} {said[name]}" for name in CONTENT if name in said), None)
    stamp = own or ", ".join(f"{name} {said[name]}" for name in _CHANGED if name in said)
    return RemoteFile(at.url, size if isinstance(size, int) else None, stamp)


def of_content(remote: RemoteFile) -> bool:
    """Return whether the stamp of a file is one that its content decides, which drivers write alike everywhere."""
    return remote.stamp.partition(" ")[0] in CONTENT


def is_still(remote: RemoteFile, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Return whether a file is as it was listed, by what its store said before and after it was fetched.

    Where its content decides no stamp, it must be what it was before: drivers write times of a list in another way.
    """
    last = _said(after)
    name, _, value = remote.stamp.partition(" ")
    same = last.get(name, value) == value if before is None else _said(before) == last
    return same and remote.size in {None, after.get("size")}


def _said(info: Mapping[str, Any]) -> dict[str, str]:
    """Return what a store says of a file that changes with it, as text."""
    return {
        name.lower(): str(value.timestamp() if isinstance(value, datetime) else value).removeprefix("W/").strip('"')
        for name, value in info.items()
        if value is not None and name.lower() in {*CONTENT, *_CHANGED}
    }


def _info(at: Place) -> dict[str, Any] | None:
    """Return what a store says of a path; None if there is nothing."""
    try:
        found: dict[str, Any] = tried(lambda: at.driver.info(at.path))
    except FileNotFoundError as error:
        if NO_BUCKET in str(error):
            raise
        return None
    return found


def _is_pattern(url: str) -> bool:
    return bool(MAGIC & set(url)) and scheme_of(url) not in {"http", "https"}


def _matched(at: Place) -> FoundFiles:
    """Return the files that a pattern matches."""
    parts = at.path.split("/")
    first = next(place for place, part in enumerate(parts) if MAGIC & set(part))
    folder, pattern = at, parts[first:]
    for _ in pattern:
        folder = folder.above()
    entries = files_below(folder, None if "**" in pattern else len(pattern))
    while len(pattern) > 1 and (
        not MAGIC & set(pattern[0]) or any(name.startswith(f"{pattern[0]}/") for name in entries)
    ):
        own = f"{pattern[0]}/"  # a name that exists
        folder, pattern = folder.below(pattern[0]), pattern[1:]
        entries = {name.removeprefix(own): info for name, info in entries.items() if name.startswith(own)}
    files = {
        name: remote_file(folder.below(name), info)
        for name, info in _only_rows(folder, entries, None).items()
        if _fit(name.split("/"), pattern)
    }
    if not files:
        raise no_match(shown(at.url), _listing(folder, parts[-1]))
    return FoundFiles(_parts(folder.url), files, at.shared())


def _fit(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a pattern match those of a name; `**` matches any number of folders.

    >>> [_fit(name.split("/"), ["**", "*.jsonl"]) for name in ("a.jsonl", "in/2/a.jsonl", ".git/a.jsonl")]
    [True, True, False]
    """
    if not pattern or not names:
        return not pattern and not names
    first, *rest = pattern
    if first != "**":
        return (fits(names[0], first) or names[0] == first) and _fit(names[1:], rest)
    if not rest:
        return all(fits(name, first) for name in names)
    return _fit(names, rest) or (fits(names[0], first) and _fit(names[1:], pattern))


def _only_rows(at: Place, entries: Entries, asked: str | None) -> Entries:
    """Leave out the state of `datasets`, folder by folder; `asked` is the folder that was asked for, and no pattern."""
    inside: dict[str, dict[str, str]] = {}
    for name in entries:
        above, _, own = name.rpartition("/")
        inside.setdefault(above, {})[own] = name
        while above:
            above, _, own = above.rpartition("/")
            inside.setdefault(above, {}).setdefault(own, "")
    kept: Entries = {}
    for own, there in inside.items():
        where = at.below(own) if own else at
        named = rows_only(
            shown(where.url), there, asked and posixpath.join(asked, own).rstrip("/"), partial(read, where)
        )
        kept |= {name: entries[name] for name in named.values() if name}
    return kept


def read(at: Place, name: str) -> bytes:
    """Return the content of a small file in a folder."""
    content: bytes = tried(lambda: at.driver.cat_file(at.below(name).path))
    return content


def _parts(url: str) -> tuple[str, ...]:
    """Return the parts of what is shown of a URL; the scheme is the first, as different stores have none in common.

    >>> _parts("https://ann:secret@host/in//a.jsonl?sig=a/b")
    ('https', 'host', 'in', 'a.jsonl')
    """
    return (scheme_of(url), *(part for part in shown(url).partition("://")[2].split("/") if part))


def _nothing(at: Place) -> FoundFiles:
    if at.above() == at:
        raise SourceNotFoundError(f"{shown(at.url)!r} is not there: correct the name of the bucket")
    raise SourceNotFoundError(f"{shown(at.url)!r} is not there; {_listing(at.above(), _own(at.path))}")


def _listing(folder: Place, asked: str) -> str:
    """Say what there is in the nearest folder that there is, similar names first."""
    names = _names(folder)
    while not names and folder.above() != folder:
        folder, asked = folder.above(), _own(folder.path)
        names = _names(folder)
    return holds(shown(folder.url), names, asked) if names else f"nothing is in {shown(folder.url)}"


def _names(folder: Place) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        names = {_own(path) for path in tried(lambda: folder.driver.ls(folder.path, detail=False))}
        return sorted(names - {"", ".", ".."})
    return []


def _own(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def named(found: Sequence[FoundFiles]) -> Iterator[tuple[str, RemoteFile, Any]]:
    """Give the files that several URLs reach, each with its name in the folder that all share, and its driver.

    Different files have different names, also where their URLs differ in what is not shown.
    """
    taken: dict[str, list[str]] = {}
    shared = posixpath.commonprefix([one.base for one in found])  # of parts, as it compares any sequences
    for one in found:
        above = "/".join(one.base[len(shared) :])
        for own, file in one.files.items():
            name = posixpath.join(above, own)
            others = taken.setdefault(name, [])
            if file.url not in others:
                others.append(file.url)
            number = others.index(file.url) + 1
            yield _numbered(name, number), file, one.driver


def _numbered(name: str, number: int) -> str:
    """Return another name for another file of the same name, with the same suffix.

    >>> _numbered("in/rows.csv.gz", 1), _numbered("in/rows.csv.gz", 2)
    ('in/rows.csv.gz', 'in/rows (2).csv.gz')
    """
    folder, slash, own = name.rpartition("/")
    stem, dot, suffix = own.partition(".")
    return name if number == 1 else f"{folder}{slash}{stem} ({number}){dot}{suffix}"
