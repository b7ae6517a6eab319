"""Whether calls can be what they say: of a tool that the row offers, with arguments that fit it, each with its result.

The only loop over rows of a filter: it reads the rows that have calls, and no other.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.io.formats.marked_calls import calls_in, calls_marked
from curate.rows.parts import is_full, items_have, parts_used
from curate.rows.schema import PARTS
from curate.rows.segments import PLACES, Segments, Side, call_place
from curate.steps.base import Evidence
from curate.text.json_text import decoded

Message: TypeAlias = dict[str, Any]
Schema: TypeAlias = Callable[[Any], str]
"""Says where and how a value does not fit; empty if it does."""

SCHEMAS: Final = ("parameters", "input_schema", "inputSchema")
"""Spellings of the field of a tool that has the schema of its arguments."""

REASONS: Final = ("unknown_tool", "bad_arguments", "unmatched_call")
WITH_CALLS: Final = 1 << PARTS.index("tool_calls") | 1 << PARTS.index("tool_call_id")
WITH_TOOLS: Final = 1 << PARTS.index("tools")


class CallFault(NamedTuple):
    """What is wrong with a call or a result: row, place in `REASONS`, where, turn, and a word for it."""

    row: int
    reason: int
    place: int
    turn: int
    match: str


class Tools(NamedTuple):
    """The tools that a row offers: the schema of each by name. `is_whole`: no tool is without a name."""

    schemas: dict[str, Schema | None]
    is_whole: bool


def call_faults(segments: Segments) -> list[CallFault]:
    """Return what is wrong with the calls and results of a batch, in row order."""
    body = segments.body
    if body is None or not is_full(body.schema):
        return []
    used = parts_used(body)
    rows = np.flatnonzero((used & WITH_CALLS > 0) | ((used & WITH_TOOLS > 0) & calls_marked(body)))
    columns = {part.path[0]: part.side for part in segments.parts}
    sides = {name: side for name, side in columns.items() if items_have(body.schema.field(name).type, "tool_calls")}
    found = body.select([*sides, "tools"]).take(pa.array(rows))
    faults = list[CallFault]()
    for row, said in zip(rows.tolist(), found.to_pylist(), strict=True):
        dialogues = [(side, said[column]) for column, side in sides.items()]
        faults += [CallFault(row, *fault) for fault in _of_row(dialogues, said["tools"])]
    return faults


def fault_evidence(faults: Iterable[CallFault], reasons: list[str]) -> Evidence:
    """Return a hit for each fault whose reason is among `reasons`."""
    shown = [fault for fault in sorted(faults) if REASONS[fault.reason] in reasons]
    none = np.zeros(len(shown), np.int32)
    return Evidence(
        np.array([fault.row for fault in shown], np.int32),
        np.array([reasons.index(REASONS[fault.reason]) for fault in shown], np.int16),
        np.array([fault.place for fault in shown], np.int32),
        np.array([fault.turn for fault in shown], np.int32),
        none,
        none,
        pa.array([fault.match for fault in shown], pa.string()),
    )


def fault_counts(faults: Iterable[CallFault], rows: int) -> list[NDArray[np.int32]]:
    """Return for each of `REASONS` how many faults each row has."""
    counts = np.zeros((len(REASONS), rows), np.int32)
    for fault in faults:
        counts[fault.reason, fault.row] += 1
    return list(counts)


def _of_row(dialogues: list[tuple[Side, list[Message]]], tools: str | None) -> Iterator[tuple[int, int, int, str]]:
    """Yield reason, place, turn and word of each fault. An answer goes on where the prompt, which is first, ends."""
    offered = Tools({}, is_whole=False) if tools is None else _tools(tools)
    unmatched: Counter[tuple[int, int, str]] = Counter()
    of_prompt: list[_Waiting] = []
    every = [message for _, messages in dialogues for message in messages]
    with_calls = any(message["tool_calls"] or message["tool_call_id"] is not None for message in every)
    for side, messages in dialogues:
        for turn, message in enumerate(messages):
            if message["role"] == "assistant" and _is_unread(message["content"] or ""):
                yield REASONS.index("bad_arguments"), PLACES.index(side), turn, "<tool_call>: no call"
            for number, call in enumerate(message["tool_calls"] or ()):
                for reason, of, word in _of_call(call["name"], call["arguments"], offered):
                    yield reason, call_place(side, number, of), turn, word
        found, waiting = _unmatched(messages, side, of_prompt) if with_calls else ([], [])
        unmatched |= Counter(found)
        of_prompt = waiting if side in {"dialogue", "prompt"} else of_prompt
    for place, turn, word in unmatched.elements():
        yield REASONS.index("unmatched_call"), place, turn, word


def _of_call(name: str, arguments: str, offered: Tools) -> Iterator[tuple[int, Literal["name", "arguments"], str]]:
    """Yield reason, text and word of what is wrong with one call."""
    if offered.is_whole and name not in offered.schemas:
        yield REASONS.index("unknown_tool"), "name", name
    wrong = _misfit(arguments, offered.schemas.get(name))
    if wrong:
        yield REASONS.index("bad_arguments"), "arguments", name + wrong


def _is_unread(text: str) -> bool:
    """Tell whether a text has the mark of a call, and not calls at its end alone."""
    return "<tool_call>" in text and not calls_in(text)[1]


def _misfit(arguments: str, schema: Schema | None) -> str:
    """Return where and how arguments do not fit their schema, without their values; empty if they do."""
    try:
        value = decoded(arguments)
    except ValueError:
        return ": not JSON"
    return "" if schema is None else schema(value)


class _Waiting(NamedTuple):
    """A call without a result so far: its place, turn, id and the name of its tool."""

    place: int
    turn: int
    call_id: str | None
    name: str


def _unmatched(
    messages: list[Message], side: Side, waiting: list[_Waiting]
) -> tuple[list[tuple[int, int, str]], list[_Waiting]]:
    """Return place, turn and word of the calls without a result and of the results without a call; and what waits."""
    found: list[tuple[int, int, str]] = []
    roles = [None, *(message["role"] for message in messages), None]
    for turn, message in enumerate(messages):
        if message["role"] == "tool":
            alone = "tool" not in {roles[turn], roles[turn + 2]}
            answered = _answered(waiting, message["tool_call_id"], alone=alone)
            if not answered:
                found.append((PLACES.index(side), turn, message["name"] or "result"))
            waiting = [call for place, call in enumerate(waiting) if place not in answered]
        else:
            found += [(call.place, call.turn, call.name) for call in waiting]
            calls = enumerate(message["tool_calls"] or ())
            waiting = [_Waiting(call_place(side, k), turn, call["id"], call["name"]) for k, call in calls]
    return found, waiting


def _answered(waiting: list[_Waiting], call_id: str | None, *, alone: bool) -> set[int]:
    """Return the places of the calls that a result answers: by its id, and else the first; all, if it is alone."""
    if call_id is not None:
        same = [place for place, call in enumerate(waiting) if call.call_id == call_id]
        return set((same or [place for place, call in enumerate(waiting) if call.call_id is None])[:1])
    if alone and all(call.call_id is None for call in waiting):
        return set(range(len(waiting)))
    return set(range(min(1, len(waiting))))


@functools.lru_cache(1024)
def _tools(text: str) -> Tools:
    try:
        items = decoded(text)
    except ValueError:
        items = None
    if not isinstance(items, list) or not items:
        return Tools({}, is_whole=False)
    tools = [_tool(item) for item in items]
    schemas = {name: schema for name, schema in reversed(tools) if name is not None}
    return Tools(schemas, is_whole=all(name is not None for name, _ in tools))


def _tool(item: Any) -> tuple[str | None, Schema | None]:  # noqa: ANN401  any JSON value
    """Return the name and the schema of a tool: a name alone, a function as OpenAI spells it, or flat."""
    if isinstance(item, str):
        return item, None
    if not isinstance(item, dict):
        return None, None
    function = item.get("function", item)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None, None
    schema = next((function[field] for field in SCHEMAS if isinstance(function.get(field), dict)), None)
    return function["name"], None if schema is None else _schema(json.dumps(schema))


@functools.lru_cache(4096)
def _schema(text: str) -> Schema | None:
    """Compile a schema; None for what is none (`{"type": "dict"}`), or needs the network or a look-around."""
    import jsonschema_rs

    try:
        validator = jsonschema_rs.validator_for(text, pattern_options=jsonschema_rs.RegexOptions(), offline=True)
    except ValueError:
        return None

    def misfit(value: Any) -> str:  # noqa: ANN401  any JSON value
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return "".join(f".{step}" for step in error.instance_path) + f": {error.schema_path[-1]}"
        return ""

    return misfit
