"""What a row is: the five kinds, their Arrow schemas, the roles of a message, and the parts that few rows have.

A row of plain chat has the columns of `BODIES`. Rows with tool calls or reasoning have more: a batch holds all of them
(`FULL`) or none, and the files of a build those that some row uses (`curate.rows.parts`).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import pyarrow as pa

Kind: TypeAlias = Literal["conversation", "rated", "preference", "unpaired", "prompt"]
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

REWARDS: Final = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))
"""What reward functions read of a row: the names of its columns and their values, as JSON text."""

CALL: Final = pa.struct([("id", pa.string()), ("name", pa.string()), ("arguments", pa.string())])
"""A call of a tool. `arguments` is JSON text, byte for byte as it came; `id` is null where none was given."""

MESSAGE_PARTS: Final = (
    pa.field("reasoning", pa.string()),
    pa.field("tool_calls", pa.list_(CALL)),
    pa.field("tool_call_id", pa.string()),
    pa.field("name", pa.string()),
)
"""What a message may have beside its role and content: the reasoning before it, the calls that it makes, and, where it
is the result of one, the id of that call and the name of the tool. A message with calls may have no content (null)."""

FULL_MESSAGE: Final = pa.struct([*MESSAGE, *MESSAGE_PARTS])

ROW_PARTS: Final = (pa.field("tools", pa.string()), pa.field("chat_template_kwargs", pa.string()))
"""What a row may have beside its messages: the tools on offer and arguments of the chat template, both JSON text."""

PARTS: Final = tuple(field.name for field in (*MESSAGE_PARTS, *ROW_PARTS))
"""The bit of a part in a mask of parts is its place here."""

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
    "unpaired": pa.schema(
        [("prompt", MESSAGES), ("completion", MESSAGES), ("label", pa.bool_()), ("meta", pa.string())]
    ),
    "prompt": pa.schema([("prompt", MESSAGES), ("rewards", REWARDS), ("meta", pa.string())]),
}
"""The columns of each kind of row, behind `source` and `id`: what a source says, and what an Edit may change.

- conversation: `messages`, a list of `{role, content}`.
- preference: `prompt`, `chosen` and `rejected`, lists of messages; `chosen_score` and `rejected_score` where there are.
- rated: `messages`, the prompt, and `completions`, a list of `{content, model, scores}`.
- unpaired: `prompt` and `completion`, lists of messages; `label`, whether the completion is good.
- prompt: `prompt`, a list of messages, and the columns that reward functions read.
- of every kind, last: `meta`, all other fields of the source as one JSON object.

Where rows use them, a message also has `reasoning`, `tool_calls` (a list of `{id, name, arguments}`), `tool_call_id`
and `name`, and a row has `tools` and `chat_template_kwargs`, both JSON text.
"""


def body_schema(kind: Kind, parts: int) -> pa.Schema:
    """Return the body of rows that use these parts, a mask of bits: `BODIES` for 0. `meta` is the last column.

    >>> body_schema("conversation", 0b10000).names
    ['messages', 'tools', 'meta']
    >>> str(body_schema("conversation", 0b1).field("messages").type.value_type)
    'struct<role: string, content: string, reasoning: string>'
    """
    used = [name for place, name in enumerate(PARTS) if parts >> place & 1]
    message = pa.struct([*MESSAGE, *(field for field in MESSAGE_PARTS if field.name in used)])
    completion = pa.struct([*COMPLETION, *(field for field in MESSAGE_PARTS[:1] if field.name in used)])
    types = {MESSAGES: pa.list_(message), pa.list_(COMPLETION): pa.list_(completion)}
    *columns, meta = (pa.field(field.name, types.get(field.type, field.type)) for field in BODIES[kind])
    return pa.schema([*columns, *(field for field in ROW_PARTS if field.name in used), meta])


EVERY_PART: Final = (1 << len(PARTS)) - 1
FULL: Final[dict[Kind, pa.Schema]] = {kind: body_schema(kind, EVERY_PART) for kind in BODIES}
"""The body of rows with every part."""


def row_schema(kind: Kind, parts: int = 0) -> pa.Schema:
    """Return the schema of finished rows that use these parts: `source` and `id`, then the body.

    >>> row_schema("conversation").names
    ['source', 'id', 'messages', 'meta']
    """
    return pa.schema([("source", pa.string()), ("id", pa.string()), *body_schema(kind, parts)])


def kind_of(schema: pa.Schema) -> Kind:
    """Return the kind whose body columns `schema` holds; raises `ValueError` when there is none.

    >>> kind_of(row_schema("preference"))
    'preference'
    """
    for kind in ("preference", "unpaired", "rated", "prompt", "conversation"):
        if set(BODIES[kind].names) <= set(schema.names):
            return kind
    raise ValueError(f"no row kind has the columns {schema.names}")
