"""`refusals(max_share=...)`: a share of the refusals is kept, so all rows are needed to decide."""

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
from curate.steps.refusals._detect import RefusalSettings
from curate.steps.refusals._harmful_requests import KEPT
from curate.steps.refusals.phrase_files import MORALISING

COLUMNS: Final = ("side", "turn", "start", "end", "phrase")


@dataclass(frozen=True, kw_only=True)
class RefusalShare(RefusalSettings, Group):
    """Drops refusals beyond a share of them; see `refusals`."""

    max_share: float = 0.0

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the first reason of each row (-1: none), its score as the filter has it, and the row's first hit."""
        detected = self.detect(segments)
        hits = detected.hits
        order = np.lexsort((hits.phrase, hits.end, hits.start, hits.turn, hits.side, hits.reason, hits.row))
        rows, first = np.unique(hits.row[order], return_index=True)
        first = order[first]
        reason = np.full(segments.rows, -1, np.int16)
        reason[rows] = hits.reason[first]
        score = np.bincount(hits.row[reason[hits.row] == hits.reason], minlength=segments.rows).astype(np.float64)
        for name, own in ((MORALISING, detected.points), (MODEL, detected.probability)):
            if name in self.reasons:
                score = np.where(reason == self.reasons.index(name), own, score)
        columns: dict[str, NDArray[np.generic]] = {"reason": reason, "score": score}
        for name in COLUMNS:
            columns[name] = np.full(segments.rows, -1, np.int32)
            columns[name][rows] = getattr(hits, name)[first]
        return GroupKeys(columns)

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Drop the refusals of the highest ranks, beyond the share that is kept."""
        refused = keys.filter(pl.col("reason") >= 0)
        hits = refused.select(
            "row",
            pl.Series(self.reasons).gather(refused["reason"]).alias("reason"),
            pl.Series(SIDES).gather(refused["side"]).alias("side"),
            "turn",
            "start",
            "end",
            pl.Series(self.matches).gather(refused["phrase"]).alias("match"),
        )
        unprotected = refused.filter(~pl.col("protect"))
        safe = pl.col("reason") == (self.reasons.index(KEPT) if self.keep_safety else -1)
        kept = int(Fraction(str(self.max_share)) * unprotected.height) - unprotected.filter(safe).height
        drops = unprotected.filter(~safe).sort("rank", "row").slice(max(kept, 0))
        drops = drops.select("row", "score").with_columns(kept=pl.lit(-1))
        drops = drops.join(hits.select("row", "reason", "match"), on="row", how="left")
        return Resolved(drops.select(*DROP_COLUMNS).cast(DROP_COLUMNS).sort("row"), hits.cast(HIT_COLUMNS).sort("row"))
