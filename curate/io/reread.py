"""Lines of plain files, read again from where they stand, in any order.

A row that a build keeps unchanged needs no copy on the way: its line is already on disk. Reading it again costs 0.4 s a
GB of page cache and another scan 0.5 s; to write and read a copy costs 1.6 s, and as much disk as the source.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numba import types
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.kernels.compile import kernel

FEED = 10

_pread = cast(
    "Any",
    types.ExternalFunction("pread", types.intp(types.int32, types.voidptr, types.uintp, types.int64)),
)
"""POSIX `pread(descriptor, buffer, size, place)`."""


_threads = threading.local()


def lines_again(
    paths: Sequence[Path], which: NDArray[np.int64], start: NDArray[np.int64], length: NDArray[np.int32]
) -> NDArray[np.uint8]:
    r"""Return lines of files as one run of bytes, each with a line feed behind it.

    Line `i` is the `length[i]` bytes from `start[i]` of `paths[which[i]]`. The bytes are good until the thread
    asks for lines again. Raises `FormatError` where a file has become shorter or can no longer be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = path.write_bytes(b"{}\n[1]\n")
    >>> lines_again([path], np.array([0, 0]), np.array([3, 0]), np.array([3, 2], np.int32)).tobytes()
    b'[1]\n{}\n'
    """
    ends = np.cumsum(length.astype(np.int64) + 1)
    out = _room(int(ends[-1]) if len(ends) else 0)
    for number in np.unique(which).tolist():
        mine = np.flatnonzero(which == number)
        try:
            with paths[number].open("rb", buffering=0) as file:
                whole = _read_lines(file.fileno(), start[mine], length[mine], ends[mine] - length[mine] - 1, out)
        except OSError as error:
            message = f"{paths[number]} can no longer be read: {os.strerror(error.errno or 0)}"
            raise FormatError(message) from error
        if not whole:
            raise changed(paths[number])
    return out


def _room(size: int) -> NDArray[np.uint8]:
    """Return room for `size` bytes, of each thread the same: fresh memory costs as much as what is read into it."""
    room: NDArray[np.uint8] | None = getattr(_threads, "room", None)
    if room is None or len(room) < size:
        room = _threads.room = np.empty(size, np.uint8)
    return room[:size]


def changed(path: Path) -> FormatError:
    """Return the error for a file that is not what it was when the build began."""
    return FormatError(f"{path} changed while it was being read; build again when nothing writes to it")


@kernel
def _read_lines(
    file: int, start: NDArray[np.int64], length: NDArray[np.int32], to: NDArray[np.int64], out: NDArray[np.uint8]
) -> bool:
    """Read each line to its place in `out`; answers whether all were there."""
    for i in range(len(start)):
        at, left, place = to[i], np.int64(length[i]), start[i]
        while left:
            got = _pread(file, out[at : at + left].ctypes, left, place)
            if got <= 0:
                return False
            at, left, place = at + got, left - got, place + got
        out[at] = FEED
    return True
