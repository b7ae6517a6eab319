"""The usual letter case of words: the statistics of the `truecase` package as a table.

The table (72 MB) is compiled once, in 5 s, and cached in `$XDG_CACHE_HOME/curate` or `~/.cache/curate` under a name
with the layout's number and the hash of its source. It is mapped into memory, so the processes of a machine share it.
The package itself takes 830 MB and 5 s in each.
"""

from __future__ import annotations

import hashlib
import importlib.util
import mmap
import os
import tempfile
from pathlib import Path
from typing import Final

import pyarrow as pa

from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.kernels.load_once import load_once
from curate.text.casing.compile_table import compile_table
from curate.text.casing.scoring_kernel import CasingTable

SOURCE: Final = "truecase/data/english.dist"
SOURCE_HASH: Final = "2c8543682aad0487e5523381e4e89de23c58d026134878c3447b12028f75569a"
"""SHA-256 of the statistics in `truecase` 0.0.14."""

LAYOUT: Final = 3
"""Raised when a table of the same source comes to hold other bytes."""

DIGEST: Final = hashlib.sha256().digest_size
"""A file begins with the SHA-256 of the rest: an Arrow file of one row, a list for each array of a `CasingTable`."""


@load_once(1)
def load() -> CasingTable:
    """Return the table: mapped from the user's cache, or compiled and put there.

    A damaged file in the cache is compiled anew; where nothing can be written, the table stays in memory. Raises
    `MixtureError` where the package is not installed, `SourceNotFoundError` where its statistics are missing, and
    `FormatError` where they are not those of 0.0.14. With a table in the cache nothing is asked of the package.
    """
    path = cache_file()
    return (read_table(path) if path else None) or _compile(path)


def cache_file() -> Path | None:
    """Return the cache path of the table; None if there is no home directory."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return folder / "curate" / f"truecase-{LAYOUT}-{SOURCE_HASH[:16]}.table"


def _compile(path: Path | None) -> CasingTable:
    """Compile the table and write it to `path`; return it mapped from there, or in memory if writing fails."""
    table = compile_table(source_file())
    if path is None:
        return table
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table)
    except OSError:
        return table
    return read_table(path) or table


def source_file() -> Path:
    """Return the package's statistics, once their hash has been checked; the package is not imported. See `load`."""
    package = importlib.util.find_spec("truecase")
    if package is None or package.origin is None:
        raise MixtureError(
            "the package truecase, which brings the statistics of letter case, is not installed: pip install truecase"
        )
    path = Path(package.origin).parents[1] / SOURCE
    if not path.is_file():
        raise SourceNotFoundError(
            f"{path} is missing: install truecase again (pip install --force-reinstall truecase==0.0.14)"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SOURCE_HASH:
        raise FormatError(
            f"{path} is not what truecase 0.0.14 brings (SHA-256 {found[:16]}..., expected {SOURCE_HASH[:16]}...): "
            "install truecase==0.0.14"
        )
    return path


def write_table(path: Path, table: CasingTable) -> None:
    """Write a table to a file, whole or not at all. Raises `OSError` where it cannot."""
    lists = [pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), pa.array(array)) for array in table]
    batch, sink = pa.record_batch(lists, CasingTable._fields), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write(batch)
    body = sink.getvalue()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    draft = Path(name)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123  mkstemp gives a handle
            file.write(hashlib.sha256(body).digest())
            file.write(body)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_table(path: Path) -> CasingTable | None:
    """Map a table from its file; None where there is none, or it is not whole."""
    try:
        with path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):  # not there, or empty
        return None
    if mapped[:DIGEST] != hashlib.sha256(mapped[DIGEST:]).digest():
        return None
    batch = pa.ipc.open_file(pa.py_buffer(mapped[DIGEST:])).get_batch(0)
    return CasingTable._make(column.values.to_numpy() for column in batch.columns)
