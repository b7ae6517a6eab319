"""Rows with every part, a build's folder made of them, and what each export's files hold when they are read again."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.export.export import Choices, Export, export
from curate.io.formats.base import Format
from curate.io.formats.dialogues import messages, sharegpt
from curate.io.formats.preference import openai_pairs, preference
from curate.io.formats.rated import rated
from curate.io.formats.unpaired import prompts, unpaired
from curate.io.parse import parse_lines, parse_objects
from curate.rows.layout import Layout
from curate.rows.parts import conform, parts_used
from curate.rows.rewards import reward_columns, reward_types
from curate.rows.schema import FULL, Kind
from curate.testing import rows as made_up

Row = dict[str, Any]

SIDES: Final = ("messages", "prompt", "chosen", "rejected", "completion")
TOOL: Final = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "properties": {}}}}
TOOLS: Final = json.dumps([TOOL])
ASK: Final = {"role": "user", "content": "When is high tide?"}
SAY: Final = {"role": "assistant", "content": "At 17:40.\n"}


def call(arguments: str = '{"port":  "Brest", "days": 1.50}', **more: Any) -> Row:  # noqa: ANN401
    return {"id": "c1", "name": "tide", "arguments": arguments, **more}


def calling(*calls: Row, **more: Any) -> Row:  # noqa: ANN401
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(**more: Any) -> Row:  # noqa: ANN401
    return {"role": "tool", "content": "17:40", "tool_call_id": "c1", "name": "tide", **more}


BARE: Final = {"tool_call_id": None, "name": None}

CHATS: Final[dict[str, Row]] = {
    "plain": {"messages": [ASK, SAY]},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, ASK, SAY, ASK, SAY]},
    "call": {"messages": [ASK, calling(call()), result(), SAY], "tools": TOOLS},
    "no ids": {"messages": [ASK, calling(call(id=None)), result(**BARE), SAY], "tools": TOOLS},
    "names": {"messages": [ASK, calling(call(id=None)), result(tool_call_id=None), SAY], "tools": TOOLS},
    "parallel": {
        "messages": [ASK, calling(call(id=None), call("{}", id=None)), result(**BARE), SAY],
        "tools": TOOLS,
    },
    "two results": {"messages": [ASK, calling(call(), call("{}", id="c2")), result(), result(), SAY], "tools": TOOLS},
    "text and call": {"messages": [ASK, calling(call(), content="Let me see."), result(), SAY], "tools": TOOLS},
    "ends with a call": {"messages": [ASK, calling(call(id=None))], "tools": TOOLS},
    "no tools": {"messages": [ASK, calling(call(id=None)), result(**BARE), SAY]},
    "tool names": {"messages": [ASK, calling(call(id=None)), result(**BARE), SAY], "tools": '["tide"]'},
    "flat tools": {"messages": [ASK, SAY], "tools": '[{"name": "tide",  "parameters": {}}]'},
    "odd arguments": {"messages": [ASK, calling(call("port=Brest", id=None)), result(**BARE), SAY], "tools": TOOLS},
    "listed arguments": {"messages": [ASK, calling(call("[1]", id=None)), result(**BARE), SAY], "tools": TOOLS},
    "odd names": {
        "messages": [ASK, calling(call('{"the port": "Brest", "class": null}', id=None)), result(**BARE), SAY]
    },
    "values": {
        "messages": [
            ASK,
            calling(call('{"a": [true, null, -1, 2.5e-3], "b": {"c": "\\u00e9\\"\\n\'"}}', id=None, name="sea.tide")),
            result(**BARE),
            SAY,
        ]
    },
    "reasoning": {"messages": [ASK, {**SAY, "reasoning": "Hm.\nThe moon ..."}]},
    "reasoning and call": {
        "messages": [ASK, calling(call(id=None), reasoning="I need a tool."), result(**BARE), SAY],
        "tools": TOOLS,
    },
    "reasoning alone": {"messages": [ASK, {"role": "assistant", "content": None, "reasoning": "Hm."}]},
    "reasoning with its end": {"messages": [ASK, {**SAY, "reasoning": "Write </think> at the end."}]},
    "template": {"messages": [ASK, SAY], "chat_template_kwargs": '{"enable_thinking": false}'},
    "assistant first": {"messages": [SAY, ASK, SAY], "tools": TOOLS},
    "no place for tools": {"messages": [SAY], "tools": TOOLS},
    "unanswered": {"messages": [ASK]},
    "two asks": {"messages": [ASK, ASK, SAY]},
    "late system": {"messages": [ASK, {"role": "system", "content": "Be brief."}, SAY]},
    "meta": {"messages": [ASK, SAY], "meta": '{"lang":"en","n":1.50,"prompt":"x","label":[1, null]}'},
}
"""Hand-written conversations: each part by itself, and what the trainers cannot hold."""


def pairs() -> dict[str, Row]:
    """Return the conversations as pairs: the last turn is the chosen answer, the rejected one is a text or a call."""
    found = {
        name: {**row, "prompt": row["messages"][:-1], "chosen": row["messages"][-1:], "rejected": [SAY]}
        for name, row in CHATS.items()
        if len(row["messages"]) > 1 and row["messages"][-1]["role"] == "assistant"
    }
    ask = {"prompt": [ASK], "chosen": [SAY], "chosen_score": 0.5, "rejected_score": 0.25}
    found["calls"] = {**ask, "rejected": [calling(call(id=None))], "tools": TOOLS}
    found["several turns"] = {**ask, "chosen": [calling(call()), result(), SAY], "rejected": [SAY], "tools": TOOLS}
    return {name: {key: value for key, value in row.items() if key != "messages"} for name, row in found.items()}


def rated_rows() -> dict[str, Row]:
    answers = [{"content": "a", "model": "m", "scores": [{"name": "s", "value": 1.0}]}, {"content": "b", "scores": []}]
    chats = ("unanswered", "two results", "template", "meta")
    found = {name: {**CHATS[name], "messages": [*CHATS[name]["messages"], ASK]} for name in chats}
    return {name: {**row, "completions": answers} for name, row in found.items()}


def judged() -> dict[str, Row]:
    """Return the pairs as judged answers: the chosen one is good, the rejected one is not."""
    found: dict[str, Row] = {}
    for name, row in pairs().items():
        rest: Row = {key: row[key] for key in ("prompt", "tools", "chat_template_kwargs", "meta") if key in row}
        found[f"{name}, good"] = {**rest, "completion": row["chosen"], "label": True}
        found[f"{name}, bad"] = {**rest, "completion": row["rejected"], "label": False}
    found["empty"] = {"prompt": [ASK], "completion": [{**SAY, "content": ""}], "label": True}
    return found


def prompts_of() -> dict[str, Row]:
    """Return the prompts of the pairs and of the rated rows, with what rewards read."""
    rewards = [{"name": "ground_truth", "value": '"4"'}, {"name": "dataset", "value": '["a","b"]'}]
    found = {
        name: {**row, "rewards": rewards, "prompt": row.get("messages") or row["prompt"]}
        for name, row in (pairs() | rated_rows()).items()
    }
    found["one reward"] = {"prompt": [ASK], "rewards": rewards[:1]}
    found["three"] = {"prompt": [ASK], "rewards": [*rewards, {"name": "n", "value": "2"}]}
    kept = ("prompt", "rewards", "tools", "chat_template_kwargs", "meta")
    return {
        name: {key: row[key] for key in kept if key in row}
        for name, row in found.items()
        if row["prompt"][-1]["role"] in {"user", "tool"}
    }


HAND_WRITTEN: Final[dict[Kind, dict[str, Row]]] = {
    "conversation": CHATS,
    "preference": pairs(),
    "rated": rated_rows(),
    "unpaired": judged(),
    "prompt": prompts_of(),
}


def possible(kind: Kind, row: Row) -> Row | None:
    """Return a made-up row as a source can have it: parts where their role may have them; None if it has no turns."""
    for side in (side for side in SIDES if side in row):
        for turn in row[side]:
            is_answer, is_result = turn["role"] == "assistant", turn["role"] == "tool"
            turn["reasoning"] = (turn["reasoning"] or None) if is_answer else None
            turn["tool_calls"] = [one | {"name": one["name"].strip() or "f"} for one in turn["tool_calls"]] * is_answer
            turn["name"] = (turn["name"] or None) if is_result else None
            turn["tool_call_id"] = turn["tool_call_id"] if is_result else None
            if turn["content"] is None and not turn["tool_calls"] and not turn["reasoning"]:
                turn["content"] = ""
        if not row[side] or (side in {"chosen", "rejected", "completion"} and row[side][0]["role"] != "assistant"):
            return None
    if kind == "prompt" and row["prompt"][-1]["role"] not in {"user", "tool"}:
        return None
    for completion in row.get("completions", ()):
        completion |= {"reasoning": None, "content": completion["content"] or ""}
    return None if kind == "rated" and (row["messages"][-1]["role"] != "user" or not row["completions"]) else row


def some_rows(kind: Kind, count: int, seed: int) -> list[Row]:
    """Return made-up rows with parts, of those that a source can have."""
    chance = random.Random(seed)
    found = (possible(kind, row) for row in made_up(kind, chance, count, parts=True).to_pylist())
    return [row for row in found if row is not None]


def build_of(folder: Path, kind: Kind, rows: Sequence[Row]) -> dict[str, Any]:
    """Write rows as the data file of a build, with the columns that they use; return what its manifest says of them."""
    body = pa.RecordBatch.from_pylist([{"meta": "{}", **row} for row in rows], FULL[kind])
    columns = [
        pa.ListArray.from_arrays(column.offsets, _filled(column.values))
        if "messages" in str(name) or name in SIDES
        else column
        for name, column in zip(body.schema.names, body.columns, strict=True)
    ]
    body = pa.RecordBatch.from_arrays(columns, schema=body.schema)
    used = int(np.bitwise_or.reduce(parts_used(body), initial=0))
    named = [pa.array([f"s{i % 2}" for i in range(len(rows))]), pa.array([f"r{i}" for i in range(len(rows))])]
    batch = pa.RecordBatch.from_arrays([*named, *body.columns], names=["source", "id", *body.schema.names])
    (folder / "data").mkdir(parents=True)
    rewards = reward_columns([reward_types(body)]) if kind == "prompt" else {}
    table = Layout(kind, used, rewards).finished(batch)
    pq.write_table(pa.Table.from_batches([table]), folder / "data" / "train-00000-of-00001.parquet")
    shard = {"file": "data/train-00000-of-00001.parquet"}
    splits = {"train": {"rows": len(rows), "shards": [shard]}}
    return {"name": "b", "kind": kind, "fingerprint": "f", "splits": splits}


def _filled(items: pa.StructArray) -> pa.StructArray:
    """Return messages whose calls are lists, perhaps empty, as a batch has them."""
    columns = [items.field(i) for i in range(items.type.num_fields)]
    place = items.type.get_field_index("tool_calls")
    lists = columns[place]
    columns[place] = pa.array([value or [] for value in lists.to_pylist()], lists.type)
    return pa.StructArray.from_arrays(columns, fields=list(items.type))


def exported(folder: Path, kind: Kind, rows: Sequence[Row], to: str, **choices: Sequence[str]) -> Export:
    """Make a build of rows, and export it."""
    manifest = build_of(folder / "build", kind, rows)
    chosen = Choices(*(tuple(choices.get(name, ())) for name in Choices._fields))
    return export(folder / "build", manifest, to, folder / "out", splits=["train"], choices=chosen, overwrite=False)


_JUDGED: Final = {"axolotl": ("completion",)}


def read_back(made: Export, kind: Kind) -> list[Row]:
    """Read the file of an export with the format of its layout; reasoning in tags is taken out of its text first."""
    target = made.record["target"]
    column = "messages" if target in {"openai", "open-instruct"} else "prompt"
    usual: dict[Kind, Format] = {
        "conversation": sharegpt() if target == "llama-factory" else messages(),
        "preference": openai_pairs() if target == "openai" else preference(),
        "rated": rated(),
        "unpaired": unpaired(*_JUDGED.get(target, ())),
        "prompt": prompts(column),
    }
    form = usual[kind]
    if target == "llama-factory" and kind == "unpaired":
        form = unpaired("conversations", label="kto_tag")
    if target in {"jsonl", "openai"}:
        lines = (made.path / "train.jsonl").read_bytes().splitlines()
        parsed = parse_lines(lines, range(len(lines)), form, "id")
    else:
        values = list(_values(made.path / "train.parquet", target))
        parsed = parse_objects(values, range(len(values)), form, "id")
    assert parsed.bad.to_pylist() == []
    found = conform(parsed.body, FULL[kind]).to_pylist()
    return [{**row, "id": own} for row, own in zip(found, parsed.ids.to_pylist(), strict=True)]


def _values(path: Path, target: str) -> Iterator[Row]:
    for row in pq.read_table(path).to_pylist():
        for turns in row.values():
            for turn in turns if isinstance(turns, list) else [turns]:
                if isinstance(turn, dict) and target in {"llama-factory", "open-instruct"}:
                    _untag(turn)
        yield row


def _untag(turn: Row) -> None:
    name = "value" if "value" in turn else "content"
    found = re.match(r"<think>\n(.*?)\n</think>\n\n", turn[name] or "", re.DOTALL)
    if found:
        turn["reasoning_content"] = found[1]
        turn[name] = turn[name][found.end() :]


def same_form(row: Row) -> Row:
    """Return what of a row must come back: JSON decoded, and no difference between empty and none beside a part."""
    found: Row = {name: [_turn(turn) for turn in row[name]] for name in SIDES if name in row}
    for name in ("tools", "chat_template_kwargs"):
        found[name] = json.loads(row.get(name) or "null") or None
    found["label"] = row.get("label")
    found["rewards"] = {one["name"]: json.loads(one["value"]) for one in row.get("rewards", ())}
    return found


def _turn(turn: Row) -> Row:
    calls = [{**one, "arguments": _decoded(one["arguments"]), "id": one["id"]} for one in turn.get("tool_calls") or ()]
    rich = calls or turn.get("reasoning")
    parts = {name: turn.get(name) for name in ("reasoning", "tool_call_id", "name")}
    content = (turn["content"] or None) if rich else turn["content"]
    return {"role": turn["role"], "content": content, "calls": calls, **parts}


def _decoded(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except ValueError:
        return text
