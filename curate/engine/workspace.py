"""The folder that a build is made in: beside its target, moved there when whole, resumed after an interruption."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from curate.engine.manifest import Json
from curate.errors import BuildFolderError, CurateError, PushError, WorkerError
from curate.io.atomic import replace_folder, write_text

MANIFEST = "manifest.json"
"""The file that marks a folder as a build; written last."""

LOCK = "lock"

WRITTEN: Final = re.compile(
    r"manifest\.json|report\.html|README\.md|data/(train|test)-\d{5}-of-\d{5}\.parquet"
    r"|charts/(funnel|composition)\.svg"
    r"|(ledger|dropped|rated|pairs)/\d{3,}-[^/]+\.parquet|steps/[^/]+/[^/]+\.parquet"
)
"""The files of a build folder."""

SHOWN: Final = 5
"""Foreign files that the error names."""


class Workspace(NamedTuple):
    """A hidden sibling of the build folder: `partitions` is scratch, `out` becomes the build."""

    root: Path
    partitions: Path
    out: Path


@contextmanager
def workspace(target: Path, recipe: Json, *, resume: bool, overwrite: bool) -> Iterator[Workspace]:
    """Give a workspace for `target`; when the block ends well, `out` becomes `target`.

    Work of an interrupted build is resumed when `recipe` (mixture, version, stamps of the input files) is the same and
    `resume` is set; else it goes. An error of the data or the call, or a full disk, leaves nothing behind; an
    interruption leaves the workspace, as does a store that does not take the build. Raises `BuildFolderError`.
    """
    check_target(target, overwrite=overwrite)
    root = target.with_name(f".{target.name}.partial")
    absent = [folder for folder in root.parents if not folder.exists()]
    with _locked(root, target):
        try:
            space = _open(root, recipe, resume=resume)
            yield space
            check_target(target, overwrite=overwrite)
            replace_folder(space.out, target)
            shutil.rmtree(root, ignore_errors=True)
        except (WorkerError, PushError):
            raise
        except CurateError:
            _clear(root, absent)
            raise
        except OSError as error:
            _clear(root, absent)
            if not _is_of_disk(error, root, target):
                raise
            raise _unwritable(root, error) from error


def _is_of_disk(error: OSError, *folders: Path) -> bool:
    """Whether an error is that of a file in these folders, or of none that is known; users' functions raise others."""
    named = error.filename
    if not isinstance(named, str | os.PathLike):
        return error.errno is not None
    place = Path(os.fsdecode(named)).absolute()
    return any(place.is_relative_to(folder) for folder in folders)


def _clear(root: Path, absent: Iterable[Path]) -> None:
    """Remove the workspace, and what folders were made for it (`absent`, innermost first) and are empty."""
    shutil.rmtree(root, ignore_errors=True)
    with suppress(OSError):
        for folder in absent:
            folder.rmdir()


@contextmanager
def _locked(root: Path, target: Path) -> Iterator[None]:
    """Hold the workspace at `root`, made if it is not there; nothing in it is touched while another build holds it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / LOCK).open("w")
    except OSError as error:
        with suppress(OSError):
            root.rmdir()
        raise _unwritable(root, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BuildFolderError(
                f"another build is writing to {target}; wait for it, or choose another folder"
            ) from error
        yield


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise `BuildFolderError` if `target` exists and may not be replaced, or holds files that no build wrote."""
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite:
        raise BuildFolderError(
            f"{target} exists; choose another folder, or say --overwrite (overwrite=True) to replace the build in it"
        )
    if not (target / MANIFEST).is_file():
        raise BuildFolderError(
            f"{target} exists and is no build of curate (it has no {MANIFEST}); it will not be replaced"
        )
    other = sorted(_other_files(target))
    if other:
        more = f" and {len(other) - SHOWN:,} more" if len(other) > SHOWN else ""
        raise BuildFolderError(
            f"{target} holds files that no build wrote: {', '.join(other[:SHOWN])}{more}; nothing was deleted. Move "
            "them elsewhere, or choose another folder"
        )


def _other_files(target: Path) -> Iterator[str]:
    """Yield the files below `target` that curate did not write."""
    for folder, names, files in os.walk(target):
        inside = Path(folder).relative_to(target)
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        paths = ((inside / name).as_posix() for name in [*files, *links])
        yield from (path for path in paths if not WRITTEN.fullmatch(path))


def _open(root: Path, recipe: Json, *, resume: bool) -> Workspace:
    """Make the workspace's folders; partitions are kept for the same recipe only, `out` is always made anew."""
    space = Workspace(root, root / "partitions", root / "out")
    text = json.dumps(recipe, sort_keys=True)
    note = root / "recipe.json"
    if not (resume and note.is_file() and note.read_bytes() == text.encode()):
        note.unlink(missing_ok=True)  # first, so that no note ever vouches for half a folder
        shutil.rmtree(space.partitions, ignore_errors=True)
    shutil.rmtree(space.out, ignore_errors=True)
    for folder in (space.partitions, space.out / "data", space.out / "ledger", space.out / "dropped"):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(note, text)
    return space


def _unwritable(root: Path, error: OSError) -> BuildFolderError:
    if error.errno == errno.ENOSPC:
        return BuildFolderError(
            f"the disk that holds {root.parent} is full; free space or choose another folder (nothing was left behind)"
        )
    return BuildFolderError(f"cannot write to {root.parent}: {error.strerror or error}; choose another folder")
