"""TRL 1.x: Parquet in which messages, tools and template arguments are JSON that `datasets` decodes.

A message has the keys that it needs and no null, because templates ask whether `tool_calls` is there; arguments are
objects, as templates print them. Reasoning is `reasoning_content`. Fields that the source had beyond its messages are
columns, which TRL hands to reward functions by name; those whose name TRL gives a meaning to are together in `meta`.

References:
    https://huggingface.co/docs/trl/dataset_formats (trl 1.16.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curate.export.flat import FlatRows, MessageColumn
from curate.export.json_rows import as_json, json_lists, meta_columns
from curate.export.target import Columns, Files, KindLayout, Target, named

TAKEN: Final = (
    "source", "id", "meta", "messages", "conversations", "prompt", "completion", "chosen", "rejected", "label", "text",
    "tools", "chat_template_kwargs", "chosen_score", "rejected_score", "image", "images", "input_ids", "labels",
    "completion_mask", "assistant_masks", "prompt_ids", "chosen_ids", "rejected_ids", "ref_chosen_logps",
    "ref_rejected_logps", "rewards", "margin",
)  # fmt: skip
"""Columns that a file has, or whose name TRL gives a meaning to."""

_CANNOT: Final = {
    "arguments_not_json": "hands arguments to the template as an object",
    "tool_names": "hands tools to the template, which describes them",
}


def _columns(rows: FlatRows, meta: Sequence[str]) -> Columns:
    columns = named(rows, meta=False)
    for name in rows.batch.schema.names:
        array = rows.batch[name]
        if name in rows.sides:
            columns[name] = _messages(rows.sides[name], array)
        elif name == "tools":
            columns[name] = as_json(array)
        elif name == "chat_template_kwargs":  # TRL unpacks them, which null is not
            columns[name] = as_json(pc.fill_null(array, "{}"))
        elif name not in {"source", "id", "meta"}:
            columns[name] = array
    if rows.sides.keys() == {"prompt"}:  # columns of a prompt are what rewards read
        return columns | {"meta": as_json(rows.batch["meta"])}
    return columns | meta_columns(rows.batch["meta"], meta, TAKEN)


def _messages(messages: MessageColumn, array: pa.ListArray) -> pa.ListArray:
    """Return plain messages as they are, with two fields; others as JSON."""
    return array if messages.items.type.num_fields == 2 else json_lists(messages)


def _settings(files: Files, _columns: Sequence[str]) -> dict[str, Any]:
    return {"datasets": [{"path": "parquet", "data_files": files["train"]}]} if "train" in files else {}


_LAYOUT: Final = KindLayout(_columns, _CANNOT, _settings)

TRL: Final = Target(
    "trl",
    "parquet",
    "trl.yaml",
    dict.fromkeys(("conversation", "preference", "unpaired", "prompt"), _LAYOUT),
    'Of a configuration for "trl sft", "dpo", "kto" or "grpo". Paths are those from this folder.',
    expands_meta=True,
)
