r"""Calls and results within marks in text, as Hermes and SmolTalk2 have them, made parts of messages, and written back.

An answer ends with `<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>`, once or several times; the turn of a
tool is `<tool_response>\n...\n</tool_response>`, once or several times. A call is JSON, or a Python literal, whose
arguments are then written as JSON. What is around names, arguments and results, and how Python spelled them, is kept in
`meta` under `call_marks`, with side and turn. A text that could not be written back the same stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.io.formats.base import as_json, json_fields
from curate.io.formats.python_text import UNREADABLE, value_of
from curate.io.formats.stored import is_object, items_of, json_in
from curate.rows.parts import conform, items_have
from curate.rows.schema import FULL, kind_of
from curate.rows.segments import Part, segments
from curate.rows.take import take
from curate.rows.validate import Call, Fault

Calls: TypeAlias = Literal["text", "split"]
Form: TypeAlias = list[str]
"""Text and slots by turns, text first and last. A slot is "name" or "arguments" as JSON, either with " as Python"
behind it, or "result"."""
Message: TypeAlias = dict[str, Any]
Mask: TypeAlias = NDArray[np.bool_]

CALL, RESULT, TOOLS = (f"<{name}>" for name in ("tool_call", "tool_response", "tools"))
NAMES: Final = ("name", "arguments")
SPACE: Final = " \t\r\n"
_SPACES: Final = re.compile(f"[{SPACE}]*")
MARKED: Final = {"assistant": CALL, "tool": RESULT, "system": TOOLS}
"""The mark that is looked for in the turns of a role."""

_XML_TOOLS: Final = r'"xml_tools"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*"'
"""All rows of SmolTalk2 have the field, few a text in it."""

USUAL: Final = ('<tool_call>\n{"name": ', "name", ', "arguments": ', "arguments", "}\n</tool_call>")
"""A call as the templates of Hermes and Qwen write it."""


def split_calls(body: pa.RecordBatch) -> pa.RecordBatch:
    r"""Return rows in which marked calls, results and tools are parts.

    Tools are those of the system turn, or of `xml_tools` in the template's arguments, where the row has no others; both
    stay as they are.

    >>> from curate.rows.schema import BODIES
    >>> said = {"role": "assistant", "content": 'So:\n<tool_call>{"name": "f", "arguments": {"a":  1}}</tool_call>'}
    >>> made = split_calls(pa.RecordBatch.from_pylist([{"messages": [said], "meta": "{}"}], BODIES["conversation"]))
    >>> message = made["messages"][0][0].as_py()
    >>> message["content"], message["tool_calls"]
    ('So:', [{'id': None, 'name': 'f', 'arguments': '{"a":  1}'}])
    """
    rows = np.flatnonzero(_marked(body))
    schema = FULL[kind_of(body.schema)]
    before = take(conform(body, schema), rows.astype(np.int32)).to_pylist() if len(rows) else []
    after = [_split(row) for row in before]
    if after == before:
        return body
    made = pa.RecordBatch.from_pylist(after, schema)
    order = np.arange(body.num_rows, dtype=np.int32)
    order[rows] = body.num_rows + np.arange(len(rows), dtype=np.int32)
    return take(pa.concat_batches([conform(body, schema), made]), order)


def _marked(body: pa.RecordBatch) -> Mask:
    """Mark the rows that have a mark where it is looked for."""
    found = np.zeros(body.num_rows, np.bool_)
    for part in segments(body).parts:
        for role, mark in MARKED.items():
            found[part.row[_with_mark(part, body, role, mark)]] = True
    if "chat_template_kwargs" in body.schema.names:
        kwargs = pl.Series(body["chat_template_kwargs"], dtype=pl.String)
        found |= kwargs.str.contains(_XML_TOOLS).fill_null(value=False).to_numpy()
    return found


def _with_mark(part: Part, body: pa.RecordBatch, role: str, mark: str) -> Mask:
    column = body[part.path[0]].values
    if not items_have(body[part.path[0]].type, "role"):
        return np.zeros(len(part.index), np.bool_)
    texts = pl.DataFrame({"role": pl.Series(column.field("role")), "text": pl.Series(column.field("content"))})
    hits = (pl.col("role") == role) & pl.col("text").str.contains(mark, literal=True)
    return texts.select(hits.fill_null(value=False)).to_series().to_numpy()[part.index]


def calls_marked(body: pa.RecordBatch) -> Mask:
    """Tell which rows have the mark of a call in an answer's text.

    >>> from curate.rows.schema import BODIES
    >>> said = {"role": "assistant", "content": "<tool_call>{}</tool_call>"}
    >>> rows = [{"messages": [said], "meta": "{}"}, {"messages": [], "meta": "{}"}]
    >>> calls_marked(pa.RecordBatch.from_pylist(rows, BODIES["conversation"])).tolist()
    [True, False]
    """
    found = np.zeros(body.num_rows, np.bool_)
    for part in segments(body).parts:
        found[part.row[_with_mark(part, body, "assistant", CALL)]] = True
    return found


def _split(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its marked calls, results and tools as parts."""
    made, notes = dict(row), []
    sides = {"messages": "prompt" if "completions" in row else "dialogue"}
    for column, messages in row.items():
        if isinstance(messages, list) and messages and "role" in messages[0]:
            turns: list[Message] = []
            for message in messages:
                found, form = _parts_of(message)
                if form:
                    notes.append({"side": sides.get(column, column), "turn": len(turns), "form": form})
                turns += found
            made[column] = turns
    if row["tools"] is None:
        made["tools"] = next(filter(None, map(tools_in, _texts_with_tools(row))), None)
    if notes:
        start = "{" if row["meta"] == "{}" else f"{row['meta'][:-1]},"
        made["meta"] = f'{start}"call_marks":{as_json(notes)}}}'
    return made


def _parts_of(message: Message) -> tuple[list[Message], Form]:
    """Return what a message is with its calls or results as parts, and the form of its text, unless that is usual."""
    text = message["content"] or ""
    if message["role"] == "assistant" and CALL in text and not message["tool_calls"]:
        content, calls, form = calls_in(text)
        if calls:
            found = {**message, "content": content, "tool_calls": [call._asdict() for call in calls]}
            return [found], [] if written(content or "", calls) == text else form
    if message["role"] == "tool" and RESULT in text:
        results, form = _results_in(text)
        if results:
            return [{**message, "content": result} for result in results], form
    return [message], []


def calls_in(text: str) -> tuple[str | None, tuple[Call, ...], Form]:
    r"""Return the text before the marked calls that another text ends with, the calls, and the form of the rest.

    Without calls, or where something else than a call is marked or behind them, there are none of these.

    >>> calls_in("<tool_call>\n{'name': 'f', 'arguments': {'a': None}}\n</tool_call>")[:2]
    (None, (Call(id=None, name='f', arguments='{"a":null}'),))
    """
    nothing: tuple[None, tuple[Call, ...], Form] = (None, (), [])
    start = text.find(CALL)
    before = text[:start].rstrip(SPACE)
    if before.endswith("</think>"):  # what is behind reasoning is of its form
        before = text[:start]
    calls: list[Call] = []
    form = [text[len(before) : start]]
    for inside, around in _marked_texts(text, start, CALL):
        found = _call(inside)
        if found is None:
            return nothing
        calls.append(found[0])
        _append(form, found[1], around)
    return (before or None, tuple(calls), form) if calls else nothing


def _append(form: Form, more: Sequence[str], around: tuple[str, str]) -> None:
    """Put another form, with the text around it, behind a form."""
    form[-1] += around[0] + more[0]
    form += more[1:]
    form[-1] += around[1]


def _marked_texts(text: str, start: int, mark: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what is between each pair of marks from `start` on, and what is around it; empty texts for what is no pair.

    White space around what is marked, and behind the second mark, counts as around it.
    """
    closing = f"</{mark[1:]}"
    while start < len(text):
        end = text.find(closing, start)
        if end < 0 or not text.startswith(mark, start):
            yield "", ("", "")
            return
        inside = text[start + len(mark) : end]
        left = len(inside) - len(inside.lstrip(SPACE))
        right = len(inside.rstrip(SPACE))
        behind = _past_space(text, end + len(closing))
        yield inside.strip(SPACE), (mark + inside[:left], inside[max(left, right) :] + text[end:behind])
        start = behind


def _call(text: str) -> tuple[Call, Form] | None:
    """Return the call that a text is, as JSON or as a Python literal, and its form; None if it is none."""
    ways = ("", _PYTHON)
    try:
        fields: dict[str, Any] = json_fields(text.encode())
        name = msgspec.json.decode(fields["name"], type=str)
        arguments = bytes(fields["arguments"]).decode() if is_object(fields["arguments"]) else ""
    except (msgspec.MsgspecError, RecursionError, Fault, UnicodeError, KeyError):
        try:
            fields = value_of(text)
            name, arguments = fields["name"], as_json(fields["arguments"])
            ways = (_PYTHON, "")
        except (*UNREADABLE, KeyError, IndexError, msgspec.MsgspecError):
            return None
    if {*fields} != {*NAMES} or not isinstance(name, str) or not name or "\0" in name or arguments[:1] != "{":
        return None
    call = Call(None, name, arguments)
    form, at = [], 0
    for field in fields:
        place = _past_space(text, text.index(":", at) + 1)
        spelt = next((field + way for way in ways if text.startswith(_filled(field + way, call), place)), None)
        if spelt is None:
            return None
        form += [text[at:place], spelt]
        at = place + len(_filled(spelt, call))
    return call, [*form, text[at:]]


_PYTHON: Final = " as Python"


def _filled(slot: str, call: Call) -> str:
    """Return what a slot is filled with: JSON also where Python is asked for, if that is no JSON."""
    value = call.arguments if slot.startswith("arguments") else as_json(call.name)
    try:
        return repr(json.loads(value)) if slot.endswith(_PYTHON) else value
    except (ValueError, RecursionError):
        return value


def _past_space(text: str, at: int) -> int:
    """Return the first place from `at` on without white space."""
    found = _SPACES.match(text, at)
    return at if found is None else found.end()


def _results_in(text: str) -> tuple[list[str], Form]:
    """Return the results that a text is, and its form; none if it is anything else."""
    start = len(text) - len(text.lstrip(SPACE))
    results, form = [], [text[:start]]
    for inside, around in _marked_texts(text, start, RESULT):
        if not around[0]:
            return [], []
        results.append(inside)
        _append(form, ("", "result", ""), around)
    return results, form


def _texts_with_tools(row: dict[str, Any]) -> Iterator[str]:
    """Yield the texts in which the tools of a row may be."""
    for messages in row.values():
        if isinstance(messages, list) and messages and messages[0].get("role") == "system":
            yield messages[0]["content"] or ""
    kwargs = json_in(row["chat_template_kwargs"] or "")
    given = items_of(json_fields(kwargs).get("xml_tools")) if is_object(kwargs) and kwargs is not None else None
    texts = [msgspec.json.decode(one) for one in given or ()]
    if texts and all(isinstance(one, str) for one in texts):
        yield texts[0] if TOOLS in texts[0] else f"{TOOLS}{chr(10).join(texts)}</tools>"


def tools_in(text: str) -> str | None:
    """Return the tools between marks in a text as JSON, a list of objects as they came; None where there are none.

    They are a list, or objects that each have their own lines.

    >>> tools_in('Within <tools> </tools>: <tools> [{"name":  "f"}] </tools>'), tools_in("<tools>[]</tools>")
    ('[{"name":  "f"}]', None)
    >>> tools_in("<tools>{'name': 'f'}</tools>")
    '[{"name":"f"}]'
    """
    at = 0
    while (end := text.find("</tools>", at)) >= 0:
        start = text.rfind(TOOLS, at, end)
        at = end + len("</tools>")
        found = _tools(text[start + len(TOOLS) : end].strip(SPACE)) if start >= 0 else None
        if found is not None:
            return found
    return None


def _tools(text: str) -> str | None:
    if text[:1] == "{":
        lines = [_as_json(line) for line in text.splitlines() if line.strip()]
        whole = [_as_json(text)]
        objects = whole if whole[0] is not None else lines
        return f"[{','.join(map(str, objects))}]" if all(one and one[0] == "{" for one in objects) else None
    found = _as_json(text) if text[:1] == "[" else None
    items = items_of(msgspec.Raw(found.encode())) if found is not None else None
    return found if items and all(map(is_object, items)) else None


def _as_json(text: str) -> str | None:
    """Return JSON text as it is, and a Python literal as JSON; None for anything else."""
    try:
        raw = json_in(text)
        return bytes(raw).decode() if raw is not None else as_json(value_of(text))
    except (*UNREADABLE, msgspec.MsgspecError):
        return None


def forms(meta: str) -> dict[tuple[str, int], Form]:
    """Return the forms of marked calls and results by side and turn, from a row's `meta`."""
    notes = json.loads(meta).get("call_marks", ()) if '"call_marks"' in meta else ()
    return {
        (note["side"], note["turn"]): note["form"]
        for note in notes
        if isinstance(note, dict) and note.keys() >= {"side", "turn", "form"} and len(note["form"]) % 2
    }


def without_forms(meta: str) -> str:
    """Return a row's `meta` without the forms of marks.

    >>> without_forms('{"n": 1.50,"call_marks":[]}'), without_forms('{ "n":1}')
    ('{"n":1.50}', '{ "n":1}')
    """
    if '"call_marks"' not in meta:
        return meta
    return as_json({name: value for name, value in json_fields(meta.encode()).items() if name != "call_marks"})


def written(text: str, calls: Sequence[Call], form: Sequence[str] = ()) -> str:
    r"""Return a text with calls behind it in a form; in the usual one if there is none, or not for so many calls.

    >>> written("So:", [Call(None, "f", "{}")])
    'So:\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    """
    if len(form) != 1 + 4 * len(calls):
        one = (*USUAL[1:4], f"{USUAL[4]}\n{USUAL[0]}")
        form = [("\n" if text else "") + USUAL[0], *one * (len(calls) - 1), *USUAL[1:]]
    slots = [_filled(slot, calls[place // 2]) for place, slot in enumerate(form[1::2])]
    return text + "".join([*(word for pair in zip(form[::2], slots, strict=False) for word in pair), form[-1]])
