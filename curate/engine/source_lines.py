"""Rows that need no copy during a build: each is a line of a plain file, and is read from there again.

This holds for lines of JSON that the scanner can read (`curate.io.jsonl.scan`) and no step edited, if the files fit
into the page cache; all other rows go to spill files (`curate.engine.spill`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.io.blocks import BLOCK, Block, Lines
from curate.io.inputs import Opened
from curate.io.paths import File
from curate.io.reread import changed, lines_again
from curate.io.stores.copies import here
from curate.rows.identity import identities, names

LONGEST: Final = 1 << 20
"""Bytes of the longest line that is read again, so that one read stays near `BLOCK`."""

SHARE: Final = 4
"""Lines are read again if the files take at most this part of the memory: random access is then free."""

_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class SourceLines(NamedTuple):
    """The positions of rows in their files.

    `start` and `length` run over all rows; `start` is -1 for a row in a spill file. `first` is the first row of each
    partition, `files` the number in `paths` of its file, -1 for none.
    """

    opened: tuple[Opened, ...]
    source: NDArray[np.int16]
    start: NDArray[np.int64]
    length: NDArray[np.int32]
    first: NDArray[np.int64]
    files: NDArray[np.int64]
    paths: tuple[File, ...]


class FetchedRows(NamedTuple):
    """Some of the rows asked for: their positions in the request, their ids, and their bodies."""

    place: NDArray[np.int64]
    ids: pa.StringArray
    body: pa.RecordBatch


def may_stay(opened: Iterable[Opened]) -> bool:
    """Return whether the files of all sources are small enough, relative to the memory, to be read again."""
    return sum(found.size or 0 for found in opened) <= memory() // SHARE


def memory() -> int:
    """Return the bytes of memory that this process may use."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _LIMITS:
        try:
            found = min(found, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return found


def read_again(lines: SourceLines, row: NDArray[np.int64]) -> Iterator[FetchedRows]:
    """Read lines again, source by source, about `BLOCK` bytes at once; raises `FormatError` if a file has changed."""
    source = lines.source[row]
    for number in np.unique(source).tolist():
        mine = np.flatnonzero(source == number)
        total = np.cumsum(lines.length[row[mine]], dtype=np.int64)
        cuts = np.flatnonzero(np.diff((total - 1) // BLOCK)) + 1
        for place in np.split(mine, cuts):
            yield _read_lines(lines, lines.opened[number], place, row[place])


def _read_lines(lines: SourceLines, opened: Opened, place: NDArray[np.int64], row: NDArray[np.int64]) -> FetchedRows:
    which = lines.files[np.searchsorted(lines.first, row, side="right") - 1]
    paths = {number: here(lines.paths[number]) for number in np.unique(which).tolist()}
    data = lines_again(paths, which, lines.start[row], lines.length[row])
    parsed = opened.parse(Block("", 1, Lines(pa.py_buffer(data)), len(data)))
    if parsed.body.num_rows != len(row) or parsed.bad.num_rows:
        raise changed(lines.paths[which[0]].place)
    ids = parsed.ids
    if ids.null_count:
        ids = pc.coalesce(ids, names(identities(parsed.body, ids).content))
    return FetchedRows(place, ids, parsed.body)
