"""The page of a build: one HTML file that opens offline, needs no script, and shows text without trusting it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final, NamedTuple

import polars as pl
from markupsafe import Markup

from curate.report.contamination import Contamination, contamination
from curate.report.dropped_rows import Fallen, fallen
from curate.report.duplicates import Duplicates, duplicates
from curate.report.formatting import settings
from curate.report.templates import templates
from curate.result.build import Build
from curate.result.tables import STYLE, composition_html, cost_html, funnel_html, languages_html, length_html

QUARANTINED: Final = 50
"""Quarantined rows listed for each source."""


class Reason(NamedTuple):
    """A reason of a step: how many rows fell with it, of which source, and some of them."""

    name: str
    fell: int
    sources: tuple[tuple[str, int], ...]
    rows: tuple[Fallen, ...]


class Ran(NamedTuple):
    """A step as it ran: what it dropped, by reason, how many rows it changed, and what it found in all of them."""

    label: str
    kind: str
    settings: str
    dropped: int
    changed: int
    reasons: tuple[Reason, ...]
    duplicates: Duplicates | None
    contamination: Contamination | None


def page(build: Build) -> str:
    """Return the page of `build` as HTML: a pure function of the files in its folder.

    All text that came in with the data is escaped; direction marks and other unseen characters are named instead of
    obeyed. Long texts are cut around what was found in them, and say how much is left out.
    """
    manifest = build.manifest
    funnel = build.funnel
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            build=build,
            manifest=manifest,
            style=Markup(STYLE),  # noqa: S704  our own
            funnel=Markup(funnel_html(funnel)),  # noqa: S704  escaped where it is made
            composition=Markup(composition_html(build.composition, estimated=manifest["tokens"] == "estimated")),  # noqa: S704
            languages=Markup(languages_html(build.languages)) if build.tells_languages else "",  # noqa: S704
            lengths=_lengths(build),
            total=funnel.row(-1, named=True),
            steps=_steps(build),
            quarantined=_quarantined(build),
        )
    )


def _lengths(build: Build) -> list[tuple[str, Markup]]:
    """Return, of a build of pairs, what length tells of them, and what each step that balances it took; with titles."""
    if build.kind != "preference" or not build.funnel["kept"][-1]:
        return []
    balanced = [step["label"] for step in build.manifest["steps"] if step["step"]["type"] == "BalanceLength"]
    costs = [(f"What {label} took", cost_html(build.length_cost(label))) for label in balanced]
    return [(title, Markup(html)) for title, html in [("", length_html(build.length_bias())), *costs]]  # noqa: S704


def _steps(build: Build) -> list[Ran]:
    lines = build.lines
    counts = lines.filter(pl.col("fate") == "dropped").group_by("step", "reason", "source").len().collect().to_dicts()
    edits = lines.select(pl.col("edited").explode()).drop_nulls().group_by("edited").len().collect()
    changed = dict(edits.rows())
    rows = fallen(build)
    found = []
    for step in build.manifest["steps"]:
        label = step["label"]
        mine = [count for count in counts if count["step"] == label]
        reasons = _reasons(mine, [row for row in rows if row.step == label], build.sources)
        dropped = sum(reason.fell for reason in reasons)
        told = duplicates(build, label), contamination(build, label)
        found.append(Ran(label, step["kind"], settings(step["step"]), dropped, changed.get(label, 0), reasons, *told))
    return found


def _reasons(counts: list[dict[str, Any]], rows: Iterable[Fallen], sources: list[str]) -> tuple[Reason, ...]:
    """Group the counts of one step by reason, the most frequent first."""
    shown = {name: tuple(found) for name, found in groupby(rows, key=lambda row: row.reason)}
    found = []
    for name in sorted({count["reason"] for count in counts}):
        by_source = {count["source"]: count["len"] for count in counts if count["reason"] == name}
        ordered = tuple((source, by_source[source]) for source in sources if source in by_source)
        found.append(Reason(name, sum(by_source.values()), ordered, shown.get(name, ())))
    return tuple(sorted(found, key=lambda reason: (-reason.fell, reason.name)))


def _quarantined(build: Build) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Return, for each source with quarantined rows, how many there are and the first of them."""
    found = []
    for source in build.manifest["sources"]:
        count = source["fates"]["quarantined"]
        if count:
            lines = build.quarantined(source["name"]).sort("file", "line", "column").head(QUARANTINED)
            found.append((source["name"], count, lines.to_dicts()))
    return found
