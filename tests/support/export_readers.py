"""Readers of exported files, written after what each trainer publishes of its layout; they know nothing of `curate`.

Each gives rows in the neutral form, with their `id`, their `rewards`, and as `rest` what the file has beyond.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from tests.support.bank import Row
from tests.support.layouts import WORDS, Object, decoded, python_calls

THINK: Final = re.compile(r"<think>\n(.*?)\n</think>\n\n", re.DOTALL)
SIDES: Final = ("messages", "prompt", "chosen", "rejected", "completion")
OWN: Final = ("source", "id", "meta", "label", "chosen_score", "rejected_score", "completions")


def read_export(folder: Path, target: str, kind: str) -> list[Row]:
    """Return the rows of an export's training file."""
    lines = folder / "train.jsonl"
    if lines.exists():
        texts = lines.read_text("utf-8").split("\n")[:-1]
        rows = [(decoded(text), json.loads(text)) for text in texts]
    else:
        rows = [(row, row) for row in pq.read_table(folder / "train.parquet").to_pylist()]
    read = {"llama-factory": _llama_factory, "open-instruct": _open_instruct, "openai": _openai, "trl": _trl}
    return [read.get(target, _plain)(*row, kind) for row in rows]


def _openai_message(one: Row) -> Row:
    calls = [
        {"id": call.get("id"), "name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        for call in one.get("tool_calls") or ()
        if call["type"] == "function"
    ]
    known = {name: one.get(name) for name in ("tool_call_id", "name")}
    turn = {"role": one["role"], "content": one["content"], "tool_calls": calls, **known}
    return turn | {"reasoning": one.get("reasoning_content")}


def _common(row: Row, plain: Row, taken: tuple[str, ...]) -> Row:
    """Return what is beside the messages: names, label and scores, and the other columns as `rest`."""
    meta = plain.get("meta")
    rest = {name: one for name, one in plain.items() if name not in {*OWN, *taken} and one is not None}
    known = {name: row.get(name) for name in OWN if name != "meta"} | {"rest": rest}
    for name in ("chosen_score", "rejected_score"):
        known[name] = plain.get(name)
    known["completions"] = plain.get("completions")
    known["rest"] |= json.loads(meta) if isinstance(meta, str) else meta or {}
    return known


def _plain(row: Row, plain: Row, _kind: str) -> Row:
    """Axolotl and JSON Lines: messages in OpenAI's spelling, tools as JSON or JSON text."""
    sides = {name: [_openai_message(one) for one in row[name]] for name in SIDES if row.get(name) is not None}
    parts = {name: row.get(name) for name in ("tools", "chat_template_kwargs")}
    found = _common(row, plain, (*SIDES, *parts))
    if row.get("tools") == "[]":  # no tools, as the source says it
        found["rest"]["tools"] = parts.pop("tools")
    return sides | parts | found


def _trl(row: Row, _plain: Row, kind: str) -> Row:
    """TRL: messages are structs, or JSON each; what the source had beyond are columns of JSON, rewards are plain."""
    sides = {}
    for name in SIDES:
        if row.get(name) is not None:
            sides[name] = [_openai_message(decoded(one) if isinstance(one, str) else one) for one in row[name]]
    kwargs = row.get("chat_template_kwargs")
    parts = {"tools": row.get("tools"), "chat_template_kwargs": None if kwargs == "{}" else kwargs}
    found = _common(row, row, (*SIDES, *parts))
    if kind != "prompt":
        columns = {name for name in row if name not in {*OWN, *SIDES, *parts} and row[name] is not None}
        found["rest"] |= {name: json.loads(row[name]) for name in columns}
    return sides | parts | found


def _openai(row: Row, plain: Row, kind: str) -> Row:
    """OpenAI: nothing but messages and tools; of pairs, the prompt is within `input`."""
    outer = row["input"] if kind == "preference" else row
    names = {"preference": {"messages": "prompt"}, "prompt": {"messages": "prompt"}}.get(kind, {})
    sides = {names.get("messages", "messages"): outer["messages"]}
    if kind == "preference":
        sides |= {"chosen": row["preferred_output"], "rejected": row["non_preferred_output"]}
    turns = {name: [_openai_message(one) for one in side] for name, side in sides.items()}
    rest = {name: one for name, one in plain.items() if name not in {"messages", "tools", "input"}}
    rest = {} if kind == "preference" else rest
    return turns | {"tools": outer.get("tools"), "id": None, "rest": rest}


def untagged(turn: Row, name: str) -> Row:
    """Take reasoning out of its tags at the start of a text."""
    found = THINK.match(turn[name] or "")
    turn["reasoning"] = found[1] if found else None
    turn[name] = turn[name][found.end() :] if found else turn[name]
    return turn


def _llama_factory(row: Row, plain: Row, kind: str) -> Row:
    """LLaMA-Factory: ShareGPT's turns; a call is JSON in a turn `function_call`; an answer of a pair is one turn."""
    names = {"preference": "prompt", "unpaired": "completion"}
    sides = {names.get(kind, "messages"): list(map(_sharegpt_turn, row["conversations"]))}
    sides |= {name: [_sharegpt_turn(row[name])] for name in ("chosen", "rejected") if row.get(name) is not None}
    label = {"label": row["kto_tag"]} if "kto_tag" in row else {}
    taken = ("conversations", "chosen", "rejected", "kto_tag", "tools")
    return sides | {"tools": row.get("tools")} | _common(row, plain, taken) | label


def _sharegpt_turn(one: Row) -> Row:
    turn = untagged({"role": WORDS[one["from"]], "content": one["value"]}, "content")
    if one["from"] == "function_call":
        found = decoded(turn["content"])
        many = found if isinstance(found, list) else [found]
        turn["tool_calls"] = [
            {"id": call.get("id"), "name": call["name"], "arguments": call["arguments"]} for call in many
        ]
        turn["content"] = None
    return turn | {name: one.get(name) for name in ("tool_call_id", "name")}


def _open_instruct(row: Row, plain: Row, kind: str) -> Row:
    """open-instruct: roles and calls as Dolci has them; the answers of a pair begin with their prompt."""
    sides = {name: [_dolci_turn(one) for one in row[name]] for name in SIDES if row.get(name) is not None}
    if kind == "prompt":
        sides["prompt"] = sides.pop("messages")
    functions = [one.get("functions") for name in sides for one in row.get(name) or row["messages"]]
    tools = next((found for found in functions if found), None)
    return sides | {"tools": tools} | _common(row, plain, SIDES)


def _dolci_turn(one: Row) -> Row:
    turn = untagged({"role": WORDS[one["role"]], "content": one["content"]}, "content")
    spelt = one.get("function_calls")
    return turn | {"tool_calls": python_calls(spelt) if spelt else [], "name": one.get("name")}


def rewards_of(found: Row) -> dict[str, Any]:
    """Return what reward functions read of an exported prompt: columns, or fields of a line."""
    return {name: one for name, one in found["rest"].items() if not isinstance(one, Object)}


def lines_of(text: str) -> Iterator[Row]:
    yield from map(json.loads, text.splitlines())
