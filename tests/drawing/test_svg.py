"""Parts of a chart: names that fit, numbers that are short, scales that stay inside."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

from hypothesis import example, given
from hypothesis import strategies as st

from curate.drawing.svg import AxisScale, count, label, name_width, number, picture, share, short

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXT, st.integers(5, 30))
def test_a_name_fits_and_is_whole_in_its_title(text: str, most: int) -> None:
    found = short(text, most)
    assert name_width(found.shown) <= most
    assert found.shown == found.whole or "…" in found.shown


@given(TEXT, TEXT)
def test_any_text_makes_sound_xml(text: str, title: str) -> None:
    drawn = picture(100, 50, title, text, [label(1, 2, text), label(1, 2, short(text, 8))])
    svg = ET.fromstring(drawn)  # noqa: S314  our own
    assert len(list(svg)) == 4


@example(0.0, 2.0, 1e-308, 2.0)
@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6), st.floats(0, 1e3), st.floats(-2e6, 2e6))
def test_a_scale_stays_between_its_ends_and_keeps_the_order(low: float, span: float, unit: float, value: float) -> None:
    scale = AxisScale(low, low + span, 10, 90, unit)
    assert 10 <= scale(value) <= 90
    assert scale(value) <= scale(value + span)
    assert all(low - span * 1e-6 <= mark <= low + span * (1 + 1e-6) for mark in scale.marks())


@given(st.integers(0, 10**12))
def test_counts_are_short_and_near(value: int) -> None:
    text = count(value)
    assert len(text) <= 5
    size = {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1], 1)
    assert math.isclose(float(text.rstrip("kMG").replace(",", "")) * size, value, rel_tol=0.06)


@given(st.floats(0, 1))
def test_only_nothing_is_no_share_and_only_all_is_the_whole(value: float) -> None:
    assert (share(value) == "0 %") == (value == 0)
    assert (share(value) == "100 %") == (value == 1)


def test_numbers_of_scores() -> None:
    assert [number(one) for one in (0.0, 7.0, -3.0, 0.05, 1e6)] == ["0", "7", "-3", "0.05", "1M"]
