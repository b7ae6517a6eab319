"""Messages as raw data spells them, and the turns made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, field

from curate.io.formats.base import Fields, keep, objects
from curate.rows.schema import ROLES
from curate.rows.validate import Turn, check_text, refuse, role_of

MESSAGES_ROLES: Final[dict[str, str]] = {role: role for role in ROLES}

SHAREGPT_ROLES: Final[dict[str, str]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
}
"""A function call is an assistant turn; the result of a function, whatever its name, is a tool turn."""

PLAIN: Final = frozenset({"system", "human", "user", "gpt", "assistant", "tool"})
"""Spellings that say no more than the role; any other is kept in `meta`."""


class ContentPart(Struct, gc=False):
    """A part of a message's content, spelled `text` or `value`."""

    type: str
    text: str | None = None
    value: str | None = None


class Message(Struct, gc=False):
    """A message in the `messages` spelling."""

    role: str
    content: str | list[ContentPart] | None


class AnyMessage(Struct, gc=False):
    """A message in either spelling: `from` and `value`, or `role` and `content`."""

    sender: str | None = field(name="from", default=None)
    value: str | None = None
    role: str | None = None
    content: str | list[ContentPart] | None = None


def content_of(content: str | list[ContentPart] | None, column: str) -> str:
    """Return a message's text; text parts are joined unchanged. Raises `Fault` for null and for other parts."""
    if not isinstance(content, list):
        return check_text(content, column)
    for i, part in enumerate(content):
        if part.type != "text" or (part.text is None) == (part.value is None):
            refuse(f"{column}[{i}]", f"a part of text, not content that is not text ({part.type})")
    return check_text("".join(part.text if part.text is not None else part.value or "" for part in content), column)


def turn_of(message: Message | AnyMessage, column: str) -> Turn:
    """Return the turn of one message; raises `Fault` for an unknown role or content that is not text."""
    if isinstance(message, Message):
        role = role_of(message.role, MESSAGES_ROLES, f"{column}.role")
        return role, content_of(message.content, f"{column}.content")
    if message.sender is not None:
        return role_of(message.sender, SHAREGPT_ROLES, f"{column}.from"), check_text(message.value, f"{column}.value")
    if message.role is None:
        refuse(column, "fields from and value, or role and content")
    return role_of(message.role, SHAREGPT_ROLES, f"{column}.role"), content_of(message.content, f"{column}.content")


def turns_of(messages: Sequence[Message | AnyMessage], column: str) -> list[Turn]:
    """Return the turns of a list of messages."""
    return [turn_of(message, f"{column}[{i}]") for i, message in enumerate(messages)]


def take_turns(fields: Fields, column: str, messages: Sequence[Message | AnyMessage]) -> list[Turn]:
    """Return the turns of `messages`, and leave in `fields[column]` only what they hold beyond role and text."""
    turns = turns_of(messages, column)
    raw = objects(fields.pop(column), column)
    keep(
        fields,
        column,
        [_beyond(left, message, f"{column}[{i}]") for i, (left, message) in enumerate(zip(raw, messages, strict=True))],
    )
    return turns


def take_turn(fields: Fields, column: str, message: Message | AnyMessage, raw: Fields) -> Turn:
    """Return the turn of the one message at `column`, whose fields are `raw`; what is left stays in `fields`."""
    turn = turn_of(message, column)
    rest = _beyond(raw, message, column)
    del fields[column]
    if rest:
        fields[column] = rest
    return turn


def _beyond(raw: Fields, message: Message | AnyMessage, column: str) -> Fields:
    """Take role and text out of a message's fields, unless they say more than the turn does."""
    sender = None if isinstance(message, Message) else message.sender
    word, text = ("role", "content") if sender is None else ("from", "value")
    if (sender or message.role) in PLAIN:
        del raw[word]
    if not _says_more(message.content if sender is None else "", raw[text], f"{column}.{text}"):
        del raw[text]
    return raw


def _says_more(content: str | list[ContentPart] | None, raw: Any, column: str) -> bool:  # noqa: ANN401
    """Tell whether parts of text lose anything by being joined: there are several, or they hold other fields."""
    return isinstance(content, list) and [len(part) for part in objects(raw, column)] != [2]
