"""`refusals(max_share=...)`: a share of the refusals stays, which takes all rows to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.segments import SIDES, On, Segments
from curate.steps.base import FALLS, MET, Group, Lists, Resolved, Signed
from curate.steps.harm import KEPT, Harmful
from curate.steps.refusal_hits import meet
from curate.steps.refusal_phrases import PRESETS, Preset, Where, compiled

COLUMNS: Final = ("side", "turn", "start", "end", "phrase")


@dataclass(frozen=True, kw_only=True)
class RefusalShare(Group):
    """Drops refusals beyond a share of them; see `refusals`."""

    name: ClassVar[str] = "refusals"
    version: ClassVar[int] = 2
    preset: Preset = "default"
    families: tuple[str, ...] = tuple(PRESETS["default"].families)
    where: Where = "anywhere"
    phrases: tuple[str, ...] = ()
    keep_safety: Harmful = ()
    max_share: float = 0.0

    @property
    def reads(self) -> On:
        """What `on` selects; whole rows where the request decides too."""
        return "all" if self.keep_safety else self.on

    def sign(self, segments: Segments) -> Signed:
        """Return of each row its first family (-1: none; the number of families: kept for safety), and its first hit.

        `score` is the hits of that family, or the points of a lecture.
        """
        search = compiled(self.preset, self.families, self.phrases)
        met = meet(segments, self.on, search, self.where, self.keep_safety)
        reason = np.where(met.kept, len(self.families), met.family)
        order = np.lexsort((met.phrase, met.end, met.start, met.turn, met.side, reason, met.row))
        rows, first = np.unique(met.row[order], return_index=True)
        first = order[first]
        columns: dict[str, NDArray[np.generic]] = {"family": np.full(segments.rows, -1, np.int16)}
        columns["family"][rows] = reason[first]
        score = np.zeros(segments.rows, np.int32)
        named = columns["family"][met.row] == reason
        score += np.bincount(met.row[named], minlength=segments.rows).astype(np.int32)
        if search.lecture >= 0:
            score = np.where(columns["family"] == search.lecture, met.points, score)
        columns["score"] = score
        for name in COLUMNS:
            columns[name] = np.full(segments.rows, -1, np.int32)
            columns[name][rows] = getattr(met, name)[first]
        return Signed(columns)

    def resolve(self, keys: pl.DataFrame, lists: Lists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the refusals that fall: those of the highest ranks, beyond the share that stays."""
        search = compiled(self.preset, self.families, self.phrases)
        words = pl.Series(pa.concat_arrays([search.text, search.lines]))
        names = pl.Series([*self.families, KEPT])
        refused = keys.filter(pl.col("family") >= 0)
        met = refused.select(
            "row",
            names.gather(refused["family"]).alias("reason"),
            pl.Series(SIDES).gather(refused["side"]).alias("side"),
            "turn",
            "start",
            "end",
            words.gather(refused["phrase"]).alias("match"),
        )
        open_ = refused.filter(~pl.col("protect"))
        safe = pl.col("family") == len(self.families)
        stay = int(Fraction(str(self.max_share)) * open_.height) - open_.filter(safe).height
        falls = open_.filter(~safe).sort("rank", "row").slice(max(stay, 0))
        fallen = falls.select("row", "score").with_columns(kept=pl.lit(-1))
        fallen = fallen.join(met.select("row", "reason", "match"), on="row", how="left")
        return Resolved(fallen.select(*FALLS).cast(FALLS).sort("row"), met.cast(MET).sort("row"))
