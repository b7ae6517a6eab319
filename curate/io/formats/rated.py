"""Formats that make rated rows: `rated` and `ultrafeedback`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from msgspec import Struct, field

from curate.io.formats.base import Completion, Fields, Format, RatedAnswers, keep, objects
from curate.io.formats.dialogues import text_or_turns
from curate.io.formats.messages_common import Message
from curate.rows.schema import Kind
from curate.rows.validate import check_prompt, check_text, refuse


class Score(Struct, gc=False):
    """A score in the Arrow spelling."""

    name: str
    value: float | None


class RatedCompletion(Struct, gc=False):
    """One answer as `rated` reads it."""

    content: str | None = None
    response: str | None = None
    completion: str | None = None
    model: str | None = None
    scores: dict[str, float | None] | list[Score] | None = None


class RatedRow(Struct, gc=False):
    """What `rated` reads."""

    completions: list[RatedCompletion]
    messages: list[Message] | None = None
    prompt: str | list[Message] | None = None


@dataclass(frozen=True)
class RatedFormat(Format):
    """See `rated`."""

    name: ClassVar[str] = "rated"
    kind: ClassVar[Kind] = "rated"
    layout: ClassVar[type[Struct]] = RatedRow

    def rows(self, row: RatedRow, fields: Fields) -> Iterator[RatedAnswers]:
        """Make one rated row."""
        column, prompt = ("messages", row.messages) if row.messages is not None else ("prompt", row.prompt)
        if prompt is None:
            refuse("messages", "the prompt in messages or prompt")
        turns = text_or_turns(fields, column, prompt, "user")
        check_prompt(turns, column)
        raw = _objects(fields, row.completions)
        answers = [
            _completion(found, left, f"completions[{i}]")
            for i, (found, left) in enumerate(zip(row.completions, raw, strict=True))
        ]
        keep(fields, "completions", raw)
        yield RatedAnswers(turns, answers, fields)


def rated() -> RatedFormat:
    """Rows with a prompt and several scored answers to it.

    The prompt is in `messages` or `prompt` (a text or a list of messages), and ends with a user turn. Each of
    `completions` has its text in `content`, `response` or `completion`, and perhaps `model` and `scores`:
    `{"helpfulness": 4}` or `[{"name": "helpfulness", "value": 4}]`. Null scores are left out.

    Returns:
        A format that makes rated rows.

    Example:
        >>> rated().kind
        'rated'
    """
    return RatedFormat()


def _objects(fields: Fields, completions: list[RatedCompletion] | list[UltraCompletion]) -> list[Fields]:
    if not completions:
        refuse("completions", "at least one completion")
    return objects(fields.pop("completions"), "completions")


def _completion(found: RatedCompletion, left: Fields, column: str) -> Completion:
    name = next((name for name in ("content", "response", "completion") if getattr(found, name) is not None), None)
    if name is None:
        refuse(f"{column}.content", "text in content, response or completion")
    pairs = found.scores.items() if isinstance(found.scores, dict) else [(s.name, s.value) for s in found.scores or ()]
    for taken in (name, "model", "scores"):
        left.pop(taken, None)
    scores = {check_text(word, f"{column}.scores"): value for word, value in pairs if value is not None}
    return Completion(check_text(getattr(found, name), f"{column}.{name}"), _model(found.model, column), scores)


def _model(model: str | None, column: str) -> str | None:
    return None if model is None else check_text(model, f"{column}.model")


class Annotation(Struct, gc=False):
    """One aspect's rating; `Rating` is a number, a number as text, or "N/A"."""

    rating: str | float | None = field(name="Rating", default=None)


class UltraCompletion(Struct, gc=False):
    """One answer as `ultrafeedback` reads it."""

    response: str
    model: str | None = None
    annotations: dict[str, Annotation] | None = None
    overall_score: float | str | None = None
    fine_grained_score: float | str | None = field(name="fine-grained_score", default=None)


class UltraRow(Struct, gc=False):
    """What `ultrafeedback` reads."""

    instruction: str
    completions: list[UltraCompletion]


@dataclass(frozen=True)
class UltraFeedback(Format):
    """See `ultrafeedback`."""

    name: ClassVar[str] = "ultrafeedback"
    kind: ClassVar[Kind] = "rated"
    layout: ClassVar[type[Struct]] = UltraRow

    def rows(self, row: UltraRow, fields: Fields) -> Iterator[RatedAnswers]:
        """Make one rated row."""
        turns = [("user", check_text(row.instruction, "instruction"))]
        del fields["instruction"]
        raw = _objects(fields, row.completions)
        answers = [
            _annotated(found, left, f"completions[{i}]")
            for i, (found, left) in enumerate(zip(row.completions, raw, strict=True))
        ]
        keep(fields, "completions", raw)
        yield RatedAnswers(turns, answers, fields)


def ultrafeedback() -> UltraFeedback:
    """Rows of raw UltraFeedback: `instruction`, and `completions` with `response`, `model` and `annotations`.

    The rating of each aspect becomes a score of that name, next to `overall_score` and `fine-grained_score`; "N/A" is
    no score. Rationales, principles and system prompts of the completions are kept in `meta`.

    Returns:
        A format that makes rated rows.

    References:
        https://huggingface.co/datasets/openbmb/UltraFeedback

    Example:
        >>> ultrafeedback().kind
        'rated'
    """
    return UltraFeedback()


def _annotated(found: UltraCompletion, left: Fields, column: str) -> Completion:
    ratings = {aspect: note.rating for aspect, note in (found.annotations or {}).items()}
    ratings["overall_score"] = found.overall_score
    ratings["fine-grained_score"] = found.fine_grained_score
    values = {aspect: rating(value, f"{column}.{aspect}") for aspect, value in ratings.items()}
    scores = {aspect: value for aspect, value in values.items() if value is not None}
    for taken in ("response", "model", "overall_score", "fine-grained_score"):
        left.pop(taken, None)
    return Completion(check_text(found.response, f"{column}.response"), _model(found.model, column), scores)


def rating(value: str | float | None, column: str) -> float | None:
    """Return a score given as a number or as text; None for null and "N/A". Raises `Fault` for anything else.

    >>> rating("4", "helpfulness"), rating("N/A", "helpfulness")
    (4.0, None)
    """
    if value is None or value == "N/A":
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        refuse(column, 'a number, or "N/A"')
    return number


CANDIDATES: Final = (ultrafeedback(), rated())
