"""Duplicates: the overlap of sources, the largest clusters, and the least similar rows dropped."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import polars as pl

from curate.report.dropped_rows import DroppedRow, read_dropped
from curate.report.formatting import counted, of_all
from curate.result.browser.verdicts import SurvivingDuplicate
from curate.result.build import Build
from curate.result.counts import clusters, counted_once
from curate.result.folder import BuildFolder

CLUSTERS: Final = 5
"""Clusters shown of a step, the largest ones."""

WITHIN: Final = 3
"""Dropped rows shown of a cluster: the least similar ones."""

CLOSEST: Final = 5
"""Rows shown that were dropped with the lowest similarity."""

SOURCES: Final = 24
"""Sources in each direction of the matrix: those with the most duplicates."""

HEAT: Final = "76, 135, 207"
STRONGEST: Final = 0.6
"""The colour of a matrix cell, and its opacity for a share of 1; text stays readable on it."""

PAIRS: Final = 6
"""Pairs of sources that a terminal lists for each step."""


class Cell(NamedTuple):
    """Rows of one source dropped as duplicates of another, and their share of the rows read."""

    rows: int
    share: float

    @property
    def style(self) -> str:
        """The background; its opacity follows the root of the share, so that one row in a thousand is visible."""
        return f"background: rgba({HEAT}, {STRONGEST * min(self.share, 1.0) ** 0.5:.3f})"


class Matrix(NamedTuple):
    """One row per source with duplicates, one column per surviving source; `left_out` dropped rows are in neither."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    left_out: int


class Cluster(NamedTuple):
    """The duplicates of one row: how many were dropped, their lowest and highest similarity, and the least similar."""

    name: str
    dropped: int
    low: float
    high: float
    survivor: SurvivingDuplicate | None
    rows: tuple[DroppedRow, ...]


class Duplicates(NamedTuple):
    """The findings of a dedup step; `more` clusters of three rows or more are not shown."""

    matrix: Matrix
    clusters: tuple[Cluster, ...]
    more: int
    closest: tuple[DroppedRow, ...]


class ShownDuplicates(NamedTuple):
    """The dropped rows shown of a step: the `near` ones, and those of the largest of its `clusters`."""

    near: pl.DataFrame
    clusters: pl.DataFrame
    more: int

    @property
    def keys(self) -> pl.DataFrame:
        """`source` and `id` of each row."""
        return pl.concat([self.near, self.clusters.select(pl.col("rows").explode()).unnest("rows")]).unique()


@counted_once
def shown_duplicates(build: BuildFolder, step: str) -> ShownDuplicates | None:
    """Choose which rows that a step dropped are shown; None if it dropped none as a duplicate."""
    lines = clusters(build, step) if step in build.steps_with("duplicates") else pl.DataFrame()
    if not lines.height:
        return None
    by_score = lines.sort("score", "source", "id")
    large = (
        by_score.group_by("cluster")
        .agg(
            dropped=pl.len(),
            low=pl.col("score").min(),
            high=pl.col("score").max(),
            rows=pl.struct("source", "id").head(WITHIN),
        )
        .filter(pl.col("dropped") > 1)
        .sort(["dropped", "cluster"], descending=[True, False])
    )
    near = by_score.filter(pl.col("score") < 1).head(CLOSEST).select("source", "id")
    return ShownDuplicates(near, large.head(CLUSTERS), max(large.height - CLUSTERS, 0))


def duplicates(build: Build, step: str) -> Duplicates | None:
    """Return the duplicates section of a step; None if it dropped no row."""
    shown = shown_duplicates(build, step)
    if shown is None:
        return None
    rows = {(row.source, row.id): row for row in read_dropped(build, shown.keys, build.kind_of_step(step))}
    return Duplicates(
        matrix(build.overlap(step), build.sources),
        tuple(_cluster(line, rows) for line in shown.clusters.to_dicts()),
        shown.more,
        tuple(rows[key] for key in shown.near.rows()),
    )


def _cluster(line: dict[str, Any], rows: dict[tuple[str, str], DroppedRow]) -> Cluster:
    own = tuple(rows[row["source"], row["id"]] for row in line["rows"])
    return Cluster(line["cluster"], line["dropped"], line["low"], line["high"], own[0].survivor, own)


def matrix(overlap: pl.DataFrame, sources: list[str]) -> Matrix:
    """Return `Build.overlap` as a matrix in the order of `sources`; names that are no source of the build come last."""
    lines, columns = (_most(overlap, name, sources) for name in ("source", "kept_source"))
    cells = {(line["source"], line["kept_source"]): Cell(line["rows"], line["share"]) for line in overlap.to_dicts()}
    shown = tuple((source, tuple(cells.get((source, kept)) for kept in columns)) for source in lines)
    counted = sum(cell.rows for _, line in shown for cell in line if cell is not None)
    return Matrix(columns, shown, int(overlap["rows"].sum()) - counted)


def _most(overlap: pl.DataFrame, column: str, sources: list[str]) -> tuple[str, ...]:
    counts = overlap.group_by(column).agg(pl.col("rows").sum()).sort(["rows", column], descending=[True, False])
    place = {name: number for number, name in enumerate(sources)}
    return tuple(sorted(counts[column].head(SOURCES), key=lambda name: (place.get(name, len(place)), name)))


def duplicate_lines(build: Build, step: str) -> list[str]:
    """Return one line per pair of sources with duplicates, the most rows first."""
    found = build.overlap(step).sort(["rows", "source", "kept_source"], descending=[True, False, False])
    lines = []
    for line in found.head(PAIRS).to_dicts():
        one = line["rows"] == 1
        within, other = line["kept_source"] == line["source"], "a row" if one else "rows"
        where = "within the source" if within else f"of {other} in {line['kept_source']}"
        dropped = f"{counted(line['rows'])} ({of_all(line['share'])}) {'is a duplicate' if one else 'are duplicates'}"
        lines.append(f"{line['source']}: {dropped} {where}")
    rest = found.slice(PAIRS)
    if rest.height:
        lines.append(f"and {counted(int(rest['rows'].sum()))} of {counted(rest.height, 'more pair')} of sources")
    return lines
