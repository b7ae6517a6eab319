"""Rows with calls of tools, results and reasoning, as OpenAI spells them, and what a chat template takes for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from curate.io.formats.unpaired import unpaired
from curate.io.inputs import files
from curate.mix.amounts import Rows
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preflight.changed_parts import AS_THEY_ARE, Changes
from curate.preflight.row_lengths import LABELLED, measured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.preflight.chat_template import ChatTokenizer
    from curate.result.build import Build

Row = dict[str, Any]

TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Look up the {name}, é 你好.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "number"}}},
        },
    }
    for name in ("weather", "clock")
]


def call(number: int, **arguments: Any) -> Row:  # noqa: ANN401  any JSON value
    """Return a call of the weather, its arguments as JSON text."""
    function = {"name": "weather", "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": f"call{number:05d}", "type": "function", "function": function}


def said(role: str, content: str | None, **more: Any) -> Row:  # noqa: ANN401  any JSON value
    """Return a message."""
    return {"role": role, "content": content, **more}


def one_call(text: str = "Oslo", **first: Any) -> list[Row]:  # noqa: ANN401  any JSON value
    """Return a dialogue with one call and its result; `text` is quoted in each part."""
    return [
        said("user", f"How cold is it in {text}?"),
        said("assistant", None, tool_calls=[call(1, city=text, days=0.1)], **first),
        said("tool", json.dumps({"city": text, "degrees": -2}), tool_call_id="call00001"),
        said("assistant", f"-2 degrees in {text}."),
    ]


def parallel(text: str = "Rome") -> list[Row]:
    """Return a dialogue with two calls at once, and text beside them."""
    return [
        said("system", "Be brief."),
        said("user", f"Oslo and {text}?"),
        said("assistant", f"I look both up, {text} too.", tool_calls=[call(1, city="Oslo"), call(2, city=text)]),
        said("tool", "cold", tool_call_id="call00001"),
        said("tool", f"hot in {text}", tool_call_id="call00002"),
        said("assistant", "Cold and hot."),
    ]


def reasoned(text: str = "a hat") -> list[Row]:
    """Return a dialogue with reasoning before each answer."""
    return [
        said("user", "What do I wear?"),
        said("assistant", f"Wear {text}.", reasoning_content=f"It is cold,\nso {text} helps."),
        said("user", "Sure?"),
        said("assistant", "Yes.", reasoning_content=f"{text}: still cold."),
    ]


def as_given(messages: Sequence[Row]) -> list[Row]:
    """Return messages as a chat template takes them: arguments decoded, nulls left out."""
    found = json.loads(json.dumps(messages))
    for each in (one["function"] for turn in found for one in turn.get("tool_calls", ())):
        each["arguments"] = json.loads(each["arguments"])
    return [{key: value for key, value in turn.items() if value is not None} for turn in found]


def built(rows: Sequence[Row], out: Path, name: str = "rows", test: Rows | None = None) -> Build:
    """Write rows to a file of JSON lines and build them; those with a label are unpaired."""
    path = out.with_suffix(".jsonl")
    path.write_text("".join(json.dumps({"id": str(i), **row}) + "\n" for i, row in enumerate(rows)), "utf-8")
    form = unpaired() if "label" in rows[0] else "auto"
    return Mixture(name, [Source(name, files(path, format=form))], test=test).build(out, quiet=True)


def trl_rows(rows: Sequence[Row], *columns: str) -> Any:  # noqa: ANN401  of datasets
    """Return rows as TRL reads them: messages, arguments and template arguments decoded, tools as JSON text."""
    from datasets import Dataset, Features, Json, List, Value

    made = [
        {name: as_given(row[name]) for name in columns}
        | {"tools": json.dumps(row["tools"]) if row.get("tools") else None}
        | {"chat_template_kwargs": row.get("chat_template_kwargs", {})}
        for row in rows
    ]
    types = {name: List(Json()) for name in columns} | {"tools": Value("string"), "chat_template_kwargs": Json()}
    return Dataset.from_list(made, features=Features(types))


def labelled(build: Build, chatty: ChatTokenizer, changes: Changes = AS_THEY_ARE) -> dict[str, Row]:
    """Return the rows of a build as they are trained, by id."""
    columns = ["id", *LABELLED]
    rows = pa.Table.from_batches(
        [one.select(columns) for one in measured(build, chatty, 10_000, changes=changes)]
    ).to_pylist()
    return {row["id"]: row for row in rows}


def runs(row: Row, chatty: ChatTokenizer) -> list[str]:
    """Return what is trained, a text for each stretch."""
    trained = np.array(row["labels"]) != -100
    edges = np.flatnonzero(np.diff(np.r_[False, trained, False])).reshape(-1, 2)
    return [chatty.decode(row["input_ids"][start:stop]) for start, stop in edges]


def clocked() -> list[Row]:
    """Return a dialogue with a call whose arguments are all texts, as Llama writes those of its own tools."""
    asked = {"id": "call00001", "type": "function", "function": {"name": "clock", "arguments": '{"city": "Oslo"}'}}
    return [
        said("user", "What time is it in Oslo? "),
        said("assistant", None, tool_calls=[asked]),
        said("tool", "09:10", tool_call_id="call00001"),
        said("assistant", " Ten past nine.\n"),
    ]


def judged(number: int = 1) -> list[Row]:
    """Return answers with a label: texts, calls with tools, reasoning; two of three are good."""
    rows = [
        {"completion": PLAIN[1:], "label": True},
        {"completion": [said("assistant", "Go away. </s>")], "label": False},
        {"prompt": one_call()[:1], "completion": one_call()[1:2], "tools": TOOLS, "label": True},
        {"prompt": one_call()[:1], "completion": one_call()[1:], "tools": TOOLS[:1], "label": True},
        {"completion": reasoned()[-1:], "label": False, "chat_template_kwargs": {"enable_thinking": False}},
        {"prompt": reasoned()[:3], "completion": reasoned()[3:], "label": True},
    ]
    asks = [[said("user", f"Hi, I am number {i}")] for i in range(number)]
    return [{"prompt": ask, **row} for ask in asks for row in rows]


PLAIN: Final[list[Row]] = [said("user", "Hi"), said("assistant", "Hello.")]
DATE: Final = {"date_string": "26 Jul 2024"}
BUILT_IN: Final = {"builtin_tools": ["clock"], "tools_in_user_message": False}

LLAMA_ROWS: Final[dict[str, list[Row]]] = {
    "llama3_2": [
        {"messages": one_call(), "tools": TOOLS, "chat_template_kwargs": DATE},
        {"messages": one_call(), "tools": TOOLS, "chat_template_kwargs": {**DATE, "tools_in_user_message": False}},
        {"messages": PLAIN, "chat_template_kwargs": DATE},
    ],
    "llama3_1": [
        {"messages": one_call(), "tools": TOOLS, "chat_template_kwargs": DATE},
        {"messages": [said("system", " Be brief. "), *clocked()], "chat_template_kwargs": BUILT_IN},
        {"messages": one_call(), "chat_template_kwargs": {"builtin_tools": ["clock"]}},
        {"messages": [*PLAIN, *PLAIN]},
    ],
}
