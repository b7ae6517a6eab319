"""The page by the rules of axe-core (names, roles, headings, contrast), light and dark, wide and narrow."""

from __future__ import annotations

from typing import Literal

import pytest

from curate.report.page import page
from curate.result.build import Build
from tests.report.browser.conftest import NARROW, WIDE, Open


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
        fragments = {"#rows": "html", "#rows&step=exact_dedup": "#browser", "#rows&q=e&fate=kept": "#browser"}
        for fragment, part in fragments.items():  # all of the page, then what changes
            opened.page.evaluate("to => { location.hash = to; }", fragment)
            opened.wait()
            assert opened.faults(part) == [], (size, fragment)
