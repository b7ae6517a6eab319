"""Rows of inputs that a step or a take is held against, and that are not part of the build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import QuarantineError
from curate.io.inputs import Input
from curate.rows.identity import Identities, identities, names


class ReferenceRows(NamedTuple):
    """A batch of rows of an input; `number` is that of its input, and `names` are files and ids ("dev.jsonl/q7")."""

    number: int
    body: pa.RecordBatch
    names: pa.StringArray
    found: Identities


def read_rows(inputs: Sequence[Input], who: str) -> Iterator[ReferenceRows]:
    """Read the rows of inputs, batch by batch; `who` is held against them, as messages say it.

    Raises `QuarantineError` if less than half of the rows of an input can be read.
    """
    for number, source in enumerate(inputs):
        opened = source.open()
        good = bad = 0
        first = ""
        for block in opened.blocks():
            parsed = opened.parse(block)
            if parsed.bad.num_rows and not bad:
                line, column, expected, _ = next(zip(*parsed.bad.to_pydict().values(), strict=True))
                first = f"{block.file}:{line}: expected {f'{column}: {expected}' if column else expected}"
            good, bad = good + parsed.body.num_rows, bad + parsed.bad.num_rows
            found = identities(parsed.body, parsed.ids)
            ids = pc.binary_join_element_wise(block.file, pc.coalesce(parsed.ids, names(found.content)), "/")
            yield ReferenceRows(number, parsed.body, ids, found)
        if bad > good:
            raise QuarantineError(
                f"{who}: {bad:,} of {good + bad:,} rows of {opened.input.label(opened.parts)}, which it compares with, "
                f"are invalid. The first: {first}. Correct the file or its format"
            )
