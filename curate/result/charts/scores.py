"""Frames of what filters measured: how each score is distributed around its bounds, and which filters agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import CallError
from curate.result.folder import check_known, reading
from curate.steps.base import Bound

if TYPE_CHECKING:
    from curate.result.build import Build

BINS: Final = 32
"""Bars of a histogram, about."""

WIDE: Final = 64.0
"""Scores whose largest value is this many times their median are binned on a scale of powers."""

OTHERS: Final = "others"

SCORES: Final = pl.Schema(
    {
        "step": pl.String,
        "score": pl.String,
        "low": pl.Float64,
        "high": pl.Float64,
        "rows": pl.Int64,
        "outside": pl.Boolean,
        "at_least": pl.Float64,
        "at_most": pl.Float64,
    }
)


class Scored(NamedTuple):
    """A score of a filter, with the bounds that hold it; `column` is where the ledger has it."""

    step: str
    name: str
    bounds: tuple[Bound, ...]

    @property
    def column(self) -> str:
        """The column of the ledger."""
        return f"{self.step}.{self.name}"

    @property
    def at_least(self) -> float | None:
        """The highest lower limit."""
        return max((float(one.at_least) for one in self.bounds if one.at_least is not None), default=None)

    @property
    def at_most(self) -> float | None:
        """The lowest upper limit."""
        return min((float(one.at_most) for one in self.bounds if one.at_most is not None), default=None)

    @property
    def limited(self) -> bool:
        """Whether some limit holds it."""
        return self.at_least is not None or self.at_most is not None

    def outside(self) -> pl.Expr:
        """Return which rows are outside a limit; a row without the score is not."""
        score = pl.col(self.column).cast(pl.Float64).fill_nan(None)
        low = score < self.at_least if self.at_least is not None else pl.lit(value=False)
        high = score > self.at_most if self.at_most is not None else pl.lit(value=False)
        return (low | high).fill_null(value=False)


def scored(build: Build, step: str | None = None) -> list[Scored]:
    """Return the numeric scores of the filters of a build, or of one of them, in the order of steps and bounds."""
    found = []
    columns = build.lines.collect_schema()
    for declared in build.manifest["steps"]:
        label = declared["label"]
        if step not in {None, label}:
            continue
        by_score: dict[str, list[Bound]] = {}
        for bound in declared.get("bounds", ()):
            by_score.setdefault(bound["score"], []).append(Bound(**bound))
        found += [
            one
            for name, bounds in by_score.items()
            if (one := Scored(label, name, tuple(bounds))).column in columns and columns[one.column].is_numeric()
        ]
    return found


def scores(build: Build, step: str | None = None) -> pl.DataFrame:
    """Return a histogram of each score of a filter, or of all filters; the limits are edges of its bins.

    Columns: `step`, `score`, `low` and `high` (a bin holds scores from `low` to less than `high`), `rows`, `outside`
    (whether a limit of this score drops the rows of this bin), `at_least`, `at_most` (the limits; null: none). Rows are
    all that the filter scored, also those that other steps drop, but for rows of protected sources, which no limit
    drops.

    Raises `CallError` for a step that is no filter with bounds.
    """
    check_known("step", step, build.steps)
    wanted = scored(build, step)
    if step is not None and not wanted:
        raise CallError(
            f"step {step!r} has no score with a bound; steps that have: {', '.join(_steps(build)) or 'none'}"
        )
    lines = [line for one, values in score_values(build, wanted) for line in _histogram(one, values)]
    return pl.DataFrame(lines, SCORES, orient="row")


def _steps(build: Build) -> list[str]:
    return list(dict.fromkeys(one.step for one in scored(build)))


def _protected(build: Build) -> list[str]:
    return [str(source["name"]) for source in build.manifest["sources"] if source["protect"]]


def score_values(build: Build, wanted: list[Scored]) -> Iterator[tuple[Scored, NDArray[np.float64]]]:
    """Give each score with its values, NaN left out; one is in memory at a time."""
    for kind in build.kinds:
        own = [one for one in wanted if build.kind_of_step(one.step) == kind]
        if not own:
            continue
        lines = build.lines_of(kind).filter(~pl.col("source").is_in(_protected(build)))
        for one in own:
            with reading(build.path):
                found = lines.select(one.column).collect()
            values = found[one.column].drop_nulls().cast(pl.Float64).to_numpy()
            yield one, values[np.isfinite(values)]


def _histogram(one: Scored, values: NDArray[np.float64]) -> Iterator[tuple[Any, ...]]:
    if not len(values):
        return
    low, high = one.at_least, one.at_most
    edges = bin_edges(values, [limit for limit in (low, after(high)) if limit is not None])
    counts = np.histogram(values, edges)[0]
    for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True):
        outside = (low is not None and start < low) or (high is not None and start > high)
        yield one.step, one.name, float(start), float(end), int(count), outside, low, high


def after(limit: float | None) -> float | None:
    """Return the first number above an upper limit, where the bins of dropped rows begin."""
    return None if limit is None else float(np.nextafter(limit, np.inf))


def bin_edges(values: NDArray[np.float64], limits: list[float]) -> NDArray[np.float64]:
    """Return the edges of bins over `values`: whole numbers, even steps, or steps that grow where values are wide.

    A limit inside the range of the values takes the place of the nearest edge, or is added to them; of whole numbers
    the edge is the first that is not below it. So no bin has values on both sides of a limit.

    >>> bin_edges(np.array([0.0, 1.0, 3.0]), [2.0]).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    low, high = float(values.min()), float(values.max())
    whole = bool((values == np.floor(values)).all())
    if whole and high - low < BINS:
        edges = np.arange(low, high + 2)
    elif low >= 0 and high > WIDE * max(float(np.median(values)), high / 1e4):
        edges = _growing(values, whole=whole)
    else:
        edges = np.linspace(low, _beyond(high), BINS + 1)
        edges = np.append(np.unique(np.floor(edges[:-1])), high + 1) if whole else edges
    fixed: list[float] = []
    for limit in (float(np.ceil(one)) if whole else one for one in limits):
        if edges[0] < limit < edges[-1] and limit not in edges:
            near = int(np.argmin(np.abs(edges - limit)))
            if 0 < near < len(edges) - 1 and edges[near] not in fixed:
                edges[near] = limit
            else:
                edges = np.insert(edges, np.searchsorted(edges, limit), limit)
        fixed.append(limit)
    return np.unique(edges)


def _growing(values: NDArray[np.float64], *, whole: bool) -> NDArray[np.float64]:
    """Return edges whose distances grow with their size, from 0 where there are zeros."""
    above = values[values > 0]
    first = float(above.min()) if len(above) else 1.0
    first = max(first, float(values.max()) / 1e6)
    edges = np.geomspace(first, _beyond(float(values.max())), BINS)
    edges = np.unique(np.floor(edges)) if whole else edges
    edges[-1] = max(edges[-1], _beyond(float(values.max())))
    return np.concatenate([[min(0.0, edges[0])], edges]) if (values < edges[0]).any() else edges


def _beyond(high: float) -> float:
    return float(np.nextafter(high, np.inf)) if high else 1e-9


def agreement(build: Build) -> pl.DataFrame:
    """Return which filters would have dropped the same rows: every filter scores every row that reaches it.

    Columns: `steps` (the labels of all filters that a row is outside the bounds of), `rows`, the most frequent first.
    Groups, such as dedup, only see what filters leave, and are not counted; neither are protected rows. After a
    Pairing, rows and pairs are counted apart: no filter sees both.
    """
    by_kind = []
    for kind in build.kinds:
        own = [one for one in scored(build) if one.limited and build.kind_of_step(one.step) == kind]
        labels = list(dict.fromkeys(one.step for one in own))
        if not labels:
            continue
        outside = {label: pl.any_horizontal(*(one.outside() for one in own if one.step == label)) for label in labels}
        with reading(build.path):
            lines = build.lines_of(kind).filter(~pl.col("source").is_in(_protected(build)))
            counts = lines.select(**outside).group_by(labels).len().collect()
        by_kind += [
            {"steps": [label for label in labels if line[label]], "rows": line["len"]} for line in counts.to_dicts()
        ]
    found = pl.DataFrame(by_kind, {"steps": pl.List(pl.String), "rows": pl.Int64}).filter(
        pl.col("steps").list.len() > 0
    )
    name = pl.col("steps").list.join("\n")
    return found.sort(["rows", name], descending=[True, False])
