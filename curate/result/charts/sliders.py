"""Sliders that move the limits of filters, under the histograms of their scores: in a page, or in a notebook cell.

A script makes them from a block of data, `limit_tables` as JSON. Without it, histograms are as they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from curate.drawing import histograms
from curate.drawing.svg import DARK, LIGHT, number, variables
from curate.result.bounds import argument
from curate.result.cell_page import CellPage, ScriptParts, script_parts
from curate.result.charts.limit_tables import LimitTable, frame_of, limit_tables
from curate.result.charts.scores import scored, scores
from curate.result.tables import environment
from curate.text.unseen import coded

if TYPE_CHECKING:
    from curate.result.build import Build

DATA_BYTES: Final = 300_000
"""Bytes of all tables in a page, at most: where counts of each source do not fit, they are left out."""

SHOWN: Final = 4
"""Stops on either side of the declared limit that a terminal shows."""

SIDES: Final = {"at_least": "at least", "at_most": "at most"}


@dataclass(frozen=True, repr=False)
class WhatIf(CellPage):
    """The limits of a filter to move: histograms with sliders in a notebook cell, numbers in a terminal.

    Counts are of the filters alone, before groups such as dedup and before sampling, and of one limit with all others
    as declared; `Build.recut` says what would change in the whole build.

    Attributes:
        html: The page.
        step: The label of the filter.
        data: A line for each stop of each limit: `step`, `reason`, `score`, `side` ("at_least" or "at_most"), `limit`,
            `declared` (whether the build has this limit), `outside` (rows outside the limit) and `alone` (those of
            them that no other limit of a filter drops).

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import curate as c
        >>> rows = pl.DataFrame({"instruction": ["Say hi."] * 6, "output": ["a " * n for n in range(1, 7)]})
        >>> steps = [c.shape(on="response", min_words=3)]
        >>> mixture = c.Mixture("demo", [c.Source("a", c.frame(rows, "alpaca"))], steps)
        >>> with TemporaryDirectory() as folder:
        ...     found = mixture.build(f"{folder}/build", quiet=True).what_if("shape")
        >>> found.data.filter(pl.col("limit") > 4).select("reason", "limit", "outside", "alone").rows()
        [('too_few_words', 5.0, 4, 4), ('too_few_words', 6.0, 5, 5)]
    """

    title: ClassVar[str] = "What if a limit moved"
    height: ClassVar[int] = 620
    step: str
    data: pl.DataFrame

    def __repr__(self) -> str:
        lines = [f"{self.step}: rows outside each limit, and those by this limit alone (*: as declared)"]
        for (reason, side), part in self.data.group_by("reason", "side", maintain_order=True):
            at = int(part["declared"].arg_max() or 0)
            lines.append(f"{coded(str(reason))}, {SIDES[str(side)]}")
            near = part.slice(max(at - SHOWN, 0), SHOWN + 1 + min(at, SHOWN))
            for line in near.to_dicts():
                mark = "*" if line["declared"] else " "
                lines.append(f"{mark} {number(line['limit']):>10} {line['outside']:>12,} {line['alone']:>12,}")
        if len(lines) == 1:
            lines.append("Each score is the same for all rows: no limit makes a difference.")
        return "\n".join([*lines, "In a notebook cell: sliders. build.recut(...) has what follows from a moved limit."])


@lru_cache(maxsize=1)
def slider_parts() -> ScriptParts:
    """Return style and script of the sliders."""
    return script_parts(Path(__file__).with_name("sliders"))


def what_if(build: Build, step: str) -> WhatIf:
    """Return the histograms of a filter with their sliders."""
    tables = limit_tables(build, step)
    limited = {table.limit.bound.score for table in tables}
    parts = dict(scores(build, step).group_by("score", maintain_order=True))
    drawn = [
        (one.name, Markup(histograms.score(parts[one.name,], one.bounds)))  # noqa: S704  escaped where it is made
        for one in scored(build, step)
        if one.name in limited
    ]
    template = environment().get_template("charts/sliders.html.j2")
    colours = (variables(LIGHT), variables(DARK))
    data = limits_data(build, tables)
    page = template.render(parts=slider_parts(), build=build, step=step, charts=drawn, colours=colours, data=data)
    return WhatIf(page, step, frame_of(tables))


def limits_data(build: Build, tables: list[LimitTable] | None = None) -> Markup:
    """Return the tables of all limits of a build as JSON for a block of a page; empty where no limit can be moved.

    Counts are differences to the stop before, which are shorter. No text of it is markup: "<", ">" and "&" are escaped.
    """
    tables = build.limit_tables if tables is None else tables
    if not tables:
        return Markup()
    declared = {step["label"]: step["step"] for step in build.manifest["steps"]}
    lines = [_line(build, table, declared[table.limit.step]) for table in tables]
    found = _json({"sources": [coded(name) for name in build.sources], "limits": lines})
    if len(found) > DATA_BYTES:
        found = _json({"sources": [], "limits": [line | {"by": []} for line in lines]})
    return Markup(found)  # noqa: S704  it has no markup


def _json(value: object) -> str:
    found = json.dumps(value, separators=(",", ":"))
    return found.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _line(build: Build, table: LimitTable, declared: Mapping[str, Any]) -> dict[str, Any]:
    limit = table.limit
    own = argument(declared, limit.bound, limit.declared)
    name = limit.step.rpartition(":")[2]
    return {
        "step": coded(limit.step),
        "score": coded(limit.bound.score),
        "reason": coded(limit.bound.reason),
        "side": limit.side,
        "at": table.declared,
        "whole": table.whole,
        "every": table.every,
        "stops": [int(one) if one == int(one) else one for one in table.stops],
        "outside": _steps(table.outside),
        "alone": _steps(table.alone),
        "by": [[place, _steps(counts)] for place, counts in enumerate(table.sources) if counts.any()],
        "setting": [f"{name}({own}=", ")"] if own else None,
        "recut": _recut(build, table),
    }


def _steps(counts: NDArray[np.int64]) -> list[int]:
    found: list[int] = np.diff(counts, prepend=0).tolist()
    return found


def _recut(build: Build, table: LimitTable) -> list[str] | None:
    """Return what to call before and after the limit; None where `recut` cannot move it."""
    limit = table.limit
    bounds = next(one["bounds"] for one in build.manifest["steps"] if one["label"] == limit.step)
    name = next((one for one in (limit.bound.reason, limit.bound.score) if _names(bounds, one) == [limit.place]), None)
    if table.kind != build.kind or name is None:
        return None
    low, high = limit.bound.at_least, limit.bound.at_most
    before, after = "", ""
    if low is not None and high is not None:
        before, after = ("(", f", {high!r})") if limit.side == "at_least" else (f"({low!r}, ", ")")
    step, end = (f"{limit.step}=", ")") if limit.step.isidentifier() else (f"{{{_quoted(limit.step)}: ", "})")
    return [f"build.recut({step}{{{_quoted(name)}: {before}", f"{after}}}{end}"]


def _quoted(name: str) -> str:
    """Write a name as Python text, in double quotes where nothing needs to be escaped."""
    return f'"{name}"' if repr(name) == f"'{name}'" else repr(name)


def _names(bounds: list[Mapping[str, Any]], name: str) -> list[int]:
    """Return the places of the bounds that `recut` takes for this name: those of this reason, or else of this score."""
    reasons = [place for place, bound in enumerate(bounds) if bound["reason"] == name]
    return reasons or [place for place, bound in enumerate(bounds) if bound["score"] == name]
