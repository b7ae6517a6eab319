"""The templates of this room, with the tables of a build; everything that is not markup of our own is escaped."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment

from curate.report.formatting import counted, number, of_all
from curate.report.highlights import html
from curate.result.tables import environment
from curate.text.unseen import coded


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Return the environment of this room's templates, with its filters."""
    found = environment("curate.report")
    found.filters |= {"shown": html, "plain": coded, "number": number, "of_all": of_all, "rows": counted}
    return found
