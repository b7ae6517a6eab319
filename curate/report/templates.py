"""The templates of this room, with everything escaped that is not markup of our own."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from curate.report.formatting import number, of_all
from curate.report.highlights import html, html_pieces, plain


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Return the templates; a name that is not there is an error, never an empty string."""
    found = Environment(
        loader=PackageLoader("curate.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "shown": html,
        "plain": plain,
        "pieces": html_pieces,
        "number": number,
        "of_all": of_all,
        "rows": rows,
    }
    return found


def rows(count: int) -> str:
    """Say how many rows.

    >>> rows(1), rows(2000)
    ('1 row', '2,000 rows')
    """
    return f"{count:,} {'row' if count == 1 else 'rows'}"
