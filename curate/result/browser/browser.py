"""The browser of rows: rows shown as chats, filtered and searched, in a page, in a notebook cell or in a file.

It is one script, one style and one block of data. The script makes no request, and the policy of a page allows it
alone, by its hash.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from markupsafe import Markup

from curate.io.atomic import write_text
from curate.result.browser.sample import Wanted, sample
from curate.result.browser.shown_rows import Document, document
from curate.result.folder import BuildFolder
from curate.result.tables import environment

ROWS: Final = 2000
"""Rows of a page, at most."""

DATA_BYTES: Final = 4_500_000
"""Bytes of rows in a page, at most."""

DATA: Final = '<script type="application/octet-stream" id="rows-data">'
"""Where the data go. No text of the data has it: quotes and brackets are escaped."""

HEIGHT: Final = 760
"""Pixels: the height of a browser in a notebook cell."""


class BrowserParts(NamedTuple):
    """What the browser adds to a page beside its data: style, script, and how a policy names the script."""

    style: Markup
    script: Markup
    hash: str


@lru_cache(maxsize=1)
def browser_parts() -> BrowserParts:
    """Return style and script of the browser; its data are added by `with_data`."""
    here = Path(__file__).parent
    style, script = (Markup((here / f"browser.{kind}").read_text("utf-8")) for kind in ("css", "js"))  # noqa: S704
    digest = hashlib.sha256(script.encode()).digest()
    return BrowserParts(style, script, f"sha256-{b64encode(digest).decode()}")


def with_data(page: str, found: Document) -> str:
    """Return a page with the rows that its browser shows."""
    return page.replace(DATA, DATA + found.data, 1)


@dataclass(frozen=True, repr=False)
class RowBrowser:
    """Rows of a build to look at: a browser in a notebook cell, or a page of its own by `save`.

    Attributes:
        html: The page.
        rows: How many rows it has.
        total: How many rows with a text the build has, of those asked for.
    """

    html: str
    rows: int
    total: int

    def __repr__(self) -> str:
        return (
            f"RowBrowser({self.rows:,} of {self.total:,} rows: shown in a notebook cell; .save('rows.html') elsewhere)"
        )

    def _repr_html_(self) -> str:
        """Show the browser in a frame of its own that may run its script, and nothing else."""
        style = f"width: 100%; height: {HEIGHT}px; border: 1px solid #8888; border-radius: 8px"
        source = escape(self.html, quote=True)
        return f'<iframe sandbox="allow-scripts" title="Rows" style="{style}" srcdoc="{source}"></iframe>'

    def save(self, path: str | Path) -> Path:
        """Write the browser as a page of its own: one file that opens offline.

        Args:
            path: The file, as in "rows.html".

        Returns:
            The path of the file.
        """
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, self.html)
        return place


def browse(build: BuildFolder, wanted: Wanted, n: int) -> RowBrowser:
    """Return a browser of up to `n` rows of a build."""
    found = document(build, sample(build, n, wanted), DATA_BYTES)
    page = environment().get_template("browser/browser.html.j2").render(parts=browser_parts(), name=build.name)
    return RowBrowser(with_data(page, found), found.rows, found.total)
