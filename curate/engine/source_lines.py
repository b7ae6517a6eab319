"""Rows that a build need not copy on their way: each is a line of a plain file, and is read from there again.

That holds for a line of JSON that the scan can read (`curate.io.jsonl.scan`) and no step has edited, as long as the files fit
into the memory that the system keeps files in; all other rows lie in spills (`curate.engine.spill`).
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
from curate.io.reread import changed, lines_again
from curate.rows.identity import identities, names

LONGEST: Final = 1 << 20
"""Bytes of the longest line that stays where it is: what is read at once stays near `BLOCK`."""

SHARE: Final = 4
"""Files stay where they are when they take at most this part of the memory: reading them out of order is then free."""

_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class SourceLines(NamedTuple):
    """Where rows stand in their files.

    `start` and `length` run over all rows, `start` being -1 for a row that lies in a spill. `first` is the first row of
    each partition, `files` the number in `paths` of the file it was made from, -1 for none.
    """

    opened: tuple[Opened, ...]
    source: NDArray[np.int16]
    start: NDArray[np.int64]
    length: NDArray[np.int32]
    first: NDArray[np.int64]
    files: NDArray[np.int64]
    paths: tuple[Path, ...]


class Found(NamedTuple):
    """Rows that were fetched: which of those asked for, their ids, and their bodies."""

    place: NDArray[np.int64]
    ids: pa.StringArray
    body: pa.RecordBatch


def may_stay(opened: Iterable[Opened]) -> bool:
    """Tell whether the files of all sources are so small beside the memory that lines may stay in them."""
    return sum(found.size or 0 for found in opened) <= memory() // SHARE


def memory() -> int:
    """Return the bytes of memory that this process may have at most."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _LIMITS:
        try:
            found = min(found, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return found


def read_again(lines: SourceLines, row: NDArray[np.int64]) -> Iterator[Found]:
    """Read rows again, all of which lie in place: for each source in turn, about `BLOCK` bytes at once.

    Raises `FormatError` where a file is not what it was.
    """
    source = lines.source[row]
    for number in np.unique(source).tolist():
        mine = np.flatnonzero(source == number)
        total = np.cumsum(lines.length[row[mine]], dtype=np.int64)
        cuts = np.flatnonzero(np.diff((total - 1) // BLOCK)) + 1
        for place in np.split(mine, cuts):
            yield _read(lines, lines.opened[number], place, row[place])


def _read(lines: SourceLines, opened: Opened, place: NDArray[np.int64], row: NDArray[np.int64]) -> Found:
    which = lines.files[np.searchsorted(lines.first, row, side="right") - 1]
    data = lines_again(lines.paths, which, lines.start[row], lines.length[row])
    parsed = opened.parse(Block("", 1, Lines(pa.py_buffer(data)), len(data)))
    if parsed.body.num_rows != len(row) or parsed.bad.num_rows:
        raise changed(lines.paths[which[0]])
    ids = parsed.ids
    if ids.null_count:
        ids = pc.coalesce(ids, names(identities(parsed.body, ids).content))
    return Found(place, ids, parsed.body)
