"""Dots by name, each with the least and the most of several measurements, drawn as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from curate.drawing.svg import WIDTH, AxisScale, gutter, label, line, number, picture, short

PITCH: Final = 22
GAP: Final = 14
END: Final = 90


class Dot(NamedTuple):
    """A measurement of a name in a group: its mean, and the least and the most of all."""

    group: str
    name: str
    mean: float
    low: float
    high: float
    colour: str


def dots(
    found: Sequence[Dot],
    title: str,
    shown: Callable[[float], str] = number,
    marked: Callable[[float], str] = number,
    least: float = 0.0,
) -> str:
    """Draw measurements under each other, those of a group together.

    `shown` writes a value at its right, and `marked` one on the axis, which goes from 0 to `least`, or further.

    >>> dots([Dot("10 rows", "random", 0.2, 0.1, 0.3, "quiet")], "Coverage").count("<circle")
    1
    """
    edge = gutter([one.name for one in found])
    most = max([one.high for one in found], default=0.0)
    scale = AxisScale(0.0, max(most * 1.05, least) or 1.0, edge, WIDTH - END)
    body: list[str] = []
    y, group = 0.0, None
    for one in found:
        if one.group != group:
            y += GAP if group is not None else 0.0
            body.append(label(8, y + 14, short(one.group), colour="soft", size=11))
            y, group = y + PITCH, one.group
        middle = y + PITCH / 2
        body += [
            label(edge - 10, middle + 4, short(one.name), anchor="end"),
            line(scale(0.0), middle, WIDTH - END, middle),
            line(scale(one.low), middle, scale(one.high), middle, one.colour, 4),
            f'<circle cx="{scale(one.mean):.1f}" cy="{middle:.1f}" r="5" fill="var(--c-{one.colour})"/>',
            label(WIDTH - END + 12, middle + 4, shown(one.mean), colour="soft", size=11),
        ]
        y += PITCH
    for mark in scale.marks():
        body.insert(0, line(scale(mark), 0, scale(mark), y))
        body.append(label(scale(mark), y + 14, marked(mark), anchor="middle", colour="soft", size=11))
    said = "; ".join(f"{one.group}, {one.name}: {shown(one.mean)}" for one in found)
    return picture(WIDTH, y + 22, title, said, body)
