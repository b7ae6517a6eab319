"""The browser of rows: rows shown as chats, filtered and searched, in a page, in a notebook cell or in a file.

It is one script, one style and one block of data. The script makes no request, and the policy of a page allows it
alone, by its hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final

from curate.result.browser.sample import Wanted, sample
from curate.result.browser.shown_rows import Document, document, shown_rows
from curate.result.cell_page import CellPage, ScriptParts, script_parts
from curate.result.folder import BuildFolder
from curate.result.tables import environment

ROWS: Final = 2000
"""Rows of a page, at most."""

DATA_BYTES: Final = 4_500_000
"""Bytes of rows in a page, at most."""

DATA: Final = '<script type="application/octet-stream" id="rows-data">'
"""Where the data go. No text of the data has it: quotes and brackets are escaped."""


@lru_cache(maxsize=1)
def browser_parts() -> ScriptParts:
    """Return style and script of the browser; its data are added by `with_data`."""
    return script_parts(Path(__file__).with_name("browser"))


def with_data(page: str, found: Document) -> str:
    """Return a page with the rows that its browser shows."""
    return page.replace(DATA, DATA + found.data, 1)


@dataclass(frozen=True, repr=False)
class RowBrowser(CellPage):
    """Rows of a build to look at: a browser in a notebook cell, or a page of its own by `save`.

    Attributes:
        html: The page.
        rows: How many rows it has.
        total: How many rows with a text the build has, of those asked for.
    """

    title: ClassVar[str] = "Rows"
    height: ClassVar[int] = 760
    rows: int
    total: int

    def __repr__(self) -> str:
        return (
            f"RowBrowser({self.rows:,} of {self.total:,} rows: shown in a notebook cell; .save('rows.html') elsewhere)"
        )


def browse(build: BuildFolder, wanted: Wanted, n: int) -> RowBrowser:
    """Return a browser of up to `n` rows of a build."""
    chosen = sample(build, n, wanted)
    found = document(build, shown_rows(build, chosen.rows), chosen.total, DATA_BYTES)
    page = environment().get_template("browser/browser.html.j2").render(parts=browser_parts(), name=build.name)
    return RowBrowser(with_data(page, found), found.rows, found.total)
