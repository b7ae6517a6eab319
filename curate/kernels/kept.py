"""Arrays that take long to make, kept on disk from one process to the next, beside the compiled kernels.

Nothing depends on the folder: what cannot be read is made again, and what cannot be written is made in every process.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

PACKAGE: Final = Path(__file__).parents[1]
FOLDER: Final = "kept"

MOST: Final = 8
"""Files of a name that are kept, the latest."""

Arrays: TypeAlias = dict[str, NDArray[Any]]


def kept(name: str, key: bytes, code: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
    """Return arrays that are kept under a key, or make and keep them.

    Files are read without unpickling, and replaced in one step, so that processes that run at once do not disturb each
    other.

    Args:
        name: The name of the file begins with it.
        key: All that the arrays depend on beside the code.
        code: The hash of the code that makes them (`code_of`).
        make: Makes them. What it raises is raised, and nothing is kept.
    """
    file = f"{name}-{hashlib.sha256(code.encode() + key).hexdigest()}.npz"
    for folder in _folders():
        found = _read(folder / file)
        if found is not None:
            return found
    made = {title: np.asarray(array) for title, array in make().items()}
    for folder in _folders():
        if _write(folder / file, made):
            _forget(folder, name)
            break
    return made


@cache
def code_of(*names: str) -> str:
    """Return a hash of modules of the package, by their paths in it."""
    digest = hashlib.sha256()
    for name in names:
        digest.update((PACKAGE / name).read_bytes())
    return digest.hexdigest()


def _folders() -> Iterator[Path]:
    """Give the folders in which arrays may be kept: that of Numba's cache, the package's own, and the user's."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        yield Path(named) / FOLDER
        return
    yield PACKAGE / "__pycache__" / FOLDER
    with suppress(RuntimeError):  # a user without a home
        yield Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "curate" / FOLDER


def _read(path: Path) -> Arrays | None:
    try:
        with path.open("rb") as stream, NpzFile(stream, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, arrays: Arrays) -> bool:
    """Write a file in one step; tell whether that was possible."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)
        Path(temporary.name).chmod(0o644)  # others may read it where several people share an installation
        Path(temporary.name).replace(path)
    except OSError:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary.name).unlink(missing_ok=True)
        return False
    return True


def _forget(folder: Path, name: str) -> None:
    """Remove the oldest files of a name where there are more than `MOST`."""
    with suppress(OSError):
        found = sorted(folder.glob(f"{name}-*.npz"), key=lambda path: path.stat().st_mtime)
        for path in found[:-MOST]:
            path.unlink(missing_ok=True)
