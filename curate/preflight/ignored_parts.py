"""Parts of rows that a chat template leaves out: calls, results, reasoning, tools, and arguments of the template.

Every part of a row is replaced by a word of its own, the row is rendered, and what is missing in the text is ignored by
the template. Rows of the same shape (roles, and which message has which parts) are rendered once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from curate.preflight.chat_template import ChatTokenizer, render
from curate.preflight.template_input import NONE, Chat, Options, decoded

EARLIER: Final = "earlier reasoning"
"""Reasoning of earlier turns that is left out by design, as in Qwen3: that of the last turn is rendered."""

PARTS: Final = ("calls", "results", "reasoning", "tools", "kwargs")
"""The parts that rows are counted by: `kwargs` are `chat_template_kwargs`."""

NAMES: Final = {
    "text": "the text beside tool calls",
    "calls": "the tool calls",
    "results": "the results of tools",
    "reasoning": "the reasoning",
    "tools": "the tools on offer",
    "kwargs": "chat_template_kwargs",
}
"""What a template may ignore, in a sentence."""


WAYS: Final = {
    "text": "--without text_with_calls",
    "calls": "--flatten calls",
    "reasoning": "--without reasoning or --flatten reasoning",
    "tools": "--without tools",
    "kwargs": "--without chat_template_kwargs",
}
"""How a user trains without a part, or with it as text; in Python `without=[...]`, `flatten=[...]`."""


def instead(ignored: Iterable[str] = ()) -> str:
    """Return what to do about rows with ignored parts, or about a row that the template rejects.

    >>> instead(["tools"])
    'choose another with chat_template=, leave such rows out, or train without: --without tools'
    """
    ways = [WAYS[name] for part in ignored if (name := part.partition(".")[0]) in WAYS]
    if not ways:
        return "choose another with chat_template=, or leave such rows out"
    return f"choose another with chat_template=, leave such rows out, or train without: {' '.join(dict.fromkeys(ways))}"


class TemplateParts(NamedTuple):
    """The parts of a row, of `PARTS`, and what the template ignores: a key of `NAMES`, `kwargs.<name>` or `EARLIER`."""

    parts: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


PLAIN: Final = TemplateParts()


def together(sides: Sequence[TemplateParts]) -> TemplateParts:
    """Return the parts of a row of several sides, of any of them."""
    first, *others = sides
    if all(other == first for other in others):
        return first
    return TemplateParts(*(tuple(dict.fromkeys(chain(*names))) for names in zip(*sides, strict=True)))


def named(ignored: Iterable[str]) -> str:
    """Return ignored parts as the words of a sentence.

    >>> named(["calls", "kwargs.enable_thinking"])
    'the tool calls and chat_template_kwargs.enable_thinking'
    """
    return " and ".join(NAMES[part] + dot + name for part, dot, name in (one.partition(".") for one in ignored))


class PartCheck:
    """Says of rows which parts they have, and which of them the template of a tokenizer ignores."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        code = re.sub(r"\{#.*?#\}", "", tokenizer.chat_template, flags=re.DOTALL)
        self._names = frozenset(re.findall(r"\w+", code))
        self._known: dict[object, TemplateParts] = {}

    @property
    def ignored(self) -> list[str]:
        """What the template ignored of the rows so far."""
        every = {name for found in self._known.values() for name in found.ignored} - {EARLIER}
        return sorted(every)

    def __call__(self, chat: Chat, options: Options) -> TemplateParts:
        """Return the parts of one row; raises what `render` raises for a row that the template rejects."""
        if options == NONE and all(len(turn) == 2 and turn["role"] != "tool" and "content" in turn for turn in chat):
            return PLAIN
        shape = (options.tools is None, options.kwargs, *map(_shape, chat))
        if shape not in self._known:
            self._known[shape] = self._find(chat, options)
        return self._known[shape]

    def _find(self, chat: Chat, options: Options) -> TemplateParts:
        words: dict[str, list[str]] = {}
        marked = [_marked(turn, words) for turn in chat]
        if "tool_calls" not in self._names:  # such a template may need content, which it would have said first
            marked = [{"content": "", **turn} for turn in marked]
        tools = None if options.tools is None else json.dumps([_tool(one, words) for one in decoded(options.tools)])
        text = self._render(marked, Options(tools, options.kwargs))
        missing = [part for part in NAMES if not all(word in text for word in words.get(part, ()))]
        if "reasoning" in missing:
            last, word = max(i for i, turn in enumerate(chat) if turn.get("reasoning_content")), words["reasoning"][-1]
            if word in text or word in self._render(marked[: last + 1], Options(tools, options.kwargs)):
                missing[missing.index("reasoning")] = EARLIER
        given = [name for name, value in (decoded(options.kwargs) or {}).items() if value not in EMPTY]
        missing += [f"kwargs.{name}" for name in sorted(given) if name not in self._names]
        has = words.keys() | ({"kwargs"} if given else set())
        return TemplateParts(tuple(part for part in PARTS if part in has), tuple(missing))

    def _render(self, chat: Chat, options: Options) -> str:
        ((text, _),) = render([(chat, options)], self._tokenizer)
        return text


EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
"""Values of template arguments that say as much as none."""


def _shape(turn: dict[str, Any]) -> tuple[object, ...]:
    """Return what a template may decide by: the role, whether there is content or reasoning, the number of calls."""
    content, reasoning = (turn.get(name) and True for name in ("content", "reasoning_content"))
    return turn["role"], content, reasoning, len(turn.get("tool_calls", ()))


def _marked(turn: dict[str, Any], words: dict[str, list[str]]) -> dict[str, Any]:
    """Return a message with a word in place of each part, and note the words."""
    found = dict(turn)
    if turn["role"] == "tool":
        found["content"] = _word("results", words)
    if turn.get("reasoning_content"):
        found["reasoning_content"] = _word("reasoning", words)
    if "tool_calls" in turn:
        if turn.get("content"):
            found["content"] = _word("text", words)
        own = [(call, _word("calls", words)) for call in turn["tool_calls"]]
        found["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": {word: word}}} for call, word in own
        ]
    return found


def _tool(tool: Any, words: dict[str, list[str]]) -> Any:  # noqa: ANN401  any JSON value
    """Return a tool with a word in place of its name."""
    if not isinstance(tool, dict):
        return _word("tools", words)
    if isinstance(tool.get("function"), dict):
        return {**tool, "function": {**tool["function"], "name": _word("tools", words)}}
    return {**tool, "name": _word("tools", words)}


def _word(part: str, words: dict[str, list[str]]) -> str:
    """Return a word that no template writes, and that none of the others contains."""
    own = words.setdefault(part, [])
    own.append(f"q{part}x{len(own)}q")
    return own[-1]
