"""Pages of many sources with long names: nothing sticks out of a phone's screen, and nothing is cut off on paper."""

from __future__ import annotations

import pytest

from curate.compare.diff import diff
from curate.report.page import page
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.refusals import refusals
from tests.report.browser.conftest import NARROW, Open
from tests.support.build_data import built, source
from tests.support.chart_builds import mixed

PAPER = (718, 1000)
"""A4 upright with margins of one centimetre, in pixels; letter paper is wider."""

OUTSIDE = """() => {
    const scrolls = (node) => node && (getComputedStyle(node).overflowX !== 'visible' || scrolls(node.parentElement));
    return [...document.querySelectorAll('body *')]
        .filter((node) => node.getBoundingClientRect().width && !node.closest('dialog'))
        .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !scrolls(node.parentElement))
        .map((node) => node.outerHTML.slice(0, 80));
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The page of a build with twelve sources that repeat each other's rows, and the page of a difference."""
    folder = tmp_path_factory.mktemp("long")
    names = [f"source-number-{number}" for number in range(10)] + ["w" * 100, "long-" * 20]
    builds: list[Build] = []
    for least in (2, 5):
        sources = [source(name, mixed(0, 6 + place, 1)) for place, name in enumerate(names)]
        steps = [
            shape(min_words=least, on="response", allow_large_drop=True),
            refusals(allow_large_drop=True),
            exact_dedup(allow_large_drop=True),
        ]
        builds.append(built(folder / str(least), *sources, steps=steps, on_shortage="shrink"))
    return page(builds[0]), diff(*builds).page()


@pytest.mark.parametrize("which", [0, 1], ids=["page", "diff"])
def test_nothing_sticks_out(pages: tuple[str, str], which: int, opening: Open) -> None:
    phone = opening(pages[which], size=NARROW).page
    phone.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert phone.evaluate(OUTSIDE) == []
    assert phone.evaluate("document.documentElement.scrollWidth") == NARROW[0]
    paper = opening(pages[which], size=PAPER).page
    paper.emulate_media(media="print")
    assert paper.evaluate(OUTSIDE) == []
    assert paper.evaluate("document.documentElement.scrollWidth") == PAPER[0]
