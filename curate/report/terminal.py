"""Funnel and composition for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from curate.build.folder import Build
from curate.report.settings import percent

WIDTH: Final = 80
"""Columns: what a log gives. A table that is wider stands closer."""

LONG, BREAK = 10, re.compile(r"(?<=[_:-])| (?=\S+$)")
"""A longer name of a column goes on two lines, broken here."""

FIELD: Final = re.compile(r"(?<=[(])\w+=")
"""The name of a take's only field, which nobody writes."""


def funnel_table(build: Build) -> Table:
    """Return the funnel: a line a source, thousands apart, a dot for none. Four sources and steps fit 100 columns."""
    return _table(build.funnel, total=True)


def composition_table(build: Build) -> Table:
    """Return what each source brings against the plan; `tokens` is headed `~tokens` where they are estimated."""
    found = build.composition.with_columns(percent("share"), percent("token_share"))
    units = found["unit"].replace("rows", "")
    take = pl.Series("take", [FIELD.sub("", take) for take in found["take"]])
    found = found.with_columns(take, _with_unit(found["asked"], units), _with_unit(found["delivered"], units))
    tokens = "~tokens" if build.manifest["tokens"] == "estimated" else "tokens"
    return _table(
        found.drop("unit", "available").rename({"tokens": tokens, "token_share": "share of tokens"}), total=False
    )


def _with_unit(amounts: pl.Series, units: pl.Series) -> pl.Series:
    return pl.Series(amounts.name, [f"{amount:,} {unit}".strip() for amount, unit in zip(amounts, units, strict=True)])


def _table(frame: pl.DataFrame, *, total: bool) -> Table:
    """Return a frame as a table: words to the left, numbers to the right."""
    heads = [_head(name) for name in frame.columns]
    rows = [_cells(row) for row in frame.rows()]
    columns = zip(heads, *rows, strict=True)
    width = sum(max(len(line) for cell in column for line in cell.plain.split("\n")) for column in columns)
    gap = 1 if width + 2 * (len(heads) - 1) <= WIDTH else 0
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="left" if head.plain in {"source", "take"} else "right", overflow="fold")
    for place, row in enumerate(rows):
        is_sum = total and place == len(rows) - 1
        if is_sum:
            table.add_section()
        table.add_row(*row, style="bold" if is_sum else "")
    return table


def _head(name: str) -> Text:
    """Break a long name where it may be broken."""
    return Text(BREAK.sub("\n", name, count=1) if len(name) > LONG else name)


def _cells(row: Sequence[Any]) -> list[Text]:
    return [Text(value if isinstance(value, str) else f"{value:,}" if value else "·") for value in row]
