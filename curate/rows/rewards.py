"""The columns of a prompt row that reward functions read: within a build names with JSON values, in its files columns.

A column has the type of all of its values: text, whole number, number, truth value, or list of texts. Where they are of
several types, or of another one, the column is their JSON text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl
import pyarrow as pa

TYPES: Final[dict[str, tuple[pl.DataType, pa.DataType]]] = {
    "text": (pl.String(), pa.string()),
    "int": (pl.Int64(), pa.int64()),
    "float": (pl.Float64(), pa.float64()),
    "bool": (pl.Boolean(), pa.bool_()),
    "texts": (pl.List(pl.String), pa.list_(pa.string())),
    "json": (pl.String(), pa.string()),
}
"""The type of a column while it is decoded, and in a file."""

_TEXTS: Final = r'^\[\s*(?:"(?:[^"\\]|\\.)*"\s*(?:,\s*"(?:[^"\\]|\\.)*"\s*)*)?\]$'
_INT: Final = r"^-?[0-9]{1,18}$"
_LONG: Final = r"^-?[0-9]{19,}$"
"""A whole number that may not fit into 64 bits, and would lose digits as a float."""


def reward_types(body: pa.RecordBatch) -> dict[str, list[str]]:
    """Return the names of the reward columns of these rows, each with the types of its values; nulls have none.

    >>> from curate.rows.schema import REWARDS
    >>> rewards = [[{"name": "ground_truth", "value": '"4"'}], [{"name": "ground_truth", "value": "[1]"}]]
    >>> reward_types(pa.RecordBatch.from_pydict({"rewards": pa.array(rewards, REWARDS)}))
    {'ground_truth': ['json', 'text']}
    """
    flat = body["rewards"].flatten()
    value = pl.col("value")
    kind = (
        pl.when(value.str.starts_with('"')).then(pl.lit("text"))
        .when(value.is_in(["true", "false"])).then(pl.lit("bool"))
        .when(value.str.contains(_INT)).then(pl.lit("int"))
        .when(value.str.contains(r"^-?[0-9]") & ~value.str.contains(_LONG)).then(pl.lit("float"))
        .when(value.str.contains(_TEXTS)).then(pl.lit("texts"))
        .otherwise(pl.lit("json"))
    )  # fmt: skip
    frame = pl.DataFrame({"name": flat.field("name"), "value": flat.field("value")}).filter(value != "null")
    pairs = frame.select("name", kind=kind).unique().sort("name", "kind").rows()
    found: dict[str, list[str]] = {}
    for name, one in pairs:
        found.setdefault(name, []).append(one)
    return found


def reward_columns(every: Iterable[Mapping[str, list[str]]]) -> dict[str, str]:
    """Return the reward columns of several batches, by name, each with its type.

    >>> reward_columns([{"n": ["int"]}, {"n": ["float"], "a": ["text"]}, {"a": ["texts"]}])
    {'a': 'json', 'n': 'float'}
    """
    seen: dict[str, set[str]] = {}
    for one in every:
        for name, kinds in one.items():
            seen.setdefault(name, set()).update(kinds)
    return {name: _type_of(seen[name]) for name in sorted(seen)}


def _type_of(kinds: set[str]) -> str:
    if kinds == {"int", "float"}:
        return "float"
    return next(iter(kinds)) if len(kinds) == 1 else "json"


def reward_fields(columns: Mapping[str, str]) -> list[pa.Field]:
    """Return the columns of a data file for these reward columns."""
    return [pa.field(name, TYPES[kind][1]) for name, kind in columns.items()]


def spread(body: pa.RecordBatch, columns: Mapping[str, str]) -> pa.RecordBatch:
    """Return rows with a column for each reward in place of `rewards`; null where a row has none.

    >>> from curate.rows.schema import REWARDS
    >>> rewards = pa.array([[{"name": "n", "value": "2"}], []], REWARDS)
    >>> spread(pa.RecordBatch.from_pydict({"rewards": rewards, "meta": ["{}", "{}"]}), {"n": "int"}).to_pydict()
    {'n': [2, None], 'meta': ['{}', '{}']}
    """
    lists = body["rewards"]
    frame = pl.DataFrame({"rewards": pl.Series(lists)}).with_row_index("row").explode("rewards", empty_as_null=True)
    frame = frame.unnest("rewards").filter(pl.col("name").is_not_null())
    rows = pl.DataFrame({"row": pl.int_range(body.num_rows, dtype=pl.get_index_type(), eager=True)})
    made: dict[str, pa.Array] = {}
    for field, (name, kind) in zip(reward_fields(columns), columns.items(), strict=True):
        own = frame.filter(pl.col("name") == name).select("row", "value")
        value = rows.join(own, on="row", how="left", maintain_order="left")["value"]
        value = value if kind == "json" else value.str.json_decode(TYPES[kind][0])
        made[name] = value.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(field.type)
    given = dict(zip(body.schema.names, body.columns, strict=True))
    every = [made if name == "rewards" else {name: column} for name, column in given.items()]
    return pa.RecordBatch.from_pydict({name: column for some in every for name, column in some.items()})
