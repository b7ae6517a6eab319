"""Drop pairs until the chosen answer is the longer one no more often than it should be, so that length is no cue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.rows.schema import kind_of
from curate.rows.segments import Segments
from curate.rows.sides import Unit, side, side_hashes, side_sizes
from curate.steps._settings import check_choice
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved

First: TypeAlias = Literal["widest", "least_margin", "random"]
By: TypeAlias = Literal["mixture", "source"]

WITHIN: Final = 0.01
"""Allowed distance from the target. A hundredth saves one pair in 50 if two of three are longer."""

LENGTHS: Final = pl.Schema(
    {"row": pl.Int64, "chosen": pl.Int64, "rejected": pl.Int64, "margin": pl.Float64, "dropped": pl.Boolean}
)
"""The table `lengths`: one line per pair whose answers differ in length; a report reads the cost from it."""

NO_MARGIN: Final = float("-inf")
"""The margin of a pair without scores."""

PROMPT: Final = ("group", "prompt_high", "prompt_low")


@dataclass(frozen=True, kw_only=True)
class BalanceLength(Group):
    """See `balance_length`."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "balance_length"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("length_cost", "Length balance", table="lengths"),)
    target: float = 0.5
    within: float = WITHIN
    unit: Unit = "characters"
    first: First = "widest"
    by: By = "mixture"

    def sign(self, segments: Segments) -> GroupKeys:
        """Return a hash of each prompt, the length of both answers (0 for rows of other kinds), and the margin."""
        rows = segments.rows
        nothing = np.zeros(rows, np.int64)
        prompt = side_hashes(segments, "prompt")
        keys = {"prompt_high": prompt.high, "prompt_low": prompt.low, "chosen": nothing, "rejected": nothing}
        margin = np.full(rows, NO_MARGIN)
        if segments.body is not None and kind_of(segments.body.schema) == "preference":
            for name in ("chosen", "rejected"):
                keys[name] = side_sizes(side(segments, name), rows, self.unit)
            scores = (np.asarray(segments.body[f"{name}_score"].fill_null(np.nan)) for name in ("chosen", "rejected"))
            known = np.subtract(*scores)
            margin = np.where(np.isfinite(known), known, NO_MARGIN)
        return GroupKeys({**keys, "margin": margin})

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows to drop: pairs of the side with too many, spare ones of a prompt before its last."""
        lines = self._lines(keys)
        dropped = _dropped(lines)
        drops = dropped.select(
            pl.col("row").cast(pl.Int64),
            reason=pl.lit("length_balance"),
            score=(pl.col("chosen") - pl.col("rejected")).abs().cast(pl.Float64),
            kept=pl.lit(-1, pl.Int64),
            match=pl.when(pl.col("way") > 0).then(pl.lit("chosen is longer")).otherwise(pl.lit("chosen is shorter")),
        )
        differ = lines.filter(pl.col("way") != 0).with_columns(
            pl.when(pl.col("margin") > NO_MARGIN).then("margin").alias("margin"),
            dropped=pl.col("row").is_in(dropped["row"].implode()),
        )
        table = differ.select(LENGTHS.names()).cast(dict(LENGTHS.items())).sort("row")
        return Resolved(drops.cast(dict(DROP_COLUMNS.items())).sort("row"), tables={"lengths": table})

    def _lines(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Return the keys with `group`, `way` (sign of the length difference), drop order and number to drop."""
        order = {
            "widest": -(pl.col("chosen") - pl.col("rejected")).abs().cast(pl.Float64),
            "least_margin": pl.col("margin"),
            "random": pl.lit(0.0),
        }[self.first]
        group = pl.col("source").cast(pl.Int64) if self.by == "source" else pl.lit(0, pl.Int64)
        way = (pl.col("chosen") - pl.col("rejected")).sign().cast(pl.Int8)
        lines = keys.with_columns(group=group, way=way, order=order)
        counts = lines.group_by("group").agg(longer=(pl.col("way") > 0).sum(), shorter=(pl.col("way") < 0).sum())
        found = [
            (group, *surplus(longer, shorter, self.target, self.within)) for group, longer, shorter in counts.rows()
        ]
        schema = {"group": pl.Int64, "surplus": pl.Int8, "many": pl.Int64}
        return lines.join(pl.DataFrame(found, schema, orient="row"), on="group", how="left")


def balance_length(
    target: float = 0.5,
    *,
    unit: Unit = "characters",
    within: float = WITHIN,
    first: First = "widest",
    by: By = "mixture",
    allow_large_drop: bool = False,
) -> BalanceLength:
    """Drop preference rows until the share of those whose chosen answer is longer is `within` of `target`.

    As few rows as possible are dropped, all from the side with too many. The length of an answer covers all of its
    turns. Pairs of equal length count for neither side and are kept, as are rows of other kinds. If all pairs that
    count are on one side, nothing is dropped. If there are too few pairs to get within the limit, the nearest share is
    taken. Protected rows are never dropped, which can keep the share off its target.

    Pairs whose prompt (in normal form) keeps another pair go before the last pair of a prompt, so that with several
    pairs per prompt (`rejected="all_lower"`) few prompts are lost; then `first` decides, then a fixed random order of
    ids. Input order does not count.

    The score is the difference in length. The table `lengths` of the build folder has the lengths and the margin of
    every pair that counts, and whether it was dropped.

    Args:
        target: The share of pairs whose chosen answer is longer, 0 to 1. 0.5 removes the bias.
        unit: The unit of length: "characters" (Unicode code points) or "words".
        within: The allowed distance from `target`, 0 to 0.5. 0.01 saves one pair in 50 if two of three are longer.
        first: The pairs to drop first: those of the "widest" difference in length (which also shrinks the mean
            difference), those of the "least_margin" between scores (pairs without one before all), or "random".
        by: "mixture" balances all rows together, "source" each source by itself; prompts of other sources then do
            not count.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: `target` or `within` is out of range, or another argument is unknown.

    Example:
        >>> balance_length(unit="words").first
        'widest'
    """
    if not 0 <= target <= 1:
        raise MixtureError(f"balance_length({target!r}): the target is a share from 0 to 1, 0.5 for no bias")
    if not 0 <= within <= 0.5:
        raise MixtureError(f"balance_length(within={within!r}): a limit is from 0 to 0.5; 0.01 is usual")
    for name, word, known in (("unit", unit, Unit), ("first", first, First), ("by", by, By)):
        check_choice(f"balance_length({name}={word!r})", word, get_args(known))
    return BalanceLength(
        target=float(target), within=float(within), unit=unit, first=first, by=by, allow_large_drop=allow_large_drop
    )


def surplus(longer: int, shorter: int, target: float, within: float) -> tuple[int, int]:
    """Return the side with too many pairs (1: chosen longer, -1: shorter, 0: none), and how many to drop.

    >>> surplus(50, 100, 0.5, 0.0), surplus(50, 49, 0.5, 0.01), surplus(9, 0, 0.5, 0.01)
    ((-1, 50), (0, 0), (0, 0))
    """
    if longer == 0 or shorter == 0 or abs(longer / (longer + shorter) - target) <= within:
        return 0, 0
    if longer / (longer + shorter) < target:
        way, many = surplus(shorter, longer, float(1 - Fraction(str(target))), within)
        return -way, many
    highest = Fraction(str(target)) + Fraction(str(within))
    most = int(highest * shorter / (1 - highest))

    def off(kept: int) -> float:
        return abs(kept / (kept + shorter) - target)

    near = [kept for kept in (most, most - 1) if kept >= 0 and off(kept) <= within]
    many = longer - (near[0] if near else min(most, most + 1, key=off))
    return min(1, many), many


def _dropped(lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines to drop."""
    removable = (pl.col("way") == pl.col("surplus")) & (pl.col("way") != 0) & ~pl.col("protect")
    marked = lines.with_columns(spare=(~removable).any().over(PROMPT), removable=removable).filter("removable")
    ordered = marked.sort("order", "rank", "row")
    last = ~pl.col("spare") & (pl.int_range(pl.len(), 0, -1).over(PROMPT) == 1)
    ordered = ordered.with_columns(last=last).sort("last", maintain_order=True)
    return ordered.filter(pl.int_range(pl.len()).over("group") < pl.col("many"))
