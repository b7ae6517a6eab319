"""Drop pairs that others contradict: with the same prompt, one chose what the other rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.kernels.hashing import Hashes, combine
from curate.rows.schema import kind_of
from curate.rows.segments import Segments, TextPart
from curate.rows.sides import side_hashes
from curate.steps._settings import check_choice
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved

Mode: TypeAlias = Literal["drop", "flag"]

PAIRS: Final = pl.Schema(
    {"row": pl.Int64, "other_row": pl.Int64, "agree": pl.Int64, "against": pl.Int64, "dropped": pl.Boolean}
)
"""The table `contradictions`: a contradicted row, one that contradicts it, the votes for it (its own included) and
against it, and whether it was dropped."""


@dataclass(frozen=True, kw_only=True)
class Contradictions(Group):
    """See `contradictions`."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "contradictions"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("table", "Contradictions", table="contradictions"),)
    mode: Mode = "drop"

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """Contents and calls, which both say what an answer does."""
        return frozenset({"content", "call"})

    def sign(self, segments: Segments) -> GroupKeys:
        """Return a 128-bit hash of the prompt and the unordered answers, and `way`, which of the answers is chosen.

        `way` is 0 for rows without a vote: other kinds, and pairs whose answers are equal.
        """
        rows = segments.rows
        way = np.zeros(rows, np.int8)
        if segments.body is None or kind_of(segments.body.schema) != "preference":
            nothing = np.zeros(rows, np.uint64)
            return GroupKeys({"high": nothing, "low": nothing, "way": way})
        prompt, chosen, rejected = (side_hashes(segments, name) for name in ("prompt", "chosen", "rejected"))
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
        """Return the rows to drop: the minority, and both sides of a tie."""
        lost = ~pl.col("protect") & (pl.col("weight") <= pl.col("other_weight"))
        rows = (
            _contradicted(keys).with_columns(dropped=lost if self.mode == "drop" else pl.lit(value=False)).sort("row")
        )
        drops = rows.filter("dropped").select(
            "row",
            pl.lit("contradiction").alias("reason"),
            pl.col("against").alias("score"),
            pl.when(pl.col("weight") < pl.col("other_weight")).then("other_row").otherwise(-1).alias("kept"),
            pl.lit("the same two answers, the other way round").alias("match"),
        )
        table = rows.select(PAIRS.names()).cast(dict(PAIRS.items()))
        return Resolved(drops.cast(dict(DROP_COLUMNS.items())), tables={"contradictions": table})


def contradictions(*, mode: Mode = "drop", allow_large_drop: bool = False) -> Contradictions:
    """Drop preference rows that others contradict: with the same prompt, one chose what the other rejected.

    Prompts and answers are compared turn by turn in normal form. Each row is a vote. The minority is dropped; in a tie
    both sides are dropped. A side with a protected row wins against a side with none; protected rows are never
    dropped. Only opposite orders of the same two answers count: longer cycles (a over b, b over c, c over a) are not
    searched for. Rows of other kinds are kept, and so are pairs whose answers are equal.

    The score is the number of rows with the opposite vote. The table `contradictions` of the build folder has one line
    per contradicted row.

    Args:
        mode: "drop" drops the rows; "flag" keeps them and only writes the table.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: `mode` is unknown.

    Example:
        >>> contradictions(mode="flag").mode
        'flag'
    """
    check_choice(f"contradictions(mode={mode!r})", mode, get_args(Mode))
    return Contradictions(mode=mode, allow_large_drop=allow_large_drop)


def _contradicted(keys: pl.DataFrame) -> pl.DataFrame:
    """Return the contradicted rows, with the votes for and against each and the first row against it."""
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
