"""Messages as raw data spells them, and the turns made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from curate.errors import MixtureError, did_you_mean
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
"""Spellings that say no more than the role, in any case; any other is kept in `meta`."""

NO_CALLS: Final = "content; tool calls are not read yet, a coming version will read them"
"""What is expected of a message that has nothing but calls of tools: as an empty answer, it would be trained on."""

RoleWords: TypeAlias = tuple[tuple[str, str], ...]
"""Words that a user maps to roles."""


class ContentPart(Struct, gc=False):
    """A part of a message's content, spelled `text` or `value`."""

    type: str
    text: str | None = None
    value: str | None = None


Content: TypeAlias = str | list[ContentPart] | None


class Message(Struct, gc=False):
    """A message in the `messages` spelling; `Spelling` may give its role and content other names."""

    role: str
    content: Content | UnsetType = UNSET
    tool_calls: Any = None
    function_call: Any = None


class AnyMessage(Struct, gc=False):
    """A message in either spelling: `from` and `value`, or `role` and `content`."""

    sender: str | None = field(name="from", default=None)
    value: str | None = None
    role: str | None = None
    content: Content = None
    tool_calls: Any = None
    function_call: Any = None


class Spelling(NamedTuple):
    """The names of a message's role and text, the role of each word, and the words that say no more than their role."""

    role: str
    text: str
    roles: Mapping[str, str]
    plain: frozenset[str] = PLAIN


MESSAGES: Final = Spelling("role", "content", MESSAGES_ROLES)
SHAREGPT: Final = Spelling("role", "content", SHAREGPT_ROLES)


@lru_cache(maxsize=64)
def spelling(
    of: Literal["messages", "sharegpt"], mapped: RoleWords, role: str = "role", text: str = "content"
) -> Spelling:
    """Return a format's spelling with other names, and with the words that a user maps to roles, in any case."""
    known = MESSAGES if of == "messages" else SHAREGPT
    lower = {word.lower(): to for word, to in mapped}
    return Spelling(role, text, {**known.roles, **lower, **dict(mapped)}, PLAIN - lower.keys())


def role_words(roles: Mapping[str, str] | None, function: str) -> RoleWords:
    """Return a mapping of words to roles as pairs; raises `MixtureError` for what is no role."""
    for word, role in (roles or {}).items():
        if role not in ROLES:
            raise MixtureError(f"{function}(roles={{{word!r}: {role!r}}}): {did_you_mean(str(role), ROLES)}")
    return tuple((roles or {}).items())


def content_of(content: Content, column: str) -> str:
    """Return a message's text; text parts are joined unchanged. Raises `Fault` for null and for other parts."""
    if not isinstance(content, list):
        return check_text(content, column)
    for i, part in enumerate(content):
        if part.type != "text" or (part.text is None) == (part.value is None):
            refuse(f"{column}[{i}]", f"a part of text, not content that is not text ({part.type})")
    return check_text("".join(part.text if part.text is not None else part.value or "" for part in content), column)


def turn_of(message: Message | AnyMessage, column: str, spelt: Spelling | None = None) -> Turn:
    """Return the turn of one message; raises `Fault` for an unknown role, no text, or calls of tools alone."""
    spelt = spelt or (SHAREGPT if isinstance(message, AnyMessage) else MESSAGES)
    word, name, content = message.role, spelt.text, message.content
    where = f"{column}.{spelt.role}"
    if isinstance(message, AnyMessage):
        if message.sender is not None:
            word, name, content, where = message.sender, "value", message.value, f"{column}.from"
        elif word is None:
            refuse(column, "fields from and value, or role and content")
    role = role_of(word or "", spelt.roles, where)
    if not content:
        if _calls(message.tool_calls) or _calls(message.function_call):
            refuse(f"{column}.{name}", NO_CALLS)
        if content is UNSET:
            refuse(f"{column}.{name}", "a field of this name")
    return role, content_of(content, f"{column}.{name}")


def _calls(value: Any) -> bool:  # noqa: ANN401
    """Tell whether a message holds calls: some tables give every message a list of them, empty or as text."""
    return bool(value) and value not in ("[]", "{}", "null")


def turns_of(messages: Sequence[Message | AnyMessage], column: str, spelt: Spelling | None = None) -> list[Turn]:
    """Return the turns of a list of messages."""
    return [turn_of(message, f"{column}[{i}]", spelt) for i, message in enumerate(messages)]


def take_turns(
    fields: Fields, column: str, messages: Sequence[Message | AnyMessage], spelt: Spelling | None = None
) -> list[Turn]:
    """Return the turns of `messages`, and leave in `fields[column]` only what they hold beyond role and text."""
    turns = turns_of(messages, column, spelt)
    pairs = zip(objects(fields.pop(column), column), messages, strict=True)
    keep(fields, column, [_beyond(raw, one, f"{column}[{i}]", spelt) for i, (raw, one) in enumerate(pairs)])
    return turns


def take_turn(fields: Fields, column: str, message: Message | AnyMessage, raw: Fields) -> Turn:
    """Return the turn of the one message at `column`, whose fields are `raw`; what is left stays in `fields`."""
    turn = turn_of(message, column)
    rest = _beyond(raw, message, column, None)
    del fields[column]
    if rest:
        fields[column] = rest
    return turn


def _beyond(raw: Fields, message: Message | AnyMessage, column: str, spelt: Spelling | None) -> Fields:
    """Take role and text out of a message's fields, unless they say more than the turn does."""
    spelt = spelt or MESSAGES
    sender = message.sender if isinstance(message, AnyMessage) else None
    word, text = (spelt.role, spelt.text) if sender is None else ("from", "value")
    if (sender or message.role or "").lower() in spelt.plain:
        del raw[word]
    if not _says_more(message.content if sender is None else "", raw[text], f"{column}.{text}"):
        del raw[text]
    return raw


def _says_more(content: Content | UnsetType, raw: Any, column: str) -> bool:  # noqa: ANN401
    """Tell whether parts of text lose anything by being joined: there are several, or they hold other fields."""
    return isinstance(content, list) and [len(part) for part in objects(raw, column)] != [2]
