"""axolotl: Parquet for `type: chat_template`; for pairs `chat_template.default`, for KTO `chatml.argilla_chat`.

Of conversations, calls have OpenAI's spelling and reasoning is `reasoning_content`; both reach templates that print
them. Of the other rows it reads role and content alone, and the last message of an answer (axolotl 0.19.0,
`prompt_strategies/dpo/chat_template.py`, `kto/chatml.py`): calls, tools and reasoning would be lost without a word.
`meta` is a column of JSON, which axolotl does not read.

References:
    https://docs.axolotl.ai/docs/dataset-formats/conversation.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curate.export.flat import FlatRows, MessageColumn, joined
from curate.export.target import Columns, Files, KindLayout, Target, named, parts

_KWARGS: Final = "has one setting for all rows"
_TEXT: Final = {
    "reasoning": "reads nothing of a message but its text",
    "calls": "reads nothing of a message but its text",
    "tools": "gives no tools to the template",
    "chat_template_kwargs": _KWARGS,
    "several_turns": "reads the last message of an answer",
}


def _openai(messages: MessageColumn) -> pa.ListArray:
    """Return messages in OpenAI's spelling; what a message lacks is null, which axolotl takes out."""
    content = {name: messages.items.field(name) for name in ("role", "content")}
    more = {
        "reasoning_content": messages.part("reasoning"),
        "tool_calls": _calls(messages.part("tool_calls")),
        "tool_call_id": messages.part("tool_call_id"),
        "name": messages.part("name"),
    }
    return messages.lists(content | more)


def _calls(calls: pa.ListArray | None) -> pa.ListArray | None:
    if calls is None:
        return None
    offsets = np.asarray(calls.offsets)
    items = calls.values.slice(offsets[0], offsets[-1] - offsets[0])
    function = pa.StructArray.from_arrays([items.field("name"), items.field("arguments")], names=["name", "arguments"])
    kind = pa.array(["function"] * len(items), pa.string())
    struct = pa.StructArray.from_arrays([items.field("id"), kind, function], names=["id", "type", "function"])
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), struct, mask=calls.is_null())


def _columns(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    sides = {name: _openai(messages) for name, messages in rows.sides.items()}
    return named(rows) | sides | parts(rows, "chosen_score", "rejected_score", "tools")


def _judged(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    whole = joined(rows.sides["prompt"], rows.sides["completion"])
    return named(rows) | {"completion": _openai(whole)} | parts(rows, "label")


def _conversations(files: Files, columns: Sequence[str]) -> dict[str, Any]:
    more = {"field_tools": "tools"} if "tools" in columns else {}
    return _settings(files, {"type": "chat_template", "field_messages": "messages", **more})


def _preferences(files: Files, _columns: Sequence[str]) -> dict[str, Any]:
    fields = {"field_messages": "prompt", "field_chosen": "chosen", "field_rejected": "rejected"}
    return {"rl": "dpo", **_settings(files, {"type": "chat_template.default", **fields})}


def _feedback(files: Files, _columns: Sequence[str]) -> dict[str, Any]:
    return {"rl": "kto", **_settings(files, {"type": "chatml.argilla_chat"})}


def _settings(files: Files, fields: dict[str, Any]) -> dict[str, Any]:
    names = {"train": "datasets", "test": "test_datasets"}
    return {
        names[split]: [{"path": file, "ds_type": "parquet", "split": "train", **fields}]
        for split, file in files.items()
    }


AXOLOTL: Final = Target(
    "axolotl",
    "parquet",
    "axolotl.yaml",
    {
        "conversation": KindLayout(
            _columns,
            {
                "arguments_not_json": "reads arguments as JSON",
                "tool_names": "hands tools to the template, which describes them",
                "chat_template_kwargs": _KWARGS,
            },
            _conversations,
            unread=("meta",),
        ),
        "preference": KindLayout(_columns, _TEXT, _preferences, unread=("names", "call_ids", "scores", "meta")),
        "unpaired": KindLayout(_judged, _TEXT, _feedback, unread=("names", "call_ids", "meta")),
    },
    "Of a configuration for axolotl. Paths are those from this folder.",
)
