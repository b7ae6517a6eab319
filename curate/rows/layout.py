"""The columns of finished rows, as files have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from curate.rows.parts import conform, with_null_calls
from curate.rows.rewards import reward_fields, spread
from curate.rows.schema import Kind, body_schema, row_schema


class Layout(NamedTuple):
    """The kind of rows, the parts that some of them use (as bits), and the types of their reward columns, by name."""

    kind: Kind
    parts: int
    rewards: Mapping[str, str]

    @property
    def body(self) -> pa.Schema:
        """The schema of their bodies within a build."""
        return body_schema(self.kind, self.parts)

    @property
    def schema(self) -> pa.Schema:
        """The schema of their files: `source` and `id`, then the body, with a column for each reward.

        >>> Layout("prompt", 0, {"ground_truth": "text"}).schema.names
        ['source', 'id', 'prompt', 'ground_truth', 'meta']
        """
        fields = list(row_schema(self.kind, self.parts))
        place = next((i for i, field in enumerate(fields) if field.name == "rewards"), None)
        if place is not None:
            fields[place : place + 1] = reward_fields(self.rewards)
        return pa.schema(fields)

    def finished(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows with source, id and body in the columns of their files."""
        whole = conform(rows, row_schema(self.kind, self.parts))
        if self.kind == "prompt":
            whole = spread(whole, self.rewards)
        return with_null_calls(pa.RecordBatch.from_arrays(whole.columns, schema=self.schema))
