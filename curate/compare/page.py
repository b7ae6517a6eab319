"""The page of the difference of two builds: one HTML file that opens offline and escapes all text of the data.

Its first lines answer what most people ask: how many rows entered, left and changed, and what was set otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from curate.compare import frames
from curate.compare.changed_rows import changed_document
from curate.compare.written_settings import WrittenSetting, written
from curate.drawing import differences
from curate.drawing.differences import BeforeAfter, CauseBar
from curate.drawing.svg import DARK, LIGHT, MIDDLE, fixed, image, variables
from curate.report.charts.figures import Figure
from curate.report.page import PAGE_BYTES
from curate.report.templates import templates
from curate.result.browser.browser import DATA_BYTES, ROWS, browser_parts, with_data
from curate.result.tables import HtmlTable, TableCell, TableRow

if TYPE_CHECKING:
    from curate.compare.diff import Diff

ROOM: Final = "curate.compare"
"""Where the templates are."""

LISTED: Final = 200
"""Lines of a table, at most; the page says how many are left out."""

SETTINGS: Final = 200
"""Settings listed, at most."""

HISTOGRAMS: Final = 60
"""Scores drawn, at most."""

CHANGED: Final = ("entered", "left", "changed")


class Shortened(NamedTuple):
    """The first lines of a table, and how many more there are."""

    table: HtmlTable
    more: int


class ScoreFigures(NamedTuple):
    """The scores of a step that are not the same in both builds."""

    step: str
    figures: tuple[Figure, ...]


class SharedScores(NamedTuple):
    """The scores of both builds: those that differ, how many are the same, have one value, and are left out."""

    steps: tuple[ScoreFigures, ...]
    same: int
    single: int
    more: int


class NamedSetting(NamedTuple):
    """A setting that differs, by its name."""

    name: str
    written: WrittenSetting


def page(found: Diff) -> str:
    """Return the page as HTML: a pure function of the files of both builds, of at most `PAGE_BYTES`."""
    composition = frames.composition(found)
    html = (
        templates(ROOM)
        .get_template("diff.html.j2")
        .render(
            diff=found,
            names=_names(found),
            counts=_counts(found),
            settings=_settings(found),
            more_settings=max(len(found.settings) - SETTINGS, 0),
            causes=_causes(found),
            composition=_composition(composition),
            drawn=_drawn(composition),
            estimated=any(build.manifest["tokens"] == "estimated" for build in (found.a, found.b)),
            funnel=_funnel(found),
            by_source=_by_source(found),
            scores=_scores(found),
            colours=(variables(LIGHT), variables(DARK)),
            browser=browser_parts(),
        )
    )
    budget = min(DATA_BYTES, PAGE_BYTES - len(html.encode()))
    return with_data(html, changed_document(found, ROWS, budget)) if found.rows.height and budget > 0 else html


def cell(found: Diff) -> str:
    """Return the short form for a notebook: counts, settings, and rows by cause."""
    drawn = image(fixed(_cause_chart(found), MIDDLE)) if found.rows.height else ""
    return (
        templates(ROOM)
        .get_template("diff_cell.html.j2")
        .render(
            diff=found,
            names=_names(found),
            counts=_counts(found),
            settings=_settings(found)[:LISTED_IN_CELL],
            more_settings=max(len(found.settings) - LISTED_IN_CELL, 0),
            chart=drawn,
        )
    )


LISTED_IN_CELL: Final = 12
"""Settings listed in a notebook cell."""


def _names(found: Diff) -> tuple[str, str]:
    """Return what the builds are called: their mixtures, or where these have one name, with the fingerprints."""
    names = [build.name for build in (found.a, found.b)]
    prints = [str(build.manifest["fingerprint"])[:12] for build in (found.a, found.b)]
    if names[0] != names[1]:
        return names[0], names[1]
    return f"{names[0]} {prints[0]}", f"{names[1]} {prints[1]}"


def _counts(found: Diff) -> dict[str, int]:
    counts = dict(found.rows.group_by("change").len().rows())
    return {"same": found.same} | {change: counts.get(change, 0) for change in CHANGED}


def _settings(found: Diff) -> list[NamedSetting]:
    return [NamedSetting(setting.name, written(setting)) for setting in found.settings[:SETTINGS]]


def _cause_chart(found: Diff) -> str:
    counts = frames.causes(found).group_by("cause", maintain_order=True).agg(pl.col(CHANGED).sum())
    lines = [CauseBar(one["cause"], one["left"], one["entered"], one["changed"]) for one in counts.to_dicts()]
    return differences.causes(lines)


def _causes(found: Diff) -> tuple[Figure, Shortened] | None:
    if not found.rows.height:
        return None
    counts = frames.causes(found)
    lines = [
        TableRow([_name(one["cause"]), _name(one["source"]), *(_count(one[change]) for change in CHANGED)])
        for one in counts.head(LISTED).to_dicts()
    ]
    sums = counts.select(pl.col(CHANGED).sum()).row(0)
    total = TableRow([_name("total"), _name(""), *map(_count, sums)], is_total=True)
    heads = [_name("cause"), _name("source"), *map(TableCell, CHANGED)]
    note = "A cause is why the build without a row does not have it, or what changed of a row that both have."
    return Figure("", note, _cause_chart(found)), Shortened(
        HtmlTable(heads, [*lines, total]), max(counts.height - LISTED, 0)
    )


def _composition(frame: pl.DataFrame) -> Shortened:
    """Return rows and tokens of each source, before and now, with what they are more or less."""
    rows, tokens = (frame.filter(measure=measure).to_dicts() for measure in ("rows", "tokens"))
    heads = [
        _name("source"),
        *(TableCell(f"{measure} {what}", "wrap") for measure in ("rows", "tokens") for what in SIDES),
    ]
    lines = [
        TableRow([_name(one["source"]), *_both(one), *_both(other)])
        for one, other in list(zip(rows, tokens, strict=True))[:LISTED]
    ]
    sums = frame.group_by("measure").agg(pl.col("before", "after", "difference").sum())
    whole = [sums.filter(measure=measure).row(0, named=True) for measure in ("rows", "tokens")]
    total = [cell for one in whole for cell in _both(one | {"share_before": None, "share_after": None})]
    return Shortened(
        HtmlTable(heads, [*lines, TableRow([_name("total"), *total], is_total=True)]), max(len(rows) - LISTED, 0)
    )


SIDES: Final = ("before", "now", "difference", "share before", "share now")


def _both(one: dict[str, Any]) -> list[TableCell]:
    shares = [TableCell("" if one[name] is None else f"{one[name]:.1%}") for name in ("share_before", "share_after")]
    return [_count(one["before"]), _count(one["after"]), _difference(one["difference"]), *shares]


def _drawn(frame: pl.DataFrame) -> list[Figure]:
    figures = []
    for measure in ("rows", "tokens"):
        lines = [
            BeforeAfter(one["source"], one["before"], one["after"]) for one in frame.filter(measure=measure).to_dicts()
        ]
        title = f"{measure.capitalize()} in the data files, by source"
        if any(one.before or one.after for one in lines):
            figures.append(Figure(title, "", differences.before_after(lines, measure, title=title)))
    return figures


def _funnel(found: Diff) -> HtmlTable:
    """Return how many rows each stage took of all sources together, before and now."""
    total = frames.funnel(found).filter(source="total")
    return HtmlTable(
        [_name("stage"), *map(TableCell, SIDES[:3])],
        [TableRow([_name(one["stage"]), *_stage(one)]) for one in total.to_dicts()],
    )


def _by_source(found: Diff) -> Shortened | None:
    """Return the stages of each source that are not the same in both builds."""
    frame = frames.funnel(found).filter(pl.col("source") != "total", pl.col("before").ne_missing(pl.col("after")))
    frame = frame.filter(pl.col("difference") != 0)
    if not frame.height:
        return None
    heads = [_name("source"), _name("stage"), *map(TableCell, SIDES[:3])]
    lines = [
        TableRow([_name(one["source"]), _name(one["stage"]), *_stage(one)]) for one in frame.head(LISTED).to_dicts()
    ]
    return Shortened(HtmlTable(heads, lines), max(frame.height - LISTED, 0))


def _stage(one: dict[str, Any]) -> list[TableCell]:
    sides = [TableCell("not there") if one[name] is None else _count(one[name]) for name in ("before", "after")]
    return [*sides, _difference(one["difference"])]


def _scores(found: Diff) -> SharedScores:
    """Return a histogram of each shared score whose counts or limits are not the same."""
    bounds = {(one.step, one.name): (one.bounds, other.bounds) for one, other in frames.shared_scores(found)}
    steps: dict[str, list[Figure]] = {}
    same = single = more = 0
    for (step, name), own in frames.scores(found).group_by("step", "score", maintain_order=True):
        before, now = bounds[str(step), str(name)]
        if before == now and own["before"].equals(own["after"]):
            same += 1
        elif own.height < 2:
            single += 1
        elif sum(map(len, steps.values())) == HISTOGRAMS:
            more += 1
        else:
            note = " → ".join(f"{int(own.filter(out)[rows].sum()):,}" for out, rows in OUTSIDE)
            drawn = differences.mirrored(own, before, now)
            steps.setdefault(str(step), []).append(Figure(str(name), f"outside a limit: {note}", drawn))
    return SharedScores(tuple(ScoreFigures(step, tuple(own)) for step, own in steps.items()), same, single, more)


OUTSIDE: Final = (("outside_before", "before"), ("outside_after", "after"))


def _name(text: str) -> TableCell:
    return TableCell(text, "name")


def _count(value: int) -> TableCell:
    return TableCell(f"{value:,}" if value else None)


def _difference(value: int) -> TableCell:
    return TableCell(f"{value:+,}" if value else None, "more" if value > 0 else "less" if value < 0 else "")
