"""The funnel, and what groups found, for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from curate.report.contamination import contamination_lines
from curate.report.dropped_rows import DEDUPS, EVALS, labels
from curate.report.duplicates import duplicate_lines
from curate.report.highlights import plain
from curate.result.build import Build, reading

WIDTH: Final = 80
"""Columns: what a log gives. A table that is wider stands closer."""

LONG, BREAK = 10, re.compile(r"(?<=[_:-])| (?=\S+$)")
"""A longer name of a column goes on two lines, broken here."""


def funnel_table(build: Build) -> Table:
    """Return the funnel: a line a source, thousands apart, a dot for none. Four sources and steps fit 100 columns."""
    heads = [_head(name) for name in build.funnel.columns]
    rows = [_cells(row) for row in build.funnel.rows()]
    columns = zip(heads, *rows, strict=True)
    width = sum(max(len(line) for cell in column for line in cell.plain.split("\n")) for column in columns)
    gap = 1 if width + 2 * (len(heads) - 1) <= WIDTH else 0
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="left" if head.plain == "source" else "right", overflow="fold")
    for row in rows[:-1]:
        table.add_row(*row)
    table.add_section()
    table.add_row(*rows[-1], style="bold")
    return table


def findings(build: Build, step: str | None = None) -> Iterator[Text]:
    """Give a paragraph for each step (or one of them) that dedups or decontaminates: what it found in which source.

    Raises `BuildFolderError` for a build that cannot be read.
    """
    for label in labels(build, *DEDUPS, EVALS):
        if step not in {None, label}:
            continue
        with reading(build.path):
            told = contamination_lines(build, label) if label in labels(build, EVALS) else duplicate_lines(build, label)
        if told:
            lines = "".join(f"  {plain(line)}\n" for line in told)
            yield Text.assemble("\n", (label, "bold"), f"\n{lines}".rstrip("\n"))


def _head(name: str) -> Text:
    """Break a long name where it may be broken."""
    return Text(BREAK.sub("\n", name, count=1) if len(name) > LONG else name)


def _cells(row: Sequence[Any]) -> list[Text]:
    return [Text(value if isinstance(value, str) else f"{value:,}" if value else "·") for value in row]
