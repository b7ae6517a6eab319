"""`scored`: rows with one answer and its scores in columns of their own, as in HelpSteer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from msgspec import Struct

from curate.errors import MixtureError
from curate.io.formats.base import Completion, Fields, Format, RatedAnswers, struct_of
from curate.io.formats.rated import rating
from curate.rows.schema import Kind
from curate.rows.validate import check_text


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
    of all answers to a prompt.

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
        message = (
            f"scored() takes names of columns, each once, and at least one score; not {', '.join(map(repr, names))}"
        )
        raise MixtureError(message)
    return ScoredFormat(prompt, response, several, model)
