"""Heat maps and sets, drawn as SVG: what is where, and which filters agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import cos, radians, sin, sqrt
from typing import Final, NamedTuple

import polars as pl

from curate.drawing.flow import TURN
from curate.drawing.svg import CHARACTER, bar, count, gutter, label, line, name_width, picture, share, short

CELL: Final = (46.0, 24.0)
COLUMN_NAME, ROW_NAME = 18, 36
COLUMNS, ROWS = 24, 30
"""Columns and rows of a heat map; more are left out, and counted."""

SETS: Final = 20


class HeatCell(NamedTuple):
    """A cell: the number that is written in it, the share that colours it, and what it says.

    `about` is for those who do not see the chart, by default number and share.
    """

    rows: int
    share: float
    title: str
    about: str = ""


def heat(
    cells: Mapping[tuple[str, str], HeatCell], rows: Sequence[str], columns: Sequence[str], *, title: str, left_out: str
) -> str:
    """Draw counts by row and column; the colour is the square root of the share, so that small ones are seen."""
    shown_rows = _largest(rows, 0, cells, ROWS)
    shown_columns = _largest(columns, 1, cells, COLUMNS)
    names = [short(name, COLUMN_NAME) for name in shown_columns]
    longest = max((CHARACTER * name_width(name.shown) for name in names), default=0)
    top, (wide, high) = 26 + longest * sin(radians(TURN)), CELL
    edge = gutter(shown_rows, ROW_NAME)
    width = edge + wide * len(names) + longest * cos(radians(TURN)) - wide / 2 + 16
    body = []
    for place, shown in enumerate(names):
        body.append(label(edge + wide * (place + 0.5), top - 8, shown, turn=-TURN))
    most = max((cell.share for cell in cells.values()), default=1) or 1
    for row, name in enumerate(shown_rows):
        y = top + high * row
        body += [
            label(edge - 8, y + 16, short(name, ROW_NAME), anchor="end"),
            line(edge, y, edge + wide * len(names), y),
        ]
        for column, across in enumerate(shown_columns):
            cell = cells.get((name, across))
            if cell is None or not cell.rows:
                continue
            x, deep = edge + wide * column, 0.12 + 0.88 * sqrt(cell.share / most)
            body.append(bar(x + 1, y + 1, wide - 2, high - 2, "heat", cell.title, f' fill-opacity="{deep:.2f}"'))
            text = label(x + wide / 2, y + 16, count(cell.rows), anchor="middle", size=11)
            body.append(text)
    bottom = top + high * len(shown_rows)
    body.append(line(edge, bottom, edge + wide * len(names), bottom))
    missing = len(rows) - len(shown_rows) + len(columns) - len(shown_columns)
    if missing:
        body.append(
            label(8, bottom + 18, f"{missing} more {left_out} with fewer are not shown", colour="soft", size=11)
        )
    about = "; ".join(
        cell.about or f"{row}, {column}: {cell.rows:,}, {share(cell.share)}"
        for (row, column), cell in _first(cells, 20)
    )
    return picture(max(width, SMALLEST), bottom + (26 if missing else 4), title, about or "Nothing", body)


SMALLEST: Final = 300.0


def _first(cells: Mapping[tuple[str, str], HeatCell], most: int) -> list[tuple[tuple[str, str], HeatCell]]:
    return sorted(cells.items(), key=lambda item: (-item[1].share, item[0]))[:most]


def _largest(names: Sequence[str], side: int, cells: Mapping[tuple[str, str], HeatCell], most: int) -> list[str]:
    """Return the names with the largest counts, in their order; those with nothing at all go first."""
    sums = dict.fromkeys(names, 0)
    for key, cell in cells.items():
        sums[key[side]] += cell.rows
    largest = set(sorted(names, key=lambda name: (-sums[name], names.index(name)))[:most])
    return [name for name in names if name in largest]


def agreement(
    frame: pl.DataFrame, steps: Sequence[str], *, title: str = "Filters that would drop the same rows"
) -> str:
    """Draw `curate.result.charts.scores.agreement`: a bar for each set of filters, and dots for those in the set."""
    sets = frame.head(SETS).to_dicts()
    used = [step for step in steps if any(step in one["steps"] for one in sets)]
    pitch, tall, top, edge = 34.0, 110.0, 20.0, gutter(used)
    most, rows_at = max(one["rows"] for one in sets), top + tall + 18
    right = edge + pitch * len(sets)
    body = []
    for row, step in enumerate(used):
        y = rows_at + 24 * row
        body += [label(edge - 10, y + 4, short(step), anchor="end"), line(edge, y, right, y)]
    for place, one in enumerate(sets):
        x = edge + pitch * (place + 0.5)
        height = max(tall * one["rows"] / most, 2)
        names = " and ".join(one["steps"])
        body.append(bar(x - 10, top + tall - height, 20, height, "out", f"{names}: {one['rows']:,} rows"))
        body.append(label(x, top + tall - height - 5, count(one["rows"]), anchor="middle", colour="soft", size=11))
        inside = [rows_at + 24 * row for row, step in enumerate(used) if step in one["steps"]]
        body += [line(x, inside[0], x, inside[-1], "ink", 2)] if len(inside) > 1 else []
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="var(--c-ink)"/>' for y in inside]
    body.append(label(edge - 10, top + 10, "rows", anchor="end", colour="soft", size=11))
    bottom = rows_at + 24 * len(used)
    left = frame.height - len(sets)
    if left:
        body.append(label(edge, bottom + 8, f"{left} more sets are not shown", colour="soft", size=11))
    words = "; ".join(f"{' and '.join(one['steps'])}: {one['rows']:,} rows" for one in sets)
    return picture(max(right + 12, SMALLEST), bottom + (16 if left else 0), title, words, body)
