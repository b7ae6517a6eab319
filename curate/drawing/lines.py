"""Line charts as SVG: no script, readable on light and dark, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, isfinite, log10
from typing import Final, TypeAlias

COLOURS: Final = ("#4c87cf", "#dd8a26", "#2f9e6b", "#a763b5")
WIDTH, HEIGHT = 680, 220
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 30
"""The drawing's size in pixels; the margins hold the axis labels."""

TICKS: Final = 4

Line: TypeAlias = Sequence[tuple[float, float]]
"""Points of a line, from left to right; a NaN breaks the line."""


def chart(lines: Mapping[str, Line]) -> str:
    """Return named lines as one SVG with a common scale; empty if there is no point to draw.

    >>> chart({"loss": [(1, 2.5), (2, 2.0)]}).startswith("<svg")
    True
    >>> chart({"loss": []})
    ''
    """
    drawn = [point for line in lines.values() for point in line if isfinite(point[1])]
    if not drawn:
        return ""
    across, up = (_span([point[axis] for point in drawn]) for axis in (0, 1))
    body = [_grid(across, up)]
    for place, line in enumerate(lines.values()):
        colour = COLOURS[place % len(COLOURS)]
        body += [_stretch([_place(point, across, up) for point in part], colour) for part in _parts(line)]
    names = ", ".join(lines)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(names)} by step">{"".join(body)}</svg>'
        f"{_legend(lines) if len(lines) > 1 else ''}"
    )


def _legend(lines: Mapping[str, Line]) -> str:
    swatch = '<i class="swatch" style="background: {}"></i>{}'
    marks = " ".join(swatch.format(COLOURS[place % len(COLOURS)], escape(name)) for place, name in enumerate(lines))
    return f'<p class="legend">{marks}</p>'


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis, padded if all values are equal."""
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _place(point: tuple[float, float], across: tuple[float, float], up: tuple[float, float]) -> tuple[float, float]:
    x, y = ((value - low) / (high - low) for value, (low, high) in zip(point, (across, up), strict=True))
    return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)


def _parts(line: Line) -> list[list[tuple[float, float]]]:
    """Break a line at NaN."""
    parts: list[list[tuple[float, float]]] = [[]]
    for point in line:
        if isfinite(point[1]):
            parts[-1].append(point)
        else:
            parts.append([])
    return [part for part in parts if part]


def _stretch(points: Sequence[tuple[float, float]], colour: str) -> str:
    if len(points) == 1:
        return f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2.5" fill="{colour}"/>'
    marks = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{marks}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round"/>'


def _grid(across: tuple[float, float], up: tuple[float, float]) -> str:
    marks = []
    for value in ticks(*up):
        y = _place((across[0], value), across, up)[1]
        marks.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#88888844"/>')
        marks.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    for value in ticks(*across):
        x = _place((value, up[0]), across, up)[0]
        marks.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{value:.6g}</text>')
    return "".join(marks)


def ticks(low: float, high: float) -> list[float]:
    """Return two to six round numbers between two ends.

    >>> ticks(0.3, 2.6)
    [0.5, 1.0, 1.5, 2.0, 2.5]
    """
    raw = (high - low) / TICKS
    size = 10.0 ** floor(log10(raw))
    step = min((size * nice for nice in (1, 2, 5, 10)), key=lambda one: abs(one - raw))
    first, last = -floor(-low / step + 1e-9), floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(int(first), int(last) + 1)]
