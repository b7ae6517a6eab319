"""JSON Lines in OpenAI's spelling, for everything else; nothing of a row is lost, and `c.files` reads it back.

Reasoning is `reasoning_content`, the arguments of a call are JSON text, `tools` and `chat_template_kwargs` are JSON.
Fields that the source had beyond its messages are fields again; those whose name is taken are together in `meta`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from curate.export.flat import FlatRows
from curate.export.json_rows import as_lists, meta_fields, openai_messages, raw, values
from curate.export.target import Columns, Files, KindLayout, Target


def body(rows: FlatRows, *, decoded: bool = False) -> dict[str, list[Any]]:
    """Return the columns of a row but for its name and `meta`, as Python values."""
    columns: dict[str, list[Any]] = {}
    for name in rows.batch.schema.names:
        if name in {"source", "id", "meta"}:
            continue
        if name in rows.sides:
            side = rows.sides[name]
            columns[name] = list(as_lists(side, openai_messages(side, decoded=decoded)))
        elif name in {"tools", "chat_template_kwargs"}:
            columns[name] = raw(rows.batch[name], len(rows))
        else:
            columns[name] = values(rows.batch[name])
    return columns


def _columns(rows: FlatRows, _meta: Sequence[str]) -> Columns:
    columns = {name: values(rows.batch[name]) for name in ("source", "id")} | body(rows)
    fields = meta_fields(rows.batch["meta"])
    if rows.sides.keys() == {"prompt"}:  # fields of a prompt are what rewards read
        return columns | {"meta": [one or None for one in fields]}
    names = sorted({name for one in fields for name in one})
    free = [name for name in names if name not in columns and name != "meta"]
    columns |= {name: [one.get(name) for one in fields] for name in free}
    if len(free) < len(names):
        rest = ({name: value for name, value in one.items() if name not in free} for one in fields)
        columns["meta"] = [one or None for one in rest]
    return columns


def _settings(_files: Files, _columns: Sequence[str]) -> dict[str, Any]:
    return {}


_EVERYTHING: Final = KindLayout(_columns, {}, _settings)

JSONL: Final = Target(
    "jsonl", "jsonl", "", dict.fromkeys(("conversation", "preference", "rated", "unpaired", "prompt"), _EVERYTHING)
)
