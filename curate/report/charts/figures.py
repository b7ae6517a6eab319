"""The charts of a page: those that have something to show, each with a note and its numbers as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import polars as pl

from curate.drawing import bars, flow, grids, histograms
from curate.drawing.grids import HeatCell
from curate.drawing.svg import share
from curate.result import tables
from curate.result.build import Build
from curate.result.charts.scores import scored
from curate.result.tables import HtmlTable, TableCell, TableRow

ESTIMATED: Final = "Trained tokens are those of answers, estimated."


class Figure(NamedTuple):
    """A chart with its title, a note, and its numbers, where no other table of the page has them."""

    title: str
    note: str
    svg: str
    numbers: HtmlTable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCharts:
    """The charts of a page; those with nothing to show are None, or not in their list."""

    flow: Figure | None = None
    composition: Figure | None = None
    lengths: Figure | None = None
    languages: Figure | None = None
    agreement: Figure | None = None
    reasons: Figure | None = None
    costs: Figure | None = None
    pairs: tuple[Figure, ...] = ()
    scores: dict[str, tuple[Figure, ...]] = field(default_factory=dict)
    alike: dict[str, int] = field(default_factory=dict)
    contamination: dict[str, Figure] = field(default_factory=dict)


def page_charts(build: Build) -> PageCharts:
    """Return the charts of a build; `alike` counts the scores of a step that are the same for every row."""
    data = build.chart.data
    read = bool(build.funnel["read"][-1]) if build.funnel.height else False
    histograms_of, alike = _scores(build)
    return PageCharts(
        flow=Figure("", "", flow_svg(build)) if read else None,
        composition=Figure("", ESTIMATED, flow.composition(data("composition"))) if data("lengths").height else None,
        lengths=_lengths(build),
        languages=Figure("", "", bars.languages(data("languages"))) if data("languages").height else None,
        agreement=_agreement(build),
        reasons=_reasons(build),
        costs=_costs(build),
        pairs=tuple(_pairs(build)),
        scores=histograms_of,
        alike=alike,
        contamination=_contamination(build),
    )


def flow_svg(build: Build) -> str:
    """Return the flow of rows of a build, in the colours that its funnel has in tables."""
    return flow.flow(build.chart.data("funnel"), tables.fate_colours(build.funnel.columns))


def _lengths(build: Build) -> Figure | None:
    frame = build.chart.data("lengths")
    if not frame.height:
        return None
    estimated = build.manifest["tokens"] == "estimated"
    unit = "tokens, estimated" if estimated else "tokens"
    title = "Lengths of the rows of each source"
    note = "The bar is the middle half of the rows of a source, the line goes from the 5th to the 95th percentile."
    return Figure("", note, bars.strips(frame, "source", unit, title=title), numbers(frame))


def _agreement(build: Build) -> Figure | None:
    frame = build.chart.data("agreement")
    if not frame.filter(pl.col("steps").list.len() > 1).height:
        return None
    note = (
        "Every filter scores every row that it sees, also those that another filter drops. A bar counts the rows that "
        "exactly the filters with a dot below it would drop. Groups, such as dedup, see only what is left: they are "
        "not here."
    )
    shown = frame.with_columns(pl.col("steps").list.join(" and "))
    return Figure("Filters that would drop the same rows", note, grids.agreement(frame, build.steps), numbers(shown))


def _reasons(build: Build) -> Figure | None:
    frame = build.chart.data("reasons")
    if not frame.height:
        return None
    named = frame.with_columns(name=pl.format("{}: {}", "step", "reason"))
    cells = {
        (one["name"], one["source"]): HeatCell(
            one["rows"], one["share"], f"{one['name']}, {one['source']}: {one['rows']:,} rows, {share(one['share'])}"
        )
        for one in named.to_dicts()
    }
    rows = named["name"].unique(maintain_order=True).to_list()
    title = "Rows dropped, by reason and source"
    drawn = grids.heat(cells, rows, _with_any(build, named), title=title, left_out="reasons or sources")
    note = "The colour is the share of the source's rows, the number counts them."
    return Figure("Reasons by source", note, drawn, numbers(frame))


def _costs(build: Build) -> Figure | None:
    frame = build.chart.data("costs")
    if not frame.height:
        return None
    note = "The line within a bar begins at the lower bound of the share, at three standard errors."
    return Figure("", note, bars.costs(frame), numbers(frame.drop("above")))


def _with_any(build: Build, frame: pl.DataFrame) -> list[str]:
    found = set(frame["source"])
    known = [source for source in build.sources if source in found]
    return [*known, *sorted(found - set(known))]


def _contamination(build: Build) -> dict[str, Figure]:
    """Return a heat map for each decontaminate step that found items of an eval in a source."""
    frame, found = build.chart.data("contamination"), {}
    for label in build.steps_with("contamination"):
        own = frame.filter(pl.col("step") == label, pl.col("rows") > 0)
        if own.height < 2:
            continue  # the table beside it says as much
        cells = {
            (one["eval"], one["source"]): HeatCell(
                one["rows"],
                one["item_share"],
                f"{one['eval']} in {one['source']}: {one['rows']:,} rows with {one['items']:,} items, "
                f"{share(one['item_share'])} of the eval",
            )
            for one in own.to_dicts()
        }
        evals = sorted({one for one, _ in cells})
        title = "Eval items found in each source"
        drawn = grids.heat(cells, evals, _with_any(build, own), title=title, left_out="evals or sources")
        note = "The colour is the share of the eval's items that the source has, the number counts rows with an item."
        found[label] = Figure("", note, drawn)
    return found


def _scores(build: Build) -> tuple[dict[str, tuple[Figure, ...]], dict[str, int]]:
    """Return the histograms of each filter, and how many of its scores are the same for every row."""
    frame = build.chart.data("scores")
    parts = dict(frame.group_by("step", "score", maintain_order=True))
    found: dict[str, list[Figure]] = {}
    alike: dict[str, int] = {}
    for one in scored(build):
        own = parts.get((one.step, one.name))
        if own is None:
            continue
        if own.height < 2:
            alike[one.step] = alike.get(one.step, 0) + 1
            continue
        outside = int(own.filter("outside")["rows"].sum())
        note = f"{outside:,} of {own['rows'].sum():,} rows outside" if one.limited else "no limit"
        found.setdefault(one.step, []).append(Figure(one.name, note, histograms.score(own, one.bounds)))
    return {step: tuple(figures) for step, figures in found.items()}, alike


def _pairs(build: Build) -> Iterable[Figure]:
    """Yield the charts of preferences."""
    data = build.chart.data
    difference, margins, labels, wins = (
        data(name) for name in ("length_difference", "margins", "label_lengths", "win_rate")
    )
    if difference.height:
        note = (
            "Were length no part of the choice, each bar would end at its mark, which counts the opposite difference."
        )
        yield Figure("Length against label", note, histograms.length_difference(difference), numbers(difference))
    if margins.height > 1:
        yield Figure("Margins", "", histograms.margins(margins), numbers(margins))
    if labels.height:
        named = labels.with_columns(pl.col("label").replace_strict({True: "desirable", False: "undesirable"}))
        title = "Lengths of completions by label"
        drawn = bars.strips(named, "label", "tokens, estimated", title=title)
        yield Figure(title, "", drawn, numbers(named))
    if wins.height:
        note = "Of the comparisons of two answers that the data files name models for; a tie is half a win."
        yield Figure("Wins of each model", note, bars.win_rate(wins), numbers(wins))


def numbers(frame: pl.DataFrame, most: int = 200) -> HtmlTable:
    """Return a frame as a plain table, for those who do not see the chart."""
    kinds = [kind.is_numeric() for kind in frame.dtypes]
    heads = [
        TableCell(name.replace("_", " "), "" if is_number else "name")
        for name, is_number in zip(frame.columns, kinds, strict=True)
    ]
    rows = [TableRow([_cell(value) for value in line]) for line in frame.head(most).rows()]
    return HtmlTable(heads, rows)


def _cell(value: object) -> TableCell:
    if isinstance(value, str) or value is None:
        return TableCell(value, "name")
    if isinstance(value, float):
        return TableCell(f"{value:,.4g}")
    return TableCell(f"{value:,}")
