"""Charts show every point on one scale, and nothing else."""

from __future__ import annotations

import re
from math import inf, nan
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from curate.drawing.lines import HEIGHT, WIDTH, chart, ticks

FINITE = st.floats(-1e6, 1e6)


@given(FINITE, st.floats(1e-6, 1e6))
def test_ticks_are_round_and_inside(low: float, share: float) -> None:
    size = share * max(abs(low), 1e-3)  # a float has 15 digits: ticks further apart than a millionth can be round
    high = low + size
    found = ticks(low, high)
    assert 1 <= len(found) <= 12
    assert all(low - 1e-6 * size <= one <= high + 1e-6 * size for one in found)
    assert found == sorted(found)


@given(st.lists(st.tuples(st.integers(1, 99), st.one_of(FINITE, st.just(nan), st.just(inf))), max_size=30))
def test_every_number_is_drawn_inside(points: list[tuple[int, float]]) -> None:
    drawn = chart({"loss": sorted(points, key=lambda point: point[0])})
    numbers = [value for _, value in points if abs(value) < inf]
    assert bool(drawn) == bool(numbers)
    if not numbers:
        return
    svg = ET.fromstring(drawn[: drawn.index("</svg>") + 6])  # noqa: S314  our own
    corners = [corner for line in svg.iter("polyline") for corner in line.attrib["points"].split()]
    alone = [f"{dot.attrib['cx']},{dot.attrib['cy']}" for dot in svg.iter("circle")]
    assert len(corners) + len(alone) == len(numbers)
    for corner in (*corners, *alone):
        x, y = map(float, corner.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_a_gap_where_there_is_no_number() -> None:
    assert chart({"loss": [(1, 1.0), (2, 2.0), (3, nan), (4, 1.0), (5, 2.0)]}).count("<polyline") == 2
    assert chart({}) == ""


def test_two_lines_share_a_scale_and_are_named() -> None:
    drawn = chart({"chosen": [(1, 0.0), (2, -1.0)], "<rejected>": [(1, 0.0), (2, -3.0)]})
    first, second = re.findall(r'points="[\d.]+,[\d.]+ [\d.]+,([\d.]+)"', drawn)
    assert float(first) < float(second)  # higher up
    assert "&lt;rejected&gt;" in drawn
    assert "<rejected>" not in drawn
