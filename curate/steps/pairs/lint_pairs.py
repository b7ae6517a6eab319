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

from curate.errors import MixtureError, check_whole, did_you_mean
from curate.rows.schema import kind_of
from curate.rows.segments import CONTENT, Segments, Side, TextPart, select
from curate.rows.sides import Unit, side, side_hashes, turns
from curate.rows.tokens import Tokenizer, tokens
from curate.rows.visible import visible
from curate.steps._evidence import sort_and_trim
from curate.steps._settings import check_choice
from curate.steps.base import Bound, Evidence, Filter, Scores
from curate.steps.filters.language import Language
from curate.steps.pairs._lint_kernel import shared_start
from curate.steps.pairs._lint_ratings import Scale, disagreement, pair_scores, ratings
from curate.steps.pairs._lint_texts import LINTS, Lint, empty_sides, foreign, hits_of, phrases, repeated
from curate.text.words import classes

GAP: Final = 0.45
"""Share of the scale by which an overall score and the mean of the aspects are apart where they contradict each other.

Measured on ratings simulated around real scores (tests/steps/pairs/test_pairs_quality.py).
Where the errors of critics have a standard deviation of 0.8 to 1.6 of 10 in the overall score and 0.5 to 1 of 5 in each
aspect, 99.7 % or more of the 1s that became 10s are that far apart, and 0.0 to 1.8 % of sound ratings. Worse critics
give more false alarms.
"""

SIZES: Final = ("shared_characters", "shared_words", "token_difference")
"""Columns beside those of the lints."""

Columns: TypeAlias = dict[str, NDArray[np.float64] | NDArray[np.int32]]


@dataclass(frozen=True, kw_only=True)
class LintPairs(Filter):
    """See `lint_pairs`. `drop` is in the order of `LINTS`."""

    version: ClassVar[int] = 3
    name: ClassVar[str] = "lint_pairs"
    bound_fields: ClassVar[frozenset[str]] = frozenset({"drop", "max_difference"})
    drop: tuple[Lint, ...] = ()
    max_difference: int | None = None
    tokenizer: Tokenizer | None = None
    cut: int | None = None
    unit: Unit = "characters"
    overall: str = "overall_score"
    overall_scale: tuple[float, float] = (1.0, 10.0)
    aspects: tuple[str, ...] = ()
    aspect_scale: tuple[float, float] = (1.0, 5.0)
    languages: bool = True
    language_model: str | None = field(default=None, metadata={"fingerprint": False})

    def bounds(self) -> tuple[Bound, ...]:
        """One for each lint, of which no row may have what is to be dropped, and the one of lengths."""
        lints = (Bound(lint, lint, at_most=0 if lint in self.drop else None) for lint in LINTS)
        return (*lints, Bound("length_difference", "token_difference", at_most=self.max_difference))

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the language model's file, if languages are detected."""
        return Language(model=self.language_model).data_hashes() if self.languages else {}

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """Contents, and calls, in which answers may differ."""
        return frozenset({"content", "call"})

    def score(self, segments: Segments) -> Scores:
        """Return a column of counts for each lint, 0 where it does not apply, and how far both answers begin alike."""
        calls, segments = segments, select(segments, "all", CONTENT)
        none = np.zeros(segments.rows, np.int32)
        columns: Columns = dict.fromkeys((*LINTS, *SIZES), none)
        kind = kind_of(segments.body.schema) if segments.body is not None else "conversation"
        if segments.body is None or kind not in {"rated", "preference"}:
            return Scores(columns, sort_and_trim([]))
        columns["empty_side"] = empty_sides(segments, calls, rated=kind == "rated")
        columns["prompt_repeated"], hits = repeated(segments)
        columns["refusal_chosen"], columns["identity_leak"], more = phrases(segments)
        hits += more
        if kind == "rated":
            hits += self._rated(segments, segments.body, columns)
        else:
            self._pairs(segments, calls, segments.body, columns)
        return Scores(columns, sort_and_trim(hits))

    def _pairs(self, segments: Segments, calls: Segments, body: pa.RecordBatch, columns: Columns) -> None:
        """Compare chosen and rejected: their scores, their texts in normal form and up to the cut, their languages."""
        rows = segments.rows
        chosen_score, rejected_score, bad = pair_scores(body)
        columns["score_inverted"] = (chosen_score < rejected_score).astype(np.int32)
        columns["bad_rating"] = bad.astype(np.int32)
        chosen, rejected = side(segments, "chosen"), side(segments, "rejected")
        one, other = side_hashes(calls, "chosen"), side_hashes(calls, "rejected")
        columns["equal_answers"] = ((one.high == other.high) & (one.low == other.low)).astype(np.int32)
        first, second = (turns(visible(part), rows) for part in (chosen, rejected))
        characters, words, same = shared_start(first, second, classes())
        apart = np.abs(self._tokens(calls, "chosen") - self._tokens(calls, "rejected")).astype(np.int32)
        columns |= dict(zip(SIZES, (characters, words, apart), strict=True))
        if self.cut is not None:
            shared = words if self.unit == "words" else characters
            alone = select(calls, "all", frozenset({"call"}))
            one, other = side_hashes(alone, "chosen"), side_hashes(alone, "rejected")
            same &= (one.high == other.high) & (one.low == other.low)
            columns["equal_when_cut"] = (same | (shared >= self.cut)).astype(np.int32)
        if self.languages:
            columns["other_language"] = foreign(segments, self.language_model)

    def _tokens(self, segments: Segments, name: Side) -> NDArray[np.int64]:
        """Count the tokens of one side of each row."""
        parts = tuple(part for part in segments.parts if part.side == name)
        return tokens(segments._replace(parts=parts), self.tokenizer)

    def _rated(self, segments: Segments, body: pa.RecordBatch, columns: Columns) -> list[Evidence]:
        """Hold the ratings of each completion against each other."""
        scale, aspect_scale = Scale(*self.overall_scale), Scale(*self.aspect_scale)
        found = ratings(body, self.overall, self.aspects, aspect_scale)
        inverted = np.flatnonzero(np.abs(disagreement(found, scale, aspect_scale)) >= GAP).astype(np.int32)
        columns["score_inverted"] = np.bincount(found.row[inverted], minlength=segments.rows).astype(np.int32)
        columns["bad_rating"] = np.bincount(found.row[found.missing], minlength=segments.rows).astype(np.int32)
        notes = _rating_notes(found.overall[inverted], found.aspects[inverted])
        return [hits_of("score_inverted", side(segments, "completion"), inverted, notes)]


def _rating_notes(overall: NDArray[np.float64], aspects: NDArray[np.float64]) -> pa.StringArray:
    """Say both numbers: "overall 10, aspects 1.5"."""
    words = [pc.cast(pa.array(np.round(each, 2)), pa.string()) for each in (overall, aspects)]
    return pc.binary_join_element_wise("overall ", words[0], ", aspects ", words[1], "")


def lint_pairs(
    drop: Literal["all"] | Lint | tuple[Lint, ...] | list[Lint] = (),
    *,
    max_difference: int | None = None,
    tokenizer: Tokenizer | None = None,
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
    """Detect faults in preference rows and in the ratings of rated rows; drop the kinds in `drop`.

    Each kind is a score column of its name, 0 if nothing is wrong, and the reason of the rows it drops, in this order:

    - `empty_side`: sides (prompt, chosen, rejected or completions) without text or call.
    - `equal_answers`: 1 if chosen and rejected are equal in normal form (`curate.text.normal`), turn by turn.
    - `equal_when_cut`: 1 if their first `cut` characters or words are equal, verbatim but for what is invisible, with
      all turns as one text. The columns `shared_characters` and `shared_words` say how much they share.
    - `score_inverted`: of a pair, 1 if the chosen score is below the rejected one. Of a rated row, completions whose
      overall score and mean aspect differ by 45 % of their scales or more (a 10 with aspects of 3.2 of 5 or worse), as
      UltraFeedback's 1s that became 10s do. Numbers outside their scale are not compared.
    - `bad_rating`: completions without a finite rating that another of their row has ("N/A"), or all if the row has
      none; of a pair, 1 if only one score is present or one is not finite.
    - `refusal_chosen`: refusals (`cannot_help`) that begin chosen turns (100 characters), if no rejected turn has one.
    - `prompt_repeated`: answers that contain the whole last user turn, of eight words or more, in normal form.
    - `identity_leak`: phrases that name a maker or a model (families `provider` and `self_reference`).
    - `other_language`: 1 if both answers are in another language than the last user turn, which is no translation.

    The column `token_difference`, bounded by `max_difference`, has the reason `length_difference`. The evidence lists
    up to eight hits per kind and row. Phrases are English, null text is empty. See also `contradictions()`.

    Args:
        drop: The kinds to drop, or "all". By default rows are only scored.
        max_difference: The most tokens by which both answers may differ; None is no limit. Olmo 3 has 100 for chat.
        tokenizer: Counts these tokens; without one they are estimated (`curate.rows.tokens`).
        cut: The length for `equal_when_cut`, such as the limit of training; None leaves it at 0.
        unit: The unit of `cut`: "characters" or "words".
        overall: The name of the overall score of a completion.
        overall_scale: Its lowest and highest rating; UltraFeedback's by default.
        aspects: The names of the aspects; by default all scores but `overall`.
        aspect_scale: Their lowest and highest rating; UltraFeedback's by default.
        languages: False leaves `other_language` at 0 and saves four fifths of the time.
        language_model: The path of a fastText model to use in place of lid.176.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: An unknown kind or unit, a number out of range, or a kind to drop that is not measured.
        SourceNotFoundError: The model does not exist.

    Example:
        >>> lint_pairs(("equal_answers", "empty_side")).drop
        ('empty_side', 'equal_answers')

    References:
        UltraFeedback issue 8 (a score of 1 became 10: `score if score > 1 else 10 * score`); arXiv:2512.13961, 5.3.1.
    """
    check_choice(f"lint_pairs(unit={unit!r})", unit, get_args(Unit))
    _check(cut, max_difference, overall_scale, aspect_scale)
    return LintPairs(
        drop=_named(drop, cut, languages=languages),
        max_difference=max_difference,
        tokenizer=tokenizer,
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
            raise MixtureError(
                f"lint_pairs(drop={lint!r}): {did_you_mean(str(lint), LINTS)}; 'all' is every kind, () is none"
            )
    if "equal_when_cut" in named and drop != "all" and cut is None:
        raise MixtureError("lint_pairs(drop='equal_when_cut') needs cut=, the length at which answers are cut")
    if "other_language" in named and drop != "all" and not languages:
        raise MixtureError(
            "lint_pairs(drop='other_language', languages=False): drop it by telling languages, or not at all"
        )
    return tuple(lint for lint in LINTS if lint in named)


def _check(cut: int | None, max_difference: int | None, *scales: tuple[float, float]) -> None:
    if max_difference is not None:
        setting = f"lint_pairs(max_difference={max_difference!r})"
        check_whole(setting, max_difference, hint=", in tokens, or None for no limit")
    if cut is not None and (isinstance(cut, bool) or not isinstance(cut, int) or cut < 1):
        raise MixtureError(
            f"lint_pairs(cut={cut!r}): a length is a whole number from 1 up, or None to leave answers whole"
        )
    for scale in scales:
        if len(scale) != 2 or not scale[0] < scale[1]:
            raise MixtureError(f"lint_pairs: {scale!r} is no scale; give its lowest and its highest rating, as (1, 5)")
