"""The phrases of `refusals`: files of rules, the presets that name them, and both compiled.

A line of a file is a phrase. A sign before it makes it a rule; see `Kind`. `(a|b)` writes out alternatives, and a line
that begins with "#" is a comment. So a phrase is added, or narrowed, without touching code.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.rows.segments import On
from curate.text.phrases.automaton import Automaton, Phrase, alternatives, compile_phrases

Preset: TypeAlias = Literal["default", "zephyr", "tulu2", "tulu3"]
Where: TypeAlias = Literal["anywhere", "opening", "first_turn"]

EXTRA: Final = "phrases"
"""The family of the phrases that a user adds."""

LECTURE: Final = "lecture"
"""The family whose phrases are weighed together; `curate.steps.refusals._moralising` does it."""

UNQUOTED: Final = "%unquoted"
"""A line of a file: what it finds between quotation marks does not count."""


class Kind(IntEnum):
    """What a phrase of a file does. A line's first sign says it: none, `^`, `-` or `!`; `=` may follow."""

    COUNTS = 0
    OPENING = 1
    """`^`: it counts where it begins in the opening of a turn."""
    EXCEPT = 2
    """`-`: a hit of the family that begins within it does not count ("I cannot help" in "I cannot help but smile")."""
    UNLESS = 3
    """`!`: no hit of the family counts in a turn that has it."""


SIGNS: Final = {"^": Kind.OPENING, "-": Kind.EXCEPT, "!": Kind.UNLESS}


class Rules(NamedTuple):
    """A file: its phrases, what each does, and whether those between quotation marks are left out."""

    phrases: tuple[Phrase, ...]
    kinds: tuple[Kind, ...]
    unquoted: bool


class Group(NamedTuple):
    """A group of the file of lectures: its name, its points a line, and its lines, each written out."""

    name: str
    anywhere: int
    opening: int
    lines: tuple[tuple[Phrase, ...], ...]


class Lists(NamedTuple):
    """A preset: the segments it reads, how it matches, and its families (files of phrases) in order of reason."""

    on: On
    words: bool
    loose: bool
    families: dict[str, str]


PRESETS: Final[dict[Preset, Lists]] = {
    "default": Lists(
        "response",
        words=True,
        loose=True,
        families={
            "self_reference": "self_reference.txt",
            "no_feelings": "no_feelings.txt",
            "knowledge_cutoff": "knowledge_cutoff.txt",
            "cannot_help": "cannot_help.txt",
            "lecture": "lecture.txt",
            "provider": "provider.txt",
        },
    ),
    "zephyr": Lists("response", words=True, loose=True, families={"no_feelings": "zephyr.txt"}),
    "tulu2": Lists("all", words=False, loose=False, families={"provider": "tulu2.txt"}),
    "tulu3": Lists("response", words=True, loose=False, families={"provider": "tulu3.txt"}),
}


class Search(NamedTuple):
    """Compiled phrases (None: lectures only), and of each its family (a place in the step's), its `Kind` and its text.

    `unquoted` has an entry a family; `ruled` tells whether any rule stands beside the phrases that just count.
    `lecture` is the place of that family (-1: not looked for), `lines` its phrases, numbered after the others.
    """

    automaton: Automaton | None
    family: NDArray[np.int16]
    kind: NDArray[np.uint8]
    text: pa.StringArray
    unquoted: NDArray[np.bool_]
    ruled: bool
    lecture: int
    lines: pa.StringArray


def _lines(name: str) -> list[str]:
    text = files("curate.steps.refusals").joinpath("phrases", name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


@lru_cache(maxsize=16)
def rule_file(name: str) -> Rules:
    """Read a file of phrases.

    >>> rules = rule_file("zephyr.txt")
    >>> rules.phrases[0], rules.kinds[0].name, rules.unquoted
    (Phrase(text='I do not have emotions', exact=False), 'COUNTS', False)
    """
    lines = _lines(name)
    found: dict[Phrase, Kind] = {}
    for line in lines:
        kind = SIGNS.get(line[0], Kind.COUNTS)
        for plain in () if line == UNQUOTED else alternatives(line if kind == Kind.COUNTS else line[1:].lstrip()):
            phrase = Phrase(" ".join(plain.removeprefix("=").split()), plain.startswith("="))
            found.setdefault(phrase, kind)
    return Rules(tuple(found), tuple(found.values()), UNQUOTED in lines)


def phrase_file(name: str) -> tuple[Phrase, ...]:
    """Return the phrases of a file that count as hits, without its exceptions.

    >>> [phrase.text for phrase in phrase_file("zephyr.txt")]
    ['I do not have emotions', 'I do not have opinions', 'I do not have personal experiences']
    """
    rules = rule_file(name)
    return tuple(
        phrase for phrase, kind in zip(rules.phrases, rules.kinds, strict=True) if kind in {Kind.COUNTS, Kind.OPENING}
    )


@lru_cache(maxsize=1)
def lecture_file() -> tuple[Group, ...]:
    """Read the file of lectures: headings `[name anywhere=points opening=points]`, each with its lines.

    >>> [group.name for group in lecture_file()]
    ['judge', 'discourage', 'duty', 'rights', 'fiction']
    """
    groups: list[Group] = []
    for line in _lines("lecture.txt"):
        heading = re.fullmatch(r"\[(\w+) anywhere=(-?\d+) opening=(-?\d+)\]", line)
        if heading is not None:
            groups.append(Group(heading[1], int(heading[2]), int(heading[3]), ()))
            continue
        phrases = tuple(dict.fromkeys(Phrase(" ".join(plain.split())) for plain in alternatives(line)))
        groups[-1] = groups[-1]._replace(lines=(*groups[-1].lines, phrases))
    return tuple(groups)


@lru_cache(maxsize=16)
def compiled(preset: Preset, families: tuple[str, ...], phrases: tuple[str, ...]) -> Search:
    """Compile the phrases of these families; the answer is kept."""
    lists = PRESETS[preset]
    rules = {
        place: plain_rules(phrases) if family == EXTRA else rule_file(lists.families[family])
        for place, family in enumerate(families)
        if family != LECTURE
    }
    search = compile_rules(rules, len(families), words=lists.words, loose=lists.loose)
    if LECTURE not in families:
        return search
    lines = [phrase.text for group in lecture_file() for line in group.lines for phrase in line]
    return search._replace(lecture=families.index(LECTURE), lines=pa.array(lines))


def plain_rules(phrases: tuple[str, ...]) -> Rules:
    """Return phrases that just count."""
    return Rules(tuple(map(Phrase, phrases)), (Kind.COUNTS,) * len(phrases), unquoted=False)


def compile_rules(rules: dict[int, Rules], families: int, *, words: bool = True, loose: bool = True) -> Search:
    """Compile the rules of families, by their places among so many."""
    every = tuple(phrase for one in rules.values() for phrase in one.phrases)
    kinds = np.array([kind for one in rules.values() for kind in one.kinds], np.uint8)
    unquoted = np.zeros(families, np.bool_)
    unquoted[list(rules)] = [one.unquoted for one in rules.values()]
    return Search(
        automaton=compile_phrases(every, words=words, loose=loose) if every else None,
        family=np.repeat(np.array(list(rules), np.int16), [len(one.phrases) for one in rules.values()]),
        kind=kinds,
        text=pa.array([phrase.text for phrase in every], pa.string()),
        unquoted=unquoted,
        ruled=bool((kinds != Kind.COUNTS).any() or unquoted.any()),
        lecture=-1,
        lines=pa.array([], pa.string()),
    )


def check_families(
    preset: str, families: tuple[str, ...] | None, phrases: tuple[str, ...], where: str
) -> tuple[str, ...]:
    """Return the families to look for, in the preset's order; raises `MixtureError` for a word that is not known."""
    if preset not in PRESETS:
        message = f"preset={preset!r} is no preset of refusals; {did_you_mean(preset, PRESETS)}"
        raise MixtureError(message)
    if where not in get_args(Where):
        message = f"where={where!r} is no place of refusals; {did_you_mean(where, get_args(Where))}"
        raise MixtureError(message)
    known = PRESETS[preset].families
    for family in families or ():
        if family not in known:
            message = f"families: preset {preset!r} has no family {family!r}; {did_you_mean(family, known)}"
            raise MixtureError(message)
    chosen = tuple(family for family in known if families is None or family in families)
    chosen = (*chosen, EXTRA) if phrases else chosen
    if not chosen:
        message = "families=() leaves refusals nothing to look for; name a family or give phrases"
        raise MixtureError(message)
    return chosen
