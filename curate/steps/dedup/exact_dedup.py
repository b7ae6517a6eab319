"""Drop rows whose text, in normal form, equals that of another row, or whose prompt is one of another build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.io.inputs import Input, Stored, rows_of
from curate.kernels.hashing import order_of
from curate.rows.segments import TEXT_PARTS, On, Segments, TextPart, check_on, select
from curate.rows.sides import row_hashes
from curate.rows.visible import row_characters
from curate.steps._settings import check_choice
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved

Keep: TypeAlias = Literal["first", "longest", "shortest"]


@dataclass(frozen=True, kw_only=True)
class ExactDedup(Group):
    """See `exact_dedup`. It reads whole rows, for their length, and compares the text that `on` selects."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "exact_dedup"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("duplicates", "Duplicates"),)
    keep: Keep = "first"

    @property
    def reads(self) -> On:
        """Whole rows."""
        return "all"

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """Every part: rows that differ in a call, in reasoning or in their tools are not the same."""
        return frozenset(TEXT_PARTS)

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
        in_order = keys["high"].sort()  # is_duplicated() takes seven times as much memory
        several = keys.filter(pl.col("high").is_in(in_order.filter(in_order == in_order.shift()).unique().implode()))
        lines = several[by_priority(several, self.keep)]
        kept = leaders(lines["high"].to_numpy(), lines["low"].to_numpy())
        dropped = np.flatnonzero((kept != np.arange(len(kept))) & ~lines["protect"].to_numpy())
        frame = pl.DataFrame({"row": lines["row"].gather(dropped), "kept": lines["row"].gather(kept[dropped])})
        decided = {"reason": pl.lit("duplicate"), "score": pl.lit(1.0), "match": pl.lit(None, pl.String)}
        return Resolved(frame.with_columns(**decided).select(*DROP_COLUMNS).cast(DROP_COLUMNS).sort("row"))


def exact_dedup(
    on: str | frozenset[str] | set[str] = "all", *, keep: Keep = "first", allow_large_drop: bool = False
) -> ExactDedup:
    """Drop rows whose selected text equals another row's in normal form (`curate.text.normal`).

    Normal form is Unicode's NFKC_Casefold: letter case, white space, apostrophe shape, compatibility characters and
    what is invisible (zero-width spaces, soft hyphens) do not count. Sides, roles and turn boundaries do: turns "a" and
    "b" differ from the turn "ab". So do reasoning, calls and the tools on offer. A row without text, or with only
    white space, has no duplicates. Texts are compared by 128-bit hashes, of which any two of a billion collide with a
    probability below 10^-20. Of equal rows, that of the earliest source is kept; protected rows come before all others
    and are never dropped. Input order does not count.

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
    check_choice(f"exact_dedup(keep={keep!r})", keep, get_args(Keep))
    return ExactDedup(on=check_on(on), keep=keep, allow_large_drop=allow_large_drop)


Mode: TypeAlias = Literal["drop", "flag"]


@dataclass(frozen=True, kw_only=True)
class ExcludePrompts(Group):
    """Compares prompts with those of other builds; see `exclude_prompts_of`."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "exclude_prompts_of"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("shared_prompts", "Shared prompts", table="shared"),)
    on: On = "prompt"
    others: tuple[Input, ...]
    mode: Mode = "drop"

    def against(self) -> tuple[Input, ...]:
        """Return the inputs whose prompts are excluded."""
        return self.others

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """Contents and calls, whatever the tools on offer."""
        return frozenset({"content", "call"})

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the hash of each prompt, `high` and `low`, both 0 if there is none."""
        return ExactDedup(on=self.on).sign(segments)

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows with an excluded prompt, each with the row of the lowest rank that has it too.

        The table `shared` lists them all, protected ones included (`row`, `other_row`).
        """
        prompts = keys.lazy().filter((pl.col("high") != 0) | (pl.col("low") != 0))
        known = prompts.filter(pl.col("source") < 0).sort("rank", "row").unique(["high", "low"], keep="first")
        matched = prompts.filter(pl.col("source") >= 0).join(known.select("high", "low", kept="row"), ["high", "low"])
        shared = matched.select("row", "kept", "protect").sort("row").collect()
        dropped = shared.filter(~pl.col("protect")) if self.mode == "drop" else shared.clear()
        decided = {"reason": pl.lit("shared_prompt"), "score": pl.lit(1.0), "match": pl.lit(None, pl.String)}
        drops = dropped.with_columns(**decided).select(*DROP_COLUMNS).cast(dict(DROP_COLUMNS.items()))
        return Resolved(drops, tables={"shared": shared.select("row", other_row="kept")})


def exclude_prompts_of(
    build: Stored | Sequence[Stored],
    *,
    mode: Mode = "drop",
    on: On | set[str] | tuple[str, ...] = "prompt",
    allow_large_drop: bool = False,
) -> ExcludePrompts:
    """Drop or flag the rows whose prompt another build has.

    A preference build over the prompts of an earlier SFT build rewards what was taught, and a test split over them
    measures it. Prompts are compared as in `exact_dedup`: letter case, white space, apostrophe shape and what is
    invisible do not count. The prompt of a conversation ends before its first answer. A row with a blank prompt or none
    shares none. Use `dedup("prompt", against=build)` to exclude similar prompts too.

    Args:
        build: One or several inputs, builds or build folders. The manifest records their content hashes.
        mode: "drop" drops the rows, with the reason `shared_prompt` and the name of the other row; "flag" keeps them.
            Either way the table `shared` of the build folder lists each row with one that has its prompt
            (`Build.shared_prompts`).
        on: What counts as the prompt: "prompt", or "first_user" to ignore system prompts and later turns.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: `mode` or `on` is unknown, or no build is given.
        SourceNotFoundError: A folder contains no build.

    Example:
        >>> from curate.io.inputs import files
        >>> exclude_prompts_of(files("sft.jsonl"), mode="flag").mode
        'flag'
    """
    check_choice(f"exclude_prompts_of(mode={mode!r})", mode, get_args(Mode))
    several = build if isinstance(build, Sequence) and not isinstance(build, str) else [build]
    if not several:
        raise MixtureError("exclude_prompts_of(()): name a build, its folder or an input")
    others = tuple(rows_of(each, "exclude_prompts_of(") for each in several)
    return ExcludePrompts(on=check_on(on), others=others, mode=mode, allow_large_drop=allow_large_drop)


def by_priority(keys: pl.DataFrame, keep: str) -> NDArray[np.int64]:
    """Return the lines of the keys by priority: protected first, then by source, `keep` and rank."""
    within = {
        "first": (),
        "longest": (-pl.col("characters").cast(pl.Int64),),
        "shortest": (pl.col("characters"),),
        "best_score": (-pl.col("best_score"),),
    }[keep]
    # NumPy puts NaN last, and sorts half a million rows in a third of the time that Polars takes.
    columns = keys.select("row", "rank", *(each.alias("within") for each in within), "source", ~pl.col("protect"))
    row, rank, *others = (column.to_numpy() for column in columns)
    order = order_of(rank) if (row[1:] > row[:-1]).all() else np.lexsort((row, rank))
    for column in others:
        order = order[np.argsort(column[order], kind="stable")]
    return order


def leaders(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each 128-bit hash the first that equals it; one of zeros, of no text, equals none."""
    order = np.argsort(high)
    same = high[order[1:]] == high[order[:-1]]
    if (same & (low[order[1:]] != low[order[:-1]])).any():
        order = np.lexsort((low, high))
        same = high[order[1:]] == high[order[:-1]]
    same &= (low[order[1:]] == low[order[:-1]]) & ((high[order[1:]] != 0) | (low[order[1:]] != 0))
    begins = np.concatenate([np.ones(min(1, len(order)), np.bool_), ~same])
    leader = np.empty(len(order), np.int64)
    leader[order] = np.minimum.reduceat(order, np.flatnonzero(begins))[np.cumsum(begins) - 1]
    return leader
