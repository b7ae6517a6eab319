"""Markdown of this repository, cut at its headings, with links to files made links to pages."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Container, Mapping
from functools import partial
from itertools import pairwise
from typing import Final

OUTPUT: Final = ("<!-- output -->", "<!-- end of output -->")
"""Lines around what a notebook shows: HTML and scripts, which no line of ours may change."""

FENCE: Final = re.compile(rf"^(```|~~~).*?^\1[ ]*$\n?|^{OUTPUT[0]}$.*?^{OUTPUT[1]}$\n?", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")
CALL: Final = re.compile(r"(?<![\[`])`(?:(?P<on>c|build)\.)?(?P<name>[A-Za-z_]\w*)(?P<call>\([^`]*\))?`(?![\]`])")


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Return the text with everything changed but fenced code and what notebooks show."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def sections(text: str, level: int = 2) -> dict[str, str]:
    r"""Return the sections of a text by their headings of a level; what is before the first of them is under "".

    >>> sections("# A\n\nb\n\n## C\n\nd\n")
    {'': '# A\n\nb', 'C': '## C\n\nd'}
    """
    masked = FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), text)
    found = [(match.start(), match[1]) for match in re.finditer(rf"^{'#' * level} (.+)$", masked, re.MULTILINE)]
    bounds = [(0, ""), *found, (len(text), "")]
    return {
        name: text[start:stop].strip()
        for (start, name), (stop, _) in pairwise(bounds)
        if name or text[start:stop].strip()
    }


def raised(text: str) -> str:
    """Return a section whose heading is the title of a page, and every other heading one level up with it."""
    return outside_fences(text, lambda prose: re.sub(r"^#(#+ )", r"\1", prose, flags=re.MULTILINE))


def linked(text: str, page: str, targets: Mapping[str, str], pages: Container[str]) -> str:
    """Return the text with links to files of the repository as links from one page to others, which stay.

    Raises `SystemExit` for a link to a file that is on no page.
    """

    def to_page(match: re.Match[str]) -> str:
        whole = match[1].removeprefix("../")
        path, _, anchor = whole.partition("#")
        if posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) in pages:
            return match[0]
        if whole in targets:
            path, anchor = whole, ""
        if path not in targets:
            raise SystemExit(f"{page}: the link to {path} has no page; add it to .ci/site/pages.py")
        where, _, own = targets[path].partition("#")
        return f"]({'../' * page.count('/')}{where}{'#' if anchor or own else ''}{anchor or own})"

    return outside_fences(text, partial(LINK.sub, to_page))


def with_references(text: str, names: Mapping[str, str]) -> str:
    """Return the text with each call in code (`dedup()`, `c.files(...)`, `build.scores("x")`) linked to its entry.

    `names` has the entry by name: `dedup`, `build.scores`. A name without brackets stays, as it is often just a word.
    """

    def to_entry(match: re.Match[str]) -> str:
        name = f"build.{match['name']}" if match["on"] == "build" else match["name"]
        if name not in names or not (match["on"] or match["call"]):
            return match[0]
        return f"[{match[0]}][{names[name]}]"

    def change(prose: str) -> str:
        lines = prose.split("\n")
        return "\n".join(line if line.startswith("#") else CALL.sub(to_entry, line) for line in lines)

    return outside_fences(text, change)
