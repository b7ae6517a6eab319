"""How many rows are outside each limit of the filters wherever it is moved, counted from the stored scores.

Counts are of the filters alone, before groups and sampling, and of one limit with all others as declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import CallError
from curate.result.folder import check_known, reading
from curate.rows.schema import Kind
from curate.steps.base import Bound

if TYPE_CHECKING:
    from curate.result.build import Build

Side: TypeAlias = Literal["at_least", "at_most"]

STOPS: Final = 200
"""Stops of a limit, about: all distinct scores where they are fewer."""

NEAR: Final = 10
"""Distinct scores on either side of the declared limit that are stops in any case."""

ALL_STOPS: Final = 8_000
"""Stops of all limits together, about; each takes some 20 bytes of a page."""

AT_ONCE: Final = 1 << 26
"""Bytes of scores that are read from the ledger at once: of 3 million rows, all would be 0.6 GB."""

DIGITS: Final = range(-9, 16)
"""Decimal places that a stop may have; negative ones are tens, hundreds and so on."""


class MovableLimit(NamedTuple):
    """A limit of a filter: one side of a bound. `bound` has both, and `place` is its place among those of the step."""

    step: str
    place: int
    bound: Bound
    side: Side

    @property
    def declared(self) -> float:
        """The limit as the build has it."""
        return float(getattr(self.bound, self.side))

    @property
    def column(self) -> str:
        """The column of the ledger that has the score."""
        return f"{self.step}.{self.bound.score}"

    def drops(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which scores are outside; NaN, no score, is not."""
        return scores < self.declared if self.side == "at_least" else scores > self.declared


class LimitTable(NamedTuple):
    """The counts of a limit at each of its `stops`, which rise.

    `outside` are rows outside the limit, `alone` those of them that no other limit of a filter drops; `sources` has
    `alone` for each source, a line each. Scores are whole numbers where `whole`. Where `every`, `stops` has all of
    them, so that any other limit counts as the stop before it (after it, for a lower limit).
    """

    limit: MovableLimit
    kind: Kind
    stops: list[float]
    outside: NDArray[np.int64]
    alone: NDArray[np.int64]
    sources: NDArray[np.int64]
    whole: bool
    every: bool

    @property
    def declared(self) -> int:
        """The place of the declared limit in `stops`."""
        return self.stops.index(self.limit.declared)


def limit_tables(build: Build, step: str | None = None, stops: int = STOPS) -> list[LimitTable]:
    """Count the rows outside each limit of the filters of a build, or of one of them, at about `stops` stops.

    Rows of protected sources, which no limit drops, are not counted. A score that is the same for every row has no
    table. Raises `CallError` for a step that is no filter with a limit.
    """
    check_known("step", step, build.steps)
    limits = list(_limits(build))
    if step is not None and all(one.step != step for one in limits):
        known = ", ".join(dict.fromkeys(one.step for one in limits)) or "none"
        raise CallError(f"step {step!r} has no limit to move; steps that have: {known}")
    most = max(min(stops, ALL_STOPS // max(len(limits), 1)), 5)
    found = []
    for kind in build.kinds:
        own = [one for one in limits if build.kind_of_step(one.step) == kind]
        if own:
            found += _tables(build, kind, own, [one for one in own if step in {None, one.step}], most)
    return found


def _limits(build: Build) -> Iterator[MovableLimit]:
    columns = build.lines.collect_schema()
    sides: tuple[Side, Side] = ("at_least", "at_most")
    for declared in build.manifest["steps"]:
        for place, bound in enumerate(Bound(**one) for one in declared.get("bounds", ())):
            for side in sides:
                one = MovableLimit(declared["label"], place, bound, side)
                if getattr(bound, side) is not None and one.column in columns:
                    yield one


class BinnedScores(NamedTuple):
    """The scores of a limit by the gap between `stops` that each is in, from 0 to their number; one more for no score.

    That takes a byte or two for each row, where the score itself takes eight.
    """

    limit: MovableLimit
    stops: NDArray[np.float64]
    gap: NDArray[np.unsignedinteger]
    whole: bool
    every: bool


def _tables(
    build: Build, kind: Kind, limits: list[MovableLimit], wanted: list[MovableLimit], most: int
) -> list[LimitTable]:
    protected = [source["name"] for source in build.manifest["sources"] if source["protect"]]
    number = pl.col("source").replace_strict(build.sources, range(len(build.sources)), return_dtype=pl.Int32)
    binned: dict[MovableLimit, BinnedScores] = {}
    with reading(build.path):
        lines = build.readable_of(kind).filter(~pl.col("source").is_in(protected))
        source = lines.select(number).collect().to_series().to_numpy()
        failed = np.zeros(len(source), np.int16)
        for one, values in _scores(lines, limits, len(source)):
            failed += one.drops(values)
            if one in wanted and (found := _binned(one, values, most)) is not None:
                binned[one] = found
    return [_table(binned[one], kind, source, len(build.sources), failed) for one in wanted if one in binned]


def _scores(
    lines: pl.LazyFrame, limits: list[MovableLimit], rows: int
) -> Iterator[tuple[MovableLimit, NDArray[np.float64]]]:
    """Give the scores of each limit, NaN for none; of many rows a few columns of the ledger at a time are in memory."""
    columns, width = list(dict.fromkeys(one.column for one in limits)), max(1, AT_ONCE // (8 * max(rows, 1)))
    for first in range(0, len(columns), width):
        frame = lines.select(columns[first : first + width]).collect()
        for one in limits:
            if one.column in frame.columns:
                yield one, frame[one.column].cast(pl.Float64).fill_null(np.nan).to_numpy()


def _binned(limit: MovableLimit, values: NDArray[np.float64], most: int) -> BinnedScores | None:
    """Choose the stops of a limit, and find the gap of each score; None where all scores are the same."""
    distinct, rows = np.unique(values[np.isfinite(values)], return_counts=True)
    if len(distinct) < 2:
        return None
    whole = bool((distinct == np.floor(distinct)).all())
    every = whole and len(distinct) <= most
    chosen = distinct if every else _stops(distinct, rows, limit, most)
    stops = np.unique(np.append(chosen, limit.declared)) + 0.0  # no negative zero
    gap = np.searchsorted(stops, values, "right" if limit.side == "at_least" else "left")
    gap[np.isnan(values)] = len(stops) + 1
    return BinnedScores(limit, stops, gap.astype(np.min_scalar_type(len(stops) + 1)), whole, every)


def _table(
    scores: BinnedScores, kind: Kind, source: NDArray[np.int32], sources: int, failed: NDArray[np.int16]
) -> LimitTable:
    """Count at the stops: rows by the gap that their score is in, then sums of these; `failed` counts limits."""
    limit, gap, gaps = scores.limit, scores.gap, len(scores.stops) + 1
    known, declared = gap < gaps, np.searchsorted(scores.stops, limit.declared)
    drops = gap <= declared if limit.side == "at_least" else gap > declared
    only = known & (failed == drops)

    def outside(counts: NDArray[np.int64]) -> NDArray[np.int64]:
        below = counts.cumsum(axis=-1)
        return below[..., :-1] if limit.side == "at_least" else below[..., -1:] - below[..., :-1]

    cell = source[only].astype(np.int64) * gaps + gap[only]
    by_source = np.bincount(cell, minlength=sources * gaps).reshape(sources, gaps)
    return LimitTable(
        limit,
        kind,
        scores.stops.tolist(),
        outside(np.bincount(gap[known], minlength=gaps)),
        outside(by_source.sum(axis=0)),
        outside(by_source),
        scores.whole,
        scores.every,
    )


def _stops(
    distinct: NDArray[np.float64], rows: NDArray[np.int64], limit: MovableLimit, most: int
) -> NDArray[np.float64]:
    """Return stops that part the rows evenly, the scores evenly, and all scores near the declared limit; round ones."""
    last = len(distinct) - 1
    chosen = distinct
    if len(distinct) > most:
        below = rows.cumsum()
        by_rows = np.searchsorted(below, np.linspace(0, int(below[-1]), most // 2))
        here = int(np.searchsorted(distinct, limit.declared))
        near = min(NEAR, most // 8)
        places = [by_rows, np.linspace(0, last, most // 4).astype(int), np.arange(here - near, here + near)]
        chosen = distinct[np.unique(np.clip(np.concatenate(places), 0, last))]
    found = -rounded(-chosen[::-1])[::-1] if limit.side == "at_least" else rounded(chosen)
    return np.append(found, _round_numbers(float(distinct[0]), float(distinct[-1])))


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each of the rising values the roundest number from it to the next, less than a twentieth away.

    As an upper limit it parts the values as the value itself does.

    >>> rounded(np.array([1 / 3, 0.5, 12345.0, 13001.0])).tolist()
    [0.34, 0.5, 12400.0, 13100.0]
    """
    after = np.minimum(np.append(values[1:], np.inf), values + np.abs(values) / 20)
    found, left = values.copy(), np.ones(len(values), np.bool_)
    for digits in DIGITS:
        power = 10.0 ** abs(digits)  # whole up to 10**15, so that a stop is the number that its digits write
        tried = np.ceil(values * power) / power if digits > 0 else np.ceil(values / power) * power
        fits = left & (tried >= values) & (tried < after)
        found[fits] = tried[fits]
        left &= ~fits
    return found


def _round_numbers(low: float, high: float) -> NDArray[np.float64]:
    """Return 1, 2, 5, 10 and so on, or 0.1, 0.2, 0.5, between two scores."""
    widest = max(abs(low), abs(high))
    if not widest:
        return np.empty(0)
    top = int(np.floor(np.log10(widest)))
    powers = range(max(top - 4, 0) if widest >= 10 else top - 2, top + 1)
    found = np.array([0.0, *(float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5))])
    found = np.concatenate([-found, found])
    return found[(found >= low) & (found <= high)]


def frame_of(tables: list[LimitTable]) -> pl.DataFrame:
    """Return tables as a frame, a line for each stop of each limit; see `curate.result.charts.sliders.WhatIf`."""
    schema = pl.Schema(
        {
            "step": pl.String,
            "reason": pl.String,
            "score": pl.String,
            "side": pl.String,
            "limit": pl.Float64,
            "declared": pl.Boolean,
            "outside": pl.Int64,
            "alone": pl.Int64,
        }
    )
    frames = [
        pl.DataFrame({"limit": table.stops, "outside": table.outside, "alone": table.alone}).select(
            step=pl.lit(table.limit.step),
            reason=pl.lit(table.limit.bound.reason),
            score=pl.lit(table.limit.bound.score),
            side=pl.lit(table.limit.side),
            limit="limit",
            declared=pl.col("limit") == table.limit.declared,
            outside=pl.col("outside"),
            alone=pl.col("alone"),
        )
        for table in tables
    ]
    return pl.concat([schema.to_frame(), *frames])
