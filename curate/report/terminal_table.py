"""A small frame as a table in a terminal."""

from __future__ import annotations

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from curate.report.highlights import plain


def frame_table(frame: pl.DataFrame, *, total: bool = False) -> Table:
    """Return a frame as a table: text left, numbers right, thousands separated, a dot for 0 and null.

    `total`: the last row is the sum of the others and is set apart.
    """
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name, kind in frame.schema.items():
        table.add_column(plain(name), justify="right" if kind.is_numeric() else "left", overflow="fold")
    rows = [[Text(_shown(value)) for value in row] for row in frame.rows()]
    for row in rows[: len(rows) - total]:
        table.add_row(*row)
    if total:
        table.add_section()
        table.add_row(*rows[-1], style="bold")
    return table


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) and value else plain(str(value or "·"))
