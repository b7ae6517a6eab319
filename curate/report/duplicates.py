"""Duplicates at a glance: which source repeats which, and the rows that most others repeat."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import polars as pl

from curate.report.dropped_rows import DEDUPS, Fallen, Twin, fallen_rows, labels
from curate.report.formatting import of_all
from curate.result.build import Build

CLUSTERS: Final = 5
"""Clusters shown of a step, the largest ones."""

WITHIN: Final = 3
"""Rows shown of a cluster beside the one that stays: the least similar ones."""

CLOSEST: Final = 5
"""Pairs shown that fell with the lowest similarity."""

SOURCES: Final = 24
"""Sources that the matrix has in each direction; where there are more, those with the most duplicates."""

HEAT: Final = "76, 135, 207"
STRONGEST: Final = 0.6
"""The colour of a cell, and how much of it one has whose source repeats another whole; text reads on it."""

PAIRS: Final = 6
"""Pairs of sources that a terminal lists for each step."""


class Cell(NamedTuple):
    """Rows of one source that fell to rows of another, and their share of the rows read."""

    rows: int
    share: float

    @property
    def style(self) -> str:
        """The background; its strength follows the root of the share, so that one row in a thousand is still seen."""
        return f"background: rgba({HEAT}, {STRONGEST * min(self.share, 1.0) ** 0.5:.3f})"


class Matrix(NamedTuple):
    """A line each source with duplicates, a column each source that they fell to; `left_out` rows are in neither."""

    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    left_out: int


class Cluster(NamedTuple):
    """The rows that fell to one row: how many, their similarity from and to, and the least similar of them."""

    name: str
    fell: int
    low: float
    high: float
    twin: Twin | None
    rows: tuple[Fallen, ...]


class Duplicates(NamedTuple):
    """What a dedup step found; `more` clusters of three rows or more are not shown."""

    matrix: Matrix
    clusters: tuple[Cluster, ...]
    more: int
    closest: tuple[Fallen, ...]


def duplicates(build: Build, step: str) -> Duplicates | None:
    """Return what the page shows of a dedup step; None where no row fell to it, or where it is no dedup step."""
    if step not in labels(build, *DEDUPS):
        return None
    lines = build.clusters(step)
    if not lines.height:
        return None
    by_score = lines.sort("score", "source", "id")
    large = (
        by_score.group_by("cluster")
        .agg(
            fell=pl.len(),
            low=pl.col("score").min(),
            high=pl.col("score").max(),
            rows=pl.struct("source", "id").head(WITHIN),
        )
        .filter(pl.col("fell") > 1)
        .sort(["fell", "cluster"], descending=[True, False])
    )
    shown = large.head(CLUSTERS)
    near = by_score.filter(pl.col("score") < 1).head(CLOSEST).select("source", "id")
    keys = pl.concat([near, shown.select(pl.col("rows").explode()).unnest("rows")]).unique()
    rows = {(row.source, row.id): row for row in fallen_rows(build, keys, build.kind_of_step(step))}
    closest = tuple(rows[key] for key in near.rows())
    return Duplicates(
        matrix(build.overlap(step), build.sources),
        tuple(_cluster(line, rows) for line in shown.to_dicts()),
        large.height - shown.height,
        closest,
    )


def _cluster(line: dict[str, Any], rows: dict[tuple[str, str], Fallen]) -> Cluster:
    own = tuple(rows[row["source"], row["id"]] for row in line["rows"])
    return Cluster(line["cluster"], line["fell"], line["low"], line["high"], own[0].twin, own)


def matrix(overlap: pl.DataFrame, sources: list[str]) -> Matrix:
    """Return `Build.overlap` as a matrix in the order of `sources`; what the build has no source for comes last."""
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
    """Say in a line each, the most rows first, which source repeats which; nothing where no row fell.

    Raises `CallError` for a step that the build does not have.
    """
    found = build.overlap(step).sort(["rows", "source", "kept_source"], descending=[True, False, False])
    told = []
    for line in found.head(PAIRS).to_dicts():
        where = "within the source" if line["kept_source"] == line["source"] else f"to {line['kept_source']}"
        told.append(f"{line['source']}: {line['rows']:,} ({of_all(line['share'])} of its rows) fell {where}")
    rest = found.slice(PAIRS)
    if rest.height:
        told.append(f"and {rest['rows'].sum():,} of {rest.height} more pairs of sources")
    return told
