"""What each part of a row is, in plain Python: the definitions that exports are held to."""

from __future__ import annotations

import json
from collections.abc import Callable
from keyword import iskeyword
from typing import Any, Final

from tests.support.export_rows import SIDES, Row

ANSWERS: Final = ("chosen", "rejected", "completion")


def turns(row: Row, *sides: str) -> list[Row]:
    return [turn for side in sides or SIDES for turn in row.get(side) or ()]


def calls(row: Row) -> list[Row]:
    return [one for turn in turns(row) for one in turn.get("tool_calls") or ()]


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def is_python(one: Row) -> bool:
    words = [*one["name"].split("."), *(json.loads(one["arguments"]) if is_object(one["arguments"]) else ["-"])]
    return all(word.isidentifier() and not iskeyword(word) for word in words)


def alternates(row: Row) -> bool:
    said = turns(row, "messages", "prompt")
    roles = [turn["role"] for turn in said[said[0]["role"] == "system" :]]
    wanted = [("user", "tool"), ("assistant",)] * len(roles)
    ends = "assistant" if "messages" in row else "user or tool"
    return bool(roles) and all(role in want for role, want in zip(roles, wanted, strict=False)) and roles[-1] in ends


def tools(row: Row) -> list[Any]:
    return json.loads(row.get("tools") or "[]")


ORACLES: Final[dict[str, Callable[[Row], bool]]] = {
    "reasoning": lambda row: any(turn.get("reasoning") is not None for turn in turns(row)),
    "think_tags": lambda row: any("</think>" in (turn.get("reasoning") or "") for turn in turns(row)),
    "reasoning_only": lambda row: any(turn.get("reasoning") is not None and not says(turn) for turn in turns(row)),
    "calls": lambda row: bool(calls(row)),
    "parallel_calls": lambda row: any(len(turn.get("tool_calls") or ()) > 1 for turn in turns(row)),
    "text_with_calls": lambda row: any(turn.get("tool_calls") and turn["content"] for turn in turns(row)),
    "call_ids": lambda row: any(x is not None for x in ids(row)),
    "missing_call_ids": lambda row: any(x is None for x in ids(row)),
    "names": lambda row: any(turn.get("name") is not None for turn in turns(row)),
    "arguments_not_json": lambda row: not all(is_object(one["arguments"]) for one in calls(row)),
    "calls_not_python": lambda row: not all(map(is_python, calls(row))),
    "tools": lambda row: row.get("tools") is not None,
    "tool_names": lambda row: not all(isinstance(tool, dict) for tool in tools(row)),
    "tools_without_place": lambda row: bool(tools(row)) and not has_place(row),
    "chat_template_kwargs": lambda row: row.get("chat_template_kwargs") is not None,
    "turn_order": lambda row: not alternates(row),
    "several_turns": lambda row: any(
        [turn["role"] for turn in row[side]] != ["assistant"] for side in ANSWERS if side in row
    ),
    "empty_answer": lambda row: not all(map(says, turns(row, "completion"))),
    "missing_rewards": lambda row: not {"ground_truth", "dataset"} <= {one["name"] for one in row["rewards"]},
    "scores": lambda row: row.get("chosen_score") is not None or row.get("rejected_score") is not None,
    "meta": lambda row: (row.get("meta") or "{}") != "{}",
}
"""What each part is, in plain Python."""


def says(turn: Row) -> bool:
    return bool(turn["content"] or turn.get("tool_calls"))


def ids(row: Row) -> list[str | None]:
    return [one["id"] for one in calls(row)] + [t.get("tool_call_id") for t in turns(row) if t["role"] == "tool"]


def has_place(row: Row) -> bool:
    said = turns(row, "messages", "prompt")
    return said[0]["role"] == "system" or any(turn["role"] == "user" for turn in said)
