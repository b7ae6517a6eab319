"""Reads charts back: their texts, and whether everything is inside the picture."""

from __future__ import annotations

import re
from base64 import b64decode
from xml.etree import ElementTree as ET

NAMES = "{http://www.w3.org/2000/svg}"


def charts_in(page: str) -> list[ET.Element]:
    """Return the charts of a page, each parsed as XML; those that are in an image, too."""
    held = [b64decode(found).decode() for found in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)]
    return [ET.fromstring(found) for found in [*re.findall(r"<svg.*?</svg>", page, re.DOTALL), *held]]  # noqa: S314  our own


def sound(chart: ET.Element) -> None:
    """Assert that a chart is described, refers to nothing, and that its shapes are inside of it."""
    left, top, width, height = map(float, chart.attrib["viewBox"].split())
    assert chart.attrib["role"] == "img"
    assert chart.findtext(f"{NAMES}title") or chart.attrib["aria-label"]
    for one in chart.iter():
        tag = one.tag.removeprefix(NAMES)
        assert tag in {"svg", "title", "desc", "text", "rect", "path", "line", "circle", "polyline", "g"}
        assert not any(name.startswith("on") or "href" in name for name in one.attrib)
        for name in ("x", "x1", "x2", "cx"):
            assert left - 1 <= float(one.attrib.get(name, left)) <= left + width + 1
        for name in ("y", "y1", "y2", "cy"):
            assert top - 1 <= float(one.attrib.get(name, top)) <= top + height + 1
        if tag == "rect" and "%" not in one.attrib["width"]:
            assert float(one.attrib["x"]) + float(one.attrib["width"]) <= left + width + 1
            assert float(one.attrib["y"]) + float(one.attrib["height"]) <= top + height + 1


def texts(chart: ET.Element) -> list[str]:
    """Return what is written in a chart."""
    return [one.text or "" for one in chart.iter(f"{NAMES}text")]
