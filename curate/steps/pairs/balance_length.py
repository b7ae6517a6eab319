"""Drop pairs until the chosen answer is the longer one as often as it should be, so that length tells nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.rows.schema import kind_of
from curate.rows.segments import Segments
from curate.rows.sides import Unit, side, side_hashes, side_sizes
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved

First: TypeAlias = Literal["widest", "least_margin", "random"]
By: TypeAlias = Literal["mixture", "source"]

WITHIN: Final = 0.01
"""How far the share may be off its target. A hundredth saves a pair in 50 where two of three are longer."""

LENGTHS: Final = pl.Schema(
    {"row": pl.Int64, "chosen": pl.Int64, "rejected": pl.Int64, "margin": pl.Float64, "fell": pl.Boolean}
)
"""The table `lengths`: a line for each pair whose answers differ in length, so that a report can tell the cost."""

NO_MARGIN: Final = float("-inf")
"""Stands for the margin of a pair that lacks a score."""

PROMPT: Final = ("group", "prompt_high", "prompt_low")


@dataclass(frozen=True, kw_only=True)
class BalanceLength(Group):
    """See `balance_length`."""

    name: ClassVar[str] = "balance_length"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("length_cost", "Length balance", table="lengths"),)
    target: float = 0.5
    within: float = WITHIN
    unit: Unit = "characters"
    first: First = "widest"
    by: By = "mixture"

    def sign(self, segments: Segments) -> GroupKeys:
        """Return a hash of each prompt, the length of both answers, and the margin of their scores.

        Rows of other kinds have two answers of no length.
        """
        rows = segments.rows
        nothing = np.zeros(rows, np.int64)
        prompt = side_hashes(side(segments, "prompt"), rows)
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
        """Return the rows that fall: pairs of the way there are too many of, spare ones of a prompt before its last."""
        lines = self._lines(keys)
        fell = _fallen(lines)
        falls = fell.select(
            pl.col("row").cast(pl.Int64),
            reason=pl.lit("length_balance"),
            score=(pl.col("chosen") - pl.col("rejected")).abs().cast(pl.Float64),
            kept=pl.lit(-1, pl.Int64),
            match=pl.when(pl.col("way") > 0).then(pl.lit("chosen is longer")).otherwise(pl.lit("chosen is shorter")),
        )
        differ = lines.filter(pl.col("way") != 0).with_columns(
            pl.when(pl.col("margin") > NO_MARGIN).then("margin").alias("margin"),
            fell=pl.col("row").is_in(fell["row"].implode()),
        )
        table = differ.select(LENGTHS.names()).cast(dict(LENGTHS.items())).sort("row")
        return Resolved(falls.cast(dict(DROP_COLUMNS.items())).sort("row"), tables={"lengths": table})

    def _lines(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Return the keys with their group, which way lengths differ, who falls first, and how many of the group."""
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
    """Drop preference rows until the share of those whose chosen answer is the longer one is `within` of `target`.

    As few rows fall as that takes, all of the way there are too many of. Lengths are those of all turns of an answer,
    in characters (Unicode code points) or words (`unit`). Pairs of equal length count neither way and stay, as do rows
    of other kinds. Where all pairs that count go one way, no choice of them comes nearer, and nothing falls; where
    there are so few that no choice is within the limit, the nearest is taken. Only protected rows, which never fall,
    can keep the share off its target beyond that.

    Which rows fall does not depend on the order of the input:

    1. A pair whose prompt (in normal form) has another pair that stays falls before the last pair of a prompt, so where
       prompts have several pairs (`rejected="all_lower"`), they are paired anew rather than lost: as few prompts are
       lost as there can be.
    2. Then comes what `first` says: the `widest` difference of lengths (that of the chosen and rejected answers of what
       stays gets smaller too), the `least_margin` between their scores (those without a margin before all), or
       `random`.
    3. Then a fixed random order of ids.

    With `by="source"` each source is brought to the target for itself (prompts of other sources do not count). The
    score is the difference of lengths. The table `lengths` has the lengths and the margin of every pair that counts,
    and whether it fell, so that the cost can be told.

    Raises `MixtureError` for a target outside 0 to 1, a `within` outside 0 to 0.5, and a word that is not known.

    >>> surplus(600, 400, 0.5, 0.01)
    (1, 184)
    """
    if not 0 <= target <= 1:
        message = f"balance_length({target!r}): the target is a share from 0 to 1, 0.5 for no bias"
        raise MixtureError(message)
    if not 0 <= within <= 0.5:
        message = f"balance_length(within={within!r}): a limit is from 0 to 0.5; 0.01 is usual"
        raise MixtureError(message)
    for name, word, known in (("unit", unit, Unit), ("first", first, First), ("by", by, By)):
        if word not in get_args(known):
            message = f"balance_length({name}={word!r}): {did_you_mean(str(word), get_args(known))}"
            raise MixtureError(message)
    return BalanceLength(
        target=float(target), within=float(within), unit=unit, first=first, by=by, allow_large_drop=allow_large_drop
    )


def surplus(longer: int, shorter: int, target: float, within: float) -> tuple[int, int]:
    """Return which way there are too many pairs of (1: chosen longer, -1: shorter, 0: none), and how many are to fall.

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


def _fallen(lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines that fall."""
    falls = (pl.col("way") == pl.col("surplus")) & (pl.col("way") != 0) & ~pl.col("protect")
    marked = lines.with_columns(spare=(~falls).any().over(PROMPT), falls=falls).filter("falls")
    ordered = marked.sort("order", "rank", "row")
    last = ~pl.col("spare") & (pl.int_range(pl.len(), 0, -1).over(PROMPT) == 1)
    ordered = ordered.with_columns(last=last).sort("last", maintain_order=True)
    return ordered.filter(pl.int_range(pl.len()).over("group") < pl.col("many"))
