"""From a path, a pattern or a folder to files, each with a name that does not depend on the machine."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from curate.errors import FormatError, SourceNotFoundError

SUFFIXES: Final = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".ipc")
PACKED: Final = (".gz", ".zst")
_MAGIC: Final = frozenset("*?[")


class File(NamedTuple):
    """A file of a source: its name (relative to what all files of the source share), place, bytes, time of change."""

    name: str
    path: Path
    size: int
    mtime_ns: int


def suffix_of(name: str) -> str:
    """Return a file's suffix without that of its compression, in lower case.

    >>> suffix_of("train.JSONL.gz"), suffix_of("notes")
    ('.jsonl', '')
    """
    plain = Path(name.lower())
    return Path(plain.stem).suffix if plain.suffix in PACKED else plain.suffix


def resolve(patterns: tuple[str, ...], root: str | None = None) -> list[File]:
    """Return the files of paths, folders and patterns, sorted by name, each once.

    A folder gives every file in it, at any depth, with a known suffix; names that begin with a dot or an underscore are
    skipped. A pattern may hold `*`, `?`, `[...]` and `**`. Relative paths start at `root` (the working directory).
    Raises `SourceNotFoundError` if one of them matches nothing, `FormatError` for a folder that may not be read.
    """
    fixed: list[Path] = []
    found: set[Path] = set()
    for pattern in patterns:
        base, paths = _match(Path(root or "") / Path(pattern).expanduser(), pattern)
        fixed.append(base)
        found.update(paths)
    common = Path(os.path.commonpath(fixed))
    return sorted(_file(path, common) for path in found)


def _file(path: Path, common: Path) -> File:
    try:
        seen = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return File(path.relative_to(common).as_posix(), path, seen.st_size, seen.st_mtime_ns)


def _match(pattern: Path, given: str) -> tuple[Path, list[Path]]:
    """Return a pattern's fixed folder, and the files it matches."""
    path = Path(os.path.normpath(pattern.absolute()))
    if path.is_dir():
        paths = [at for at in _walk(path, ("**", "*")) if suffix_of(at.name) in SUFFIXES]
        if not paths:
            known = f"{', '.join(SUFFIXES)}, each also with {' or '.join(PACKED)}"
            raise SourceNotFoundError(f"the folder {given!r} holds no data; looked for {known}")
        return path, paths
    if path.exists():
        return path.parent, [path]
    magic = next((i for i, part in enumerate(path.parts) if _MAGIC & set(part)), None)
    base = path.parent if magic is None else Path(*path.parts[:magic])
    if magic is None or not base.is_dir():
        raise SourceNotFoundError(f"{given!r} is not there; {_listing(path)}")
    paths = list(_walk(base, path.parts[magic:]))
    if not paths:
        raise SourceNotFoundError(f"the pattern {given!r} matches no file; {_listing(base / path.name)}")
    return base, paths


def _walk(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below `folder` that a pattern's parts match; hidden ones only where a part begins like them."""
    first, rest = parts[0], parts[1:]
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error
    if first == "**" and rest:
        yield from _walk(folder, rest)
    for entry in entries:
        if entry.name[0] in "._" and first[0] not in "._":
            continue
        is_folder = entry.is_dir()
        if is_folder and first == "**":
            yield from _walk(entry, parts)
        elif is_folder and rest and fnmatchcase(entry.name, first):
            yield from _walk(entry, rest)
        elif not is_folder and not rest and fnmatchcase(entry.name, first):
            yield entry


def _listing(path: Path) -> str:
    """List the nearest existing folder above `path`, similar names first."""
    while not path.parent.is_dir():
        path = path.parent
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError as error:
        return f"{path.parent} cannot be read: {error.strerror}"
    near = difflib.get_close_matches(path.name, names, n=3) or names[:5]
    more = ", ..." if len(names) > len(near) else ""
    return f"{path.parent} holds {', '.join(near)}{more}" if names else f"{path.parent} is empty"


def unreadable(path: Path, error: OSError) -> FormatError:
    """Return the error for a file or folder that the system cannot read."""
    return FormatError(
        f"{path} cannot be read: {error.strerror}. Give it read permission, or leave it out of the source."
    )
