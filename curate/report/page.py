"""The page of a build: one HTML file that opens offline and escapes all text of the data.

One script browses rows, and one moves limits; all else needs none.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

import polars as pl
from markupsafe import Markup

from curate.drawing.svg import DARK, LIGHT, variables
from curate.report.charts.answers import answer_section
from curate.report.charts.figures import page_charts
from curate.report.contamination import Contamination, contamination, first_staying
from curate.report.costs import HarmLine, cost_notes, harm_line
from curate.report.dropped_rows import SHOWN, DroppedRow, dropped_rows, lowest_dropped
from curate.report.duplicates import Duplicates, duplicates, shown_duplicates
from curate.report.finding_tables import FindingTable, finding_tables
from curate.report.formatting import settings
from curate.report.overview import overview
from curate.report.templates import templates
from curate.result import tables
from curate.result.browser.browser import DATA_BYTES, ROWS, browser_parts, with_data
from curate.result.browser.sample import Sample, sample
from curate.result.browser.shown_rows import document, shown_rows
from curate.result.browser.stored_texts import texts_in_memory
from curate.result.browser.verdicts import survivor_names
from curate.result.build import Build
from curate.result.charts.sliders import limits_data, slider_parts
from curate.result.tables import HtmlTable
from curate.rows.schema import Kind

QUARANTINED: Final = 50
"""Quarantined rows listed for each source."""

PAGE_BYTES: Final = 6_000_000
"""The size of a page, at most, and what of it is for all but the data of the browser."""
WRITTEN_BYTES: Final = 3_000_000

FEWER: Final = (SHOWN, 3, 1, 0)
"""Rows shown of each reason: fewer where the page would be too large."""


class ReasonRows(NamedTuple):
    """A reason of a step: how many rows it dropped, of which sources, and some of them."""

    name: str
    dropped: int
    sources: tuple[tuple[str, int], ...]
    rows: tuple[DroppedRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedStep:
    """A step as it ran: the rows it dropped, by reason, or changed, and its findings."""

    label: str
    kind: str
    settings: str
    dropped: int
    changed: int
    reasons: tuple[ReasonRows, ...]
    duplicates: Duplicates | None
    contamination: Contamination | None
    tables: tuple[FindingTable, ...]
    harm: HarmLine | None


def page(build: Build) -> str:
    """Return the page of `build` as HTML: a pure function of the files in its folder.

    All text of the data is escaped; direction marks and other invisible characters are named. Long texts are cut around
    the hits, and say how many characters are left out. It has at most `PAGE_BYTES`: where a build has so much to say
    that they are not enough for ten rows of each reason, fewer are shown, and the browser of rows takes what is left.
    """
    with ThreadPoolExecutor(1, "curate") as pool:
        measured = pool.submit(getattr, build, "text_measures")
        limits, rows = limits_data(build), sample(build, ROWS)
        with texts_in_memory(build, _shown_rows(build, rows), build.seen_rows.texts):
            browsed = shown_rows(build, rows.rows, build.seen_rows)
            measured.result()
            for shown in FEWER:
                written = _without_data(build, shown, limits)
                size = len(written.encode())
                if size <= WRITTEN_BYTES:
                    break
        budget = min(DATA_BYTES, PAGE_BYTES - size)
        return with_data(written, document(build, browsed, rows.total, budget)) if budget > 0 else written


def _shown_rows(build: Build, rows: Sample) -> dict[Kind, pl.DataFrame]:
    """Return `source` and `id` of all rows of each kind whose text the page shows."""
    found = {kind: [lowest_dropped(build, kind), rows.rows.filter(kind=kind)] for kind in build.kinds}
    for label in build.steps_with("duplicates"):
        shown = shown_duplicates(build, label)
        found[build.kind_of_step(label)] += [] if shown is None else [shown.keys]
    for label in build.steps_with("contamination"):
        found[build.kind_of_step(label)].append(first_staying(build, label))
    keys = {kind: pl.concat([part.select("source", "id") for part in parts]).unique() for kind, parts in found.items()}
    return {kind: pl.concat([own, survivor_names(build, own, kind)]).unique() for kind, own in keys.items()}


def _without_data(build: Build, shown: int, limits: Markup) -> str:
    """Return the page without the data of the browser; it shows up to `shown` rows of each reason."""
    manifest = build.manifest
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            build=build,
            manifest=manifest,
            funnel=tables.funnel(build.funnel, bars=False),
            overview=overview(build),
            charts=page_charts(build),
            colours=(variables(LIGHT), variables(DARK)),
            composition=tables.composition(build.composition, estimated=manifest["tokens"] == "estimated"),
            languages=tables.languages(build.languages) if build.tells_languages else None,
            lengths=_lengths(build),
            reproduction=tables.reproduction(build.reproduction()) if manifest.get("published") else None,
            licences=_licences(build),
            costs=cost_notes(build),
            answers=answer_section(build),
            total=build.funnel.row(-1, named=True),
            steps=_steps(build, shown),
            browser=browser_parts(),
            sliders=slider_parts(),
            limits=limits,
            quarantined=_quarantined(build),
        )
    )


def _licences(build: Build) -> HtmlTable | None:
    """Return the table of licences, if rows name their own or the mixture declares a use."""
    use = build.manifest.get("use")
    by_row = any("licences" in source for source in build.manifest["sources"])
    return tables.licences(build.licences, use) if use or by_row else None


def _lengths(build: Build) -> list[tuple[str, HtmlTable]]:
    """Return the length-bias tables of a pairs build: overall bias, and rows dropped per balancing step."""
    if build.kind != "preference" or not build.funnel["kept"][-1]:
        return []
    balanced = build.steps_with("length_cost")
    costs = [(f"Dropped by {label}", tables.length_cost(build.length_cost(label))) for label in balanced]
    return [("", tables.length_bias(build.length_bias())), *costs]


def _steps(build: Build, shown: int) -> list[ReportedStep]:
    lines = build.lines
    counts = lines.filter(pl.col("fate") == "dropped").group_by("step", "reason", "source").len().collect().to_dicts()
    edits = lines.select(pl.col("edited").explode()).drop_nulls().group_by("edited").len().collect()
    changed = dict(edits.rows())
    rows = dropped_rows(build, n=shown)
    steps = []
    for step in build.manifest["steps"]:
        label = step["label"]
        own = [count for count in counts if count["step"] == label]
        reasons = _reasons(own, [row for row in rows if row.step == label], build.sources)
        reported = ReportedStep(
            label=label,
            kind=step["kind"],
            settings=settings(step["step"]),
            dropped=sum(reason.dropped for reason in reasons),
            changed=changed.get(label, 0),
            reasons=reasons,
            duplicates=duplicates(build, label),
            contamination=contamination(build, label),
            tables=finding_tables(build, label),
            harm=harm_line(build, label),
        )
        steps.append(reported)
    return steps


def _reasons(counts: list[dict[str, Any]], rows: Iterable[DroppedRow], sources: list[str]) -> tuple[ReasonRows, ...]:
    """Group the counts of one step by reason, the most frequent first."""
    shown = {name: tuple(found) for name, found in groupby(rows, key=lambda row: row.reason)}
    found = []
    for name in sorted({count["reason"] for count in counts}):
        by_source = {count["source"]: count["len"] for count in counts if count["reason"] == name}
        ordered = tuple((source, by_source[source]) for source in sources if source in by_source)
        found.append(ReasonRows(name, sum(by_source.values()), ordered, shown.get(name, ())))
    return tuple(sorted(found, key=lambda reason: (-reason.dropped, reason.name)))


def _quarantined(build: Build) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Return, for each source with quarantined rows, how many there are and the first of them."""
    found = []
    for source in build.manifest["sources"]:
        count = source["fates"]["quarantined"]
        if count:
            lines = build.quarantined(source["name"]).sort("file", "line", "column").head(QUARANTINED)
            found.append((source["name"], count, lines.to_dicts()))
    return found
