"""`columns`: names the columns of data that is in none of the known formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from msgspec import Struct

from curate.errors import MixtureError
from curate.io.formats.base import Conversation, Fields, Format, Preference, struct_of
from curate.io.formats.stored import lifted
from curate.rows.schema import Kind
from curate.rows.validate import Turn, check_text


@dataclass(frozen=True)
class Columns(Format):
    """See `columns`."""

    name: ClassVar[str] = "columns"
    prompt: tuple[str, ...]
    response: tuple[str, ...] = ()
    chosen: str | None = None
    rejected: str | None = None
    system: str | None = None
    id: str | None = None

    @property
    def kind(self) -> Kind:
        """Conversations, or preference rows where chosen and rejected are named."""
        return "conversation" if self.chosen is None else "preference"

    @property
    def layout(self) -> type[Struct]:
        """The named columns; the first of `prompt` and of `response` must be present, and chosen and rejected."""
        names = self._names()
        needed = {self.prompt[0], *self.response[:1], self.chosen, self.rejected}
        spec = [(f"c{i}", str) if name in needed else (f"c{i}", str | None, None) for i, name in enumerate(names)]
        spec.sort(key=len)  # fields with a default come last
        return struct_of("Columns", tuple(spec), tuple((f"c{i}", name) for i, name in enumerate(names)))

    @property
    def id_column(self) -> str | None:
        """The column that `id` names."""
        return self.id

    def prepare(self, fields: Fields) -> Fields:
        """Find columns that are named by their path."""
        return lifted(fields, self._names())

    def _names(self) -> tuple[str, ...]:
        single = (self.chosen, self.rejected, self.system)
        return tuple(dict.fromkeys([*self.prompt, *self.response, *(name for name in single if name is not None)]))

    def rows(self, row: Struct, fields: Fields) -> Iterator[Conversation | Preference]:
        """Make one conversation or one preference row."""
        texts = {name: getattr(row, f"c{i}") for i, name in enumerate(self._names())}
        for name in texts:
            fields.pop(name, None)
        system = texts.get(self.system or "")
        prompt: list[Turn] = [("system", check_text(system, self.system or ""))] if system else []
        prompt.append(("user", _joined(self.prompt, texts)))
        if self.chosen is None or self.rejected is None:
            yield Conversation([*prompt, ("assistant", _joined(self.response, texts))], fields)
            return
        chosen, rejected = (("assistant", check_text(texts[name], name)) for name in (self.chosen, self.rejected))
        yield Preference(prompt, [chosen], [rejected], None, None, fields)


def _joined(names: tuple[str, ...], texts: dict[str, str | None]) -> str:
    """Join the texts of several columns by an empty line; null and empty ones after the first are left out."""
    first, *rest = names
    parts = [check_text(texts[first], first), *(check_text(texts[name], name) for name in rest if texts[name])]
    return "\n\n".join(parts)


def columns(
    prompt: str | tuple[str, ...],
    response: str | tuple[str, ...] | None = None,
    *,
    chosen: str | None = None,
    rejected: str | None = None,
    system: str | None = None,
    id: str | None = None,  # noqa: A002
) -> Columns:
    """Rows with their texts in columns of any name: a prompt with its response, or with `chosen` and `rejected`.

    A name may be a path to what is within a column: `metadata.prompt`, `output[0]`. Other columns are kept in `meta`,
    and so is a column that a path leads into.

    Args:
        prompt: The column with the prompt. Several (`("instruction", "context")`) are joined by an empty line; null and
            empty ones after the first are left out.
        response: The column with the answer, or several. None for preference rows.
        chosen: The column with the better answer, for preference rows.
        rejected: The column with the other answer.
        system: A column with a system text; null and empty ones make no turn.
        id: The column with the rows' own ids; it takes precedence over the `id` of the source.

    Returns:
        A format that makes conversations, or preference rows.

    Raises:
        MixtureError: Neither a response nor both of chosen and rejected are named.

    Example:
        >>> columns("user_query", "chatgpt_response").kind
        'conversation'
    """
    pair = (chosen is not None) + (rejected is not None)
    if pair == 1 or (response is None) == (pair == 0):
        raise MixtureError("columns() takes response=, or both chosen= and rejected=")
    several = (prompt,) if isinstance(prompt, str) else tuple(prompt)
    answer = (response,) if isinstance(response, str) else tuple(response or ())
    if not several or (pair == 0 and not answer):
        raise MixtureError("columns() takes at least one column for the prompt and one for the response")
    return Columns(several, answer, chosen, rejected, system, id)
