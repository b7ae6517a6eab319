"""`scored`: rows with one answer and its scores in columns of their own, as in HelpSteer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec
from msgspec import Struct

from curate.errors import MixtureError
from curate.io.formats.base import Completion, Fields, Format, Rated
from curate.io.formats.rated import rating
from curate.rows.schema import Kind
from curate.rows.validate import check_text

_layouts: dict[tuple[str, str, tuple[str, ...], str | None], type[Struct]] = {}


@dataclass(frozen=True)
class Scored(Format):
    """See `scored`."""

    name: ClassVar[str] = "scored"
    prompt: str
    response: str
    scores: tuple[str, ...]
    model: str | None = None

    @property
    def kind(self) -> Kind:
        """Always `rated`."""
        return "rated"

    @property
    def layout(self) -> type[Struct]:
        """The named columns; prompt and response must be there."""
        key = (self.prompt, self.response, self.scores, self.model)
        if key not in _layouts:
            spec: list[tuple[str, object] | tuple[str, object, object]] = [("prompt", str), ("response", str)]
            spec += [(f"s{i}", float | str | None, None) for i in range(len(self.scores))]
            renames = {"prompt": self.prompt, "response": self.response}
            renames |= {f"s{i}": name for i, name in enumerate(self.scores)}
            if self.model is not None:
                spec.append(("model", str | None, None))
                renames["model"] = self.model
            _layouts[key] = msgspec.defstruct("Scored", spec, rename=renames, gc=False)
        return _layouts[key]

    def rows(self, row: Struct, fields: Fields) -> Iterator[Rated]:
        """Make one rated row with one completion."""
        texts = {name: check_text(getattr(row, name), getattr(self, name)) for name in ("prompt", "response")}
        model = getattr(row, "model", None)
        values = {name: rating(getattr(row, f"s{i}"), name) for i, name in enumerate(self.scores)}
        for name in self.reads():
            fields.pop(name, None)
        if model is not None:
            check_text(model, self.model or "")
        scores = {name: value for name, value in values.items() if value is not None}
        yield Rated([("user", texts["prompt"])], [Completion(texts["response"], model, scores)], fields)


def scored(prompt: str, response: str, scores: str | Sequence[str], *, model: str | None = None) -> Scored:
    """Rows with a prompt, one answer to it, and its scores, each in a column; `model` may name another.

    HelpSteer is `scored("prompt", "response", ("helpfulness", "correctness", "coherence", "complexity", "verbosity"))`.
    A score is a number, a number as text, or none: null or "N/A". Each row has one completion; `joined` makes one row
    of those with the same prompt. Raises `MixtureError` unless the columns are all different.

    >>> scored("prompt", "response", ("helpfulness", "verbosity")).kind
    'rated'
    """
    several = (scores,) if isinstance(scores, str) else tuple(scores)
    names = [prompt, response, *several, *([] if model is None else [model])]
    if not several or len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
        message = (
            f"scored() takes names of columns, each once, and at least one score; not {', '.join(map(repr, names))}"
        )
        raise MixtureError(message)
    return Scored(prompt, response, several, model)
