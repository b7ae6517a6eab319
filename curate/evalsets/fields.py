"""From a raw row to eval items: which fields hold the question, and which the passage, the choices and the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from curate.errors import MixtureError
from curate.io.formats.base import as_json

_SLOT: Final = re.compile(r"\{([^{}]+)\}")
"""A field in a template."""


class Item(NamedTuple):
    """One eval item as it comes out of a row; a question that is not there is empty, all else is None.

    `id` is the row's own; `turn` is the number of the question where the row has a list of them.
    """

    id: str | None
    turn: int | None
    question: str
    passage: str | None
    choices: list[str] | None
    answer: str | None


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Where a row holds what makes an eval item.

    Each is the name of a field, or a path into it: `answers.text`, `instances.0.input`. A name is looked up
    in each object of a list: `turns.content`. A name with braces is a template: `{Premise} {Question}`; absent
    fields are left out, and white space at its ends is stripped.

    - `question`: text, or a list of texts, which makes an item of each (the turns of a dialogue).
    - `passage`: what the question is about; a list is joined by line ends.
    - `choices`: one field that holds a list, or several that hold one choice or a list each.
    - `answer`: text, a number, or a list, joined by line ends; where there are choices, a number (from 0) or a capital
      letter names one of them. For a list of questions, a list as long gives each its own.
    - `id`: text or an integer.

    Raises `MixtureError` for a template with a brace that has no partner.
    """

    question: str
    passage: str | None = None
    choices: str | tuple[str, ...] = ()
    answer: str | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        several = (self.choices,) if isinstance(self.choices, str) else self.choices
        for name in (self.question, self.passage, self.answer, self.id, *several):
            if name is not None and (not name or set(_SLOT.sub("", name)) & set("{}")):
                raise MixtureError(
                    f"{name!r} is no field, path or template; these look like 'question', 'a.text', '{{a}} {{b}}'"
                )

    def fit(self, row: object) -> bool:
        """Tell whether a row has a question where these fields look for it."""
        found = find(row, self.question)
        return any(isinstance(text, str) and text for text in (found if isinstance(found, list) else [found]))

    def items(self, row: object) -> list[Item]:
        """Return the items of a row: one, or one for each of its questions; at least one, also of what is no row.

        >>> for item in Fields(question="turns", id="n").items({"n": 81, "turns": ["Why?", None]}):
        ...     print(item)
        Item(id='81', turn=0, question='Why?', passage=None, choices=None, answer=None)
        Item(id='81', turn=1, question='', passage=None, choices=None, answer=None)
        """
        asked = find(row, self.question)
        choices = self._choices(row)
        passage = _text(find(row, self.passage))
        answer = find(row, self.answer)
        own = _id(find(row, self.id))
        if not isinstance(asked, list) or not asked:
            question = asked if isinstance(asked, str) else ""
            return [Item(own, None, question, passage, choices, _answer(answer, choices))]
        each = answer if isinstance(answer, list) and len(answer) == len(asked) else [answer] * len(asked)
        return [
            Item(own, turn, text if isinstance(text, str) else "", passage, choices, _answer(each[turn], choices))
            for turn, text in enumerate(asked)
        ]

    def _choices(self, row: object) -> list[str] | None:
        paths = (self.choices,) if isinstance(self.choices, str) else self.choices
        found = [find(row, path) for path in paths]
        flat = [text for value in found for text in (value if isinstance(value, list) else [value])]
        texts = [text for value in flat if (text := _text(value)) is not None]
        return texts or None


def items_of(row: object, layouts: tuple[Fields, ...]) -> list[Item]:
    """Return the items of a row, read by the first layout that finds a question in it, or by the first of all."""
    return next((one for one in layouts if one.fit(row)), layouts[0]).items(row)


def find(row: object, path: str | None) -> Any:  # noqa: ANN401
    """Return what a row holds under a name, path or template; None where there is nothing.

    >>> row = {"a": {"b": [{"c": "x"}, {"c": "y"}]}, "d.e": 1}
    >>> find(row, "a.b.c"), find(row, "a.b.1.c"), find(row, "d.e"), find(row, "{a.b.0.c}: {none}{d.e}")
    (['x', 'y'], 'y', 1, 'x: 1')
    """
    if path is None:
        return None
    if "{" in path:
        return _SLOT.sub(lambda slot: _text(find(row, slot[1])) or "", path).strip()
    if isinstance(row, dict) and path in row:
        return row[path]
    return _walk(row, path.split("."))


def _walk(value: Any, names: list[str]) -> Any:  # noqa: ANN401
    for place, name in enumerate(names):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal():
            value = value[int(name)] if int(name) < len(value) else None
        elif isinstance(value, list):
            return [_walk(item, names[place:]) for item in value]
        else:
            return None
    return value


def _text(value: Any) -> str | None:  # noqa: ANN401
    """Return text as it is, a number as its digits, a list of these as lines; None for anything else."""
    if isinstance(value, list):
        lines = [text for item in value if (text := _text(item)) is not None]
        return "\n".join(lines) if lines else None
    if isinstance(value, int | float):
        return as_json(value)
    return value if isinstance(value, str) else None


def _answer(value: Any, choices: list[str] | None) -> str | None:  # noqa: ANN401
    """Return an answer as text, or the choice that it names."""
    place = -1
    if choices and isinstance(value, int) and not isinstance(value, bool):
        place = value
    elif choices and isinstance(value, str) and len(value) == 1 and "A" <= value <= "Z" and value not in choices:
        place = ord(value) - ord("A")
    return choices[place] if choices and 0 <= place < len(choices) else _text(value)


def _id(value: Any) -> str | None:  # noqa: ANN401
    return _text(value) or None if isinstance(value, str | int) and not isinstance(value, bool) else None
