"""Rows of a block that an earlier build has seen: their scores, their evidence, and whether edits changed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.hashing import GOLDEN, Hashes

Column: TypeAlias = NDArray[np.float64] | NDArray[np.int32] | pa.StringArray
"""A score or label for each row."""


class StoredStep(NamedTuple):
    """What the lines of a source say of one step; arrays run over lines.

    `hidden` marks rows that were dropped before an edit before the step, or before the step if it is an edit: the
    ledger has no evidence of them, nor whether an edit changed them. `again` marks rows that the step must see again
    whatever becomes of them. `columns` are its scores by name; `hits` its evidence, in the order of `hit_line`.
    """

    hidden: NDArray[np.bool_]
    again: NDArray[np.bool_]
    columns: Mapping[str, Column]
    hit_line: NDArray[np.int64]
    hits: pa.StructArray


class KnownLines(NamedTuple):
    """Lines of a source to be found by the identity of their row: `word` is sorted, `line` and the hashes go with it.

    `content` is the lower word of the hash of a row's content.
    """

    word: NDArray[np.uint64]
    line: NDArray[np.int64]
    key: Hashes
    content: NDArray[np.uint64]

    @classmethod
    def of(cls, key: Hashes, content: NDArray[np.uint64], line: NDArray[np.int64]) -> KnownLines:
        """Return lines with these identities."""
        word = _word(key, content)
        order = np.argsort(word)
        return cls(word[order], line[order], Hashes(key.high[order], key.low[order]), content[order])

    def find(self, key: Hashes, content: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the line of each row, -1 where there is none; of rows that are the same, any."""
        if not len(self.word):
            return np.full(len(content), -1, np.int64)
        word = _word(key, content)
        at = np.minimum(np.searchsorted(self.word, word), len(self.word) - 1)
        same = (self.key.high[at] == key.high) & (self.key.low[at] == key.low) & (self.content[at] == content)
        return np.where(same, self.line[at], -1)


def _word(key: Hashes, content: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return key.low + content * GOLDEN


class KnownSource(NamedTuple):
    """The rows of a source that an earlier build has seen; `steps` go by the label that they have now.

    Groups in `unsigned` need no keys: they decide as they did.
    """

    lines: KnownLines
    steps: Mapping[str, StoredStep]
    unsigned: frozenset[str] = frozenset()

    def rows(self, key: Hashes, content: NDArray[np.uint64]) -> KnownRows:
        """Return what is known of the rows of a block."""
        return KnownRows(self.lines.find(key, content), self.steps, self.unsigned)


class KnownRows(NamedTuple):
    """What is known of the rows of a block: `line` is that of each row in the ledger, -1 for one not seen before."""

    line: NDArray[np.int64]
    steps: Mapping[str, StoredStep]
    unsigned: frozenset[str]

    def at(self, label: str) -> KnownAtStep | None:
        """Return what is known of these rows at one step; None where nothing is."""
        stored = self.steps.get(label)
        return None if stored is None or (self.line < 0).all() else KnownAtStep(stored, self.line)


class KnownAtStep(NamedTuple):
    """What is known of the rows of a block at one step."""

    stored: StoredStep
    line: NDArray[np.int64]

    def again(self, visible: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Return the rows that the step must see; `visible` are those whose text is as the step sees it."""
        stored, line = self.stored, self.line
        mask = (line < 0) | stored.again[line] | (stored.hidden[line] & visible)
        return np.flatnonzero(mask).astype(np.int32)

    def merged(self, fresh: Mapping[str, Column], again: NDArray[np.int32]) -> dict[str, Column]:
        """Return the scores of all rows; `fresh` are those of the rows at `again`."""
        return {
            name: _merged(column, self.line, again, fresh.get(name)) for name, column in self.stored.columns.items()
        }

    def hits(self, rows: NDArray[np.bool_]) -> tuple[NDArray[np.int64], pa.StructArray]:
        """Return the evidence of the marked rows: the row of each hit, and the hits."""
        which = np.flatnonzero(rows & (self.line >= 0))
        line, hit_line = self.line[which], self.stored.hit_line
        start, end = (np.searchsorted(hit_line, line, side=side) for side in ("left", "right"))
        count = end - start
        first = np.repeat(start - (np.cumsum(count) - count), count)
        return np.repeat(which, count), self.stored.hits.take(pa.array(first + np.arange(len(first))))


def _merged(column: Column, line: NDArray[np.int64], again: NDArray[np.int32], fresh: Column | None) -> Column:
    if isinstance(column, np.ndarray):
        found = column[line]
        if fresh is not None:
            found[again] = fresh
        return found
    pick = np.maximum(line, 0)
    if fresh is None:
        return column.take(pa.array(pick))
    pick[again] = len(column) + np.arange(len(again))
    return pa.concat_arrays([column, fresh]).take(pa.array(pick))
