"""The page of a comparison of takes: one HTML file that opens offline and escapes all names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from curate.compare.page import ROOM
from curate.drawing.dots import Dot, dots
from curate.drawing.svg import DARK, LIGHT, MIDDLE, fixed, image, share, variables
from curate.mix.ladder import RANDOM
from curate.report.charts.figures import Figure
from curate.report.templates import templates
from curate.result.tables import HtmlTable, TableCell, TableRow

if TYPE_CHECKING:
    from curate.compare.takes import TakeComparison


class Measure(NamedTuple):
    """A figure that is drawn: its column, its title, what it says, and whether it is a share."""

    column: str
    title: str
    note: str
    share: bool = True


MEASURES: Final = (
    Measure("coverage", "Coverage", "distinct 8-grams, of those of all rows"),
    Measure("novelty", "Novelty", "distinct 8-grams of all 8-grams, counted once a row; less where rows share more"),
    Measure("templates", "Templates", "different templates of prompts", share=False),
    Measure("source_drift", "Source drift", "rows that would have to be of another source to have the mix of all rows"),
    Measure("length_drift", "Length drift", "the most by which shares of rows up to any length differ from all rows"),
    Measure("median_tokens", "Length", "tokens of the middle row", share=False),
)

LEAST: Final = 0.05
"""The end of an axis of shares, at least: shares below are all but nothing."""

COLOURS: Final = ("plain", "kept", "out", "third", "second")
"""Of takes in turn; random rows are grey."""


def page(found: TakeComparison) -> str:
    """Return the page as HTML: a pure function of what was measured."""
    return (
        templates(ROOM)
        .get_template("takes.html.j2")
        .render(
            name=found.pools[0].name if found.pools else "",
            seeds=len(found.pools),
            pool=found.pools[0].funnel["rows"][-1] if found.pools else 0,
            table=_table(found.summary),
            figures=[Figure(one.title, one.note, _drawn(found.figures, one)) for one in MEASURES],
            colours=(variables(LIGHT), variables(DARK)),
        )
    )


def cell(found: TakeComparison) -> str:
    """Return the short form for a notebook: the table, and coverage as an image."""
    drawn = image(fixed(_drawn(found.figures, MEASURES[0]), MIDDLE)) if found.figures.height else ""
    return templates(ROOM).get_template("takes_cell.html.j2").render(table=_table(found.summary), chart=drawn)


def _drawn(figures: pl.DataFrame, measure: Measure) -> str:
    value = pl.col(measure.column).cast(pl.Float64)
    grouped = figures.group_by("size", "take", maintain_order=True)
    each = grouped.agg(mean=value.mean(), low=value.min(), high=value.max())
    takes = [name for name in figures["take"].unique(maintain_order=True) if name != RANDOM]
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(takes)}
    found = [
        Dot(_size(str(size)), one["take"], one["mean"], one["low"], one["high"], colour.get(one["take"], "quiet"))
        for (size,), own in each.group_by("size", maintain_order=True)
        for one in own.to_dicts()
    ]
    if measure.share:
        return dots(found, measure.title, share, _percent, LEAST)
    return dots(found, measure.title, _whole, _whole)


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _size(name: str) -> str:
    """Return the name of a folder in words.

    >>> [_size(name) for name in ("1000", "2000-tokens", "0.05")]
    ['1,000 rows', '2,000 tokens', '5 %']
    """
    if "." in name:
        return _percent(float(name))
    number, _, unit = name.partition("-")
    return f"{int(number):,} {unit or 'rows'}"


def _table(summary: pl.DataFrame) -> HtmlTable:
    heads = ["take", "size", "rows", "tokens", "8-grams", "of random's", *(one.title.lower() for one in MEASURES)]
    lines = []
    for one in summary.to_dicts():
        spread = f"{one['times']:.2f}"
        if one["seeds"] > 1:
            spread += f" ({one['times_low']:.2f} to {one['times_high']:.2f})"
        counts = [TableCell(f"{one[name]:,.0f}") for name in ("rows", "tokens", "ngrams")]
        shown = [TableCell(share(one[each.column]) if each.share else f"{one[each.column]:,.0f}") for each in MEASURES]
        names = [TableCell(one["take"], "name"), TableCell(_size(one["size"]), "name")]
        lines.append(TableRow([*names, *counts, TableCell("" if one["take"] == RANDOM else spread), *shown]))
    return HtmlTable([TableCell(head, "name" if head in {"take", "size"} else "wrap") for head in heads], lines)
