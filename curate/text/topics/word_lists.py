"""Lists of words by group, as text files, and which groups a text has words of.

A line of a file is a phrase, `(a|b)` lists alternatives, `=` before it makes letter case count, and `[name]` begins a
group. A line that begins with "#" is a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import CallError
from curate.kernels.buffers import Int32s, Text
from curate.text.phrases.automaton import Automaton, Phrase, alternatives, compile_phrases
from curate.text.phrases.matching import find

LISTS: Final = ("identity.txt", "domains.txt")
"""The files of topics that come with the package."""

HEADING: Final = re.compile(r"\[(.+)\]")


class WordLists(NamedTuple):
    """Compiled lists: the groups, the phrases of all, and for each phrase which groups it belongs to."""

    groups: tuple[str, ...]
    automaton: Automaton
    members: NDArray[np.bool_]


def read_lists(text: str) -> dict[str, tuple[str, ...]]:
    """Read the lines of a file: phrases by group, alternatives written out.

    >>> read_lists("# Boats" + chr(10) + "[boats]" + chr(10) + "(ship|ships) of the line")
    {'boats': ('ship of the line', 'ships of the line')}
    """
    found: dict[str, list[str]] = {}
    group = ""
    for line in (line.strip() for line in text.splitlines()):
        heading = HEADING.fullmatch(line)
        if heading is not None:
            group = heading[1]
            found.setdefault(group, [])
        elif line and not line.startswith("#"):
            found[group] += [" ".join(phrase.split()) for phrase in alternatives(line)]
    return {name: tuple(dict.fromkeys(phrases)) for name, phrases in found.items()}


@lru_cache(maxsize=4)
def shipped_lists(names: tuple[str, ...] = LISTS) -> WordLists:
    """Return the lists that come with the package, compiled; the answer is kept.

    >>> lists = shipped_lists()
    >>> "Muslims" in lists.groups, "maths" in lists.groups
    (True, True)
    """
    folder = files("curate.text.topics").joinpath("lists")
    texts = [folder.joinpath(name).read_text(encoding="utf-8") for name in names]
    return compiled({group: phrases for text in texts for group, phrases in read_lists(text).items()})


def compiled(lists: Mapping[str, Iterable[str]]) -> WordLists:
    """Compile phrases by group; raises `CallError` where there is none, or one string in place of a list."""
    for group, phrases in lists.items():
        if isinstance(phrases, str):
            raise CallError(f"topic {group!r}: give a list of phrases, such as [{phrases!r}]")
    own = {group: tuple(phrases) for group, phrases in lists.items()}
    empty = [group for group, phrases in own.items() if not phrases]
    if empty or not own:
        raise CallError(f"topics need phrases to look for; without any: {', '.join(map(repr, empty)) or 'all'}")
    places = {phrase: place for place, phrase in enumerate(dict.fromkeys(p for each in own.values() for p in each))}
    members = np.zeros((len(places), len(own)), np.bool_)
    for column, phrases in enumerate(own.values()):
        members[[places[phrase] for phrase in phrases], column] = True
    written = tuple(Phrase(phrase.removeprefix("="), phrase.startswith("=")) for phrase in places)
    return WordLists(tuple(own), compile_phrases(written), members)


def groups_in(text: Text, index: Int32s, lists: WordLists) -> NDArray[np.bool_]:
    """Mark, for each of the texts at `index`, the groups of which it has a phrase; words are whole.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> lists = compiled({"boats": ["ship", "boat"], "winds": ["gale"]})
    >>> groups_in(view(pa.array(["A SHIP in a gale", "shipping", None])), np.arange(3, dtype=np.int32), lists).tolist()
    [[True, True], [False, False], [False, False]]
    """
    hits = find(text, index, lists.automaton)
    marked = np.zeros((len(index), len(lists.groups)), np.bool_)
    hit, group = np.nonzero(lists.members[hits.phrase])
    marked[hits.place[hit], group] = True
    return marked
