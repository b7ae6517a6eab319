"""What a layout of raw rows is here: how a row in the neutral form is written in it, and read out of it again.

Readers are written after what each layout's authors publish, and know nothing of `curate`. A reader takes out of a raw
row what it reads; what is left over must be in `meta`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from curate.io.formats.base import Format
from curate.rows.schema import Kind
from tests.support.bank import CALLS, OTHERS, Row


def save_lines(path: Path, rows: Sequence[Row]) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


class Layout(NamedTuple):
    """A layout: the kind of its rows, the parts that it can spell, and its writer and reader.

    `form` is the format that a user names; `detected` says that "auto" finds it, too. `reasoning` and
    `calls` say how their tags are read; `as_text` are reward columns of several types, which a build has as JSON text.
    """

    name: str
    kind: Kind
    holds: frozenset[str]
    write: Callable[[Row, int], Row]
    read: Callable[[Row], Row]
    form: Format | None = None
    detected: bool = True
    save: Callable[[Path, Sequence[Row]], Path] = save_lines
    reasoning: Literal["text", "split"] = "text"
    calls: Literal["text", "split"] = "text"
    as_text: frozenset[str] = frozenset()


EVERYTHING: Final = frozenset({"calls", *CALLS, *OTHERS}) - {"several", "scores"}
WORDS: Final = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "function_call": "assistant", "tool": "tool", "observation": "tool", "environment": "tool",
    "function": "tool", "ipython": "tool",
}  # fmt: skip
"""The role of each word that a layout publishes."""

PLAIN: Final = frozenset({"system", "user", "human", "assistant", "gpt", "tool"})


def openai_call(call: Row, *, decoded: bool = False) -> Row:
    arguments = json.loads(call["arguments"]) if decoded else call["arguments"]
    known = {"id": call["id"]} if call["id"] is not None else {}
    return {**known, "type": "function", "function": {"name": call["name"], "arguments": arguments}}


def message(turn: Row, *, decoded: bool = False, reasoning: str = "reasoning_content", null: bool = True) -> Row:
    """Return a message as OpenAI spells it; `null` says whether a message without content has the key."""
    made: Row = {"role": turn["role"]}
    if null or turn["content"] is not None:
        made["content"] = turn["content"]
    if turn.get("reasoning") is not None:
        made[reasoning] = turn["reasoning"]
    if turn.get("tool_calls"):
        made["tool_calls"] = [openai_call(one, decoded=decoded) for one in turn["tool_calls"]]
    return made | {name: turn[name] for name in ("tool_call_id", "name") if turn.get(name) is not None}


def read_messages(raw: Row, column: str = "messages", spelt: tuple[str, str] = ("role", "content")) -> list[Row]:
    """Take the messages of a column out of a raw row; a message keeps what it says beyond."""
    return [read_message(one, spelt) for one in raw[column]]


def read_message(one: Row, spelt: tuple[str, str] = ("role", "content")) -> Row:
    role, text = spelt
    word = one[role]
    turn: Row = {"role": WORDS[word], "content": _content(one, text)}
    if word in PLAIN:
        del one[role]
    thoughts = [one.get(name) for name in ("reasoning_content", "thinking")]
    turn["reasoning"] = next((_joined(said) for said in thoughts if said), None)
    for name in ("reasoning_content", "thinking"):
        if not isinstance(one.get(name), list) or list(map(set, one[name])) == [{"type", "text"}]:
            one.pop(name, None)
    turn["tool_calls"] = [read_call(call) for call in one.get("tool_calls") or ()]
    for name in ("tool_call_id", *(("name",) if turn["role"] == "tool" else ())):
        turn[name] = one.pop(name, None)
    if isinstance(turn["content"], list):
        _of_parts(turn, one, text)
    return turn


def _content(one: Row, text: str) -> Any:  # noqa: ANN401  text, parts or none
    return one[text] if isinstance(one.get(text), list) else one.pop(text, None)


def _joined(said: str | list[Row]) -> str:
    return said if isinstance(said, str) else "".join(part["text"] for part in said)


def _of_parts(turn: Row, one: Row, name: str) -> None:
    """Read content of parts; one part of plain text says no more than its text."""
    parts = turn["content"]
    texts = {kind: [part.get("text", part.get("value")) for part in parts if part["type"] == kind] for kind in _KINDS}
    turn["content"] = "".join(texts["text"]) if texts["text"] else None
    turn["reasoning"] = turn["reasoning"] or "".join(texts["reasoning"]) or None
    turn["tool_calls"] += [flat_call(json.loads(text), text) for text in texts["tool_call"]]
    if list(map(len, parts)) == [2]:
        del one[name]


_KINDS: Final = ("text", "reasoning", "tool_call")


def flat_call(call: Row, text: str) -> Row:
    """Return a call of `name` and `arguments`; the arguments as they are in the text."""
    arguments = call.get("arguments", {})
    return {
        "id": call.get("id"),
        "name": call["name"],
        "arguments": arguments if isinstance(arguments, str) else inner(text, arguments),
    }


def inner(text: str, value: Any) -> str:  # noqa: ANN401  any JSON value
    """Return the JSON of a value as it is in the text around it, or else as Python writes it."""
    at = text.find('"arguments":')
    found = text[at + len('"arguments":') :].lstrip()
    try:
        said, end = json.JSONDecoder().raw_decode(found)
    except ValueError:
        return json.dumps(value)
    return found[:end] if at >= 0 and said == value else json.dumps(value)


def read_call(call: Row) -> Row:
    """Take a call as OpenAI spells it out of its object; the type "function" says nothing more."""
    call.pop("type", None)
    function = call["function"]
    arguments = function.pop("arguments", "{}") or "{}"
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": call.pop("id", None), "name": function.pop("name"), "arguments": text}


def python_text(calls: Sequence[Row]) -> str:
    """Return calls as Dolci writes them: one line for each, with named values."""
    lines = []
    for call in calls:
        values = json.loads(call["arguments"])
        lines.append(f"{call['name']}({', '.join(f'{name}={value!r}' for name, value in values.items())})")
    return "\n".join(lines)


def python_calls(text: str) -> list[Row]:
    found = [line.value for line in ast.parse(text).body if isinstance(line, ast.Expr)]
    calls = [one for one in found if isinstance(one, ast.Call)]
    return [
        {
            "id": None,
            "name": ast.unparse(one.func),
            "arguments": json.dumps({str(word.arg): ast.literal_eval(word.value) for word in one.keywords}),
        }
        for one in calls
    ]


class Number(str):
    """A number as it is spelled: 1.50 is not 1.5, and no digit is lost."""

    __slots__ = ()


class Object(dict[str, Any]):
    """A JSON object that knows its pairs in their order, each repeated one too."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


DECODER: Final = json.JSONDecoder(parse_float=Number, parse_int=Number, object_pairs_hook=Object)


def decoded(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Return JSON with numbers as spelled and objects that know their pairs."""
    return DECODER.decode(text)


def exact(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """Return JSON text, or decoded JSON, with pairs for objects; text that is no JSON as it is."""
    if isinstance(value, str) and not isinstance(value, Number):
        try:
            return _pairs(decoded(value or "null"))
        except ValueError:
            return value
    return _pairs(value)


def _pairs(value: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, Object):
        return [(name, _pairs(one)) for name, one in value.pairs]
    return [_pairs(one) for one in value] if isinstance(value, list) else value


def pruned(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """Return a value without objects and lists that hold nothing."""
    if isinstance(value, dict):
        found = {name: pruned(one) for name, one in value.items()}
        return {name: one for name, one in found.items() if one not in ({}, [])}
    if isinstance(value, list):
        found_items = [pruned(one) for one in value]
        return found_items if any(one not in ({}, []) for one in found_items) else []
    return value


def missing(part: Any, whole: Any, path: str = "") -> list[str]:  # noqa: ANN401  any JSON value
    """Return the paths of what `part` says and `whole` does not; null says nothing, and an empty object neither."""
    if part is None or part in ({}, []):
        return []
    if isinstance(part, Mapping) and isinstance(whole, Mapping):
        return [one for name in part for one in missing(part[name], whole.get(name), f"{path}.{name}")]
    if isinstance(part, list) and isinstance(whole, list) and len(part) == len(whole):
        pairs = zip(part, whole, strict=True)
        return [one for i, (ours, theirs) in enumerate(pairs) for one in missing(ours, theirs, f"{path}[{i}]")]
    return [] if part == whole and type(part) is type(whole) else [path]
