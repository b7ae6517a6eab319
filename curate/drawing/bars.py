"""Bars and strips by name, drawn as SVG: lengths, languages, models."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from curate.drawing.flow import others
from curate.drawing.svg import (
    MOST,
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
    share,
    short,
)

PITCH: Final = 26
END: Final = 120
NAME: Final = 30
"""Characters of a group of rows."""

LANGUAGES: Final = 16
"""Languages with a bar of their own."""


def strips(frame: pl.DataFrame, name: str, unit: str, *, title: str) -> str:
    """Draw quantiles of lengths by `name`: the line is from the 5th to the 95th percentile, the bar the middle half."""
    lines = frame.sort("rows", descending=True, maintain_order=True).head(MOST) if frame.height > MOST else frame
    left = frame.height - lines.height
    edge = gutter(str(one) for one in lines[name])
    width = WIDTH - 172 + edge
    low = float(lines["p5"].min() or 0)  # type: ignore[arg-type]
    high = float(lines["p95"].max() or 1)  # type: ignore[arg-type]
    bottom = PITCH * lines.height + 6
    scale = AxisScale(max(low * 0.8, 0), max(high * 1.1, low + 1), edge, width - END, max(low, 1.0))
    body = [_axis(scale, bottom, f"{unit}, log scale")]
    for place, one in enumerate(lines.to_dicts()):
        y = PITCH * place + PITCH / 2
        x = {key: scale(float(one[key])) for key in ("p5", "p25", "median", "p75", "p95")}
        about = ", ".join(f"{key} {one[key]:,}" for key in ("shortest", "p5", "p25", "median", "p75", "p95", "longest"))
        body += [
            label(edge - 10, y + 4, short(str(one[name])), anchor="end"),
            line(x["p5"], y, x["p95"], y, "plain", 2),
            bar(x["p25"], y - 6, max(x["p75"] - x["p25"], 2), 12, "plain", f"{one[name]}: {about} {unit}"),
            line(x["median"], y - 8, x["median"], y + 8, "ink", 2.5),
            label(width - END + 12, y + 4, f"median {count(one['median'])}", colour="soft", size=11),
        ]
    body += [label(edge, bottom + 44, f"{left} more are not shown", colour="soft", size=11)] if left else []
    words = "; ".join(f"{one[name]}: median {one['median']:,} {unit}" for one in lines.to_dicts())
    return picture(width, bottom + (50 if left else 38), title, words, body)


def _axis(scale: AxisScale, bottom: float, unit: str) -> str:
    parts = []
    for mark in scale.marks():
        x = scale(mark)
        parts += [line(x, 0, x, bottom), label(x, bottom + 14, number(mark), anchor="middle", colour="soft", size=11)]
    middle = (scale.start + scale.end) / 2
    return "".join([*parts, label(middle, bottom + 30, unit, anchor="middle", colour="soft", size=11)])


def languages(frame: pl.DataFrame, *, title: str = "Languages, read and kept") -> str:
    """Draw `curate.result.charts.flow.languages`: the rows of each language that were read, and of these those kept."""
    counts = frame.group_by("language").agg(pl.col("read", "kept").sum())
    counts = counts.sort(["read", "language"], descending=[True, False])
    found = {one["language"]: (one["read"], one["kept"]) for one in counts.to_dicts()}
    shown, rest = others(list(found), {name: float(read) for name, (read, _) in found.items()}, LANGUAGES)
    lines = [(name, *found[name]) for name in shown]
    if rest:
        lines.append((f"{len(rest)} others", *(sum(found[name][side] for name in rest) for side in (0, 1))))
    most = max(read for _, read, _ in lines) or 1
    edge, room, top = gutter(name for name, _, _ in lines), 358, 28
    body = [legend(8, 14, [("rows read", "quiet"), ("rows kept", "kept")])]
    for place, (name, read, kept) in enumerate(lines):
        y = top + 22 * place
        about = f"{name}: {read:,} rows read, {kept:,} kept"
        body += [
            label(edge - 10, y + 12, short(name), anchor="end"),
            bar(edge, y, max(room * read / most, 1), 16, "quiet", about),
            bar(edge, y + 3, room * kept / most, 10, "kept", about),
            label(edge + room * read / most + 6, y + 12, f"{kept:,} of {read:,}", colour="soft", size=11),
        ]
    words = "; ".join(f"{name}: {kept:,} of {read:,} rows kept" for name, read, kept in lines)
    return picture(edge + room + 150, top + 22 * len(lines) + 4, title, words, body)


def win_rate(frame: pl.DataFrame, *, title: str = "How often the answer of a model wins") -> str:
    """Draw `curate.result.charts.pairs.win_rate`: a bar for each model, and a line at half of the comparisons."""
    lines: list[dict[str, Any]] = frame.head(MOST).to_dicts()
    edge, room, bottom = gutter(one["model"] for one in lines), 338, 22 * len(lines) + 4
    scale = AxisScale(0, 1, edge, edge + room)
    body = []
    for place, one in enumerate(lines):
        y, end = 22 * place + 2, scale(one["win_rate"])
        text = f"{share(one['win_rate'])} of {one['compared']:,}"
        body += [
            label(edge - 10, y + 13, short(one["model"]), anchor="end"),
            bar(edge, y, end - edge, 16, "plain", f"{one['model']}: wins {text} comparisons"),
            label(max(end, scale(0.5)) + 8, y + 13, text, colour="soft", size=11),
        ]
    body.append(line(scale(0.5), 0, scale(0.5), bottom, "bad", 1.5))
    for part in (0, 0.5, 1):
        body.append(label(scale(part), bottom + 14, share(part), anchor="middle", colour="soft", size=11))
    left = frame.height - len(lines)
    what = f"comparisons that are won{f'; {left} more models are not shown' if left else ''}"
    body.append(label(edge + room / 2, bottom + 30, what, anchor="middle", colour="soft", size=11))
    words = "; ".join(f"{one['model']}: {share(one['win_rate'])}" for one in lines)
    return picture(edge + room + 170, bottom + 38, title, words, body)


def costs(frame: pl.DataFrame, *, title: str = "Groups of which a step drops more than of all rows") -> str:
    """Draw `curate.result.charts.findings.costs`: under each step its groups, with their lower bound and all rows."""
    lines: list[dict[str, Any]] = frame.head(MOST).to_dicts()
    edge, room, y = gutter((one["group"] for one in lines), NAME), 190, 28.0
    scale = AxisScale(0, max((one["share"] for one in lines), default=1), edge, edge + room)
    body = [legend(8, 14, [("dropped of the group", "out"), ("of all rows", "ink")])]
    step = None
    for one in lines:
        if one["step"] != step:
            step = one["step"]
            body += [label(8, y + 15, f"{step}: {share(one['overall'])} of all rows", size=12)]
            y += 24
        end, text = scale(one["share"]), f"{share(one['share'])} of {count(one['reached'])}"
        about = f"{step}, {one['group']}: {one['dropped']:,} of {one['reached']:,} rows, at least {share(one['low'])}"
        body += [
            label(edge - 10, y + 13, short(one["group"], NAME), anchor="end", colour="soft"),
            bar(edge, y, max(end - edge, 1), 16, "out", about),
            line(scale(one["low"]), y + 8, end, y + 8, "ink", 1.5),
            line(scale(one["overall"]), y - 1, scale(one["overall"]), y + 17, "ink", 2.5),
            label(end + 8, y + 13, text, colour="soft", size=11),
        ]
        y += 22
    left = frame.height - len(lines)
    if left:
        body.append(label(edge, y + 14, f"{left} more groups are not shown", colour="soft", size=11))
    words = "; ".join(
        f"{one['step']}, {one['group']}: {share(one['share'])}, of all rows {share(one['overall'])}" for one in lines
    )
    return picture(max(edge + room + 100, 300), y + (20 if left else 4), title, words, body)
