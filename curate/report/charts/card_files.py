"""The charts of a data set card: SVG files in the build folder, which the Hub shows by their relative path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from curate.drawing import flow
from curate.drawing.svg import LIGHT, fixed
from curate.report.charts.figures import flow_svg
from curate.result.build import Build

FOLDER: Final = "charts"
"""The folder that the files are in; `curate.engine.workspace` knows them."""


def card_files(build: Build) -> Mapping[str, str]:
    """Return the charts of a card by their path in the build folder; none of a build without rows."""
    found = {}
    if build.funnel["read"][-1]:
        found[f"{FOLDER}/funnel.svg"] = _alone(flow_svg(build))
    if build.chart.data("lengths").height:
        found[f"{FOLDER}/composition.svg"] = _alone(flow.composition(build.chart.data("composition")))
    return found


def _alone(svg: str) -> str:
    """Return a chart as a file: on a light ground of its own, so that it is readable on white and on dark."""
    start = svg.index("<title>")
    ground = '<rect x="-8" y="-8" width="100%" height="100%" rx="8" fill="#ffffff"/>'
    head, _, size = svg[:start].partition('viewBox="0 0 ')
    width, _, rest = size.partition(" ")
    height, quote, tail = rest.partition('"')
    framed = f'{head}viewBox="-8 -8 {int(width) + 16} {int(height) + 16}{quote}{tail}'
    framed = framed.replace(
        f'width="{width}" height="{height}"', f'width="{int(width) + 16}" height="{int(height) + 16}"'
    )
    return fixed(f"{framed}{ground}{svg[start:]}", LIGHT) + "\n"
