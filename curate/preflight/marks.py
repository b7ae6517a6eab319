"""Marks of the trained part, `{% generation %}`, in chat templates that are published without: TRL's, and Llama's here.

Llama 3.1, 3.2 and 3.3 write a turn of text by one expression, and a call by branches that each repeat the header of
the turn. The marks go around the text with its end token, and around the call with its own, behind one header.
"""

from __future__ import annotations

from typing import Any, Final

from jinja2 import TemplateError

from curate.errors import CallError

TURN: Final = r"+ message['content'] | trim + '<|eot_id|>' }}"
CALL: Final = "{%- set tool_call = message.tool_calls[0].function %}"
HEADER: Final = r"{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}"
RESULT: Final = '{%- elif message.role == "tool" or message.role == "ipython" %}'
"""What a template of Llama has once, but for the header of a call, which is in each branch."""

MARKED: Final = "{%- generation %}{{- " + TURN[2:] + "{%- endgeneration %}"
TURNS: Final = "}}{%- if message['role'] == 'assistant' %}" + MARKED + "{%- else %}{{- " + TURN[2:] + "{%- endif %}"

_SAID: Final = [{"role": role, "content": f" {role} \n"} for role in ("system", "user", "assistant", "user")]
_CALLS: Final[list[dict[str, Any]]] = [
    {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": {"a": "b"}}}]}
    for name in ("f", "g")
]
PROBES: Final = [[*_SAID, _CALLS[0], {"role": "tool", "content": "1"}, _CALLS[1], *_SAID[2:]], [*_SAID[1:], _SAID[2]]]
"""Chats with every kind of turn, which the marked template must render as the published one does."""


def marked(tokenizer: Any, name: str, choice: str) -> str:  # noqa: ANN401  of transformers
    """Return the tokenizer's template if it marks the trained part, else TRL's variant of it, or Llama's of this file.

    Raises `CallError` for any other; `choice` says what to choose.
    """
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    given: str | dict[str, str] = tokenizer.chat_template
    own = given if isinstance(given, str) else given["default"]
    if has_generation_markers(own):
        return own
    try:
        return str(get_training_chat_template(tokenizer))
    except ValueError:
        found = marked_llama(own, tokenizer.special_tokens_map)
    if found is None:
        raise CallError(
            f"the chat template of {name} does not mark the assistant's turns with {{% generation %}}, so the trained "
            f"part is unknown; {choice}"
        )
    return found


def marked_llama(template: str, tokens: dict[str, Any]) -> str | None:
    """Return a template of Llama with marks; None for one that is not like those, or would render another text."""
    before, call, rest = template.partition(CALL)
    branches, result, after = rest.partition(RESULT)
    if before.count(TURN) != 1 or HEADER not in branches or not result:
        return None
    once = f"{HEADER}{{%- generation %}}{branches.replace(HEADER, '')}{{%- endgeneration %}}"
    found = before.replace(TURN, TURNS) + call + once + result + after
    published = _texts(template, tokens)
    return found if published is not None and published == _texts(found, tokens) else None


def _texts(template: str, tokens: dict[str, Any]) -> list[str] | None:
    """Return the probes as text, with tools, without, and with those that Llama 3.1 knows; None if it fails."""
    from transformers.utils.chat_template_utils import render_jinja_template

    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    dated = {"chat_template": template, "date_string": "26 Jul 2024", **tokens}
    ways: list[dict[str, Any]] = [{}, {"tools": [tool]}, {"builtin_tools": ["g"]}]
    try:
        return [text for way in ways for text in render_jinja_template(PROBES, **dated, **way)[0]]
    except (TemplateError, TypeError, ValueError):
        return None
