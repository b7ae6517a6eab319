"""Formats that make rated rows: `rated`, `ultrafeedback` and `scored`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from msgspec import Struct, field

from curate.errors import MixtureError
from curate.io.formats.base import Completion, Fields, Format, RatedAnswers, keep, objects, struct_of
from curate.io.formats.dialogues import text_or_turns
from curate.io.formats.messages_common import Message
from curate.io.formats.stored import lifted, unpacked
from curate.rows.schema import Kind
from curate.rows.validate import Fault, check_prompt, check_text, refuse

C = TypeVar("C")


class Score(Struct, gc=False):
    """A score in the Arrow spelling."""

    name: str
    value: float | str | None


class _RatedCompletion(Struct, gc=False):
    content: str | None = None
    response: str | None = None
    completion: str | None = None
    model: str | None = None
    scores: dict[str, float | str | None] | list[Score] | None = None


class _RatedRow(Struct, gc=False):
    completions: list[_RatedCompletion]
    messages: list[Message] | None = None
    prompt: str | list[Message] | None = None


@dataclass(frozen=True)
class RatedFormat(Format):
    """See `rated`."""

    name: ClassVar[str] = "rated"
    kind: ClassVar[Kind] = "rated"
    layout: ClassVar[type[Struct]] = _RatedRow

    def prepare(self, fields: Fields) -> Fields:
        """Read a list of messages that is stored as JSON text, or as an object of lists."""
        return unpacked(fields, ("messages",), ("prompt",))

    def rows(self, row: _RatedRow, fields: Fields) -> Iterator[RatedAnswers]:
        """Make one rated row."""
        column, prompt = ("messages", row.messages) if row.messages is not None else ("prompt", row.prompt)
        if prompt is None:
            refuse("messages", "the prompt in messages or prompt")
        turns = text_or_turns(fields, column, prompt, "user")
        check_prompt(turns, column)
        yield RatedAnswers(turns, _answers(fields, row.completions, _completion), fields)


def rated() -> RatedFormat:
    """Rows with a prompt and several scored answers to it.

    The prompt is in `messages` or `prompt` (a text or a list of messages), and ends with a user turn. Each of
    `completions` has its text in `content`, `response` or `completion`, and perhaps `model` and `scores`:
    `{"helpfulness": 4}` or `[{"name": "helpfulness", "value": 4}]`. A score is a number, also as text; null and "N/A"
    are left out.

    Returns:
        A format that makes rated rows.

    Example:
        >>> rated().kind
        'rated'
    """
    return RatedFormat()


def _answers(fields: Fields, found: list[C], read: Callable[[C, Fields, str], Completion]) -> list[Completion]:
    """Return the answers that `read` makes of completions, and leave in `fields` only what they hold besides."""
    if not found:
        refuse("completions", "at least one completion")
    raw = objects(fields.pop("completions"), "completions")
    pairs = zip(found, raw, strict=True)
    answers = [read(one, left, f"completions[{i}]") for i, (one, left) in enumerate(pairs)]
    keep(fields, "completions", raw)
    return answers


def _completion(found: _RatedCompletion, left: Fields, column: str) -> Completion:
    name = next((name for name in ("content", "response", "completion") if getattr(found, name) is not None), None)
    if name is None:
        refuse(f"{column}.content", "text in content, response or completion")
    pairs = found.scores.items() if isinstance(found.scores, dict) else [(s.name, s.value) for s in found.scores or ()]
    for taken in (name, "model", "scores"):
        left.pop(taken, None)
    values = {check_text(word, f"{column}.scores"): rating(value, f"{column}.scores.{word}") for word, value in pairs}
    scores = {word: value for word, value in values.items() if value is not None}
    return Completion(check_text(getattr(found, name), f"{column}.{name}"), model_of(found.model, column), scores)


def model_of(model: str | None, column: str) -> str | None:
    """Return the name of a model, if there is one; raises `Fault` for one with NUL."""
    return None if model is None else check_text(model, f"{column}.model")


class Annotation(Struct, gc=False):
    """One aspect's rating; `Rating` is a number, a number as text, or "N/A"."""

    rating: str | float | None = field(name="Rating", default=None)


class _UltraCompletion(Struct, gc=False):
    response: str
    model: str | None = None
    annotations: dict[str, Annotation] | None = None
    overall_score: float | str | None = None
    fine_grained_score: float | str | None = field(name="fine-grained_score", default=None)


class _UltraRow(Struct, gc=False):
    instruction: str
    completions: list[_UltraCompletion]


@dataclass(frozen=True)
class UltraFeedback(Format):
    """See `ultrafeedback`."""

    name: ClassVar[str] = "ultrafeedback"
    kind: ClassVar[Kind] = "rated"
    layout: ClassVar[type[Struct]] = _UltraRow

    def rows(self, row: _UltraRow, fields: Fields) -> Iterator[RatedAnswers]:
        """Make one rated row."""
        instruction = check_text(row.instruction, "instruction")
        del fields["instruction"]
        yield RatedAnswers([("user", instruction)], _answers(fields, row.completions, _annotated), fields)


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


def _annotated(found: _UltraCompletion, left: Fields, column: str) -> Completion:
    ratings = {aspect: note.rating for aspect, note in (found.annotations or {}).items()}
    ratings["overall_score"] = found.overall_score
    ratings["fine-grained_score"] = found.fine_grained_score
    values = {aspect: rating(value, f"{column}.{aspect}") for aspect, value in ratings.items()}
    scores = {aspect: value for aspect, value in values.items() if value is not None}
    for taken in ("response", "model", "overall_score", "fine-grained_score"):
        left.pop(taken, None)
    return Completion(check_text(found.response, f"{column}.response"), model_of(found.model, column), scores)


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


def score_of(value: object) -> float | None:
    """Return a value as a score if it is a number, or one as text; None for anything else."""
    if not isinstance(value, float | int | str) or isinstance(value, bool):
        return None
    try:
        return rating(value, "")
    except Fault:
        return None


@dataclass(frozen=True)
class ScoredFormat(Format):
    """See `scored`."""

    name: ClassVar[str] = "scored"
    kind: ClassVar[Kind] = "rated"
    prompt: str
    response: str
    scores: tuple[str, ...]
    model: str | None = None

    @property
    def layout(self) -> type[Struct]:
        """The named columns; prompt and response must be present."""
        model = () if self.model is None else (("model", self.model),)
        scores = tuple((f"s{i}", name) for i, name in enumerate(self.scores))
        optional = tuple((name, float | str | None, None) for name, _ in scores)
        optional += tuple((name, str | None, None) for name, _ in model)
        names = (("prompt", self.prompt), ("response", self.response), *scores, *model)
        return struct_of("Scored", (("prompt", str), ("response", str), *optional), names)

    def named(self) -> tuple[str, ...]:
        """Return all columns but the model's."""
        return (self.prompt, self.response, *self.scores)

    def prepare(self, fields: Fields) -> Fields:
        """Find fields that are named by their path."""
        return lifted(fields, self.reads())

    def rows(self, row: Struct, fields: Fields) -> Iterator[RatedAnswers]:
        """Make one rated row with one completion."""
        texts = {name: check_text(getattr(row, name), getattr(self, name)) for name in ("prompt", "response")}
        model = getattr(row, "model", None)
        values = {name: rating(getattr(row, f"s{i}"), name) for i, name in enumerate(self.scores)}
        for name in self.reads():
            fields.pop(name, None)
        if model is not None:
            check_text(model, self.model or "")
        scores = {name: value for name, value in values.items() if value is not None}
        yield RatedAnswers([("user", texts["prompt"])], [Completion(texts["response"], model, scores)], fields)


def scored(prompt: str, response: str, scores: str | Sequence[str], *, model: str | None = None) -> ScoredFormat:
    """Rows with a prompt, one answer and its scores, each in a column of its own, as in HelpSteer.

    A score is a number, a number as text, or absent: null or "N/A". Each row has one completion; `joined` makes one row
    of all answers to a prompt. A name may be a path to what is within a column: `metadata.score`. "auto" only detects
    rows with all five scores of HelpSteer.

    Args:
        prompt: The column with the prompt.
        response: The column with the answer.
        scores: The column with the score, or several.
        model: A column that names the model.

    Returns:
        A format that makes rated rows.

    Raises:
        MixtureError: A column is named twice, or no score is named.

    Example:
        >>> helpsteer = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
        >>> scored("prompt", "response", helpsteer).kind
        'rated'
    """
    several = (scores,) if isinstance(scores, str) else tuple(scores)
    names = [prompt, response, *several, *([] if model is None else [model])]
    if not several or len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
        raise MixtureError(
            f"scored() takes names of columns, each once, and at least one score; not {', '.join(map(repr, names))}"
        )
    return ScoredFormat(prompt, response, several, model)


HELPSTEER: Final = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
"""The scores of HelpSteer and HelpSteer2."""

CANDIDATES: Final = (ultrafeedback(), rated(), scored("prompt", "response", HELPSTEER))
