"""What a row may have that a trainer cannot take: how it is found in a batch, and how it is left out or made text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import CallError, did_you_mean
from curate.export.flat import FlatRows, Mask, MessageColumn
from curate.export.json_rows import (
    calls_in_text,
    not_lists_of_objects,
    not_objects,
    not_python,
    results_in_text,
    without_marks,
)
from curate.io.formats.marked_reasoning import CLOSE
from curate.rows.schema import ASSISTANT, SYSTEM, TOOL, USER


def _having(name: str) -> Callable[[FlatRows], Mask]:
    return lambda rows: rows.where(lambda messages: messages.has(name))


def _ids(messages: MessageColumn) -> Mask:
    mask = messages.has("tool_call_id")
    ids, message = messages.call_part("id")
    mask[message[np.asarray(ids.is_valid())]] = True
    return mask


def _missing_ids(messages: MessageColumn) -> Mask:
    mask = (messages.role == TOOL) & ~messages.has("tool_call_id")
    ids, message = messages.call_part("id")
    mask[message[np.asarray(ids.is_null())]] = True
    return mask


def _arguments(messages: MessageColumn) -> Mask:
    texts, message = messages.call_part("arguments")
    mask = np.zeros(len(messages.items), bool)
    mask[message[not_objects(texts)]] = True
    return mask


def _names(messages: MessageColumn) -> Mask:
    names, message = messages.call_part("name")
    mask = np.zeros(len(messages.items), bool)
    mask[message[not_python(names, messages.call_part("arguments")[0])]] = True
    return mask


def _closing(messages: MessageColumn) -> Mask:
    reasoning = messages.part("reasoning")
    if reasoning is None:
        return messages.has("reasoning")
    found = pc.or_(pc.match_substring(reasoning, CLOSE.strip()), pc.equal(reasoning, ""))
    return np.asarray(pc.fill_null(found, False))  # noqa: FBT003


def _order(rows: FlatRows) -> Mask:
    """Tell which rows have turns that do not alternate; after the prompt of a pair, the assistant is next."""
    side, odd = ("messages", 0) if "messages" in rows.sides else ("prompt", 1)
    messages = rows.sides[side]
    first = (messages.place == 0) & (messages.role == SYSTEM)
    head = np.bincount(messages.row[first], minlength=len(rows))
    asks = np.isin(messages.role, (USER, TOOL))
    due = (messages.place - head[messages.row]) % 2 == 0
    mask = np.zeros(len(rows), bool)
    mask[messages.row[~first & np.where(due, ~asks, messages.role != ASSISTANT)]] = True
    turns = np.diff(messages.ends) - head
    return mask | (turns % 2 != odd) | (turns == 0)


def _several(rows: FlatRows) -> Mask:
    sides = [side for side in ("chosen", "rejected", "completion") if side in rows.sides]
    return rows.where(lambda messages: (messages.size != 1) | (messages.role != ASSISTANT), *sides) & bool(sides)


def _tool_names(rows: FlatRows) -> Mask:
    tools = rows.column("tools")
    return np.zeros(len(rows), bool) if tools is None else not_lists_of_objects(tools)


def _without_place(rows: FlatRows) -> Mask:
    side = "messages" if "messages" in rows.sides else "prompt"
    return _column("tools")(rows) & ~rows.where(places_of_tools, side)


def places_of_tools(messages: MessageColumn) -> Mask:
    """Tell which message of a row may hold its tools: the system turn at its start, or else the first user turn."""
    system = (messages.place == 0) & (messages.role == SYSTEM)
    user = messages.role == USER
    user[np.isin(messages.row, messages.row[system])] = False
    first = np.zeros(len(user), bool)
    rows, place = np.unique(messages.row[user], return_index=True)
    first[np.flatnonzero(user)[place[: len(rows)]]] = True
    return system | first


def _column(name: str) -> Callable[[FlatRows], Mask]:
    def found(rows: FlatRows) -> Mask:
        column = rows.column(name)
        return np.zeros(len(rows), bool) if column is None else np.asarray(column.is_valid())

    return found


def _scores(rows: FlatRows) -> Mask:
    return _column("chosen_score")(rows) | _column("rejected_score")(rows)


FOUND: Final[Mapping[str, Callable[[FlatRows], Mask]]] = {
    "reasoning": _having("reasoning"),
    "reasoning_only": lambda rows: rows.where(lambda m: m.has("reasoning") & ~m.written & (m.calls == 0)),
    "think_tags": lambda rows: rows.where(_closing),
    "calls": _having("tool_calls"),
    "parallel_calls": lambda rows: rows.where(lambda m: m.calls > 1),
    "text_with_calls": lambda rows: rows.where(lambda m: (m.calls > 0) & m.written),
    "call_ids": lambda rows: rows.where(_ids),
    "missing_call_ids": lambda rows: rows.where(_missing_ids),
    "names": _having("name"),
    "arguments_not_json": lambda rows: rows.where(_arguments),
    "calls_not_python": lambda rows: rows.where(_names),
    "tools": _column("tools"),
    "tool_names": _tool_names,
    "tools_without_place": _without_place,
    "chat_template_kwargs": _column("chat_template_kwargs"),
    "turn_order": _order,
    "several_turns": _several,
    "empty_answer": lambda rows: rows.where(lambda m: ~m.written & (m.calls == 0), "completion"),
    "missing_rewards": lambda rows: ~(_column("ground_truth")(rows) & _column("dataset")(rows)),
    "scores": _scores,
    "meta": lambda rows: np.asarray(pc.not_equal(rows.batch["meta"], "{}")),
}
"""The parts of a row that an export may ask for, and how the rows are found that have one."""

MEANING: Final[Mapping[str, str]] = {
    "reasoning": "reasoning",
    "reasoning_only": "a message of nothing but reasoning",
    "think_tags": "reasoning that is empty or holds </think>",
    "calls": "calls of tools",
    "parallel_calls": "several calls in one message",
    "text_with_calls": "text beside calls",
    "call_ids": "ids of calls",
    "missing_call_ids": "calls or results without an id",
    "names": "names of tools beside their results",
    "arguments_not_json": "arguments that are no JSON object",
    "calls_not_python": "names that Python cannot spell",
    "tools": "tools on offer",
    "tool_names": "tools without a description",
    "tools_without_place": "tools, but no system or user turn to hold them",
    "chat_template_kwargs": "arguments of the chat template",
    "turn_order": "turns that do not alternate between user or result and assistant, and end with the assistant",
    "several_turns": "an answer that is not one turn of the assistant",
    "empty_answer": "an answer without text or calls",
    "missing_rewards": "a prompt without ground_truth or dataset",
    "scores": "scores of answers",
    "meta": "fields of the source beyond its messages",
}

REMOVABLE: Final = ("reasoning", "text_with_calls", "call_ids", "names", "tools", "chat_template_kwargs")
"""Parts without which a row is still a row. A message without its calls would be an empty answer."""

FLATTENED: Final = ("reasoning", "calls")
"""Parts that can be written into the text of their message."""


TAKEN: Final[Mapping[str, Collection[str]]] = {"drop_rows_with": FOUND, "without": REMOVABLE, "flatten": FLATTENED}
"""The options of a user about parts, and the parts that each takes."""

EMPTIED: Final = (("reasoning_only", "without"), ("think_tags", "flatten"))
"""Parts that no row may have where an option names "reasoning": what is left would be empty, or read back otherwise."""


def check_choices(choices: Mapping[str, Collection[str]]) -> None:
    """Raise `CallError` for a part that an option does not take, and for one that two of them name."""
    for name, chosen in choices.items():
        for part in chosen:
            if part not in TAKEN[name]:
                option = f"--{name.replace('_', '-')} ({name}=[...])"
                hint = f"it takes {', '.join(TAKEN[name])}" if part in FOUND else did_you_mean(part, TAKEN[name])
                raise CallError(f"{option}: {part!r} is no part for it; {hint}")
    both = sorted({*choices["without"]} & {*choices["flatten"]})
    if both:
        raise CallError(f"{both[0]} is either left out (without) or written into text (flatten), not both")


def changes(rows: FlatRows, without: Collection[str], flatten: Collection[str]) -> dict[str, Mask]:
    """Return which rows `changed` changes, by what is done to them."""
    found = {f"without {part}": FOUND[part](rows) for part in without}
    return found | {f"{part} as text": FOUND[part](rows) for part in flatten}


def changed(rows: FlatRows, without: Collection[str], flatten: Collection[str]) -> FlatRows:
    """Return rows without some parts, and with some in the text of their messages."""
    if not without and not flatten:
        return rows
    columns = {name: rows.batch[name] for name in rows.batch.schema.names if name not in without}
    columns |= {name: _changed(side, without, flatten) for name, side in rows.sides.items()}
    if "calls" in flatten:
        columns["meta"] = without_marks(columns["meta"])
    return FlatRows(pa.RecordBatch.from_pydict(columns))


def _changed(side: MessageColumn, without: Collection[str], flatten: Collection[str]) -> pa.ListArray:
    texts, calls = side.items.field("content"), side.part("tool_calls")
    if "text_with_calls" in without:
        texts = pc.if_else(pa.array(side.calls > 0), None, texts)
    if "calls" in flatten and side.calls.any():
        texts = pc.replace_with_mask(texts, pa.array(side.calls > 0), calls_in_text(side, texts))
    gone_turns = np.zeros(len(texts), bool)
    if "calls" in flatten and side.forms:
        texts, gone_turns = results_in_text(side, texts)
    if "reasoning" in flatten:
        texts = side.with_reasoning(texts)
    gone = {"tool_calls"} if "calls" in flatten else set()
    gone |= {"reasoning"} & {*without, *flatten}
    gone |= {"name"} if "names" in without else set()
    gone |= {"tool_call_id"} if "call_ids" in without else set()
    fields = {field.name: side.items.field(field.name) for field in side.items.type if field.name not in gone}
    if calls is not None and "tool_calls" in fields and "call_ids" in without:
        fields["tool_calls"] = _without_ids(calls)
    return side.lists({**fields, "content": texts}, left_out=gone_turns)


def _without_ids(calls: pa.ListArray) -> pa.ListArray:
    offsets = np.asarray(calls.offsets)
    items = calls.values.slice(offsets[0], offsets[-1] - offsets[0])
    columns = {field.name: items.field(field.name) for field in items.type} | {"id": pa.nulls(len(items), pa.string())}
    struct = pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), struct, mask=calls.is_null())
