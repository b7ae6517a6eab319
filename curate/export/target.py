"""What a trainer takes: the file, its columns and settings for each kind of row, and the parts that it cannot hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import pyarrow as pa

from curate.export.flat import FlatRows
from curate.rows.schema import Kind

Columns: TypeAlias = Mapping[str, pa.Array] | Mapping[str, Sequence[Any]]
"""Arrow arrays for Parquet; Python values for JSON Lines."""

Files: TypeAlias = Mapping[str, str]
"""The file of each split."""


class KindLayout(NamedTuple):
    """How a trainer takes one kind of row.

    `columns` makes a file's columns of rows; `meta` names the fields of the source in all rows, where they become
    columns. `cannot` has the parts that it cannot hold, with the reason; a reason continues the sentence "it ...".
    `unread` are parts that the file holds and the trainer does not read, `left` those that the file does not hold.
    """

    columns: Callable[[FlatRows, Sequence[str]], Columns]
    cannot: Mapping[str, str]
    settings: Callable[[Files, Sequence[str]], Mapping[str, Any]]
    unread: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Target(NamedTuple):
    """A trainer: the suffix of its files, the file of settings (YAML or JSON), and the kinds of row that it takes.

    `note` is a comment at the top of its settings.
    """

    name: str
    suffix: Literal["parquet", "jsonl"]
    settings_file: str
    kinds: Mapping[Kind, KindLayout]
    note: str = ""
    expands_meta: bool = False


def named(rows: FlatRows, *, meta: bool = True) -> dict[str, pa.Array]:
    """Return the columns that every file has: the name of a row, and with `meta` the source's other fields as JSON."""
    return {name: rows.batch[name] for name in ("source", "id", *(("meta",) if meta else ()))}


def parts(rows: FlatRows, *names: str) -> dict[str, pa.Array]:
    """Return those of these columns that the build has."""
    return {name: rows.batch[name] for name in names if name in rows.batch.schema.names}


def settings_text(target: Target, settings: Mapping[str, Any]) -> str:
    """Return settings as their file says them."""
    if target.settings_file.endswith(".json"):
        return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    return "".join(f"# {line}\n" for line in target.note.splitlines()) + "\n".join(_yaml(settings)) + "\n"


def _yaml(settings: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return lines of YAML: values are as in JSON, which is YAML."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines.append(f"{indent}{name}:")
            for item in value:
                first, *rest = _yaml(item, f"{indent}    ")
                lines += [f"{indent}  - {first.strip()}", *rest]
        elif isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_yaml(value, f"{indent}  ")]
        else:
            plain = isinstance(value, str) and value.replace("_", "").replace(".", "").replace("-", "").isalnum()
            lines.append(f"{indent}{name}: {value if plain else json.dumps(value)}")
    return lines
