"""Histograms, drawn as SVG: scores with their limits, margins, and length against label.

The bars of scores say in attributes what they count, `data-low`, `data-high` and `data-count`, and their limits
`data-reason`, `data-side` and `data-limit`: for a script that moves a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from typing import Any, Final, NamedTuple

import polars as pl

from curate.drawing.svg import SMALL, WIDTH, AxisScale, bar, count, label, legend, line, number, picture
from curate.steps.base import Bound
from curate.text.unseen import coded

LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 40, 14, 26, 34, 150
"""Pixels of a small histogram: its margins, and its height in all."""

GROWING: Final = 8
"""Bins of which one is this many times as wide as another are drawn on a logarithmic scale."""


class Bars(NamedTuple):
    """Counts between edges; `out` marks the bars outside a limit."""

    low: Sequence[float]
    high: Sequence[float]
    counts: Sequence[int]
    out: Sequence[bool]


def score(frame: pl.DataFrame, bounds: Sequence[Bound]) -> str:
    """Draw one score of `curate.result.charts.scores.scores`, on logarithmic counts, with its limits."""
    step, name = frame["step"][0], frame["score"][0]
    bars = Bars(*(frame[column].to_list() for column in ("low", "high", "rows", "outside")))
    limits = [
        (bound.reason, side, float(limit))
        for bound in bounds
        for side, limit in (("at_least", bound.at_least), ("at_most", bound.at_most))
        if limit is not None
    ]
    scale = across(bars, [limit for _, _, limit in limits])
    up = AxisScale(0, max(bars.counts) or 1, HEIGHT - BOTTOM, TOP, 1.0)
    body = [_up(up)]
    for low, high, rows, out in zip(*bars, strict=True):
        x, end = scale(low), scale(high)
        about = f"{number(low)} to {number(high)}: {rows:,} rows{', outside the limit' if out else ''}"
        data = f' class="bin{" out" if out else ""}" data-low="{low!r}" data-high="{high!r}" data-count="{rows}"'
        y = up(rows)
        height = max(up(0) - y, 1.5 if rows else 0)
        body.append(bar(x + 0.5, up(0) - height, max(end - x - 1, 1), height, "out" if out else "kept", about, data))
    body += [_limit(scale, bars, *limit) for limit in limits]
    body.append(
        below(scale, name, unit_bins=all(high - low == 1 for low, high in zip(bars.low, bars.high, strict=True)))
    )
    outside = sum(rows for rows, out in zip(bars.counts, bars.out, strict=True) if out)
    about = f"{sum(bars.counts):,} rows from {number(bars.low[0])} to {number(bars.high[-1])}, {outside:,} outside"
    data = f' data-step="{escape(coded(step))}" data-score="{escape(coded(name))}"'
    return picture(SMALL, HEIGHT, f"{step}: {name}", f"{about}; {_said(limits)}", body, data)


def across(bars: Bars, limits: Sequence[float]) -> AxisScale:
    """Return the scale of a score: the bins, and limits that are not far outside of them."""
    low, high = bars.low[0], bars.high[-1]
    widths = [end - start for start, end in zip(bars.low, bars.high, strict=True)]
    grows = low >= 0 and max(widths) > GROWING * min(widths)
    span = high - low
    near = [limit for limit in limits if low - span <= limit <= high + span]
    unit = max(min(widths), high / 1e6) if grows else 0.0
    return AxisScale(min([low, *near]), max([high, *near]), LEFT, SMALL - RIGHT, unit)


def _up(up: AxisScale, *, even: bool = False, width: float = SMALL) -> str:
    parts = []
    marks = up.marks() if even else powers_of(up.high)
    step = max(len(marks) // 5, 1)
    for mark in marks[::step]:
        y = up(mark)
        parts += [
            line(LEFT, y, width - RIGHT, y),
            label(LEFT - 5, y + 4, count(mark), anchor="end", colour="soft", size=10),
        ]
    return "".join(parts)


def powers_of(most: float) -> list[float]:
    """Return 0 and the powers of ten up to a count, to name on its axis."""
    powers = [10.0**power for power in range(int(log10(max(most, 1))) + 1)]
    return [0.0, *(powers[1:] or powers)]


def _limit(scale: AxisScale, bars: Bars, reason: str, side: str, limit: float) -> str:
    """Draw a limit where the bins change sides; one outside of the scale is named at its end."""
    sign, words = {"at_least": ("≥", "at least"), "at_most": ("≤", "at most")}[side]
    x = scale(next((low for low in bars.low if (low >= limit if side == "at_least" else low > limit)), limit))
    inside = scale.low <= limit <= scale.high
    arrow = "" if inside else (" →" if limit > scale.high else " ←")
    data = f' class="limit" data-reason="{escape(coded(reason))}" data-side="{side}" data-limit="{limit!r}"'
    anchor = "start" if x < SMALL / 3 else "end" if x > SMALL * 2 / 3 else "middle"
    y = 12 if side == "at_most" else 23
    text = label(x, y, f"{sign} {number(limit)}{arrow}", anchor=anchor, colour="bad", size=11)
    drawn = line(x, y + 3, x, HEIGHT - BOTTOM, "bad", 2, data) if inside else f"<g{data}></g>"
    return f"<g><title>{escape(coded(reason))}: {words} {number(limit)}</title>{drawn}{text}</g>"


def below(scale: AxisScale, unit: str, width: float = SMALL, height: float = HEIGHT, *, unit_bins: bool = False) -> str:
    """Return the axis below a histogram, with its unit."""
    bottom = height - BOTTOM
    parts = [line(LEFT, bottom, width - RIGHT, bottom, "soft")]
    half = (scale(scale.low + 1) - scale(scale.low)) / 2 if unit_bins else 0.0
    for mark in scale.marks():
        x = scale(mark) + half
        if (unit_bins and mark != int(mark)) or x > width - RIGHT + 1:
            continue
        anchor = "end" if x > width - RIGHT - 14 and not half else "middle"
        parts += [line(x, bottom, x, bottom + 4, "soft")]
        parts += [label(x, bottom + 15, number(mark), anchor=anchor, colour="soft", size=10)]
    what = f"{unit}, log scale" if scale.unit else unit
    return "".join(
        [*parts, label((LEFT + width - RIGHT) / 2, height - 5, what, anchor="middle", colour="soft", size=11)]
    )


def _said(limits: Sequence[tuple[str, str, float]]) -> str:
    words = {"at_least": "at least", "at_most": "at most"}
    return "; ".join(f"{reason}: {words[side]} {number(limit)}" for reason, side, limit in limits) or "no limit"


def margins(frame: pl.DataFrame, *, title: str = "Margins") -> str:
    """Draw `curate.result.charts.pairs.margins`."""
    width, height = WIDTH, 190
    scale = AxisScale(float(frame["low"][0]), float(frame["high"][-1]), LEFT, width - RIGHT)
    up = AxisScale(0, float(frame["pairs"].max() or 1), height - BOTTOM, 10)  # type: ignore[arg-type]
    body = [_up(up, even=True, width=width)]
    for one in frame.to_dicts():
        x, end, y = scale(one["low"]), scale(one["high"]), up(one["pairs"])
        about = f"{number(one['low'])} to {number(one['high'])}: {one['pairs']:,} pairs"
        body.append(bar(x + 0.5, y, max(end - x - 1, 1), up(0) - y, "plain", about))
    body.append(below(scale, "score of the chosen answer less that of the rejected one", width, height))
    low, high = number(frame["low"][0]), number(frame["high"][-1])
    return picture(width, height, title, f"{frame['pairs'].sum():,} pairs with margins from {low} to {high}", body)


def length_difference(frame: pl.DataFrame, *, title: str = "Length against label") -> str:
    """Draw `curate.result.charts.pairs.length_difference`: all bins are as wide, and a mark has the opposite one."""
    lines: list[dict[str, Any]] = frame.to_dicts()
    width, height, top = WIDTH, 230, 42
    step = (width - LEFT - RIGHT) / len(lines)
    up = AxisScale(0, max(max(one["pairs"], one["mirrored"]) for one in lines) or 1, height - BOTTOM, top)
    named = [("chosen is shorter", "out"), ("chosen is longer", "kept"), ("the opposite difference", "ink")]
    body = [legend(LEFT, 14, named), _up(up, even=True, width=width)]
    every = max(1, round(36 / step))
    for place, one in enumerate(lines):
        x, y, other = LEFT + step * place, up(one["pairs"]), up(one["mirrored"])
        same = one["low"] == one["high"]
        colour = "quiet" if same else "kept" if one["low"] >= 0 else "out"
        between = "0" if same else f"{number(one['low'])} to {number(one['high'])}"
        body.append(bar(x + 1, y, step - 2, up(0) - y, colour, f"{between} tokens: {one['pairs']:,} pairs"))
        body.append(line(x + 1, other, x + step - 1, other, "ink", 2))
        from_middle = abs(place - len(lines) // 2)
        if from_middle % every == 0:
            edge = one["low"] if place < len(lines) // 2 else one["high"]
            at = x if place < len(lines) // 2 else x + step
            text = label(
                x + step / 2 if same else at, height - 19, number(edge), anchor="middle", colour="soft", size=10
            )
            body.append(text)
    unit = "tokens that the chosen answer has more than the rejected one, estimated; bins grow"
    body.append(label((LEFT + width - RIGHT) / 2, height - 4, unit, anchor="middle", colour="soft", size=11))
    longer, shorter = (
        sum(one["pairs"] for one in lines if (one["low"] >= 0) == side and one["low"] < one["high"])
        for side in (True, False)
    )
    return picture(width, height, title, f"Chosen is longer in {longer:,} pairs and shorter in {shorter:,}", body)
