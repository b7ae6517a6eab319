"""Drop rows whose text equals that of another row, in normal form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.kernels.buffers import frozen
from curate.kernels.compile import kernel
from curate.rows.segments import On, Segments, check_on, select
from curate.rows.sides import row_hashes
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved
from curate.text.words import count_characters

Keep: TypeAlias = Literal["first", "longest", "shortest"]


@dataclass(frozen=True, kw_only=True)
class ExactDedup(Group):
    """See `exact_dedup`. It reads whole rows, for their length, and compares the text that `on` selects."""

    name: ClassVar[str] = "exact_dedup"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("duplicates", "Duplicates"),)
    keep: Keep = "first"

    @property
    def reads(self) -> On:
        """Whole rows."""
        return "all"

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the hash of the compared text, `high` and `low`, both 0 if there is none.

        `characters` is the length of the whole row; it is left out if `keep` is "first".
        """
        high, low = row_hashes(select(segments, self.on))
        keys: dict[str, NDArray[np.generic]] = {"high": high, "low": low}
        if self.keep != "first":
            keys["characters"] = row_characters(segments)
        return GroupKeys(keys)

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows to drop, each with the surviving row of its group and the score 1."""
        high, low, rank, row = (
            frozen(keys[name].cast(pl.UInt64).to_numpy()) for name in ("high", "low", "rank", "row")
        )
        kept = _survivors(frozen(_grouped(high, low)), high, low, frozen(self._priority(keys)), rank, row)
        dropped = np.flatnonzero((kept != np.arange(len(kept))) & ~keys["protect"].to_numpy())
        frame = pl.DataFrame({"row": keys["row"].gather(dropped), "kept": keys["row"].gather(kept[dropped])})
        decided = {"reason": pl.lit("duplicate"), "score": pl.lit(1.0), "match": pl.lit(None, pl.String)}
        return Resolved(frame.with_columns(**decided).select(*DROP_COLUMNS).cast(DROP_COLUMNS).sort("row"))

    def _priority(self, keys: pl.DataFrame) -> NDArray[np.uint64]:
        """Return one number per row, lowest for the row to keep: bit 63 unprotected, then source, 32 bits of length."""
        protect, source = keys["protect"].to_numpy(), keys["source"].cast(pl.UInt64).to_numpy()
        priority: NDArray[np.uint64] = (~protect).astype(np.uint64) << np.uint64(63) | source << np.uint64(32)
        if self.keep == "first":
            return priority
        characters = keys["characters"].cast(pl.UInt64).to_numpy()
        priority |= characters if self.keep == "shortest" else np.uint64(0xFFFFFFFF) - characters
        return priority


def exact_dedup(
    on: str | frozenset[str] | set[str] = "all", *, keep: Keep = "first", allow_large_drop: bool = False
) -> ExactDedup:
    """Drop rows whose selected text equals another row's in normal form (`curate.text.normal`).

    Letter case, white space, apostrophe shape and compatibility characters do not count. Sides, roles and turn
    boundaries do: turns "a" and "b" differ from the turn "ab". A row without text, or with white space only, has no
    duplicates. Texts are compared by 128-bit hashes: the probability that any two of a billion rows collide is below
    10^-20.

    Of equal rows, the one of the earliest source is kept. Protected rows come before all others and are never dropped.
    Input order does not affect the result.

    Args:
        on: The text to compare: a scope such as "prompt" or "response", or a set of roles.
        keep: The row to keep within a source: the "longest" or "shortest" (characters of the whole row), or the
            "first" in a fixed random order of ids, which also decides between equal lengths.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: `on` or `keep` is unknown.

    Example:
        >>> exact_dedup("prompt", keep="longest").on
        'prompt'
    """
    if keep not in get_args(Keep):
        message = f"exact_dedup(keep={keep!r}): {did_you_mean(str(keep), get_args(Keep))}"
        raise MixtureError(message)
    return ExactDedup(on=check_on(on), keep=keep, allow_large_drop=allow_large_drop)


def row_characters(segments: Segments) -> NDArray[np.uint32]:
    """Return the number of characters in each row."""
    total = np.zeros(segments.rows)
    for part in segments.parts:
        total += np.bincount(part.row, weights=count_characters(part.text, part.index), minlength=segments.rows)
    return total.astype(np.uint32)


def _grouped(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return an order in which rows of equal hash are neighbours."""
    order = np.argsort(high)
    same = high[order[1:]] == high[order[:-1]]
    if (same & (low[order[1:]] != low[order[:-1]])).any():
        return np.lexsort((low, high))
    return order


@kernel
def _survivors(
    order: NDArray[np.int64],
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    priority: NDArray[np.uint64],
    rank: NDArray[np.uint64],
    row: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """Return the position of the surviving row for each row: itself if its hash is unique or 0."""
    kept = np.arange(len(order))
    start = 0
    while start < len(order):
        first = best = order[start]
        end = start + 1
        while end < len(order) and high[order[end]] == high[first] and low[order[end]] == low[first]:
            other = order[end]
            if priority[other] != priority[best]:
                sooner = priority[other] < priority[best]
            elif rank[other] != rank[best]:
                sooner = rank[other] < rank[best]
            else:
                sooner = row[other] < row[best]
            best = other if sooner else best
            end += 1
        if high[first] != 0 or low[first] != 0:
            for k in range(start, end):
                kept[order[k]] = best
        start = end
    return kept
