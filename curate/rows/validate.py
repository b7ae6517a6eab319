"""What makes a row a row: checks that hold for every kind, whatever layout it came in.

A row that breaks one is quarantined, never repaired. Role order, empty text and an unanswered last turn are not
faults: `shape()` scores them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, NoReturn, TypeAlias


class Call(NamedTuple):
    """A call of a tool; `arguments` is JSON text."""

    id: str | None
    name: str
    arguments: str


class RichTurn(NamedTuple):
    """A turn with parts beyond its text; one with calls or reasoning may have no text."""

    role: str
    content: str | None
    reasoning: str | None = None
    tool_calls: tuple[Call, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


Turn: TypeAlias = tuple[str, str] | RichTurn
"""A role and its text, or more."""

WORD: Final = 40
"""Characters of an unknown role that are shown."""


class Fault(Exception):  # noqa: N818  # never reaches a user: the reader turns it into a line of the quarantine
    """A row is invalid: `column` names the place in it ("" for all of it), `expected` what should be there."""

    def __init__(self, column: str, expected: str) -> None:
        super().__init__(column, expected)
        self.column = column
        self.expected = expected


def refuse(column: str, expected: str) -> NoReturn:
    """Raise `Fault`."""
    raise Fault(column, expected)


def check_text(text: object, column: str) -> str:
    """Return `text` if it is text without NUL; raises `Fault` otherwise. Empty text passes.

    >>> check_text("", "prompt")
    ''
    """
    if not isinstance(text, str):
        refuse(column, "text, not null" if text is None else f"text, not {type(text).__name__}")
    if "\0" in text:
        refuse(column, "text without NUL")
    return text


def role_of(word: str, roles: Mapping[str, str], column: str) -> str:
    """Return the role that `word` spells, as it is or else in lower case; raises `Fault` for an unknown one."""
    role = roles.get(word) or roles.get(word.lower())
    if role is None:
        refuse(column, f"a role: {', '.join(roles)}; not {word[:WORD]!r}")
    return role


def check_turns(turns: Sequence[object], column: str) -> None:
    """Raise `Fault` when there is no turn at all."""
    if not turns:
        refuse(column, "at least one message")


def check_prompt(turns: Sequence[Turn], column: str) -> None:
    """Raise `Fault` when a rated row's prompt does not end with a user turn."""
    check_turns(turns, column)
    if turns[-1][0] != "user":
        refuse(column, "a prompt that ends with a user turn")
