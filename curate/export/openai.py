"""OpenAI's files for fine-tuning: supervised, by preference (DPO), and reinforcement with a grader.

A line has nothing but messages, tools and the fields that a grader reads. The `source` and `id` of each line are in the
ledger of the export; `meta` and scores are left out. Messages of tools have no name there, and every call and result
has an id. A tool that is not {"type": "function", "function": {...}} becomes the function of one.

References:
    https://platform.openai.com/docs/guides/supervised-fine-tuning,
    https://platform.openai.com/docs/guides/direct-preference-optimization
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from curate.export.flat import FlatRows
from curate.export.json_rows import wrapped_tools
from curate.export.jsonl import body
from curate.export.target import Columns, Files, KindLayout, Target

_CANNOT: Final = {
    "reasoning": "has no place for it",
    "names": "has no name in the message of a tool",
    "missing_call_ids": "asks for the id of every call, and of the call that a result is of",
    "tool_names": "asks for a description of each tool",
    "chat_template_kwargs": "has no chat template to give them to",
}


def _body(rows: FlatRows) -> dict[str, list[Any]]:
    columns = body(rows)
    if "tools" in columns:
        columns["tools"] = wrapped_tools(rows.batch["tools"])
    return columns


def _conversations(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    return _body(rows)


def _preferences(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    columns = _body(rows)
    asked: list[dict[str, Any]] = [{"messages": prompt} for prompt in columns["prompt"]]
    for one, tools in zip(asked, columns.get("tools", [None] * len(rows)), strict=True):
        if tools is not None:
            one["tools"] = tools
    return {"input": asked, "preferred_output": columns["chosen"], "non_preferred_output": columns["rejected"]}


def _prompts(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    columns = _body(rows)
    return {"messages": columns.pop("prompt"), **columns}


def _settings(method: str) -> Callable[[Files, Sequence[str]], Mapping[str, Any]]:
    def made(files: Files, _columns: Sequence[str]) -> dict[str, Any]:
        names = {"train": "training_file", "test": "validation_file"}
        return {**{names[split]: file for split, file in files.items()}, "method": {"type": method}}

    return made


OPENAI: Final = Target(
    "openai",
    "jsonl",
    "openai.json",
    {
        "conversation": KindLayout(_conversations, _CANNOT, _settings("supervised"), left=("meta",)),
        "preference": KindLayout(
            _preferences,
            _CANNOT | {"several_turns": "takes one message of the assistant"},
            _settings("dpo"),
            left=("scores", "meta"),
        ),
        "prompt": KindLayout(_prompts, _CANNOT, _settings("reinforcement"), left=("meta",)),
    },
)
