"""The overview of a page: what went in, what came out, and what is wrong, each a line that leads to its section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import polars as pl

from curate.drawing.svg import share
from curate.engine.guards import SUSPICIOUS_ROWS, SUSPICIOUS_SHARE
from curate.report.costs import cost_lines, harm_line
from curate.report.formatting import counted
from curate.result.build import Build
from curate.result.counts import CONTAMINATED

NO_BREAK: Final = "\u00a0"

LISTED: Final = 6
"""Sources that a block names; the rest is counted."""


class OverviewLine(NamedTuple):
    """A line of the overview: a number, what it counts, and the section that it leads to."""

    number: str
    text: str
    section: str


class Overview(NamedTuple):
    """Three blocks of lines."""

    went_in: tuple[OverviewLine, ...]
    came_out: tuple[OverviewLine, ...]
    wrong: tuple[OverviewLine, ...]


def overview(build: Build) -> Overview:
    """Return the overview of a build; the lines lead to sections of its page."""
    return Overview(tuple(_went_in(build)), tuple(_came_out(build)), tuple(_wrong(build)))


def _went_in(build: Build) -> Iterator[OverviewLine]:
    total = build.funnel.row(-1, named=True)
    yield OverviewLine(
        f"{total['read']:,}", f"{_rows(total['read'])} read from {counted(len(build.sources), 'source')}", "sources"
    )
    each = build.funnel.head(-1).sort("read", descending=True, maintain_order=True).select("source", "read").rows()
    for source, read in each[:LISTED]:
        yield OverviewLine(f"{read:,}", source, "funnel")
    if len(each) > LISTED:
        yield OverviewLine(f"{sum(read for _, read in each[LISTED:]):,}", f"in {len(each) - LISTED} more", "funnel")


def _came_out(build: Build) -> Iterator[OverviewLine]:
    total = build.funnel.row(-1, named=True)
    rows, tokens = build.composition.select(pl.col("rows", "tokens").sum()).row(0)
    copies = f", from {total['kept']:,} different" if total["rows"] != total["kept"] else ""
    yield OverviewLine(f"{rows:,}", f"{build.kind} {_rows(rows)} in the data files{copies}", "composition")
    estimated = ", estimated" if build.manifest["tokens"] == "estimated" else ""
    yield OverviewLine(f"{tokens:,}", f"tokens{estimated}", "composition")
    trained = int(build.chart.data("composition").filter(measure="trained tokens")["count"].sum())
    if trained:
        part = share(trained / tokens).replace(" ", NO_BREAK) if tokens else "0"
        yield OverviewLine(f"{trained:,}", f"of them trained, estimated ({part})", "composition")
    for name, split in build.manifest["splits"].items():
        if split["rows"]:
            yield OverviewLine(f"{split['rows']:,}", f"{_rows(split['rows'])} in {name}", "composition")
    if build.paired:
        pairs, rated = counted(total["pairs"], "pair").partition(" "), counted(total["paired"], "rated row")
        yield OverviewLine(pairs[0], f"{pairs[2]} made from {rated}", "funnel")


def _wrong(build: Build) -> Iterator[OverviewLine]:
    """Yield what a reader should look at before using the rows."""
    total = build.funnel.row(-1, named=True)
    if total["quarantined"]:
        number = total["quarantined"]
        text = f"{_rows(number)} could not be read, or {'is' if number == 1 else 'are'} invalid"
        yield OverviewLine(f"{number:,}", text, "quarantined")
    found = build.chart.data("contamination").filter(verdict=CONTAMINATED)
    for step in found["step"].unique(maintain_order=True):
        own = found.filter(step=step)
        pairs = [f"{one['source']} by {one['eval']}" for one in own.head(3).to_dicts()]
        more = f" and {own.height - 3} more" if own.height > 3 else ""
        yield OverviewLine(f"{own.height:,}", f"contaminated: {', '.join(pairs)}{more}", _section(build, step))
    yield from _short(build)
    yield from _suspicious(build)
    yield from _costs(build)
    for source in build.composition.filter(rows=0)["source"]:
        if not any(source in note for note in build.notes):
            yield OverviewLine("0", f"rows of {source} in the data files", "funnel")
    for note in build.notes:
        yield OverviewLine("", note, "funnel")


def _costs(build: Build) -> Iterator[OverviewLine]:
    """Yield what filters take of a topic or language beyond their share, and steps that leave no refusal of harm."""
    for step in build.steps:
        for line in cost_lines(build, step):
            yield OverviewLine("", f"{step} {line}", "costs")
        harm = harm_line(build, step)
        if harm is not None and harm.none_kept:
            yield OverviewLine("", f"{step}: {harm.text}", _section(build, step))


def _short(build: Build) -> Iterator[OverviewLine]:
    for one in build.composition.filter(pl.col("delivered") < pl.col("asked")).to_dicts():
        missing = one["asked"] - one["delivered"]
        what = (
            f"{one['unit'].removesuffix('s')} of {one['source']} is"
            if missing == 1
            else f"{one['unit']} of {one['source']} are"
        )
        yield OverviewLine(f"{missing:,}", f"{what} short of the plan", "composition")


def _suspicious(build: Build) -> Iterator[OverviewLine]:
    """Yield the steps that drop so much of a source that a build would stop if it was not allowed."""
    dropped = build.chart.data("reasons").group_by("step", "source", maintain_order=True)
    large = dropped.agg(pl.col("rows", "share").sum()).filter(
        pl.col("share") > SUSPICIOUS_SHARE, pl.col("rows") >= SUSPICIOUS_ROWS
    )
    for step in large["step"].unique(maintain_order=True):
        own = large.filter(step=step).sort("share", descending=True, maintain_order=True).to_dicts()
        more = f", and of {len(own) - 1} more" if len(own) > 1 else ""
        yield OverviewLine(
            share(own[0]["share"]), f"of {own[0]['source']} dropped by {step}{more}", _section(build, step)
        )


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _section(build: Build, step: str) -> str:
    return f"step-{build.steps.index(step) + 1}"
