"""Two builds in one picture, drawn as SVG: rows that left and entered by cause, counts and scores before and after."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

import polars as pl

from curate.drawing.histograms import BOTTOM, LEFT, RIGHT, Bars, across, below, powers_of
from curate.drawing.svg import (
    MOST,
    SMALL,
    WIDTH,
    AxisScale,
    bar,
    count,
    gutter,
    label,
    legend,
    line,
    number,
    picture,
    short,
)
from curate.steps.base import Bound
from curate.text.unseen import coded

PITCH: Final = 24
NAME: Final = 40
"""Characters of a cause: a step and a reason."""

COUNT: Final = 52
"""Pixels for the count at the end of a bar."""

MIRRORED: Final = 250
"""Pixels: the height of a small histogram with two sides."""


class CauseBar(NamedTuple):
    """How many rows left, entered and changed for a cause."""

    name: str
    left: int
    entered: int
    changed: int


def causes(lines: Sequence[CauseBar], *, title: str = "Rows that left, entered and changed, by cause") -> str:
    """Draw rows by cause: those that left go to the left, those that entered or changed to the right."""
    shown, rest = list(lines[:MOST]), lines[MOST:]
    if rest:
        left, entered, changed = (sum(counts) for counts in zip(*(one[1:] for one in rest), strict=True))
        shown.append(CauseBar(f"{len(rest)} others", left, entered, changed))
    edge, top = gutter((one.name for one in shown), NAME), 30
    most = max(max(one.left, one.entered, one.changed) for one in shown)
    leaves = any(one.left for one in shown)
    enters = any(one.entered or one.changed for one in shown)
    half = (WIDTH + 60 - edge) / (leaves + enters) - COUNT
    zero = edge + (half + COUNT if leaves else 0)
    bottom = top + PITCH * len(shown)
    body = [legend(8, 14, [("left", "out"), ("entered", "kept"), ("changed", "plain")])]
    for place, one in enumerate(shown):
        y = top + PITCH * place
        body.append(label(edge - 10, y + 13, short(one.name, NAME), anchor="end"))
        about = f"{one.name}: {one.left:,} rows left, {one.entered:,} entered, {one.changed:,} changed"
        for rows, colour, way in ((one.left, "out", -1), (one.entered, "kept", 1), (one.changed, "plain", 1)):
            if not rows:
                continue
            long = max(half * rows / most, 1)
            body.append(bar(zero if way > 0 else zero - long, y + 1, long, 16, colour, about))
            anchor = "start" if way > 0 else "end"
            body.append(label(zero + way * (long + 5), y + 13, count(rows), anchor=anchor, colour="soft", size=11))
    body.append(line(zero, top - 4, zero, bottom, "soft"))
    words = "; ".join(
        f"{one.name}: {one.left:,} left, {one.entered:,} entered, {one.changed:,} changed" for one in shown
    )
    return picture(WIDTH + 60, bottom + 4, title, words, body)


class BeforeAfter(NamedTuple):
    """A number of the one build, and of the other."""

    name: str
    before: int
    after: int


def before_after(lines: Sequence[BeforeAfter], unit: str, *, title: str) -> str:
    """Draw two bars for each name: the number before, and the number now, with the difference."""
    ordered = sorted(lines, key=lambda one: -max(one.before, one.after)) if len(lines) > MOST else list(lines)
    shown, rest = ordered[:MOST], ordered[MOST:]
    if rest:
        shown.append(
            BeforeAfter(f"{len(rest)} others", sum(one.before for one in rest), sum(one.after for one in rest))
        )
    edge, top, pitch = gutter(one.name for one in shown), 28, 34
    room = WIDTH - edge - 130
    most = max((max(one.before, one.after) for one in shown), default=1) or 1
    body = [legend(8, 14, [("before", "quiet"), ("now", "plain")])]
    for place, one in enumerate(shown):
        y = top + pitch * place
        about = f"{one.name}: {one.before:,} {unit} before, {one.after:,} now"
        longest = max(one.before, one.after)
        off = one.after - one.before
        said = f"{count(one.before)} → {count(one.after)}" if off else count(one.after)
        body += [
            label(edge - 10, y + 17, short(one.name), anchor="end"),
            bar(edge, y + 1, room * one.before / most, 11, "quiet", about),
            bar(edge, y + 13, room * one.after / most, 11, "plain", about),
            label(edge + room * longest / most + 7, y + 17, said, colour="soft", size=11),
        ]
    bottom = top + pitch * len(shown)
    body.append(line(edge, top - 4, edge, bottom, "soft"))
    body.append(label(edge, bottom + 14, unit, colour="soft", size=11))
    words = "; ".join(f"{one.name}: {one.before:,} before, {one.after:,} now" for one in shown)
    return picture(WIDTH, bottom + 20, title, words, body)


def mirrored(frame: pl.DataFrame, before: Sequence[Bound], now: Sequence[Bound]) -> str:
    """Draw one score of two builds, `curate.compare.frames.scores`: before above the line, now below it, log counts."""
    step, name = frame["step"][0], frame["score"][0]
    low, high = frame["low"].to_list(), frame["high"].to_list()
    limits = [_limits(bounds) for bounds in (before, now)]
    sides = [
        Bars(low, high, frame[rows].to_list(), frame[out].to_list())
        for rows, out in (("before", "outside_before"), ("after", "outside_after"))
    ]
    scale = across(sides[0], [one.limit for own in limits for one in own])
    most = max(*sides[0].counts, *sides[1].counts, 1)
    top, bottom = 32, MIRRORED - BOTTOM - 32
    zero = (top + bottom) / 2
    body: list[str] = []
    for what, bars, own, end in (("before", sides[0], limits[0], top), ("now", sides[1], limits[1], bottom)):
        up = AxisScale(0, most, zero, end, 1.0)
        body += [_axis(up, most), *_bars(scale, up, bars, what)]
        body += [_limit(scale, bars, one, zero, end) for one in own]
        body.append(label(1, end + (18 if end > zero else -16), what, size=11))
    unit_bins = all(end - start == 1 for start, end in zip(low, high, strict=True))
    body += [below(scale, name, SMALL, MIRRORED, unit_bins=unit_bins), line(LEFT, zero, SMALL - RIGHT, zero, "soft")]
    outside = [sum(rows for rows, out in zip(one.counts, one.out, strict=True) if out) for one in sides]
    about = (
        f"before: {sum(sides[0].counts):,} rows, {outside[0]:,} outside of {_said(limits[0])}; "
        f"now: {sum(sides[1].counts):,} rows, {outside[1]:,} outside of {_said(limits[1])}"
    )
    return picture(SMALL, MIRRORED, f"{step}: {name}", about, body)


class _Limit(NamedTuple):
    reason: str
    side: str
    limit: float


def _limits(bounds: Sequence[Bound]) -> list[_Limit]:
    return [
        _Limit(bound.reason, side, float(limit))
        for bound in bounds
        for side, limit in (("at_least", bound.at_least), ("at_most", bound.at_most))
        if limit is not None
    ]


def _said(limits: Sequence[_Limit]) -> str:
    words = {"at_least": "at least", "at_most": "at most"}
    return " and ".join(f"{words[one.side]} {number(one.limit)}" for one in limits) or "no limit"


def _axis(up: AxisScale, most: float) -> str:
    marks = powers_of(most)
    parts = []
    for mark in marks[:: max(len(marks) // 3, 1)]:
        y = up(mark)
        parts += [
            line(LEFT, y, SMALL - RIGHT, y),
            label(LEFT - 5, y + 4, count(mark), anchor="end", colour="soft", size=10),
        ]
    return "".join(parts)


def _bars(scale: AxisScale, up: AxisScale, bars: Bars, what: str) -> list[str]:
    parts = []
    for low, high, rows, out in zip(*bars, strict=True):
        if not rows:
            continue
        x, zero, end = scale(low), up(0), up(rows)
        height = max(abs(end - zero), 1.5)
        about = f"{what}, {number(low)} to {number(high)}: {rows:,} rows{', outside the limit' if out else ''}"
        y = zero - height if end < zero else zero
        parts.append(bar(x + 0.5, y, max(scale(high) - x - 1, 1), height, "out" if out else "kept", about))
    return parts


def _limit(scale: AxisScale, bars: Bars, one: _Limit, zero: float, end: float) -> str:
    """Draw a limit where the bins change sides; one outside of the scale is named at its end."""
    lower = one.side == "at_least"
    first = next((low for low in bars.low if (low >= one.limit if lower else low > one.limit)), one.limit)
    x = scale(first)
    inside = scale.low <= one.limit <= scale.high
    arrow = "" if inside else (" →" if one.limit > scale.high else " ←")
    anchor = "start" if x < SMALL / 3 else "end" if x > SMALL * 2 / 3 else "middle"
    y = (end - 4 if lower else end - 17) if end < zero else (end + 12 if lower else end + 25)
    text = label(x, y, f"{'≥' if lower else '≤'} {number(one.limit)}{arrow}", anchor=anchor, colour="bad", size=11)
    words = "at least" if lower else "at most"
    drawn = line(x, zero, x, end, "bad", 2) if inside else ""
    return f"<g><title>{escape(coded(one.reason))}: {words} {number(one.limit)}</title>{drawn}{text}</g>"
