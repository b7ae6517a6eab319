"""The page by the rules of axe-core (names, roles, headings, contrast), light and dark, wide and narrow."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_FILE_PATH

from curate.report.page import page
from curate.result.build import Build
from tests.report.browser.conftest import NARROW, WIDE, Open

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

CHECK = "async ([part, rules]) => (await axe.run(part, {runOnly: {type: 'tag', values: rules}})).violations"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["demo", "pairs", "searched"])
def test_axe_finds_nothing(
    name: str, scheme: Literal["light", "dark"], request: pytest.FixtureRequest, opening: Open
) -> None:
    build = request.getfixturevalue(name)
    assert isinstance(build, Build)
    html = page(build)
    for size in (WIDE, NARROW):
        opened = opening(html, size=size, scheme=scheme)
        opened.page.evaluate(AXE_FILE_PATH.read_text("utf-8"))
        fragments = {"#rows": "html", "#rows&step=exact_dedup": "#browser", "#rows&q=e&fate=kept": "#browser"}
        for fragment, part in fragments.items():  # all of the page, then what changes
            opened.page.evaluate("to => { location.hash = to; }", fragment)
            opened.wait()
            found: list[dict[str, Any]] = opened.page.evaluate(CHECK, [part, RULES])
            said = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]
            assert said == [], (size, fragment)
