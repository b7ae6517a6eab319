"""A build in the cell of a notebook: the flow of rows, and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.drawing.flow import flow
from curate.drawing.svg import MIDDLE, fixed, image
from curate.result import tables

if TYPE_CHECKING:
    from curate.result.build import Build


def cell(build: Build) -> str:
    """Return the flow of rows as a chart, then the funnel, the composition and the languages as tables."""
    estimated = build.manifest["tokens"] == "estimated"
    shown = [tables.funnel(build.funnel), tables.composition(build.composition, estimated=estimated)]
    shown += [tables.languages(build.languages)] if build.tells_languages else []
    drawn = ""
    if build.funnel["read"][-1]:
        drawn = image(fixed(flow(build.chart.data("funnel"), tables.fate_colours(build.funnel.columns)), MIDDLE))
    template = tables.environment().get_template("build.html.j2")
    return template.render(chart=drawn, tables=shown, notes=build.notes)
