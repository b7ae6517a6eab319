"""The kinds of `lint_pairs`, and those it finds in texts: empty sides, repeated prompts, refusals, leaks, languages."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.kernels.buffers import frozen, strings, view
from curate.rows.joined_text import row_texts
from curate.rows.schema import ASSISTANT, USER
from curate.rows.segments import Part, Segments
from curate.rows.sides import side
from curate.rows.visible import places_as_they_are, visible
from curate.steps._evidence import part_hits
from curate.steps.base import Evidence
from curate.steps.filters.language import UNDETERMINED, Language
from curate.steps.pairs._lint_kernel import within
from curate.steps.refusals.phrase_files import compiled
from curate.steps.refusals.phrase_hits import CountedHits, hits_in
from curate.text.normal import blank, normalise
from curate.text.words import count_words

Lint: TypeAlias = Literal[
    "empty_side",
    "equal_answers",
    "equal_when_cut",
    "score_inverted",
    "bad_rating",
    "refusal_chosen",
    "prompt_repeated",
    "identity_leak",
    "other_language",
]
LINTS: Final[tuple[Lint, ...]] = get_args(Lint)


def hits_of(
    lint: Lint, part: Part, places: NDArray[np.int32], match: pa.StringArray, spans: NDArray[np.int32] | None = None
) -> Evidence:
    """Return evidence of one lint in one part; without `spans` (starts and ends) it is the segments as a whole."""
    start, end = np.zeros((2, len(places)), np.int32) if spans is None else spans
    return part_hits(part, places, LINTS.index(lint), start, end, match)


def marked(hits: Evidence, mask: NDArray[np.bool_]) -> Evidence:
    """Return those of the hits that `mask` marks."""
    row, reason, side, turn, start, end, match = hits
    match = match.filter(pa.array(mask))
    return Evidence(row[mask], reason[mask], side[mask], turn[mask], start[mask], end[mask], match)


FAMILIES: Final = ("cannot_help", "self_reference", "provider")
"""Families of `curate.steps.refusals.refusals`: the first is a refusal, the others reveal a model, or its maker."""

OPENING: Final = 100
"""Characters: a chosen answer refuses if it does so within its first ones. Refusals deep in an answer are partial."""

REPEATED_WORDS: Final = 8
"""The fewest words of a prompt that is looked for in answers: fewer, as in a title, occur by chance."""

TRANSLATIONS: Final = "(?i)translat|übersetz|tradu[ciz]|翻[译譯訳]|перев[её]д|перевест|번역|ترجم|çevir|अनुवाद"
"""Prompts that ask for another language: 31 of 37 in 1,000 rows of UltraFeedback answered in another one."""


def empty_sides(segments: Segments, calls: Segments, *, rated: bool) -> NDArray[np.int32]:
    """Count the sides without text or call, and of a rated row the completions; one without any has an empty side."""
    empty = np.zeros(segments.rows, np.int32)
    for name in ("prompt", "completion") if rated else ("prompt", "chosen", "rejected"):
        part = side(segments, name)
        bare = blank(part.text, part.index)
        if name == "completion":
            empty += _count(part, bare, segments.rows)
            bare[:] = False
        said = _count(part, ~bare, segments.rows)
        empty += said + _calls(calls, name) == 0
    return empty


def _calls(segments: Segments, name: str) -> NDArray[np.int64]:
    """Count the calls of one side of each row, by their names and arguments."""
    rows = [part.row for part in segments.parts if part.of == "call" and part.side == name]
    return np.bincount(np.concatenate([np.zeros(0, np.int32), *rows]), minlength=segments.rows)


def last_asked(segments: Segments) -> Part:
    """Return the last user turn of each prompt."""
    part = side(segments, "prompt")
    users = np.flatnonzero(part.role == USER)
    row = part.row[users]
    last = users[np.append(row[1:] != row[:-1], np.ones(min(1, len(users)), np.bool_))]
    return Part(part.side, part.text, part.index[last], part.row[last], part.turn[last], part.role[last])


def repeated(segments: Segments) -> tuple[NDArray[np.int32], list[Evidence]]:
    """Count the assistant turns that have the whole last user turn within them, both in normal form."""
    asked = last_asked(segments)
    prompts = view(_normal(asked))
    long = count_words(prompts, frozen(np.arange(len(prompts), dtype=np.int32))) >= REPEATED_WORDS
    of_row = np.full(segments.rows, -1, np.int32)
    of_row[asked.row[long]] = np.flatnonzero(long)
    total, hits = np.zeros(segments.rows, np.int32), []
    for part in _answers(segments):
        text = view(_normal(part))
        which = np.where(part.role == ASSISTANT, of_row[part.row], np.int32(-1))
        found = within(text.data, text.offsets, prompts.data, prompts.offsets, frozen(which))
        total += _count(part, found, segments.rows)
        places = np.flatnonzero(found).astype(np.int32)
        match = pa.array(["the prompt"]).take(pa.array(np.zeros(len(places), np.int8)))
        hits.append(hits_of("prompt_repeated", part, places, match))
    return total, hits


def phrases(segments: Segments) -> tuple[NDArray[np.int32], NDArray[np.int32], list[Evidence]]:
    """Count the refusals in chosen that stand against none in rejected, and the leaks of identity in all answers."""
    search = compiled("default", FAMILIES, ())
    leaks = np.zeros(segments.rows, np.int32)
    refused = {name: np.zeros(segments.rows, np.int32) for name in ("chosen", "rejected")}
    openings: list[Evidence] = []
    hits: list[Evidence] = []
    for part in _answers(segments):
        seen = visible(part)
        found = hits_in(seen, search, "anywhere")
        said = part.role[found.place] == ASSISTANT
        leak = said & (found.family > 0)
        leaks += _bins(part, found, leak, segments.rows)
        texts = search.text.take(pa.array(found.phrase))
        spans = np.array(places_as_they_are(part, seen, found.place, found.start, found.end))
        hits.append(marked(hits_of("identity_leak", part, found.place, texts, spans), leak))
        if part.side in refused:
            refusal = said & (found.family == 0) & ((found.start < OPENING) | (part.side == "rejected"))
            refused[part.side] = _bins(part, found, refusal, segments.rows)
        if part.side == "chosen":
            openings.append(marked(hits_of("refusal_chosen", part, found.place, texts, spans), refusal))
    against = refused["rejected"] == 0
    hits += [marked(each, against[each.row]) for each in openings]
    return np.where(against, refused["chosen"], np.int32(0)), leaks, hits


def foreign(segments: Segments, model: str | None) -> NDArray[np.int32]:
    """Mark rows whose two answers are both detected in a language other than the prompt's."""
    foreign_rows, step = np.ones(segments.rows, np.bool_), Language(model=model)
    labels = []
    for part in (last_asked(segments), side(segments, "chosen"), side(segments, "rejected")):
        alone = Segments(segments.rows, (part,))
        labels.append(step.score(alone).labels["language"])
        foreign_rows &= np.asarray(pc.not_equal(labels[-1], UNDETERMINED))
        if part.side == "prompt":
            foreign_rows &= ~np.asarray(pc.match_substring_regex(row_texts(alone, "plain"), TRANSLATIONS))
    prompt, chosen, rejected = labels
    for answer in (chosen, rejected):
        foreign_rows &= np.asarray(pc.not_equal(answer, prompt))
    return foreign_rows.astype(np.int32)


def _answers(segments: Segments) -> list[Part]:
    return [part for part in segments.parts if part.side != "prompt"]


def _normal(part: Part) -> pa.StringArray:
    return normalise(strings(part.text.data, part.text.offsets).take(pa.array(part.index)))


def _count(part: Part, mask: NDArray[np.bool_], rows: int) -> NDArray[np.int32]:
    """Count the segments of each row that `mask` marks."""
    return np.bincount(part.row[mask], minlength=rows).astype(np.int32)


def _bins(part: Part, found: CountedHits, mask: NDArray[np.bool_], rows: int) -> NDArray[np.int32]:
    """Count the hits of each row that `mask` marks."""
    return np.bincount(part.row[found.place[mask]], minlength=rows).astype(np.int32)
