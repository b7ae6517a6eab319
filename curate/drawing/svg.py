"""The parts of an SVG chart: text that is escaped and shortened, bars, axes, and the picture around them.

Nothing measures a font: labels have a number of characters that fits in every common one. Colours are variables, which
the page sets for light, dark and print; `fixed` puts colours in their place for files and notebooks.
"""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import log, log10
from typing import Final, NamedTuple

from curate.drawing.lines import ticks
from curate.text.unseen import coded

WIDTH: Final = 680
"""The width of a chart with a line per source, in pixels; a narrower screen scrolls it in a box of its own."""

SMALL: Final = 320
"""The width of one of many small charts: a phone shows it whole."""

NAME: Final = 21
"""Characters of a name that a chart has space for at its left."""

CHARACTER: Final = 7.5
"""Pixels of a character of a label of 12 pixels, on average in the widest of the common sans-serif fonts."""

WIDEST: Final = frozenset("mwMW@%")
"""Letters that take half as much space again."""

MOST: Final = 30
"""Marks that a chart shows of a kind; the rest is one mark, the others."""

FEW: Final = 2
"""Powers of ten that name enough of an axis; with fewer, twice and five times a power are named, too."""

LIGHT: Final[Mapping[str, str]] = {
    "ink": "#1d2329",
    "soft": "#5b6670",
    "grid": "#dfe1dd",
    "paper": "#ffffff",
    "plain": "#3a76bf",
    "second": "#2b8f8a",
    "third": "#8a58a0",
    "kept": "#2f9e6b",
    "out": "#d67d16",
    "quiet": "#a4acb4",
    "bad": "#c8453b",
    "heat": "#f0a04b",
}
DARK: Final[Mapping[str, str]] = {
    **LIGHT,
    "ink": "#e4e6e8",
    "soft": "#9ba5ae",
    "grid": "#343a40",
    "paper": "#1d2125",
    "plain": "#6ea3e0",
    "second": "#4bb3ad",
    "third": "#b98acb",
    "out": "#dd8a26",
    "quiet": "#6b747d",
    "bad": "#e8685e",
    "heat": "#96590f",
}
MIDDLE: Final[Mapping[str, str]] = {
    **LIGHT,
    "ink": "#717c87",
    "soft": "#808a94",
    "grid": "#88888855",
    "paper": "none",
    "plain": "#4c87cf",
}
"""Colours for the page in light and dark, and those that are readable on both, for a notebook."""


class ShortName(NamedTuple):
    """A label: what is shown, and the whole of it where that is shortened."""

    shown: str
    whole: str


def variables(colours: Mapping[str, str]) -> str:
    """Return colours as the CSS variables that charts use."""
    return " ".join(f"--c-{name}: {colour};" for name, colour in colours.items())


def fixed(svg: str, colours: Mapping[str, str]) -> str:
    """Return a chart with these colours in place of variables.

    >>> fixed('<rect fill="var(--c-kept)"/>', LIGHT)
    '<rect fill="#2f9e6b"/>'
    """
    for name, colour in colours.items():
        svg = svg.replace(f'"var(--c-{name})"', f'"{colour}"')
    return svg


def image(svg: str) -> str:
    """Return a chart as an image that holds it, with its words as the text in its place.

    Notebooks of others are not trusted: JupyterLab takes the shapes out of a chart in HTML, and its words are left as
    one line. An image it shows.

    >>> image('<svg aria-label="Two bars"></svg>')[:75]
    '<img alt="Two bars" style="max-width: 100%" src="data:image/svg+xml;base64,'
    """
    said = svg.partition('aria-label="')[2].partition('"')[0]
    held = b64encode(svg.encode()).decode()
    return f'<img alt="{said}" style="max-width: 100%" src="data:image/svg+xml;base64,{held}">'


def short(text: str, most: int = NAME) -> ShortName:
    """Shorten a name in its middle; characters that are not seen are named, wide ones count for more.

    >>> short("a-very-long-name-of-a-source", 12).shown
    'a-very…ource'
    >>> short("name").shown
    'name'
    """
    whole = coded(" ".join(text.split()))
    if name_width(whole) <= most:
        return ShortName(whole, whole)
    head, tail = (most - 1) - (most - 1) // 2, (most - 1) // 2
    return ShortName(f"{_cut(whole, head)}…{_cut(whole[::-1], tail)[::-1]}", whole)


def name_width(text: str) -> float:
    """Return how many characters of a label a text takes: full-width ones count twice.

    >>> name_width("name"), name_width("数据"), name_width("ww")
    (4.5, 4.0, 3.0)
    """
    return sum(map(_width, text))


def _width(one: str) -> float:
    return 2.0 if unicodedata.east_asian_width(one) in "WF" else 1.5 if one in WIDEST else 1.0


def _cut(text: str, most: int) -> str:
    found, left = 0, float(most)
    for one in text:
        left -= _width(one)
        if left < 0:
            break
        found += 1
    return text[:found]


def gutter(names: Iterable[str], most: int = NAME) -> float:
    """Return the pixels that the names of a chart take at its left.

    >>> gutter(["assistant", "forum"])
    97.5
    """
    return 30 + CHARACTER * max((min(name_width(coded(name)), most) for name in names), default=0)


def label(
    x: float,
    y: float,
    text: str | ShortName,
    *,
    anchor: str = "start",
    colour: str = "ink",
    size: int = 12,
    turn: int = 0,
) -> str:
    """Return a text at a place; the whole of a shortened one is its title. Right-to-left text is kept to itself."""
    shown = text if isinstance(text, ShortName) else ShortName(coded(text), coded(text))
    title = f"<title>{escape(shown.whole)}</title>" if shown.whole != shown.shown else ""
    turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}"{place} font-size="{size}" fill="var(--c-{colour})" direction="ltr" '
        f'unicode-bidi="isolate"{turned}>{escape(shown.shown)}{title}</text>'
    )


def bar(x: float, y: float, width: float, height: float, colour: str, title: str = "", more: str = "") -> str:
    """Return a rectangle; `colour` is the name of a variable, or a colour."""
    inside = f"<title>{escape(coded(title))}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
        f'fill="{paint(colour)}"{more}>{inside}</rect>'
    )


def path(shape: str, colour: str, title: str = "") -> str:
    """Return a filled shape."""
    inside = f"<title>{escape(coded(title))}</title>" if title else ""
    return f'<path d="{shape}" fill="{paint(colour)}">{inside}</path>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = "grid", width: float = 1, more: str = "") -> str:
    """Return a straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{paint(colour)}" '
        f'stroke-width="{width:g}"{more}/>'
    )


def paint(colour: str) -> str:
    """Return a colour as an attribute has it."""
    return colour if colour.startswith("#") else f"var(--c-{colour})"


def picture(width: float, height: float, title: str, about: str, body: Iterable[str], more: str = "") -> str:
    """Return the chart: its size is fixed, so that labels stay legible; `about` says in words what it shows."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}"{more} aria-label="{escape(coded(f"{title}. {about}"))}" '
        f'font-family="system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, sans-serif">'
        f"<title>{escape(coded(title))}</title><desc>{escape(coded(about))}</desc>{''.join(body)}</svg>"
    )


def count(value: float) -> str:
    """Write a count for a label, in at most five characters.

    >>> [count(value) for value in (999, 1234, 56_789, 4_500_000)]
    ['999', '1.2k', '57k', '4.5M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            number = value / size
            return f"{number:.1f}".removesuffix(".0") + unit if number < 9.95 else f"{number:.0f}{unit}"
    return f"{value:,.0f}"


def share(value: float) -> str:
    """Write a share for a label; only nothing is 0 %, and only everything 100 %.

    >>> [share(value) for value in (0, 0.0004, 0.123, 0.9999, 1)]
    ['0 %', '<0.1 %', '12.3 %', '>99.9 %', '100 %']
    """
    if value <= 0 or value >= 1:
        return f"{100 * value:.0f} %"
    if value < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if value >= 0.9995 else f"{100 * value:.1f} %"


def number(value: float) -> str:
    """Write a score for a label: whole ones whole, large ones short, others with three digits.

    >>> [number(value) for value in (3.0, 0.12345, 123_456.0, -2.5)]
    ['3', '0.123', '123k', '-2.5']
    """
    if abs(value) >= 10_000:
        return f"{'-' if value < 0 else ''}{count(abs(value))}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


class AxisScale(NamedTuple):
    """A scale from `low` and `high` to pixels; `unit` is 0 for an even one, else where a logarithmic one begins."""

    low: float
    high: float
    start: float
    end: float
    unit: float = 0.0

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        low, high, at = (self._bent(one) for one in (self.low, self.high, value))
        part = (at - low) / (high - low) if high > low else 0.5
        return self.start + min(max(part, 0.0), 1.0) * (self.end - self.start)

    def _bent(self, value: float) -> float:
        if not self.unit:
            return value
        size = log(self.unit + abs(value)) - log(self.unit)  # a quotient could overflow
        return size if value >= 0 else -size

    def marks(self) -> list[float]:
        """Return round values to name on the axis.

        >>> AxisScale(0, 5000, 0, 400, 1).marks(), AxisScale(40, 260, 0, 400, 40).marks()
        ([0.0, 10.0, 100.0, 1000.0], [50.0, 100.0, 200.0])
        """
        if self.high <= self.low:
            return [self.low]
        if not self.unit:
            return ticks(self.low, self.high)
        first = 0 if self.unit >= 1 else int(log10(self.unit)) - 1
        powers = [10.0**power for power in range(first, int(log10(max(self.high, 1))) + 1)]
        if sum(self.low <= value <= self.high for value in powers) < FEW:
            powers = [nice * power for power in powers for nice in (1, 2, 5)]
        chosen: list[float] = []
        for value in [0.0, *powers]:
            if self.low <= value <= self.high and (not chosen or self(value) - self(chosen[-1]) >= 34):
                chosen.append(value)
        return chosen


def legend(x: float, y: float, marks: Sequence[tuple[str, str]]) -> str:
    """Return names with swatches of their colours, in a line."""
    parts = []
    for name, colour in marks:
        parts += [bar(x, y - 9, 10, 10, colour), label(x + 15, y, name, colour="soft")]
        x += 15 + CHARACTER * len(name) + 18
    return "".join(parts)
