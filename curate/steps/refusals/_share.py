"""`refusals(max_share=...)`: a share of the refusals stays, which takes all rows to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.rows.segments import SIDES, Segments
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS, Group, GroupKeys, KeyLists, Resolved
from curate.steps.refusals._classifier import MODEL
from curate.steps.refusals._detect import Looking
from curate.steps.refusals._harmful_requests import KEPT
from curate.steps.refusals.phrase_files import LECTURE

COLUMNS: Final = ("side", "turn", "start", "end", "phrase")


@dataclass(frozen=True, kw_only=True)
class RefusalShare(Looking, Group):
    """Drops refusals beyond a share of them; see `refusals`."""

    max_share: float = 0.0

    def sign(self, segments: Segments) -> GroupKeys:
        """Return of each row its first reason (-1: none), and its first hit.

        `score` is the hits of that reason, the points of a lecture, or how probable a model finds it.
        """
        met = self.meet(segments)
        hits = met.hits
        order = np.lexsort((hits.phrase, hits.end, hits.start, hits.turn, hits.side, hits.reason, hits.row))
        rows, first = np.unique(hits.row[order], return_index=True)
        first = order[first]
        reason = np.full(segments.rows, -1, np.int16)
        reason[rows] = hits.reason[first]
        score = np.bincount(hits.row[reason[hits.row] == hits.reason], minlength=segments.rows).astype(np.float64)
        for name, told in ((LECTURE, met.points), (MODEL, met.probable)):
            if name in self.reasons:
                score = np.where(reason == self.reasons.index(name), told, score)
        columns: dict[str, NDArray[np.generic]] = {"reason": reason, "score": score}
        for name in COLUMNS:
            columns[name] = np.full(segments.rows, -1, np.int32)
            columns[name][rows] = getattr(hits, name)[first]
        return GroupKeys(columns)

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the refusals that fall: those of the highest ranks, beyond the share that stays."""
        reasons = pl.Series(self.reasons)
        refused = keys.filter(pl.col("reason") >= 0)
        met = refused.select(
            "row",
            reasons.gather(refused["reason"]).alias("reason"),
            pl.Series(SIDES).gather(refused["side"]).alias("side"),
            "turn",
            "start",
            "end",
            pl.Series(self.words).gather(refused["phrase"]).alias("match"),
        )
        open_ = refused.filter(~pl.col("protect"))
        safe = pl.col("reason") == (self.reasons.index(KEPT) if self.keep_safety else -1)
        stay = int(Fraction(str(self.max_share)) * open_.height) - open_.filter(safe).height
        falls = open_.filter(~safe).sort("rank", "row").slice(max(stay, 0))
        fallen = falls.select("row", "score").with_columns(kept=pl.lit(-1))
        fallen = fallen.join(met.select("row", "reason", "match"), on="row", how="left")
        return Resolved(fallen.select(*DROP_COLUMNS).cast(DROP_COLUMNS).sort("row"), met.cast(HIT_COLUMNS).sort("row"))
