"""Filter by phrase: answers in which the assistant declines, disclaims a mind, or names its cutoff or its maker.

Families of phrases are text files beside this module, so a phrase is added without touching code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import ClassVar, Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.rows.schema import ASSISTANT
from curate.rows.segments import SIDES, On, Part, Segments, check_on
from curate.steps.base import Bound, Evidence, Filter, Scores
from curate.text.matching import Hits, find
from curate.text.phrases import Automaton, Phrase, alternatives, compile_phrases

Preset: TypeAlias = Literal["default", "zephyr", "tulu2", "tulu3"]
Where: TypeAlias = Literal["anywhere", "opening", "first_turn"]

OPENING: Final = 100
"""Characters: a hit in the opening of a turn starts before this one."""

SHOWN: Final = 8
"""Hits of one family in one row that the evidence lists; the scores count all."""

EXTRA: Final = "phrases"
"""The family of the phrases that a user adds."""


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
            "provider": "provider.txt",
        },
    ),
    "zephyr": Lists("response", words=True, loose=True, families={"no_feelings": "zephyr.txt"}),
    "tulu2": Lists("all", words=False, loose=False, families={"provider": "tulu2.txt"}),
    "tulu3": Lists("response", words=True, loose=False, families={"provider": "tulu3.txt"}),
}


class Search(NamedTuple):
    """Compiled phrases, and for each phrase its family (a place in the step's families) and its text."""

    automaton: Automaton
    family: NDArray[np.int16]
    text: pa.StringArray


@lru_cache(maxsize=16)
def phrase_file(name: str) -> tuple[Phrase, ...]:
    """Read a file of phrases: one a line, `(a|b)` written out, exact ones after `=`, comments after `#`.

    >>> phrase_file("zephyr.txt")[0]
    Phrase(text='I do not have emotions', exact=False)
    """
    text = files("curate.steps").joinpath("phrases", name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    written = (Phrase(plain.removeprefix("="), plain.startswith("=")) for line in lines for plain in alternatives(line))
    return tuple(dict.fromkeys(Phrase(" ".join(phrase.text.split()), phrase.exact) for phrase in written))


@lru_cache(maxsize=16)
def compiled(preset: Preset, families: tuple[str, ...], phrases: tuple[str, ...]) -> Search:
    """Compile the phrases of these families; the answer is kept."""
    lists = PRESETS[preset]
    by_family = [
        tuple(map(Phrase, phrases)) if family == EXTRA else phrase_file(lists.families[family]) for family in families
    ]
    every = tuple(phrase for group in by_family for phrase in group)
    family = np.repeat(np.arange(len(families), dtype=np.int16), [len(group) for group in by_family])
    automaton = compile_phrases(every, words=lists.words, loose=lists.loose)
    return Search(automaton, family, pa.array([phrase.text for phrase in every], pa.string()))


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


def hits_in(part: Part, search: Search, where: Where) -> tuple[NDArray[np.int32], Hits]:
    """Return the place in `part` of each hit, and the hits."""
    places = np.flatnonzero(_first_answers(part)) if where == "first_turn" else np.arange(len(part.index))
    opening = OPENING if where == "opening" else None
    hits = find(part.text, part.index[places], search.automaton, opening=opening)
    return places.astype(np.int32)[hits.place], hits


def _first_answers(part: Part) -> NDArray[np.bool_]:
    """Mark the first assistant turn of each row in `part`; a completion is an answer of its own."""
    answers = np.flatnonzero(part.role == ASSISTANT)
    if part.side != "completion":
        answers = answers[np.unique(part.row[answers], return_index=True)[1]]
    marked = np.zeros(len(part.index), np.bool_)
    marked[answers] = True
    return marked


@dataclass(frozen=True, kw_only=True)
class Refusals(Filter):
    """Drops rows with phrases of refusal; see `refusals`. `families` are in the order in which they name the reason."""

    name: ClassVar[str] = "refusals"
    preset: Preset = "default"
    families: tuple[str, ...] = tuple(PRESETS["default"].families)
    where: Where = "anywhere"
    phrases: tuple[str, ...] = ()

    def bounds(self) -> tuple[Bound, ...]:
        """No hit of any family is let pass; the first family met names the reason."""
        return tuple(Bound(family, family, at_most=0) for family in self.families)

    def score(self, segments: Segments) -> Scores:
        """Count the hits of each family in each row; the evidence lists the first eight of each."""
        search = compiled(self.preset, self.families, self.phrases)
        found = [_evidence(part, search, self.where) for part in segments.parts]
        columns = [np.concatenate([part[place] for part in found]) if found else EMPTY for place in range(7)]
        row, family = columns[0], columns[1]
        counts = np.bincount(row * len(self.families) + family, minlength=segments.rows * len(self.families))
        by_row = counts.reshape(segments.rows, len(self.families)).astype(np.int32)
        scores: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {}
        scores.update((family, by_row[:, place].copy()) for place, family in enumerate(self.families))
        return Scores(scores, _shown(columns, search.text))


EMPTY: Final = np.zeros(0, np.int32)


def _evidence(part: Part, search: Search, where: Where) -> tuple[NDArray[np.int32], ...]:
    """Return row, family, side, turn, start, end and phrase of each hit."""
    place, hits = hits_in(part, search, where)
    side = np.full(len(place), SIDES.index(part.side), np.int32)
    family = search.family[hits.phrase].astype(np.int32)
    return part.row[place], family, side, part.turn[place], hits.start, hits.end, hits.phrase


def _shown(columns: list[NDArray[np.int32]], text: pa.StringArray) -> Evidence:
    """Order hits by row, side, turn and start, and leave out those beyond the first few of their row and family."""
    row, family, side, turn, start, end, phrase = columns
    order = np.lexsort((phrase, end, start, turn, side, family, row))
    group = row[order].astype(np.int64) << 16 | family[order]
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    order = np.sort(order[rank < SHOWN])
    order = order[np.lexsort((family[order], end[order], start[order], turn[order], side[order], row[order]))]
    return Evidence(
        row[order],
        family[order].astype(np.int16),
        side[order].astype(np.uint8),
        turn[order],
        start[order],
        end[order],
        text.take(pa.array(phrase[order])),
    )


def refusals(
    preset: Preset = "default",
    *,
    families: tuple[str, ...] | list[str] | None = None,
    on: On | set[str] | tuple[str, ...] | None = None,
    where: Where = "anywhere",
    phrases: tuple[str, ...] | list[str] = (),
    allow_large_drop: bool = False,
) -> Refusals:
    """Drop rows in which the assistant refuses, disclaims feelings, names its cutoff, itself as an AI or its provider.

    Scores are one count of hits a family, and a hit of any family fells the row; the first family met, in the order
    below, names the reason. The evidence tells each hit's phrase as the file writes it, its side, turn and characters.

    - `preset`: `default`, five families measured on people's labels; `zephyr`, the three phrases that Zephyr published;
      `tulu2`, 22 substrings in any role and inside words ("palm tree" too); `tulu3`, 18 whole words in assistant turns.
    - `families`: some of the preset's: `self_reference`, `no_feelings`, `knowledge_cutoff`, `cannot_help`, `provider`.
    - `on`: the segments to read; each preset has its own.
    - `where`: `anywhere`, `opening` (the hit starts in the first 100 characters of a turn), or `first_turn` (the first
      assistant turn of each side of a row; every completion).
    - `phrases`: more phrases, as the family `phrases`.

    Outside the Tulu presets, contractions, apostrophes, ASCII letter case and runs of white space do not matter, and a
    phrase is whole words. Empty and null text has no hit; phrases are English, so text in other languages has few.
    Raises `MixtureError` for a preset, family, scope or place that is not known.

    Sources: arXiv:2310.16944 (Zephyr), arXiv:2311.10702 (Tulu 2), arXiv:2411.15124 (Tulu 3); the files name the rest.

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> answer = {"role": "assistant", "content": "Well, I don\u2019t have opinions."}
    >>> batch = pa.RecordBatch.from_pylist([{"messages": [answer], "meta": "{}"}], BODIES["conversation"])
    >>> step = refusals("zephyr")
    >>> scores = step.score(segments(batch, step.reads))
    >>> scores.columns["no_feelings"].tolist(), scores.evidence.match.to_pylist(), scores.evidence.start.tolist()
    ([1], ['I do not have opinions'], [6])
    """
    more = tuple(phrases)
    chosen = check_families(preset, None if families is None else tuple(families), more, where)
    read = PRESETS[preset].on if on is None else check_on(on)
    if where == "first_turn" and (read == "first_user" or (isinstance(read, frozenset) and "assistant" not in read)):
        message = f"where='first_turn' is the assistant's first turn, and on={on!r} has none; add the role 'assistant'"
        raise MixtureError(message)
    return Refusals(
        preset=preset,
        families=chosen,
        on=read,
        where=where,
        phrases=more,
        allow_large_drop=allow_large_drop,
    )
