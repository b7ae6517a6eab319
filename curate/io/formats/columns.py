"""`columns`: names the columns of data that is in none of the known formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from msgspec import Struct

from curate.errors import MixtureError
from curate.io.formats.base import Conversation, Fields, Format, Preference, struct_of
from curate.io.formats.stored import lifted
from curate.rows.schema import Kind
from curate.rows.validate import Turn, check_text, refuse

TIE: Final = "tie"
"""What a value of the column `winner` is mapped to where neither answer won."""

TIED: Final = "(a tie)"
"""How the reason ends for which a row with a tie is quarantined."""


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
    winner: str | None = None
    values: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> Kind:
        """Conversations, or preference rows where chosen and rejected are named."""
        return "conversation" if self.chosen is None else "preference"

    @property
    def layout(self) -> type[Struct]:
        """The named columns; the first of `prompt` and of `response` must be present, and chosen and rejected."""
        names, needed = self._names(), self.named()
        spec = [(f"c{i}", str) if name in needed else (f"c{i}", str | None, None) for i, name in enumerate(names)]
        spec.sort(key=len)  # fields with a default come last
        renamed = [(f"c{i}", name) for i, name in enumerate(names)]
        if self.winner is not None:
            spec.append(("winner", str | int | float | bool | None, None))
            renamed.append(("winner", self.winner))
        return struct_of("Columns", tuple(spec), tuple(renamed))

    def named(self) -> tuple[str, ...]:
        """Return the columns that must be there."""
        needed = (self.prompt[0], *self.response[:1], self.chosen, self.rejected, self.winner)
        return tuple(name for name in needed if name is not None)

    @property
    def id_column(self) -> str | None:
        """The column that `id` names."""
        return self.id

    def prepare(self, fields: Fields) -> Fields:
        """Find columns that are named by their path."""
        return lifted(fields, (*self._names(), *([] if self.winner is None else [self.winner])))

    def _names(self) -> tuple[str, ...]:
        single = (self.chosen, self.rejected, self.system)
        return tuple(dict.fromkeys([*self.prompt, *self.response, *(name for name in single if name is not None)]))

    def rows(self, row: Any, fields: Fields) -> Iterator[Conversation | Preference]:  # noqa: ANN401
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
        answers = {name: ("assistant", check_text(texts[name], name)) for name in (self.chosen, self.rejected)}
        better = self.chosen if self.winner is None else self._won(row.winner, self.winner)
        worse = self.rejected if better == self.chosen else self.chosen
        yield Preference(prompt, [answers[better]], [answers[worse]], None, None, fields)

    def _won(self, value: str | float | None, column: str) -> str:
        """Return the column whose answer won; raises `Fault` for a tie, and for a value that says neither."""
        values = dict(self.values)
        won = None if value is None else values.get(canonical(value))
        if won is None:
            refuse(column, f"one of {', '.join(values)}; not {'null' if value is None else repr(value)}")
        if won == TIE:
            refuse(column, f"a preference for one answer, not {value!r} {TIED}")
        return won


def canonical(value: str | float) -> str:
    """Return a label as text: the same for a number, and for the number as text; letter case does not count.

    >>> canonical(1.0), canonical("1"), canonical(True), canonical("Model_A")
    ('1', '1', 'true', 'model_a')
    """
    if isinstance(value, bool):
        return str(value).lower()
    try:
        number = float(value)
    except ValueError:
        return str(value).strip().lower()
    return str(int(number)) if number.is_integer() else repr(number)


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
    winner: str | None = None,
    values: Mapping[Any, str] | None = None,
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
        winner: The column that says which of the two answers won, where that is not always the one in `chosen`. It is
            kept in `meta`.
        values: What `winner` holds: each value with the column that it says has won, or with "tie". Rows with a tie or
            with another value are quarantined. None is the names of the two columns themselves, and "tie".

    Returns:
        A format that makes conversations, or preference rows.

    Raises:
        MixtureError: Neither a response nor both of chosen and rejected are named; or `values` names another column.

    Example:
        >>> columns("user_query", "chatgpt_response").kind
        'conversation'
        >>> judged = columns(
        ...     "instruction",
        ...     chosen="output_1",
        ...     rejected="output_2",
        ...     winner="preference",
        ...     values={1: "output_1", 2: "output_2", 0: "tie"},
        ... )
        >>> judged.kind
        'preference'
    """
    pair = (chosen is not None) + (rejected is not None)
    if pair == 1 or (response is None) == (pair == 0):
        raise MixtureError("columns() takes response=, or both chosen= and rejected=")
    several = (prompt,) if isinstance(prompt, str) else tuple(prompt)
    answer = (response,) if isinstance(response, str) else tuple(response or ())
    if not several or (pair == 0 and not answer):
        raise MixtureError("columns() takes at least one column for the prompt and one for the response")
    won = _values(chosen, rejected, values) if winner is not None else ()
    if winner is None and values is not None:
        raise MixtureError("columns(values=...) says what a column holds; name it: winner=")
    return Columns(several, answer, chosen, rejected, system, id, winner, won)


def _values(chosen: str | None, rejected: str | None, values: Mapping[Any, str] | None) -> tuple[tuple[str, str], ...]:
    """Return what a column may say about two answers, with the one that it says has won."""
    if chosen is None or rejected is None:
        raise MixtureError("columns(winner=...) takes chosen= and rejected=, the columns of the two answers")
    sides = (chosen, rejected, TIE)
    found = dict(zip(sides, sides, strict=True)) if values is None else dict(values)
    wrong = [won for won in found.values() if won not in sides]
    if wrong or not {chosen, rejected} <= set(found.values()):
        raise MixtureError(
            f"columns(values=...): each value takes one of {', '.join(map(repr, sides))}, and each answer has a value"
            + (f"; not {wrong[0]!r}" if wrong else "")
        )
    return tuple((canonical(value), won) for value, won in found.items())
