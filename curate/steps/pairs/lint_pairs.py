"""Say what is wrong with pairs and ratings, kind by kind, and drop the rows of the kinds that are named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.rows.schema import kind_of
from curate.rows.segments import Segments
from curate.rows.sides import Unit, side, side_hashes, turns
from curate.steps.base import Bound, Filter, Scores
from curate.steps.filters.language import Language
from curate.steps.pairs._lint_evidence import LINTS, Hits, Lint, evidence
from curate.steps.pairs._lint_kernel import shared_start
from curate.steps.pairs._lint_ratings import Scale, disagreement, pair_scores, ratings
from curate.steps.pairs._lint_texts import empty_sides, foreign, phrases, repeated
from curate.text.words import classes

GAP: Final = 0.45
"""Share of the scale by which an overall score and the mean of the aspects are apart where they contradict each other.

Measured on ratings simulated around real scores (tests/steps/pairs/test_pairs_quality.py).
Where the errors of critics have a standard deviation of 0.8 to 1.6 of 10 in the overall score and 0.5 to 1 of 5 in each
aspect, 99.7 % or more of the 1s that became 10s are that far apart, and 0.0 to 1.8 % of sound ratings. Worse critics
give more false alarms.
"""

SIZES: Final = ("shared_characters", "shared_words")
"""Columns beside those of the lints."""

Columns: TypeAlias = dict[str, NDArray[np.float64] | NDArray[np.int32]]


@dataclass(frozen=True, kw_only=True)
class LintPairs(Filter):
    """See `lint_pairs`. `drop` is in the order of `LINTS`."""

    name: ClassVar[str] = "lint_pairs"
    drop: tuple[Lint, ...] = ()
    cut: int | None = None
    unit: Unit = "characters"
    overall: str = "overall_score"
    overall_scale: tuple[float, float] = (1.0, 10.0)
    aspects: tuple[str, ...] = ()
    aspect_scale: tuple[float, float] = (1.0, 5.0)
    languages: bool = True
    language_model: str | None = field(default=None, metadata={"fingerprint": False})

    def bounds(self) -> tuple[Bound, ...]:
        """One for each lint; no row may have what is to be dropped."""
        return tuple(Bound(lint, lint, at_most=0 if lint in self.drop else None) for lint in LINTS)

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the language model's file, if languages are told."""
        return Language(model=self.language_model).data_hashes() if self.languages else {}

    def score(self, segments: Segments) -> Scores:
        """Return a column of counts for each lint, 0 where it does not apply, and how far both answers begin alike."""
        none = np.zeros(segments.rows, np.int32)
        columns: Columns = dict.fromkeys((*LINTS, *SIZES), none)
        kind = kind_of(segments.body.schema) if segments.body is not None else "conversation"
        if segments.body is None or kind == "conversation":
            return Scores(columns, evidence([]))
        columns["empty_side"] = empty_sides(segments, rated=kind == "rated")
        columns["prompt_repeated"], hits = repeated(segments)
        columns["refusal_chosen"], columns["identity_leak"], more = phrases(segments)
        hits += more
        if kind == "rated":
            hits += self._rated(segments, segments.body, columns)
        else:
            self._pairs(segments, segments.body, columns)
        return Scores(columns, evidence(hits))

    def _pairs(self, segments: Segments, body: pa.RecordBatch, columns: Columns) -> None:
        """Compare chosen and rejected: their scores, their texts in normal form and up to the cut, their languages."""
        rows = segments.rows
        chosen_score, rejected_score, bad = pair_scores(body)
        columns["score_inverted"] = (chosen_score < rejected_score).astype(np.int32)
        columns["bad_rating"] = bad.astype(np.int32)
        chosen, rejected = side(segments, "chosen"), side(segments, "rejected")
        one, other = side_hashes(chosen, rows), side_hashes(rejected, rows)
        columns["equal_answers"] = ((one.high == other.high) & (one.low == other.low)).astype(np.int32)
        characters, words, same = shared_start(turns(chosen, rows), turns(rejected, rows), classes())
        columns |= dict(zip(SIZES, (characters, words), strict=True))
        if self.cut is not None:
            shared = words if self.unit == "words" else characters
            columns["equal_when_cut"] = (same | (shared >= self.cut)).astype(np.int32)
        if self.languages:
            columns["other_language"] = foreign(segments, self.language_model)

    def _rated(self, segments: Segments, body: pa.RecordBatch, columns: Columns) -> list[Hits]:
        """Hold the ratings of each completion against each other."""
        scale, aspect_scale = Scale(*self.overall_scale), Scale(*self.aspect_scale)
        found = ratings(body, self.overall, self.aspects, aspect_scale)
        inverted = np.flatnonzero(np.abs(disagreement(found, scale, aspect_scale)) >= GAP).astype(np.int32)
        columns["score_inverted"] = np.bincount(found.row[inverted], minlength=segments.rows).astype(np.int32)
        columns["bad_rating"] = np.bincount(found.row[found.missing], minlength=segments.rows).astype(np.int32)
        nowhere = np.zeros(len(inverted), np.int32)
        told = _told(found.overall[inverted], found.aspects[inverted])
        return [Hits("score_inverted", side(segments, "completion"), inverted, nowhere, nowhere, told)]


def _told(overall: NDArray[np.float64], aspects: NDArray[np.float64]) -> pa.StringArray:
    """Say both numbers: "overall 10, aspects 1.5"."""
    words = [pc.cast(pa.array(np.round(each, 2)), pa.string()) for each in (overall, aspects)]
    return pc.binary_join_element_wise("overall ", words[0], ", aspects ", words[1], "")


def lint_pairs(
    drop: Literal["all"] | Lint | tuple[Lint, ...] | list[Lint] = (),
    *,
    cut: int | None = None,
    unit: Unit = "characters",
    overall: str = "overall_score",
    overall_scale: tuple[float, float] = (1, 10),
    aspects: tuple[str, ...] | list[str] = (),
    aspect_scale: tuple[float, float] = (1, 5),
    languages: bool = True,
    language_model: str | os.PathLike[str] | None = None,
    allow_large_drop: bool = False,
) -> LintPairs:
    """Say what is wrong with preference rows and with the ratings of rated rows; drop the kinds in `drop`.

    Each kind is a score column of its name, 0 where nothing is wrong, and the reason of rows that fall by it. All are
    always measured; nothing is dropped unless `drop` names it ("all": every kind). In the order in which they name the
    reason:

    - `empty_side`: how many of prompt, chosen and rejected (or completions) have no text but white space.
    - `equal_answers`: 1 where chosen and rejected say the same in normal form (`curate.text.normal`), turn by turn.
    - `equal_when_cut`: 1 where they are the same up to the first `cut` characters or words (`unit`) of each, as they
      are; 0 without `cut`. Turns are cut as if they were one text, a word at its end. Beside it stand the columns
      `shared_characters` and `shared_words`: where the two part.
    - `score_inverted`: of a pair, 1 where the chosen score is below the rejected one. Of a rated row, how many
      completions have an overall score that is 45 % of its scale or more above or below the mean of their aspects on
      theirs: a 10 whose aspects are 3.2 of 5 or worse, a 1 whose aspects are 2.8 or better. So UltraFeedback's 1s that
      became 10s are found. The aspects are all scores but `overall`, or those named. Nothing is said of completions
      with a number outside its scale, or without overall score or aspects.
    - `bad_rating`: how many completions lack a finite rating that another of their row has ("N/A" is such), or have
      none like all others; of a pair, 1 where one score is missing or no finite number and the other is not missing.
    - `refusal_chosen`: phrases of refusal (the family `cannot_help` of `refusals`) that begin in the first 100
      characters of a chosen turn, where no rejected turn has one anywhere.
    - `prompt_repeated`: how many answers have the whole last user turn within them, in normal form; it has eight words
      or more to count.
    - `identity_leak`: phrases with which answers name their maker or call themselves a model (the families `provider`
      and `self_reference`).
    - `other_language`: 1 where both answers are in another language than the last user turn, by `language()`, which
      needs 20 letters to tell one. Nothing is said of prompts that speak of translating. `languages=False` leaves it at
      0 and saves four fifths of the time; `language_model` is a fastText model in place of lid.176.

    The evidence has phrases with their places, and prompts and ratings with their turn, eight of a kind a row at most.
    Conversations have nothing wrong. Null text is empty; phrases are English. Which of two pairs with one prompt is
    right when their labels contradict each other needs all rows: `contradictions()`.

    Raises `MixtureError` for an unknown kind or unit, a `cut` below 1, a scale that does not rise, and a kind to drop
    that is not measured; `SourceNotFoundError` for a model that is not there.

    Sources: UltraFeedback issue 8 (an overall score of 1 became 10: `score if score > 1 else 10 * score`).

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> prompt, yes = {"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It is."}
    >>> rows = [{"prompt": [prompt], "chosen": [yes], "rejected": [yes], "meta": "{}"}]
    >>> step = lint_pairs("equal_answers")
    >>> scores = step.score(segments(pa.RecordBatch.from_pylist(rows, BODIES["preference"]), step.reads))
    >>> [lint for lint in LINTS if scores.columns[lint][0]]
    ['equal_answers']
    """
    named = _named(drop, cut, languages=languages)
    _check(cut, unit, overall_scale, aspect_scale)
    return LintPairs(
        drop=named,
        cut=cut,
        unit=unit,
        overall=overall,
        overall_scale=(float(overall_scale[0]), float(overall_scale[1])),
        aspects=tuple(aspects),
        aspect_scale=(float(aspect_scale[0]), float(aspect_scale[1])),
        languages=languages,
        language_model=None if language_model is None else os.fspath(language_model),
        allow_large_drop=allow_large_drop,
    )


def _named(
    drop: Literal["all"] | Lint | tuple[Lint, ...] | list[Lint], cut: int | None, *, languages: bool
) -> tuple[Lint, ...]:
    """Return the kinds to drop, in the order of `LINTS`."""
    named = LINTS if drop == "all" else (drop,) if isinstance(drop, str) else tuple(drop)
    for lint in named:
        if lint not in LINTS:
            message = f"lint_pairs(drop={lint!r}): {did_you_mean(str(lint), LINTS)}; 'all' is every kind, () is none"
            raise MixtureError(message)
    if "equal_when_cut" in named and drop != "all" and cut is None:
        message = "lint_pairs(drop='equal_when_cut') needs cut=, the length at which answers are cut"
        raise MixtureError(message)
    if "other_language" in named and drop != "all" and not languages:
        message = "lint_pairs(drop='other_language', languages=False): drop it by telling languages, or not at all"
        raise MixtureError(message)
    return tuple(lint for lint in LINTS if lint in named)


def _check(cut: int | None, unit: str, *scales: tuple[float, float]) -> None:
    if unit not in get_args(Unit):
        message = f"lint_pairs(unit={unit!r}): {did_you_mean(unit, get_args(Unit))}"
        raise MixtureError(message)
    if cut is not None and (isinstance(cut, bool) or not isinstance(cut, int) or cut < 1):
        message = f"lint_pairs(cut={cut!r}): a length is a whole number from 1 up, or None to leave answers whole"
        raise MixtureError(message)
    for scale in scales:
        if len(scale) != 2 or not scale[0] < scale[1]:
            message = f"lint_pairs: {scale!r} is no scale; give its lowest and its highest rating, as (1, 5)"
            raise MixtureError(message)
