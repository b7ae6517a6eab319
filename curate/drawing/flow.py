"""The flow of rows from read to kept, a band for each source, and what each source brings, drawn as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import cos, radians, sin
from typing import Any, Final

import polars as pl

from curate.drawing.svg import (
    CHARACTER,
    WIDTH,
    bar,
    count,
    gutter,
    label,
    legend,
    line,
    name_width,
    path,
    picture,
    share,
    short,
)

LANES: Final = 24
"""Sources with a band of their own; the rest share one."""

BARS: Final = 16
"""Sources with bars of their own in the composition."""

TURN: Final = 40
"""Degrees that the names of steps are turned by."""

STEP_NAME: Final = 18
LANE, BAND, FIRST_BAND, END = 38, 26, 58, 84
"""Pixels: from band to band, the height of a band, that of all rows together, and the space for counts at the right."""

LEAST: Final = 96.0
"""Pixels that the counts of rows read take beside the bands."""

MEASURES: Final = (("rows", "plain"), ("tokens", "second"), ("trained tokens", "third"))


def others(names: Sequence[str], sizes: Mapping[str, float], most: int) -> tuple[list[str], list[str]]:
    """Part names into the largest, in their order, and the rest.

    >>> others(["a", "b", "c"], {"a": 1, "b": 9, "c": 5}, 2)
    (['b'], ['a', 'c'])
    """
    if len(names) <= most:
        return list(names), []
    largest = sorted(names, key=lambda name: (-sizes[name], names.index(name)))[: most - 1]
    return [name for name in names if name in largest], [name for name in names if name not in largest]


def flow(frame: pl.DataFrame, colours: Mapping[str, str], *, title: str = "What is left after each step") -> str:
    """Draw `curate.result.charts.flow.funnel`: the band of a source gets thinner by what each step takes away."""
    lanes = _lanes(frame)
    edge = max(gutter(source for source, _ in lanes), LEAST)
    stages = [stage["stage"] for stage in lanes[0][1] if stage["stage"] != "read"]
    names = [short(stage, STEP_NAME) for stage in stages]
    top = 32 + max((CHARACTER * name_width(name.shown) for name in names), default=0) * sin(radians(TURN))
    step = max(46.0, (WIDTH - 172 - END) / max(len(stages), 1))
    width = edge + step * len(stages) + max(END, CHARACTER * STEP_NAME * cos(radians(TURN)) - step / 2 + 12)
    body = []
    for place, (stage, name) in enumerate(zip(stages, names, strict=True)):
        x = edge + step * (place + 0.5)
        colour = colours.get(stage, "soft")
        body += [bar(x - 5, top - 12, 10, 4, colour), label(x, top - 16, name, turn=-TURN, colour="ink", size=12)]
    y = top
    for place, (source, lane) in enumerate(lanes):
        height = FIRST_BAND if not place and len(lanes) > 1 else BAND
        body.append(_band(source, lane, y, height, step, colours, edge))
        y += height + (LANE - BAND) + (16 if not place and len(lanes) > 1 else 0)
    return picture(width, y, title, _about(lanes[0][1]), body)


def _lanes(frame: pl.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the stages of all sources together, then of each; of a single source, its own only."""
    by_source: dict[str | None, list[dict[str, Any]]] = {}
    for one in frame.to_dicts():
        by_source.setdefault(one["source"], []).append(one)
    total = by_source.pop(None)
    names = [name for name in by_source if name is not None]
    if len(names) == 1:
        return [(names[0], by_source[names[0]])]
    shown, rest = others(names, {name: by_source[name][0]["left"] for name in names}, LANES)
    lanes = [("all sources", total), *((name, by_source[name]) for name in shown)]
    return [*lanes, (f"{len(rest)} others", _together([by_source[name] for name in rest]))] if rest else lanes


def _together(lanes: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Add up the stages of several sources."""
    read = sum(lane[0]["left"] for lane in lanes)
    return [
        {
            **stages[0],
            "lost": sum(stage["lost"] for stage in stages),
            "left": sum(stage["left"] for stage in stages),
            "share": sum(stage["share"] * lane[0]["left"] for stage, lane in zip(stages, lanes, strict=True))
            / (read or 1),
        }
        for stages in zip(*lanes, strict=True)
    ]


def _band(
    source: str,
    lane: list[dict[str, Any]],
    y: float,
    height: float,
    step: float,
    colours: Mapping[str, str],
    edge: float,
) -> str:
    """Draw one band: green is what is left, and below it what each step takes, in the colour of the step."""
    middle, large = y + height / 2, height > BAND
    parts = [label(edge - 10, middle - 1, short(source), anchor="end")]
    parts.append(label(edge - 10, middle + 13, f"{lane[0]['left']:,} read", anchor="end", colour="soft", size=11))
    x, before = edge, lane[0]["share"]
    curves, lost = [], []
    for stage in lane[1:]:
        after, end, half = stage["share"], x + step, x + step / 2
        low, now = y + before * height, y + after * height
        curve = f"C{half:.1f} {low:.1f} {half:.1f} {now:.1f} {end:.1f} {now:.1f}"
        curves.append(curve)
        if before > after and stage["stage"] != "pairs":
            about = f"{source}: {stage['lost']:,} {stage['unit']}, {stage['stage']}; {stage['left']:,} left"
            lost.append(path(f"M{x:.1f} {low:.1f}{curve}V{low:.1f}Z", colours.get(stage["stage"], "quiet"), about))
        if large and stage["lost"]:
            text = f"−{count(stage['lost'])}"
            parts.append(label(half, y + height + 14, text, anchor="middle", colour="soft", size=11))
        if large and stage["stage"] == "pairs":
            text = f"{count(stage['left'])} pairs"
            parts.append(label(half, y + height + 14, text, anchor="middle", size=11))
        x, before = end, after
    if lane[0]["left"]:
        about = f"{source}: {lane[-1]['left']:,} kept of {lane[0]['left']:,} read"
        shape = f"M{edge - 4:.1f} {y:.1f}V{y + height:.1f}H{edge:.1f}{''.join(curves)}V{y:.1f}Z"
        parts += [path(shape, "kept", about), *lost]
    last = lane[-1]
    parts.append(label(x + 8, middle - 1, f"{last['left']:,}"))
    parts.append(label(x + 8, middle + 13, f"kept, {share(last['share'])}", colour="soft", size=11))
    return "".join(parts)


def _about(total: list[dict[str, Any]]) -> str:
    """Say in words what the flow shows of all rows."""
    lost = [f"{stage['stage']} {stage['lost']:,}" for stage in total if stage["lost"]]
    return f"{total[0]['left']:,} rows read; lost: {', '.join(lost) or 'none'}; {total[-1]['left']:,} kept"


def composition(frame: pl.DataFrame, *, title: str = "What each source brings") -> str:
    """Draw `curate.result.charts.flow.composition`: bars of shares, and a mark at what the plan asks for."""
    by_source: dict[str, dict[str, dict[str, Any]]] = {}
    for one in frame.to_dicts():
        by_source.setdefault(one["source"], {})[one["measure"]] = one
    sizes = {name: max(one["share"] for one in own.values()) for name, own in by_source.items()}
    shown, rest = others(list(by_source), sizes, BARS)
    lines = [(name, by_source[name]) for name in shown]
    lines += [(f"{len(rest)} others", _sum([by_source[name] for name in rest]))] if rest else []
    most = max((max(one["share"], one["asked_share"] or 0) for _, own in lines for one in own.values()), default=1) or 1
    edge = gutter(name for name, _ in lines)
    width, top, pitch = WIDTH - 100 + edge, 30, 48
    room = width - edge - 130
    named = [
        ("rows", "plain"),
        ("tokens", "second"),
        ("trained tokens, estimated", "third"),
        ("asked by the plan", "bad"),
    ]
    body = [legend(8, 14, named)]
    for place, (name, own) in enumerate(lines):
        y = top + pitch * place
        body += [line(edge, y - 3, edge, y + 40, "grid"), label(edge - 10, y + 20, short(name), anchor="end")]
        for row, (measure, colour) in enumerate(MEASURES):
            one, at = own[measure], y + 13 * row
            about = f"{name}: {one['count']:,} {measure}, {share(one['share'])} of all"
            size = room * one["share"] / most
            body.append(bar(edge, at, max(size, 1 if one["count"] else 0), 11, colour, about))
            asked = room * (one["asked_share"] or 0) / most
            if one["asked_share"] is not None:
                body.append(line(edge + asked, at - 2, edge + asked, at + 13, "bad", 2))
            text = f"{share(one['share'])} · {count(one['count'])}"
            body.append(label(edge + max(size, asked) + 6, at + 10, text, colour="soft", size=11))
    about = "; ".join(f"{name}: {share(own['rows']['share'])} of rows" for name, own in lines)
    return picture(width, top + pitch * len(lines), title, about, body)


def _sum(sources: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Add up what several sources bring."""
    found = {}
    for measure, _ in MEASURES:
        own = [source[measure] for source in sources]
        asked = [one["asked_share"] for one in own if one["asked_share"] is not None]
        found[measure] = {
            "count": sum(one["count"] for one in own),
            "share": sum(one["share"] for one in own),
            "asked_share": sum(asked) if len(asked) == len(own) else None,
        }
    return found
