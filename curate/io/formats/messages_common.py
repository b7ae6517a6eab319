"""Messages as raw data spells them, and the turns made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from curate.errors import MixtureError, did_you_mean
from curate.io.formats.base import Fields, at, keep, objects
from curate.io.formats.calls import calls_in_text, listed, with_parts
from curate.rows.schema import ROLES
from curate.rows.validate import Call, RichTurn, Turn, check_text, refuse, role_of

MESSAGES_ROLES: Final[dict[str, str]] = {role: role for role in ROLES} | {
    "developer": "system",
    "environment": "tool",
    "ipython": "tool",
    "observation": "tool",
    "function": "tool",
}

SHAREGPT_ROLES: Final[dict[str, str]] = MESSAGES_ROLES | {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "function_response": "tool",
}
"""A function call is an assistant turn; the result of a function, whatever its name, is a tool turn."""

PLAIN: Final = frozenset({"system", "human", "user", "gpt", "assistant", "tool"})
"""Spellings that say no more than the role, in any case; any other is kept in `meta`."""

Media: TypeAlias = Literal["quarantine", "keep"]

MEDIA: Final = {
    kind: f"<{name}>"
    for name in ("image", "audio", "video")
    for kind in (name, f"{name}_url", f"input_{name}", f"input_{name}_url")
}
"""Types of parts that are no text, and the placeholder of each."""

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
    function_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None


class AnyMessage(Struct, gc=False):
    """A message in either spelling: `from` and `value`, or `role` and `content`."""

    sender: str | None = field(name="from", default=None)
    value: str | None = None
    role: str | None = None
    content: Content = None
    tool_calls: Any = None
    function_call: Any = None
    function_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None


class Spelling(NamedTuple):
    """The names of a message's role and text, the role of each word, and the words that say no more than their role.

    With `media`, parts of other media have a placeholder in the text, and are kept in `meta`.
    """

    role: str
    text: str
    roles: Mapping[str, str]
    plain: frozenset[str] = PLAIN
    media: bool = False


MESSAGES: Final = Spelling("role", "content", MESSAGES_ROLES)
SHAREGPT: Final = Spelling("role", "content", SHAREGPT_ROLES)


@lru_cache(maxsize=64)
def spelling(
    of: Literal["messages", "sharegpt"],
    mapped: RoleWords,
    role: str = "role",
    text: str = "content",
    media: Media = "quarantine",
) -> Spelling:
    """Return a format's spelling with other names, and with the words that a user maps to roles, in any case."""
    known = MESSAGES if of == "messages" else SHAREGPT
    lower = {word.lower(): to for word, to in mapped}
    return Spelling(role, text, {**known.roles, **lower, **dict(mapped)}, PLAIN - lower.keys(), media == "keep")


def role_words(roles: Mapping[str, str] | None, function: str) -> RoleWords:
    """Return a mapping of words to roles as pairs; raises `MixtureError` for what is no role."""
    for word, role in (roles or {}).items():
        if role not in ROLES:
            raise MixtureError(f"{function}(roles={{{word!r}: {role!r}}}): {did_you_mean(str(role), ROLES)}")
    return tuple((roles or {}).items())


def turn_of(message: Message | AnyMessage, column: str, place: int | None, spelt: Spelling | None) -> Turn:
    """Return the turn of one message; raises `Fault` for an unknown role, or nothing that it says.

    Its parts beyond text are read by `curate.io.formats.calls`; here they only excuse that it has no text.
    """
    spelt = spelt or (SHAREGPT if isinstance(message, AnyMessage) else MESSAGES)
    key, name, word, content = spelt.role, spelt.text, message.role, message.content
    if isinstance(message, AnyMessage):
        if message.sender is not None:
            key, name, word, content = "from", "value", message.sender, message.value
        elif word is None:
            refuse(at(column, place), "fields from and value, or role and content")
    word = word or ""
    role = spelt.roles.get(word) or role_of(word, spelt.roles, f"{at(column, place)}.{key}")
    if isinstance(content, str) and content and word != "function_call" and "\0" not in content:
        return role, content
    return _unusual(message, role, content, f"{at(column, place)}.{name}", media=spelt.media)


def _unusual(
    message: Message | AnyMessage, role: str, content: Content | UnsetType, column: str, *, media: bool
) -> Turn:
    """Return the turn of a message with no text, with parts, or with a call in its text."""
    if not content and _has_parts(message):
        return RichTurn(role, "" if content == "" else None)
    if content is UNSET:
        refuse(column, "a field of this name")
    if isinstance(content, list):
        return _of_parts(role, [_part(part, f"{column}[{i}]", media=media) for i, part in enumerate(content)], column)
    text = check_text(content, column)
    if isinstance(message, AnyMessage) and message.sender == "function_call":
        thought = _THOUGHT.match(text)
        before = thought[0] if thought else ""
        calls = calls_in_text(text[len(before) :])
        return RichTurn(role, before or None, tool_calls=calls) if calls else (role, text)
    return role, text


_THOUGHT: Final = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)
"""Reasoning before a call, which LLaMA-Factory has in one text with it."""


def _has_parts(message: Message | AnyMessage) -> bool:
    """Tell whether a message holds calls or reasoning: some tables give every message both, empty or as text."""
    given = (message.tool_calls, message.function_call, message.function_calls, *_reasonings(message))
    return any(value and value not in ("[]", "{}", "null") for value in given)


def _reasonings(message: Message | AnyMessage) -> tuple[Any, ...]:
    return message.reasoning_content, message.reasoning, message.thinking


def _part(part: ContentPart, column: str, *, media: bool) -> tuple[str, str]:
    """Return the type and the text of a part; raises `Fault` for one that is neither text, reasoning nor a call."""
    if part.type in MEDIA:
        if not media:
            refuse(column, f"text, not content of another medium ({part.type}), which media='keep' of messages() marks")
        return "text", MEDIA[part.type]
    text = part.text if part.text is not None else part.value
    if part.type not in {"text", "reasoning", "tool_call"} or text is None or None not in {part.text, part.value}:
        refuse(column, f"a part of text, not content that is not text ({part.type})")
    return part.type, text


def _of_parts(role: str, content: list[tuple[str, str]], column: str) -> Turn:
    """Return a turn of parts (type and text), each kind joined."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Call] = []
    for i, (kind, text) in enumerate(content):
        if kind == "tool_call":
            found = calls_in_text(text)
            if not found:
                refuse(f"{column}[{i}]", "a call as JSON, with the name of a tool and its arguments")
            calls += found
        else:
            (thoughts if kind == "reasoning" else texts).append(text)
    whole = check_text("".join(texts), column)
    if not thoughts and not calls:
        return role, whole
    return RichTurn(role, whole if texts else None, check_text("".join(thoughts), column) or None, tuple(calls))


def turns_of(messages: Sequence[Message | AnyMessage], column: str, spelt: Spelling | None = None) -> list[Turn]:
    """Return the turns of a list of messages."""
    return [turn_of(message, column, i, spelt) for i, message in enumerate(messages)]


def take_turns(
    fields: Fields, column: str, messages: Sequence[Message | AnyMessage], spelt: Spelling | None = None
) -> list[Turn]:
    """Return the turns of `messages`, and leave in `fields[column]` only what they hold beyond role and text."""
    turns = turns_of(messages, column, spelt)
    rest = []
    for i, (raw, one) in enumerate(zip(objects(fields.pop(column), column), messages, strict=True)):
        more = _beyond(raw, one, column, i, spelt)
        if more:
            turns[i] = with_parts(turns[i], more, at(column, i))
            _take_functions(fields, more, first=i == 0)
        rest.append(more)
    keep(fields, column, rest)
    return turns


def _take_functions(fields: Fields, message: Fields, *, first: bool) -> None:
    """Give a row without tools those of a message, from which they are taken if it is the first."""
    functions = message.get("functions")
    if "tools" not in fields and functions is not None and listed(functions):
        fields["tools"] = functions
        if first:
            del message["functions"]


def take_turn(fields: Fields, column: str, message: Message | AnyMessage, raw: Fields) -> Turn:
    """Return the turn of the one message at `column`, whose fields are `raw`; what is left stays in `fields`."""
    turn = turn_of(message, column, None, None)
    rest = _beyond(raw, message, column, None, None)
    del fields[column]
    if rest:
        turn = with_parts(turn, rest, column)
    if rest:
        fields[column] = rest
    return turn


def _beyond(
    raw: Fields, message: Message | AnyMessage, column: str, place: int | None, spelt: Spelling | None
) -> Fields:
    """Take role and text out of a message's fields, unless they say more than the turn does.

    Parts of text lose something by being joined if there are several, or if they hold other fields.
    """
    spelt = spelt or MESSAGES
    key, text, word, content = spelt.role, spelt.text, message.role or "", message.content
    if isinstance(message, AnyMessage) and message.sender is not None:
        key, text, word, content = "from", "value", message.sender, ""
    if word in spelt.plain or word.lower() in spelt.plain:
        del raw[key]
    if isinstance(content, list):
        parts = objects(raw[text], f"{at(column, place)}.{text}")
        if [len(part) for part in parts] != [2] or content[0].type in MEDIA:
            return raw
    raw.pop(text, None)
    return raw
