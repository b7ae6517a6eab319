"""The templates of this room, with the tables of a build; everything that is not markup of our own is escaped."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment
from markupsafe import Markup, escape

from curate.report.formatting import counted, number, of_all
from curate.result.tables import environment
from curate.text.unseen import UNSEEN, code, coded, name_of


@lru_cache(maxsize=4)
def templates(*packages: str) -> Environment:
    """Return the environment of this room's templates, and those of `packages`, with its filters."""
    found = environment("curate.report", *packages)
    found.filters |= {"shown": html, "plain": coded, "number": number, "of_all": of_all, "rows": counted}
    return found


def html(text: str) -> Markup:
    r"""Escape `text` for a page, with invisible characters as boxes that name them.

    >>> html("<b>\u202e")
    Markup('&lt;b&gt;<span class="unseen" title="RIGHT-TO-LEFT OVERRIDE">U+202E</span>')
    """
    shown = Markup()
    place = 0
    for found in UNSEEN.finditer(text):
        box = Markup('<span class="unseen" title="{}">{}</span>')
        shown += escape(text[place : found.start()]) + box.format(name_of(found[0]).upper(), code(found[0]))
        place = found.end()
    return shown + escape(text[place:])
