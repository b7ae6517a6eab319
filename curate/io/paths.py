"""From a path, a pattern or a folder to files, each with a name that does not depend on the machine."""

from __future__ import annotations

import difflib
import os
import stat
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct, field

from curate.errors import FormatError, SourceNotFoundError
from curate.io.stores.urls import RemoteFile, below, shown

SUFFIXES: Final = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".ipc")
PACKED: Final = (".gz", ".zst", ".xz", ".bz2")
MAGIC: Final = frozenset("*?[")
"""The characters that make a name a pattern."""

T = TypeVar("T")


class File(NamedTuple):
    """A file of a source: its name (relative to what all files of the source share), place, bytes, time of change.

    `also` has the further names under which it was reached: it is read once. `path` is a copy of `remote`, a file of a
    store, where there is one.
    """

    name: str
    path: Path
    size: int
    mtime_ns: int
    also: tuple[str, ...] = ()
    remote: RemoteFile | None = None

    @property
    def place(self) -> str:
        """Where it is, as messages name it: its path, or its URL."""
        return str(self.path) if self.remote is None else shown(self.remote.url)


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
            raise no_data(given)
        return path, paths
    if path.exists():
        return path.parent, [path]
    for link in filter(_is_broken, (path, *path.parents)):
        raise _broken(link)
    parts = path.parts
    magic = next((i for i, part in enumerate(parts) if MAGIC & set(part) and not Path(*parts[: i + 1]).exists()), None)
    base = path.parent if magic is None else Path(*parts[:magic])
    if magic is None or not base.is_dir():
        raise SourceNotFoundError(f"{given!r} is not there; {_listing(path)}")
    paths = _walk(base, parts[magic:])
    if not paths:
        raise no_match(given, _listing(base / path.name))
    return base, paths


def no_data(folder: str) -> SourceNotFoundError:
    """Return the error for a folder without a file to read."""
    known = f"{', '.join(SUFFIXES)}, each also with {' or '.join(PACKED)}"
    return SourceNotFoundError(f"the folder {folder!r} holds no data; looked for {known}")


def no_match(pattern: str, there: str) -> SourceNotFoundError:
    """Return the error for a pattern that matches no file; `there` says what there is."""
    hint = ". [...] means one of the characters in it: write [[] for a bracket" if "[" in pattern else ""
    return SourceNotFoundError(f"the pattern {pattern!r} matches no file; {there}{hint}")


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
        there = {entry.name: entry for entry in sorted(folder.iterdir())}
        entries = rows_only(str(folder), there, asked, lambda name: (folder / name).read_bytes())
        if "[" in part and part in entries:  # a name that exists
            entries, part = {part: entries[part]}, escape(part)
        matched = [entry for name, entry in entries.items() if fits(name, part)]
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


def fits(name: str, part: str) -> bool:
    """Return whether a part of a pattern matches a name: a hidden one only where it begins likewise.

    >>> fits("a.jsonl", "*.jsonl"), fits("_a.jsonl", "*.jsonl"), fits("_a.jsonl", "_*")
    (True, False, True)
    """
    return fnmatchcase(name, part) and (name[:1] not in {"", ".", "_"} or part[0] in "._")


def _said(text: bytes, layout: type[T]) -> T | None:
    """Return what a JSON file of this layout says; None for any other file."""
    try:
        return msgspec.json.decode(text, type=layout)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def rows_only(folder: str, entries: Mapping[str, T], asked: str | None, read: Callable[[str], bytes]) -> dict[str, T]:
    """Return the entries of a folder without the state of `datasets`: of what it saved, the files that are named there.

    `read` gives the bytes of an entry. Raises `SourceNotFoundError` if one of them is missing, and `FormatError` if the
    folder was `asked` for and holds several splits, or is a build of curate.
    """
    if asked is not None and {MANIFEST, DATA} <= entries.keys() and _said(read(MANIFEST), _Build) is not None:
        raise FormatError(f"{folder} is a build of curate. Its rows are in files({_inside(asked, DATA)!r})")
    saved = _said(read(STATE), _Saved) if {STATE, INFO} <= entries.keys() else None
    if saved is not None:
        for one in saved.files:
            if one.filename not in entries:
                raise SourceNotFoundError(
                    f"{folder}/{STATE} names {one.filename}, which is not there; save the dataset again"
                )
        return {one.filename: entries[one.filename] for one in saved.files}
    parts = _said(read(DICT), _SavedSplits) if DICT in entries else None
    if parts is not None and parts.splits and asked is not None:
        calls = " or ".join(f"files({_inside(asked, split)!r})" for split in parts.splits)
        raise FormatError(
            f"{folder} was saved by datasets with the splits {', '.join(parts.splits)}. Choose one: {calls}"
        )
    is_cache = any(suffix_of(name) == ".arrow" for name in entries)
    state = {INFO} if is_cache else {DICT} if parts is not None else set()
    return {name: entry for name, entry in entries.items() if name not in state}


def _inside(folder: str, name: str) -> str:
    return below(folder, name).removeprefix("./")


def _listing(path: Path) -> str:
    """List the nearest existing folder above `path`, similar names first."""
    while not path.parent.is_dir():
        path = path.parent
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError as error:
        return f"{path.parent} cannot be read: {error.strerror}"
    return holds(str(path.parent), names, path.name)


def holds(folder: str, names: Sequence[str], asked: str) -> str:
    """Say what a folder holds, names that are similar to the one `asked` for first.

    >>> holds("in", ["chats.jsonl", "pairs.json"], "chat.jsonl")
    'in holds chats.jsonl, ...'
    """
    near = difflib.get_close_matches(asked, names, n=3) or names[:5]
    more = ", ..." if len(names) > len(near) else ""
    return f"{folder} holds {', '.join(near)}{more}" if names else f"{folder} is empty"


def unreadable(path: Path | str, error: OSError) -> FormatError:
    """Return the error for a file or folder that the system cannot read."""
    why = os.strerror(error.errno or 0)
    return FormatError(f"{path} cannot be read: {why}. Give it read permission, or leave it out of the source.")
