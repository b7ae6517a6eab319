"""What a row is: the three kinds, their Arrow schemas and the roles of a message."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import pyarrow as pa

Kind: TypeAlias = Literal["conversation", "rated", "preference"]
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

ROLES: Final[tuple[Role, ...]] = ("system", "user", "assistant", "tool")
"""A role's code in a kernel is its place here; `UNKNOWN_ROLE` is any other word."""

SYSTEM, USER, ASSISTANT, TOOL, UNKNOWN_ROLE = range(5)

MESSAGE: Final = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])
MESSAGES: Final = pa.list_(MESSAGE)
SCORE: Final = pa.struct([pa.field("name", pa.string()), pa.field("value", pa.float64())])
COMPLETION: Final = pa.struct(
    [pa.field("content", pa.string()), pa.field("model", pa.string()), pa.field("scores", pa.list_(SCORE))]
)

BODIES: Final[dict[Kind, pa.Schema]] = {
    "conversation": pa.schema([("messages", MESSAGES), ("meta", pa.string())]),
    "rated": pa.schema([("messages", MESSAGES), ("completions", pa.list_(COMPLETION)), ("meta", pa.string())]),
    "preference": pa.schema(
        [
            ("prompt", MESSAGES),
            ("chosen", MESSAGES),
            ("rejected", MESSAGES),
            ("chosen_score", pa.float64()),
            ("rejected_score", pa.float64()),
            ("meta", pa.string()),
        ]
    ),
}
"""A row without its names: what a source says, and what an Edit may change. `meta` is a JSON object, never read."""


def row_schema(kind: Kind) -> pa.Schema:
    """Return the schema of finished rows: `source` and `id`, then the body.

    >>> row_schema("conversation").names
    ['source', 'id', 'messages', 'meta']
    """
    return pa.schema([("source", pa.string()), ("id", pa.string()), *BODIES[kind]])


def kind_of(schema: pa.Schema) -> Kind:
    """Return the kind whose body columns `schema` holds; raises `ValueError` when there is none.

    >>> kind_of(row_schema("preference"))
    'preference'
    """
    for kind in ("preference", "rated", "conversation"):
        if set(BODIES[kind].names) <= set(schema.names):
            return kind
    raise ValueError(f"no row kind has the columns {schema.names}")
