"""A side of each row as one thing: its hash, its turns, its size."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen
from curate.kernels.hashing import Hashes, combine, fold_lists
from curate.rows.segments import Part, Segments, Side
from curate.text.normal import hash_normal
from curate.text.words import count_characters, count_words

Unit: TypeAlias = Literal["characters", "words"]

NO_TEXT = Text(frozen(np.zeros(0, np.uint8)), frozen(np.zeros(1, np.int32)))


class SideTurns(NamedTuple):
    """The turns of one side of each row, as kernels read them: those of row `i` are `begins[i]` to `begins[i + 1]`."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]
    index: NDArray[np.int32]  # type: ignore[assignment]  # a tuple has a method of this name
    role: NDArray[np.uint8]
    begins: NDArray[np.int32]


def side(segments: Segments, name: Side) -> Part:
    """Return the part of this side; one without a segment where no row has any."""
    for part in segments.parts:
        if part.side == name:
            return part
    none = np.zeros(0, np.int32)
    return Part(name, NO_TEXT, none, none, none, np.zeros(0, np.uint8))


def turns(part: Part, rows: int) -> SideTurns:
    """Return the segments of `part`, row by row."""
    ends = np.cumsum(np.bincount(part.row, minlength=rows), dtype=np.int32)
    begins = np.concatenate([np.zeros(1, np.int32), ends])
    return SideTurns(part.text.data, part.text.offsets, frozen(part.index), frozen(part.role), frozen(begins))


def side_hashes(part: Part, rows: int) -> Hashes:
    """Hash for each row the turns of `part`, roles and texts in normal form; all rows without a turn hash alike.

    >>> import pyarrow as pa
    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> pair = {
    ...     "chosen": [{"role": "assistant", "content": "Yes."}],
    ...     "rejected": [{"role": "assistant", "content": "YES. "}],
    ... }
    >>> seen = segments(pa.RecordBatch.from_pylist([pair | {"prompt": [], "meta": "{}"}], BODIES["preference"]))
    >>> one, other = (side_hashes(side(seen, name), 1) for name in ("chosen", "rejected"))
    >>> bool(one.high[0] == other.high[0]), bool(one.low[0] == other.low[0])
    (True, True)
    """
    role = part.role.astype(np.uint64)
    items = combine(hash_normal(part.text, part.index), Hashes(role, role))
    return fold_lists(turns(part, rows).begins, items)


def side_sizes(part: Part, rows: int, unit: Unit) -> NDArray[np.int64]:
    """Return the characters or words of all turns of `part` in each row."""
    count = count_words if unit == "words" else count_characters
    return np.bincount(part.row, weights=count(part.text, part.index), minlength=rows).astype(np.int64)
