"""Pages in Chromium: offline, with every request and every complaint of the console noted."""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Browser, Page, sync_playwright

WIDE, NARROW = (1280, 900), (390, 844)
DATA: Final = re.compile(r'id="rows-data">([^<]*)<')

Row: TypeAlias = dict[str, Any]


def data_of(html: str) -> Row:
    """Read the data of a browser as its script does."""
    found = DATA.search(html)
    assert found is not None
    data: Row = json.loads(zlib.decompress(b64decode(found[1])))
    return data


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium, once for a module: its loop runs in this thread, where others may want theirs."""
    place = shutil.which("chromium")
    if place is None and os.environ.get("CURATE_REAL_DATA"):
        pytest.fail("there is no chromium: apt-get install chromium (CONTRIBUTING.md)")
    if place is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield browser
        browser.close()


RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
CHECK: Final = "async ([part, rules]) => (await axe.run(part, {runOnly: {type: 'tag', values: rules}})).violations"


@dataclass
class Opened:
    """A page that is open, what it asked for, and what the console said."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def faults(self, part: str = "html") -> list[tuple[str, list[str]]]:
        """Return the rules of axe-core that a part of the page breaks, each with the first elements that do."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_FILE_PATH.read_text("utf-8"))
        found: list[dict[str, Any]] = self.page.evaluate(CHECK, [part, RULES])
        return [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]

    def go(self, fragment: str) -> None:
        """Open the page anew at a fragment, and wait for its rows."""
        self.page.goto("about:blank")
        self.page.goto(self.address + fragment)
        self.page.wait_for_selector(".browser.live", state="attached")

    @property
    def found(self) -> int:
        """The number of rows found, as the page says it."""
        return int(self.page.locator(".count").inner_text().split()[0].replace(",", ""))

    @property
    def title(self) -> str:
        """The name of the row shown."""
        return self.page.locator(".shown h3").inner_text()

    def choose(self, name: str, value: str) -> None:
        """Choose a value of a filter, or write it, and wait until rows are filtered."""
        one = self.page.locator(f".filters [name={name}]")
        if name in {"source", "fate", "step", "reason", "language"}:
            one.select_option(value)
        else:
            one.fill(value)
        self.wait()

    def clear(self) -> None:
        if self.page.locator(".clear").is_enabled():
            self.page.locator(".clear").click()

    def wait(self) -> None:
        """Wait until what was typed has had its effect."""
        self.page.evaluate("() => new Promise((done) => setTimeout(done, 100))")

    def listed(self) -> list[str]:
        """Return the addresses of the rows found, all of them."""
        every = """async () => {
            const list = document.querySelector('.rows-found');
            for (let before = -1; before !== list.querySelectorAll('a').length;) {
                before = list.querySelectorAll('a').length;
                list.scrollTop = list.scrollHeight;
                await new Promise((done) => setTimeout(done, 30));
            }
            return [...list.querySelectorAll('a')].map((link) => link.getAttribute('href'));
        }"""
        links: list[str] = self.page.evaluate(every)
        return links


Open: TypeAlias = Callable[..., Opened]


@pytest.fixture
def opening(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open a page at a size and colour scheme. At the end, nothing was asked for but it, and the console is silent."""
    made: list[Opened] = []

    def opened(
        html: str,
        fragment: str = "",
        *,
        size: tuple[int, int] = WIDE,
        scheme: Literal["light", "dark"] = "light",
        live: bool = True,
        script: bool = True,
    ) -> Opened:
        path = tmp_path / f"page-{len(made)}.html"
        path.write_text(html, "utf-8", newline="\n")
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, java_script_enabled=script
        )
        context.set_default_timeout(20_000)
        one = Opened(context.new_page(), path.as_uri())
        made.append(one)
        context.on("request", lambda request: one.requests.append(request.url))
        context.on("console", lambda message: one.said.append(message.text))
        context.on("weberror", lambda error: one.said.append(str(error.error)))
        context.on("dialog", lambda dialog: one.said.append(dialog.message))
        one.page.goto(one.address + fragment)
        if live:
            one.page.wait_for_selector(".browser.live", state="attached")
        return one

    yield opened
    for one in made:
        one.page.context.close()
        assert {url.partition("#")[0] for url in one.requests} <= {one.address, "about:blank", "about:srcdoc"}
        assert one.said == []
