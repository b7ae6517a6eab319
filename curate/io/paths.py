"""From a path, a pattern or a folder to files, each with a name that does not depend on the machine."""

from __future__ import annotations

import difflib
import os
import stat
from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct, field

from curate.errors import FormatError, SourceNotFoundError

SUFFIXES: Final = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".ipc")
PACKED: Final = (".gz", ".zst", ".xz", ".bz2")
_MAGIC: Final = frozenset("*?[")
T = TypeVar("T")


class File(NamedTuple):
    """A file of a source: its name (relative to what all files of the source share), place, bytes, time of change.

    `also` has the further names under which it was reached: it is read once.
    """

    name: str
    path: Path
    size: int
    mtime_ns: int
    also: tuple[str, ...] = ()


def suffix_of(name: str) -> str:
    """Return a file's suffix without that of its compression, in lower case.

    >>> suffix_of("train.JSONL.gz"), suffix_of("notes")
    ('.jsonl', '')
    """
    plain = Path(name.lower())
    return Path(plain.stem).suffix if plain.suffix in PACKED else plain.suffix


def resolve(patterns: tuple[str, ...], root: str | None = None) -> list[File]:
    """Return the files of paths, folders and patterns, sorted by name, each once however often it is reached.

    A folder gives every file in it, at any depth, with a known suffix; names that begin with a dot or an underscore are
    skipped. A pattern may hold `*`, `?`, `[...]` and `**`; a name that exists is no pattern. Of a folder
    that `datasets` saved, the files are those that its `state.json` names. Relative paths start at `root` (the working
    directory). Raises `SourceNotFoundError` if one of them matches nothing or is a broken link, and `FormatError` for
    what may not be read, and for a folder that holds several splits or a build of curate.
    """
    fixed: list[Path] = []
    same: dict[tuple[int, int], list[Path]] = {}
    for pattern in patterns:
        base, paths = _match(Path(root or "") / Path(pattern).expanduser(), pattern)
        fixed.append(base)
        for path in paths:
            same.setdefault(_identity(_stat(path)), []).append(path)
    common = Path(os.path.commonpath(fixed))
    return sorted(_file(paths, common) for paths in same.values())


def repeated(found: Sequence[File]) -> list[str]:
    """Say which files were reached more than once.

    >>> repeated([File("a.jsonl", Path("a.jsonl"), 3, 0, ("link.jsonl",)), File("b.jsonl", Path("b.jsonl"), 3, 0)])
    ['a.jsonl is read once, though reached as link.jsonl too']
    """
    several = [file for file in found if file.also]
    if not several:
        return []
    other = next((name for name in several[0].also if name != several[0].name), None)
    how = "twice" if other is None else f"as {other} too"
    more = f"; {len(several) - 1:,} more likewise" if len(several) > 1 else ""
    return [f"{several[0].name} is read once, though reached {how}{more}"]


def _file(paths: list[Path], common: Path) -> File:
    """Return a file that was reached by these paths, under its own name rather than that of a link."""
    path, *also = sorted(paths, key=lambda path: (_is_linked(path, common), path)) if len(paths) > 1 else paths
    seen = _stat(path)
    if not stat.S_ISREG(seen.st_mode):
        raise FormatError(f"{path} is a pipe or a device, which cannot be read twice; write its rows to a file")
    name, *others = (one.relative_to(common).as_posix() for one in (path, *also))
    return File(name, path, seen.st_size, seen.st_mtime_ns, tuple(others))


def _is_linked(path: Path, common: Path) -> bool:
    """Return whether a link leads from the folder to the path."""
    return os.path.realpath(path) != str(Path(os.path.realpath(common)) / path.relative_to(common))


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _broken(path) if _is_broken(path) else unreadable(path, error) from error


def _identity(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino


def _is_broken(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _broken(path: Path) -> SourceNotFoundError:
    target = Path(os.path.realpath(path))
    where = "itself" if target.is_symlink() else f"{target}, which is not there"
    return SourceNotFoundError(f"{path} is a broken link: it leads to {where}. Correct it or remove it")


def _match(pattern: Path, given: str) -> tuple[Path, list[Path]]:
    """Return a pattern's fixed folder, and the files it matches."""
    path = Path(os.path.normpath(pattern.absolute()))
    if path.is_dir():
        paths = [at for at in _walk(path, ("**", "*"), given) if suffix_of(at.name) in SUFFIXES]
        if not paths:
            known = f"{', '.join(SUFFIXES)}, each also with {' or '.join(PACKED)}"
            raise SourceNotFoundError(f"the folder {given!r} holds no data; looked for {known}")
        return path, paths
    if path.exists():
        return path.parent, [path]
    for link in filter(_is_broken, (path, *path.parents)):
        raise _broken(link)
    parts = path.parts
    magic = next((i for i, part in enumerate(parts) if _MAGIC & set(part) and not Path(*parts[: i + 1]).exists()), None)
    base = path.parent if magic is None else Path(*parts[:magic])
    if magic is None or not base.is_dir():
        raise SourceNotFoundError(f"{given!r} is not there; {_listing(path)}")
    paths = _walk(base, parts[magic:])
    if not paths:
        hint = ". [...] means one of the characters in it: write [[] for a bracket" if "[" in given else ""
        raise SourceNotFoundError(f"the pattern {given!r} matches no file; {_listing(base / path.name)}{hint}")
    return base, paths


def _walk(base: Path, parts: tuple[str, ...], asked: str | None = None) -> list[Path]:
    """Return the files below `base` that a pattern's parts match; hidden ones only where a part begins like them.

    `asked` is the path that was asked for where it is that of the folder and no pattern.

    A folder is entered once, by its own path rather than by a link where it has both, so that links in a circle end.
    What a second path to it gives comes after all other files.
    """
    found: dict[Path, None] = {}
    todo, links = deque([(base, 0)]), deque[tuple[Path, int]]()
    entered: dict[tuple[int, int, int], Path] = {}
    again: list[tuple[Path, Path]] = []
    while todo or links:
        folder, place = (todo or links).popleft()
        known = entered.setdefault((*_identity(_stat(folder)), place), folder)
        if known is not folder:
            again.append((folder, known))
            continue
        first, last = parts[place], place + 1 == len(parts)
        if first == "**" and not last:
            todo.append((folder, place + 1))
        inside = asked and str(Path(asked) / folder.relative_to(base))
        for entry, is_folder in _matching(folder, first, inside):
            if is_folder and (first == "**" or not last):
                (links if entry.is_symlink() else todo).append((entry, place if first == "**" else place + 1))
            elif not is_folder and last:
                found[entry] = None
    return [*found, *(new / one.relative_to(old) for new, old in again for one in found if one.is_relative_to(old))]


def _matching(folder: Path, part: str, asked: str | None) -> list[tuple[Path, bool]]:
    """Return the entries of a folder that a part of a pattern matches, each with whether it is a folder."""
    try:
        entries = _rows_only(folder, {entry.name: entry for entry in sorted(folder.iterdir())}, asked)
        if "[" in part and part in entries:  # a name that exists
            entries, part = {part: entries[part]}, escape(part)
        matched = [
            entry
            for name, entry in entries.items()
            if fnmatchcase(name, part) and (name[0] not in "._" or part[0] in "._")
        ]
        for entry in matched:
            if _is_broken(entry) and suffix_of(entry.name) in {"", *SUFFIXES}:
                raise _broken(entry)
        return [(entry, entry.is_dir()) for entry in matched]
    except OSError as error:
        raise unreadable(folder, error) from error


DICT, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
"""The files, beside its rows, in a folder that `datasets` saved (`save_to_disk`)."""

MANIFEST, DATA = "manifest.json", "data"
"""The manifest of a build of curate, and the folder with its rows."""


class _DataFile(Struct):
    filename: str


class _Saved(Struct):
    """What `STATE` says."""

    files: list[_DataFile] = field(name="_data_files")


class _SavedSplits(Struct):
    """What `DICT` says."""

    splits: list[str]


class _Build(Struct):
    """What `MANIFEST` says."""

    fingerprint: str
    splits: dict[str, msgspec.Raw]


def _said(path: Path, layout: type[T]) -> T | None:
    """Return what a JSON file of this layout says; None for any other file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=layout)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _rows_only(folder: Path, entries: dict[str, Path], asked: str | None) -> dict[str, Path]:
    """Return the entries of a folder without the state of `datasets`: of what it saved, the files that are named there.

    Raises `SourceNotFoundError` if one of them is missing, and `FormatError` if the folder was `asked` for and holds
    several splits, or is a build of curate.
    """
    is_build = {MANIFEST, DATA} <= entries.keys() and _said(folder / MANIFEST, _Build) is not None
    if is_build and asked is not None:
        raise FormatError(f"{folder} is a build of curate. Its rows are in files({str(Path(asked) / DATA)!r})")
    saved = _said(folder / STATE, _Saved) if {STATE, INFO} <= entries.keys() else None
    if saved is not None:
        for one in saved.files:
            if one.filename not in entries:
                raise SourceNotFoundError(
                    f"{folder / STATE} names {one.filename}, which is not there; save the dataset again"
                )
        return {one.filename: entries[one.filename] for one in saved.files}
    parts = _said(folder / DICT, _SavedSplits) if DICT in entries else None
    if parts is not None and parts.splits and asked is not None:
        calls = " or ".join(f"files({str(Path(asked) / split)!r})" for split in parts.splits)
        raise FormatError(
            f"{folder} was saved by datasets with the splits {', '.join(parts.splits)}. Choose one: {calls}"
        )
    is_cache = any(suffix_of(name) == ".arrow" for name in entries)
    state = {INFO} if is_cache else {DICT} if parts is not None else set()
    return {name: entry for name, entry in entries.items() if name not in state}


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
    why = os.strerror(error.errno or 0)
    return FormatError(f"{path} cannot be read: {why}. Give it read permission, or leave it out of the source.")
