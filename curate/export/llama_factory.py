"""LLaMA-Factory: Parquet in its ShareGPT layout, and an entry for `dataset_info.json`.

A call is a turn `function_call` of JSON, a result a turn `observation`; reasoning is before the text or the call, in
<think> tags. A row whose turns do not alternate is skipped there with a warning (llamafactory 0.9.5,
`data/converter.py`). Its layout `openai` is not used: that adds "detailed thinking off" to system turns. Ids and names
are fields of the turns, and `meta` is a column of JSON: LLaMA-Factory reads none of them.

References:
    https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curate.export.flat import FlatRows, MessageColumn, joined
from curate.export.json_rows import calls_as_json
from curate.export.target import Columns, Files, KindLayout, Target, named, parts

_CANNOT: Final = {
    "think_tags": "reads reasoning in <think> tags",
    "text_with_calls": "has either text or calls in a turn",
    "arguments_not_json": "reads calls as JSON",
    "tool_names": "describes tools in the system turn",
    "chat_template_kwargs": "has one setting for all rows",
    "turn_order": "skips such rows",
}
_UNREAD: Final = ("call_ids", "names")


def _turns(messages: MessageColumn) -> pa.ListArray:
    there = messages.calls > 0
    sender = messages.words("system", "human", "gpt", "observation")
    sender = pc.if_else(pa.array(there), "function_call", sender)
    texts = messages.items.field("content")
    if there.any():
        texts = pc.replace_with_mask(texts, pa.array(there), calls_as_json(messages))
    more = {name: messages.part(name) for name in ("tool_call_id", "name")}
    return messages.lists({"from": sender, "value": messages.with_reasoning(texts), **more})


def _conversations(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    return named(rows) | {"conversations": _turns(rows.sides["messages"])} | parts(rows, "tools")


def _preferences(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    answers = {name: _turns(rows.sides[name]).flatten() for name in ("chosen", "rejected")}
    asked = {"conversations": _turns(rows.sides["prompt"])}
    return named(rows) | asked | answers | parts(rows, "chosen_score", "rejected_score", "tools")


def _judged(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    whole = joined(rows.sides["prompt"], rows.sides["completion"])
    return named(rows) | {"conversations": _turns(whole), "kto_tag": rows.batch["label"]} | parts(rows, "tools")


def _settings(files: Files, columns: Sequence[str]) -> dict[str, Any]:
    used = {"messages": "conversations"} | {
        name: name for name in ("chosen", "rejected", "kto_tag", "tools") if name in columns
    }
    ranking = {"ranking": True} if "chosen" in columns else {}
    return {
        f"curate_{split}": {"file_name": file, "formatting": "sharegpt", **ranking, "columns": used}
        for split, file in files.items()
    }


LLAMA_FACTORY: Final = Target(
    "llama-factory",
    "parquet",
    "dataset_info.json",
    {
        "conversation": KindLayout(_conversations, _CANNOT, _settings, unread=(*_UNREAD, "meta")),
        "preference": KindLayout(
            _preferences,
            _CANNOT | {"several_turns": "takes one turn for an answer"},
            _settings,
            unread=(*_UNREAD, "scores", "meta"),
        ),
        "unpaired": KindLayout(
            _judged,
            _CANNOT
            | {"several_turns": "takes one turn for an answer", "empty_answer": "takes an empty answer for a bad one"},
            _settings,
            unread=(*_UNREAD, "meta"),
        ),
    },
)
