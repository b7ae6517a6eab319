"""Tables for the terminal, and the funnel and the findings of a build."""

from __future__ import annotations

import re
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from curate.report.contamination import contamination_lines
from curate.report.costs import cost_lines, harm_line
from curate.report.duplicates import duplicate_lines
from curate.report.finding_tables import finding_tables, table_line
from curate.result.build import Build
from curate.result.folder import reading
from curate.text.unseen import coded

WIDTH: Final = 80
"""Columns of a log; a wider table has no gaps."""

LONG, BREAK = 10, re.compile(r"(?<=[_:-])| (?=\S+$)")
"""A longer column name takes two lines, broken here."""


class FirstToFit(NamedTuple):
    """Shows the first of some tables that is no wider than the terminal; without any, the first, with broken words."""

    tables: tuple[Table, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Give the table; Rich calls this."""
        free = options.update(width=sys.maxsize)
        fit = (table for table in self.tables if console.measure(table, options=free).maximum <= options.max_width)
        yield next(fit, self.tables[0])


def funnel_table(build: Build) -> FirstToFit:
    """Return the funnel, thousands separated, a dot for 0: one row per source, in a narrow terminal one column."""
    heads = [_head(name) for name in build.funnel.columns]
    rows = [_cells(row) for row in build.funnel.rows()]
    sources, *counts = columns = list(zip(heads, *rows, strict=True))
    width = sum(max(len(line) for cell in column for line in cell.plain.split("\n")) for column in columns)
    gap = 1 if width + 2 * (len(heads) - 1) <= WIDTH else 0
    by_step = [(Text(name), *cells) for name, (_, *cells) in zip(build.funnel.columns[1:], counts, strict=True)]
    turned = plain_table([Text(""), *sources[1:]], by_step, left={""}, gap=1)
    return FirstToFit((plain_table(heads, rows, left={"source"}, gap=gap, total=True), turned))


def published(build: Build) -> Iterator[Text]:
    """Give how many sources have as many rows as were published, and what explains each that has not."""
    if not build.manifest.get("published"):
        return
    lines = build.reproduction().filter(pl.col("source") != "total", pl.col("published").is_not_null())
    other = lines.filter(pl.col("difference").fill_null(1) != 0)
    yield Text(f"\n{lines.height - other.height} of {lines.height} published sources have as many rows as published")
    for line in other.to_dicts():
        differs = "" if line["difference"] is None else f"{line['difference']:+,} rows: "
        yield Text(coded(f"  {line['source']}: {differs}{line['why']}"))


def notes(build: Build) -> Iterator[Text]:
    """Give a line for each note on the sources of a build."""
    yield from (Text(f"note: {coded(note)}", style="yellow") for note in build.notes)


def findings(build: Build, step: str | None = None) -> Iterator[Text]:
    """Give a paragraph for each step (or one of them) with findings: duplicates, contamination, tables."""
    for label in build.steps if step is None else [step]:
        with reading(build.path):
            lines = _finding_lines(build, label)
        if lines:
            shown = "".join(f"  {coded(line)}\n" for line in lines)
            yield Text.assemble("\n", (label, "bold"), f"\n{shown}".rstrip("\n"))


def _finding_lines(build: Build, label: str) -> list[str]:
    lines = contamination_lines(build, label) if label in build.steps_with("contamination") else []
    lines += duplicate_lines(build, label) if label in build.steps_with("duplicates") else []
    lines += cost_lines(build, label)
    harm = harm_line(build, label)
    lines += [] if harm is None else [f"warning: {harm.whole}" if harm.none_kept else harm.whole]
    return lines + [table_line(table) for table in finding_tables(build, label)]


def _head(name: str) -> Text:
    """Break a long name into two lines."""
    return Text(BREAK.sub("\n", name, count=1) if len(name) > LONG else name)


def _cells(row: Sequence[Any]) -> list[Text]:
    return [Text(value if isinstance(value, str) else f"{value:,}" if value else "·") for value in row]


def frame_table(frame: pl.DataFrame, *, total: bool = False) -> Table:
    """Return a frame as a table: text left, numbers right, a dot for 0 and null; `total`: its last row is set apart."""
    left = {coded(name) for name, kind in frame.schema.items() if not kind.is_numeric()}
    rows = [[Text(_shown(value)) for value in row] for row in frame.rows()]
    return plain_table([Text(coded(name)) for name in frame.columns], rows, left=left, gap=2, total=total)


def plain_table(
    heads: Iterable[Text],
    rows: Sequence[Sequence[Text]],
    *,
    left: Container[str],
    gap: int = 1,
    edge: bool = False,
    total: bool = False,
) -> Table:
    """Return a table: columns named in `left` to the left, others to the right; the row of a total is set apart."""
    table = Table(box=SIMPLE_HEAD, show_edge=edge, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="left" if head.plain in left else "right", overflow="fold")
    for row in rows[: len(rows) - total]:
        table.add_row(*row)
    if total:
        table.add_section()
        table.add_row(*rows[-1], style="bold")
    return table


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) and value else coded(str(value or "·"))
