"""The tables that steps leave in the build folder as findings without a section of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from curate.engine.group_results import table_path
from curate.report.formatting import counted
from curate.result.build import Build

SHOWN: Final = 20
"""Rows of a table that the page shows."""

VIEWS: Final = {"table", "shared_prompts"}
"""The views of findings that are shown as a table."""


@dataclass(frozen=True)
class FindingTable:
    """A table of a step: its first rows as text, how many there are, and its path in the build folder."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    count: int
    path: str


def finding_tables(build: Build, step: str) -> tuple[FindingTable, ...]:
    """Return the tables that a step left as findings."""
    entry = next(found for found in build.manifest["steps"] if found["label"] == step)
    named = [found for found in entry.get("findings", ()) if found["view"] in VIEWS]
    paths = [(found["title"], table_path(step, found["table"])) for found in named]
    return tuple(_table(build, title, str(path)) for title, path in paths if (build.path / path).is_file())


def _table(build: Build, title: str, path: str) -> FindingTable:
    frame = pl.scan_parquet(build.path / path)
    first = frame.head(SHOWN).collect()
    rows = tuple(tuple("" if value is None else str(value) for value in row) for row in first.rows())
    return FindingTable(title, tuple(first.columns), rows, frame.select(pl.len()).collect().item(), path)


def table_line(table: FindingTable) -> str:
    """Say how many rows a table has, and where it is.

    >>> table_line(FindingTable("Contradictions", ("a",), (), 2, "steps/contradictions.pairs.parquet"))
    'Contradictions: 2 rows, in steps/contradictions.pairs.parquet'
    """
    return f"{table.title}: {counted(table.count)}, in {table.path}"
