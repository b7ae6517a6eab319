"""Calls of tools, reasoning and tools on offer, as raw data spells them.

A message: `tool_calls` as OpenAI spells them or flat (`name`, `arguments`), `function_call`, the Python calls of
`function_calls`; `reasoning_content`, `reasoning` or `thinking`. A row: `tools` and `chat_template_kwargs`.
"""

from __future__ import annotations

import ast
from typing import Any, Final, NoReturn

import msgspec
from msgspec import Raw

from curate.io.formats.base import Fields, as_json, fields_of
from curate.io.formats.python_text import UNREADABLE, lines_of
from curate.io.formats.stored import is_object, items_of, json_in, text_of
from curate.rows.validate import Call, RichTurn, Turn, check_text, refuse

REASONING: Final = ("reasoning_content", "reasoning", "thinking")
"""Spellings of a message's reasoning; the first that is given counts."""

ARGUMENTS: Final = ("arguments", "parameters")


def with_parts(turn: Turn, raw: Fields, column: str) -> Turn:
    """Return a turn with the reasoning, calls, id of a call and name of its message, taken out of its other fields.

    `raw` has the fields beyond role and content; those of another form stay there. Raises `Fault` for calls that are no
    calls, or of another role than the assistant.
    """
    role, content = turn[:2]
    known = turn if isinstance(turn, RichTurn) else RichTurn(role, content)
    calls = [*known.tool_calls, *_calls(raw, column)]
    if calls and role != "assistant":
        refuse(column, f"calls of an assistant message, not of one by {role}")
    reasoning = known.reasoning
    if role == "assistant" and reasoning is None:
        reasoning = _reasoning(raw)
    call_id = _taken(raw, "tool_call_id")
    name = _taken(raw, "name") if role == "tool" else None  # the name of a person stays in `meta`
    found = RichTurn(role, content, reasoning, tuple(calls), call_id, name)
    return found if any(found[2:]) else turn


def _taken(raw: Fields, field: str) -> str | None:
    """Take a field out if it is a text with something in it."""
    text = text_of(raw.get(field))
    if not text or "\0" in text:
        return None
    del raw[field]
    return text


def _reasoning(raw: Fields) -> str | None:
    """Take the reasoning out: a text, or parts of text, which stay if they say more."""
    for name in REASONING:
        value = raw.get(name)
        text = text_of(value)
        if text is None and (parts := items_of(value)) and all(map(is_object, parts)):
            fields = [fields_of(part, name) for part in parts]
            texts = [text_of(part.get("text")) for part in fields]
            if all(one is not None for one in texts):
                text = "".join(one or "" for one in texts)
                if len(fields) > 1 or fields[0].keys() != {"type", "text"}:
                    return check_text(text, name) or None
        if text:
            for other in REASONING:
                if text_of(raw.get(other)) == text or other == name:
                    raw.pop(other, None)
            return check_text(text, name)
    return None


def _calls(raw: Fields, column: str) -> list[Call]:
    """Take the calls out; what they hold beyond id, name and arguments stays."""
    found: list[Call] = []
    items = listed(raw.get("tool_calls"))
    if items:
        rest = []
        for i, item in enumerate(items):
            call, more = call_of(item, f"{column}.tool_calls[{i}]")
            found.append(call)
            rest.append(more)
        del raw["tool_calls"]
        if any(rest):
            raw["tool_calls"] = rest
    legacy = _object(raw.get("function_call"))
    if legacy:
        call, more = call_of(legacy, f"{column}.function_call")
        found.append(call)
        del raw["function_call"]
        if more:
            raw["function_call"] = more
    spelt = text_of(raw.get("function_calls"))
    if spelt and spelt.strip():
        found += python_calls(spelt, f"{column}.function_calls")  # the text itself stays in `meta`
    return found


def listed(value: Any) -> list[Any]:  # noqa: ANN401
    """Return the items of a list, which may be JSON text; none of another value."""
    text = text_of(value)
    return items_of(value if text is None else json_in(text)) or []


def _object(value: Any) -> Any:  # noqa: ANN401
    text = text_of(value)
    found = value if text is None else json_in(text)
    return found if is_object(found) else None


def call_of(item: Any, column: str) -> tuple[Call, Fields]:  # noqa: ANN401
    """Return one call, as OpenAI spells it or flat, and what it holds beyond; raises `Fault` if it is none."""
    if not is_object(item):
        refuse(column, "a call with the name of a tool and its arguments")
    outer = fields_of(item, column)
    if (text_of(outer.get("type")) or "function") != "function":
        refuse(f"{column}.type", f"function; calls of another type are not read ({text_of(outer['type'])})")
    inner = fields_of(outer.pop("function"), column) if is_object(outer.get("function")) else outer
    name = text_of(inner.pop("name", None))
    if not name:
        refuse(f"{column}.name", "the name of a tool")
    arguments = next((inner.pop(field) for field in ARGUMENTS if field in inner), None)
    outer.pop("type", None)
    call = Call(_id(outer), check_text(name, f"{column}.name"), json_text(arguments, "{}"))
    return call, outer if inner is outer or not inner else {**outer, "function": inner}


def _id(outer: Fields) -> str | None:
    found = text_of(outer.get("id"))
    if found:
        del outer["id"]
    return found or None


def json_text(value: Any, absent: str) -> str:  # noqa: ANN401
    """Return JSON text as it came: a text itself, undecoded JSON byte for byte, a Python value without its nulls."""
    text = text_of(value)
    if text is not None:
        return check_text(text, "arguments") if text else absent
    if value is None or (isinstance(value, Raw) and bytes(value) == b"null"):
        return absent
    return bytes(value).decode() if isinstance(value, Raw) else as_json(_without_nulls(value))


def _without_nulls(value: Any) -> Any:  # noqa: ANN401
    """Leave out null fields: a table gives every struct the fields of all."""
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list | tuple) else value


def python_calls(text: str, column: str) -> list[Call]:
    """Return calls written as Python, one or several; nothing is executed. Raises `Fault` for other text.

    >>> python_calls('weather(city="Oslo", days=2)', "function_calls")
    [Call(id=None, name='weather', arguments='{"city":"Oslo","days":2}')]
    """

    def wrong() -> NoReturn:
        refuse(column, "calls of functions with named values, as Python writes them")

    try:
        lines = lines_of(text)
        found = [line.value if isinstance(line, ast.Expr) else wrong() for line in lines]
        nodes = [node for one in found for node in (one.elts if isinstance(one, ast.List) else [one])]
        if not all(map(_is_plain_call, nodes)):
            wrong()
        return [
            Call(
                None,
                ast.unparse(node.func),
                as_json({str(word.arg): ast.literal_eval(word.value) for word in node.keywords}),
            )
            for node in nodes
            if isinstance(node, ast.Call)
        ]
    except (*UNREADABLE, msgspec.MsgspecError):
        wrong()


def _is_plain_call(node: ast.expr) -> bool:
    """Tell whether an expression calls a function by its name, with named values alone, each named once."""
    if not isinstance(node, ast.Call) or node.args:
        return False
    function = node.func
    while isinstance(function, ast.Attribute):
        function = function.value
    names = [word.arg for word in node.keywords]
    return isinstance(function, ast.Name) and None not in names and len(set(names)) == len(names)


def calls_in_text(text: str) -> tuple[Call, ...]:
    """Return the calls that a text holds, as an object or a list; none if it is other text, or says more than calls."""
    found = json_in(text)
    items = [found] if is_object(found) else items_of(found) or []
    if not all(is_object(item) and text_of(fields_of(item, "").get("name")) for item in items):
        return ()
    calls = [call_of(item, "value") for item in items]
    return () if any(more for _, more in calls) else tuple(call for call, _ in calls)


def row_parts(fields: Fields) -> tuple[str | None, str | None]:
    """Take tools and arguments of the chat template out of a row's other fields, as JSON text; null where none are.

    Tools are a list that is not empty, of objects or names; template arguments are an object.
    """
    tools = kwargs = None
    if "tools" in fields and (items := listed(fields["tools"])) and all(map(_is_tool, items)):
        texts = [text_of(item) or "" for item in items]
        each_json = all(is_object(json_in(text)) for text in texts)  # the type List(Json()) of `datasets`
        tools = f"[{','.join(texts)}]" if each_json else json_text(fields["tools"], "")
        del fields["tools"]
    found = _object(fields["chat_template_kwargs"]) if "chat_template_kwargs" in fields else None
    if found is not None and fields_of(found, "chat_template_kwargs"):
        kwargs = json_text(fields.pop("chat_template_kwargs"), "")
    return tools, kwargs


def _is_tool(value: Any) -> bool:  # noqa: ANN401
    return is_object(value) or text_of(value) is not None
