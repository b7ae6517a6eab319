"""A row, or one side of it, as a unit: its hash, its turns, its size, its best score."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen
from curate.kernels.compile import kernel
from curate.kernels.hashing import Hashes, combine, fold_lists, mix, rotate
from curate.rows.schema import kind_of
from curate.rows.segments import SIDE_CODE, TEXT_PARTS, Part, Segments, Side
from curate.text.normal import blank, hash_normal
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
    """Return the contents of this side; a part without a segment where no row has any."""
    for part in segments.parts:
        if part.side == name and part.of == "content":
            return part
    none = np.zeros(0, np.int32)
    return Part(name, NO_TEXT, none, none, none, np.zeros(0, np.uint8))


def turns(part: Part, rows: int) -> SideTurns:
    """Return the segments of `part`, row by row."""
    ends = np.cumsum(np.bincount(part.row, minlength=rows), dtype=np.int32)
    begins = np.concatenate([np.zeros(1, np.int32), ends])
    return SideTurns(part.text.data, part.text.offsets, frozen(part.index), frozen(part.role), frozen(begins))


def side_hashes(segments: Segments, name: Side) -> Hashes:
    """Hash for each row the turns of one side, roles and texts in normal form; all rows without a turn hash alike.

    Calls, and reasoning or tools where they are among the segments, count with the turns.

    >>> import pyarrow as pa
    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> pair = {
    ...     "chosen": [{"role": "assistant", "content": "Yes."}],
    ...     "rejected": [{"role": "assistant", "content": "YES. "}],
    ... }
    >>> seen = segments(pa.RecordBatch.from_pylist([pair | {"prompt": [], "meta": "{}"}], BODIES["preference"]))
    >>> one, other = (side_hashes(seen, name) for name in ("chosen", "rejected"))
    >>> bool(one.high[0] == other.high[0]), bool(one.low[0] == other.low[0])
    (True, True)
    """
    hashes = _turn_hashes(side(segments, name), segments.rows)
    for part in segments.parts:
        if part.side == name and part.of != "content":
            own, there = _turn_hashes(part, segments.rows), np.bincount(part.row, minlength=segments.rows) > 0
            more = combine(hashes, own)
            hashes = Hashes(np.where(there, more.high, hashes.high), np.where(there, more.low, hashes.low))
    return hashes


def _turn_hashes(part: Part, rows: int) -> Hashes:
    role = part.role.astype(np.uint64)
    items = combine(hash_normal(part.text, part.index), Hashes(role, role))
    return fold_lists(turns(part, rows).begins, items)


def side_sizes(part: Part, rows: int, unit: Unit) -> NDArray[np.int64]:
    """Return the characters or words of all turns of `part` in each row."""
    count = count_words if unit == "words" else count_characters
    return np.bincount(part.row, weights=count(part.text, part.index), minlength=rows).astype(np.int64)


def row_hashes(segments: Segments) -> Hashes:
    """Return the hash of each row's segments with their sides and roles; 0 for a row with no text but white space.

    Reasoning, calls and tools count as such if they are among the segments.
    """
    high, low = np.zeros((2, segments.rows), np.uint64)
    full = np.zeros(segments.rows, np.bool_)
    for part in segments.parts:
        hashes = hash_normal(part.text, part.index)
        where = np.uint64(SIDE_CODE[part.side] | TEXT_PARTS.index(part.of) << 10)
        _fold(part.row, part.role, where, hashes.high, hashes.low, high, low)
        full[part.row[~blank(part.text, part.index)]] = True
    high[~full] = low[~full] = 0
    return Hashes(high, low)


@kernel
def _fold(
    row: NDArray[np.int32],
    role: NDArray[np.uint8],
    side: np.uint64,
    item_high: NDArray[np.uint64],
    item_low: NDArray[np.uint64],
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
) -> None:
    """Fold the hash of each segment, with its side and role, into the hash of its row."""
    for i in range(len(row)):
        which = (side << np.uint64(8)) | np.uint64(role[i]) | np.uint64(1 << 16)
        a = mix(rotate(high[row[i]], 5) ^ mix(which) ^ item_high[i]) + low[row[i]]
        high[row[i]] = a
        low[row[i]] = mix(rotate(low[row[i]], 7) ^ item_low[i]) + a


def best_scores(body: pa.RecordBatch) -> NDArray[np.float64] | None:
    """Return the score of the best answer of each row, NaN where none has one; None for rows without scores.

    Of a rated row it is the highest mean over the scores of a completion, of a preference row its chosen score.

    >>> from curate.rows.schema import BODIES
    >>> scores = [{"name": "honesty", "value": 4.0}, {"name": "truth", "value": 1.0}]
    >>> answers = [{"content": "a", "model": "m", "scores": scores}, {"content": "b", "model": "m", "scores": []}]
    >>> rows = [{"messages": [], "completions": answers, "meta": "{}"}]
    >>> best_scores(pa.RecordBatch.from_pylist(rows, BODIES["rated"])).tolist()
    [2.5]
    """
    match kind_of(body.schema):
        case "preference":
            return np.asarray(body["chosen_score"].cast(pa.float64()).fill_null(np.nan))
        case "rated":
            answers = body["completions"]
            of_answer = answers.values.field("scores")
            means = _over(np.asarray(of_answer.values.field("value").fill_null(np.nan)), of_answer, np.add)
            sizes = np.diff(of_answer.offsets.to_numpy())
            return _over(means / np.where(sizes, sizes, 1), answers, np.fmax)
        case _:
            return None


def _over(values: NDArray[np.float64], lists: pa.ListArray, reduce: np.ufunc) -> NDArray[np.float64]:
    """Reduce the values of each list; NaN for an empty one."""
    offsets = lists.offsets.to_numpy()
    found = np.full(len(lists), np.nan)
    full = np.flatnonzero(np.diff(offsets))
    if len(full):
        found[full] = reduce.reduceat(values[: offsets[-1]], offsets[full])
    return found
