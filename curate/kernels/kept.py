"""Arrays that take long to make, kept on disk from one process to the next, beside the compiled kernels.

Nothing depends on the folder: what cannot be read is made again, and what cannot be written is made in every process.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import frozen

PACKAGE: Final = Path(__file__).parents[1]
FOLDER: Final = "kept"

MOST: Final = 8
"""Files of a name that are kept, the latest."""

HASH: Final = "[0-9a-f]" * 64
"""How the name of a file ends, so that the name "ran" does not stand for "ran-Shape" too."""

FACTS: Final = b"arrays"
"""The metadata of a file with the type, the shape and a checksum of each array, as JSON."""

Arrays: TypeAlias = dict[str, NDArray[Any]]


def kept(name: str, key: bytes, code: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
    """Return arrays that are kept under a key, or make and keep them; they are read-only, wherever they come from.

    Files are mapped into memory, never unpickled, and replaced in one step, so that processes that run at once do not
    disturb each other. One that was cut off or altered is made again.

    Args:
        name: The name of the file begins with it.
        key: All that the arrays depend on beside the code.
        code: The hash of the code that makes them (`code_of`).
        make: Makes them. What it raises is raised, and nothing is kept.
    """
    found = find(name, key, code)
    if found is not None:
        return found
    made = {title: frozen(np.asarray(array, order="C")) for title, array in make().items()}
    keep(name, key, code, made)
    return made


def find(name: str, key: bytes, code: str) -> Arrays | None:
    """Return the arrays that are kept under a key; None where there are none, or not as they were written."""
    return next((found for path in _paths(name, key, code) if (found := _read(path)) is not None), None)


def keep(name: str, key: bytes, code: str, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Keep arrays under a key; tell whether there is a folder that can be written."""
    for path in _paths(name, key, code):
        if _write(path, arrays):
            _forget(path.parent, name)
            return True
    return False


@cache
def code_of(*names: str) -> str:
    """Return a hash of modules of the package, by their paths in it."""
    digest = hashlib.sha256()
    for name in names:
        digest.update((PACKAGE / name).read_bytes())
    return digest.hexdigest()


def _paths(name: str, key: bytes, code: str) -> Iterator[Path]:
    file = f"{name}-{hashlib.sha256(code.encode() + key).hexdigest()}.arrow"
    return (folder / file for folder in _folders())


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
        with path.open("rb") as file:
            # All pages at once: the checksum takes twice as long where each is asked for as it is read.
            flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
            held = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ)
        batch = pa.ipc.open_file(pa.py_buffer(held)).get_batch(0)
        facts = json.loads(batch.schema.metadata[FACTS])
        return {name: _array(batch[name][0].as_buffer(), *facts[name]) for name in batch.schema.names}
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def _array(data: pa.Buffer, kind: str, shape: list[int], checksum: int) -> NDArray[Any]:
    """Return an array around bytes; raises `ValueError` where they are not those that were written."""
    if zlib.crc32(data) != checksum:
        raise ValueError("the bytes are others")
    return frozen(np.frombuffer(data, np.dtype(kind)).reshape(shape))


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Write a file in one step; tell whether that was possible."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        batch = _batch(arrays)
        with (
            NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as temporary,
            pa.ipc.new_file(temporary, batch.schema) as writer,
        ):
            writer.write_batch(batch)
        Path(temporary.name).chmod(0o644)  # others may read it where several people share an installation
        Path(temporary.name).replace(path)
    except OSError:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary.name).unlink(missing_ok=True)
        return False
    return True


def _batch(arrays: Mapping[str, NDArray[Any]]) -> pa.RecordBatch:
    """Return arrays as the bytes of one row, with the type, the shape and a checksum of each."""
    bytes_of = {name: pa.py_buffer(array.reshape(-1)) for name, array in arrays.items()}
    facts = {name: (array.dtype.str, array.shape, zlib.crc32(bytes_of[name])) for name, array in arrays.items()}
    columns = [
        pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(np.array([0, data.size])), data])
        for data in bytes_of.values()
    ]
    fields = [pa.field(name, pa.large_binary()) for name in arrays]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, {FACTS: json.dumps(facts)}))


def _forget(folder: Path, name: str) -> None:
    """Remove the oldest files of a name where there are more than `MOST`."""
    with suppress(OSError):
        found = sorted(folder.glob(f"{name}-{HASH}.arrow"), key=lambda path: path.stat().st_mtime)
        for path in found[:-MOST]:
            path.unlink(missing_ok=True)
