"""open-instruct: Parquet as Dolci has it, for the templates of OLMo.

Calls are `function_calls`, Python with named values (the source's own text where it had one); tools are `functions` of
the system turn or of the first user turn, a result is a turn `environment`, and reasoning is before the text in
<think> tags. The answers of preference rows begin with their prompt. Ids of calls have no place; names of tools and
`meta` are in the file, and open-instruct does not read them.

References:
    open_instruct/dataset_transformation.py of https://github.com/allenai/open-instruct at e6c3044
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.export.flat import FlatRows, MessageColumn, joined
from curate.export.json_rows import calls_as_python, originals
from curate.export.parts import places_of_tools
from curate.export.target import Columns, Files, KindLayout, Target, named, parts

_CANNOT: Final = {
    "think_tags": "reads reasoning in <think> tags",
    "call_ids": "has calls as Python, which has no ids",
    "arguments_not_json": "has calls as Python, with named values",
    "calls_not_python": "has calls as Python",
    "tools_without_place": "has tools in a system or user turn",
    "chat_template_kwargs": "has one setting for all rows",
}
_FUNCTIONS: Final = {
    "sft": ["sft_tulu_tokenize_and_truncate_v1", "sft_tulu_filter_v1"],
    "dpo": ["preference_tulu_tokenize_and_truncate_v1", "preference_tulu_filter_v1"],
    "rlvr": ["rlvr_tokenize_v1", "rlvr_max_length_filter_v1"],
}


def _turns(rows: FlatRows, messages: MessageColumn, column: str = "") -> pa.ListArray:
    """Return messages as Dolci spells them; `column` is where the source had them, if it is known."""
    fields = {
        "role": messages.words("system", "user", "assistant", "environment"),
        "content": messages.with_reasoning(messages.items.field("content")),
        "function_calls": None,
        "functions": None,
        "name": messages.part("name"),
    }
    if messages.part("tool_calls") is not None:
        said = originals(rows.batch["meta"], column, messages, "function_calls") if column else {}
        fields["function_calls"] = _at(messages.calls > 0, calls_as_python(messages, said))
    tools = rows.column("tools")
    if tools is not None:
        place = places_of_tools(messages) & np.asarray(tools.is_valid())[messages.row]
        fields["functions"] = _at(place, tools.take(pa.array(messages.row[place])))
    return messages.lists(fields)


def _at(place: np.ndarray[Any, np.dtype[np.bool_]], values: pa.Array) -> pa.Array:
    """Return texts that are null but for those at some places."""
    return pc.replace_with_mask(pa.nulls(len(place), pa.string()), pa.array(place), values)


def _conversations(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    return named(rows) | {"messages": _turns(rows, rows.sides["messages"], "messages")}


def _preferences(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    sides = {name: _turns(rows, joined(rows.sides["prompt"], rows.sides[name])) for name in ("chosen", "rejected")}
    return named(rows) | sides | parts(rows, "chosen_score", "rejected_score")


def _prompts(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    taken = {"source", "id", "meta", "prompt", "tools", "chat_template_kwargs"}
    rewards = parts(rows, *(name for name in rows.batch.schema.names if name not in taken))
    return named(rows) | {"messages": _turns(rows, rows.sides["prompt"], "messages")} | rewards


def _settings(stage: str, prefix: str = "") -> Callable[[Files, Sequence[str]], Mapping[str, Any]]:
    def made(files: Files, _columns: Sequence[str]) -> dict[str, Any]:
        mixer = {f"{prefix}mixer_list": [files["train"], "1.0"]} if "train" in files else {}
        return {**mixer, f"{prefix}transform_fn": _FUNCTIONS[stage]}

    return made


OPEN_INSTRUCT: Final = Target(
    "open-instruct",
    "parquet",
    "open-instruct.yaml",
    {
        "conversation": KindLayout(_conversations, _CANNOT, _settings("sft", "dataset_"), unread=("names", "meta")),
        "preference": KindLayout(_preferences, _CANNOT, _settings("dpo"), unread=("names", "scores", "meta")),
        "prompt": KindLayout(
            _prompts,
            _CANNOT | {"missing_rewards": "reads both", "tools": "describes tools by itself, by the names it is given"},
            _settings("rlvr", "dataset_"),
            unread=("names", "meta"),
        ),
    },
    "Arguments of finetune.py, dpo.py or grpo_fast.py in open_instruct/. Paths are those from this folder.",
)
