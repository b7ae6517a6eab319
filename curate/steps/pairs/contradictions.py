"""Drop pairs that another one contradicts: with the same prompt, what one chose the other rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.kernels.hashing import Hashes, combine
from curate.rows.schema import kind_of
from curate.rows.segments import Segments
from curate.rows.sides import side, side_hashes
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved

Mode: TypeAlias = Literal["drop", "flag"]

PAIRS: Final = pl.Schema(
    {"row": pl.Int64, "other_row": pl.Int64, "agree": pl.Int64, "against": pl.Int64, "fell": pl.Boolean}
)
"""The table `contradictions`: a contradicted row, one that contradicts it, the pairs that say the same as the row (it
counts too) and those that say the reverse, and whether it fell."""


@dataclass(frozen=True, kw_only=True)
class Contradictions(Group):
    """See `contradictions`."""

    name: ClassVar[str] = "contradictions"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("table", "Contradictions", table="contradictions"),)
    mode: Mode = "drop"

    def sign(self, segments: Segments) -> GroupKeys:
        """Return 128 bits for the prompt with both answers in either order, and `way`, which of the answers is chosen.

        `way` is 0 for rows that contradict nothing: other kinds, and pairs whose answers are the same.
        """
        rows = segments.rows
        way = np.zeros(rows, np.int8)
        if segments.body is None or kind_of(segments.body.schema) != "preference":
            nothing = np.zeros(rows, np.uint64)
            return GroupKeys({"high": nothing, "low": nothing, "way": way})
        prompt, chosen, rejected = (
            side_hashes(side(segments, name), rows) for name in ("prompt", "chosen", "rejected")
        )
        above = (chosen.high > rejected.high) | ((chosen.high == rejected.high) & (chosen.low > rejected.low))
        below = (chosen.high < rejected.high) | ((chosen.high == rejected.high) & (chosen.low < rejected.low))
        way[above], way[below] = 1, -1
        first, second = (
            Hashes(*(np.where(above, one, other) for one, other in zip(pair, reversed_pair, strict=True)))
            for pair, reversed_pair in ((chosen, rejected), (rejected, chosen))
        )
        hashes = combine(combine(prompt, first), second)
        return GroupKeys({"high": hashes.high, "low": hashes.low, "way": way})

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows that fall: those outvoted, and all of a tie."""
        met = _contradicted(keys)
        falls = ~pl.col("protect") & (pl.col("weight") <= pl.col("other_weight"))
        met = met.with_columns(fell=falls if self.mode == "drop" else pl.lit(value=False)).sort("row")
        fallen = met.filter("fell").select(
            "row",
            pl.lit("contradiction").alias("reason"),
            pl.col("against").alias("score"),
            pl.when(pl.col("weight") < pl.col("other_weight")).then("other_row").otherwise(-1).alias("kept"),
            pl.lit("the same two answers, the other way round").alias("match"),
        )
        table = met.select(PAIRS.names()).cast(dict(PAIRS.items()))
        return Resolved(fallen.cast(dict(DROP_COLUMNS.items())), tables={"contradictions": table})


def contradictions(*, mode: Mode = "drop", allow_large_drop: bool = False) -> Contradictions:
    """Drop preference rows that others contradict: with the same prompt, what one chose the other rejected.

    Prompts and answers are the same if they are so turn by turn in normal form. Of two opposite opinions on a prompt
    and two answers, the one of more rows stays, and the others fall; where as many rows say one as the other, all fall,
    for nothing tells who is right. An opinion that a protected row holds stays against one that none holds; a protected
    row never falls. An answer that beats one and loses to another contradicts nothing, and circles of three answers or
    more are not looked for. Rows of other kinds stay, and so do pairs whose answers are the same.

    The score is the number of rows that say the reverse. The table `contradictions` has a line for every row that is
    contradicted; with `mode="flag"` there is the table, and nothing falls. Raises `MixtureError` for another mode.

    >>> contradictions(mode="flag").mode
    'flag'
    """
    if mode not in get_args(Mode):
        message = f"contradictions(mode={mode!r}): {did_you_mean(str(mode), get_args(Mode))}"
        raise MixtureError(message)
    return Contradictions(mode=mode, allow_large_drop=allow_large_drop)


def _contradicted(keys: pl.DataFrame) -> pl.DataFrame:
    """Return the contradicted rows, with the votes for and against each and the first row of those against it."""
    pair = ["high", "low"]
    ways = (
        keys.lazy()
        .filter(pl.col("way") != 0)
        .filter(pl.col("way").n_unique().over(pair) > 1)
        .with_columns(pl.col("row").cast(pl.Int64))
    )
    # A protected row outvotes any number of others.
    votes = ways.group_by(*pair, "way").agg(
        agree=pl.len().cast(pl.Int64),
        weight=pl.len().cast(pl.Int64) + pl.col("protect").any().cast(pl.Int64) * (1 << 40),
        other_row=pl.col("row").sort_by(~pl.col("protect"), "source", "rank", "row").first(),
    )
    against = votes.select(
        *pair, -pl.col("way"), pl.col("agree").alias("against"), pl.col("weight").alias("other_weight"), "other_row"
    )
    votes = votes.drop("other_row")
    return ways.join(votes, on=[*pair, "way"]).join(against, on=[*pair, "way"]).collect()
