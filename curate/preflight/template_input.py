"""Rows as chat templates take them, and the text in them that looks like a token of the template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

Chat: TypeAlias = list[dict[str, Any]]
"""Messages as chat templates take them; what a message does not have is no key of it."""


class Options(NamedTuple):
    """What a chat template gets beside the messages, as JSON text: the tools on offer, and arguments by name."""

    tools: str | None = None
    kwargs: str | None = None


NONE: Final = Options()


def chat_of(messages: Sequence[Mapping[str, Any]]) -> Chat:
    """Return the messages of a row with its calls as OpenAI spells them, their arguments decoded.

    Reasoning is `reasoning_content`, which transformers gives to templates by its other name (`thinking`) too. Parts
    that are null are left out: some templates ask whether there is a key `tool_calls`.

    >>> chat_of([{"role": "assistant", "content": None, "tool_calls": [{"id": None, "name": "f", "arguments": "{}"}]}])
    [{'role': 'assistant', 'tool_calls': [{'type': 'function', 'function': {'name': 'f', 'arguments': {}}}]}]
    """
    return [_message(one) for one in messages]


def _message(given: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        "role": given["role"],
        "content": given["content"],
        "reasoning_content": given.get("reasoning"),
        "tool_calls": [_call(one) for one in given.get("tool_calls") or ()] or None,
        "tool_call_id": given.get("tool_call_id"),
        "name": given.get("name"),
    }
    return {key: value for key, value in made.items() if value is not None}


def _call(given: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": given["name"], "arguments": _arguments(given["arguments"])}
    named = {} if given["id"] is None else {"id": given["id"]}
    return {"type": "function", **named, "function": function}


def _arguments(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Return decoded arguments; text that is no JSON stays text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@lru_cache(1024)  # most rows of a source share their tools
def decoded(text: str | None) -> Any:  # noqa: ANN401  any JSON value
    """Return the value of JSON text, None for null."""
    return None if text is None else json.loads(text)


OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Enclose a control token in the text of the data while the template is rendered: noncharacters that Unicode reserves
for use inside a program, which no text should contain."""

MARKUP: Final = re.compile(
    r"\A\s*(<think>).*?(</think>)|^(<tool_call>)\s*[{<].*?(</tool_call>)\s*$", re.DOTALL | re.MULTILINE
)
"""Reasoning and calls that an answer has as text: templates and models read these tags as their own."""


def has_control(chat: Chat, options: Options, control: re.Pattern[str]) -> bool:
    """Say whether a row quotes a control token anywhere."""
    for turn in chat:
        content = turn.get("content")
        if content is not None and control.search(content):
            texts = _outside_markup(content)[::2] if turn["role"] == "assistant" else [content]
            if any(map(control.search, texts)):
                return True
        if content is None or len(turn) > 2:
            more = (text for key, value in turn.items() if key != "content" for text in _texts(value))
            if any(map(control.search, more)):
                return True
    return options is not NONE and any(map(control.search, _texts(list(map(decoded, options)))))


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401  any JSON value
    """Give every text in a value, keys of objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _outside_markup(answer: str) -> list[str]:
    """Return an answer cut at its tags: text, tag, text, ..., text."""
    found = [match.span(group) for match in MARKUP.finditer(answer) for group in range(1, 5)]
    edges = [0, *(edge for start, end in found if start >= 0 for edge in (start, end)), len(answer)]
    return [answer[start:end] for start, end in pairwise(edges)]


def hidden(chat: Chat, options: Options, control: re.Pattern[str]) -> tuple[Chat, Options]:
    """Enclose quoted control tokens of a row in marks, and remove marks that were already in its text."""
    given = [None if text is None else json.dumps(_hide(decoded(text), control)) for text in options]
    return [_hidden_turn(turn, control) for turn in chat], Options(*given)


def _hidden_turn(turn: dict[str, Any], control: re.Pattern[str]) -> dict[str, Any]:
    found: dict[str, Any] = _hide(turn, control)
    if turn["role"] == "assistant" and "content" in turn:
        parts = _outside_markup(turn["content"])
        found["content"] = "".join(part if i % 2 else _hide(part, control) for i, part in enumerate(parts))
    return found


def _hide(value: Any, control: re.Pattern[str]) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, str):
        return control.sub(lambda found: f"{OPEN}{found[0]}{CLOSE}", re.sub(f"[{OPEN}{CLOSE}]", "", value))
    if isinstance(value, dict):
        return {_hide(key, control): _hide(one, control) for key, one in value.items()}
    return [_hide(one, control) for one in value] if isinstance(value, list) else value
