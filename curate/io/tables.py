"""Inputs in memory: Polars frames and Hugging Face data sets."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from curate.errors import MixtureError
from curate.io.arrow_rows import slices, together, valid
from curate.io.blocks import BLOCK, Block
from curate.io.detect import FormatName, named
from curate.io.formats.base import Format
from curate.io.formats.marked_calls import Calls
from curate.io.formats.marked_reasoning import Reasoning
from curate.io.inputs import PLACE, Input, at_once
from curate.io.paths import File

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

__all__ = ["dataset", "frame"]


@dataclass(frozen=True, kw_only=True)
class Frame(Input):
    """See `frame` and `dataset`."""

    name: str
    batches: Callable[[], Iterator[pa.RecordBatch]] = field(metadata=PLACE, repr=False, compare=False)
    rows: int | None = field(default=None, metadata=PLACE, repr=False, compare=False)

    def __getstate__(self) -> dict[str, object]:
        """Leave the rows out: another process parses blocks of them, and they may be many."""
        return {**vars(self), "batches": _elsewhere}

    def parts(self, root: str | None) -> tuple[File, ...]:  # noqa: ARG002
        """Return no file."""
        return ()

    def read(self, parts: tuple[File, ...], formats: Sequence[Format], *, size: int = BLOCK) -> Iterator[Block]:  # noqa: ARG002
        """Yield its batches."""
        batches = map(valid, self.batches())
        first = 1
        for part in (
            together(batches) if at_once(formats) else (part for batch in batches for part in slices(batch, size))
        ):
            yield Block(self.name, first, part, part.nbytes)
            first += part.num_rows

    def stamps(self, parts: tuple[File, ...]) -> list[tuple[str, int, int]]:  # noqa: ARG002
        """Return a checksum of all that it holds."""
        size = check = 0
        for batch in map(valid, self.batches()):
            data = batch.serialize()
            size += data.size
            check = zlib.crc32(data, check)
        return [(self.name, size, check)]

    def count(self) -> int | None:
        """Return the number of rows; None for a data set that is streamed."""
        return self.rows

    def label(self, parts: tuple[File, ...]) -> str:  # noqa: ARG002
        """Return its name."""
        return f"the {self.name}"


def _elsewhere() -> Iterator[pa.RecordBatch]:
    raise ValueError("the rows of this input are in the process that opened it")


def frame(
    data: pl.DataFrame,
    format: FormatName | Format = "auto",  # noqa: A002
    *,
    id: str | None = "id",  # noqa: A002
    reasoning: Reasoning = "text",
    calls: Calls = "text",
) -> Input:
    """Rows of a polars frame; nulls count as absent.

    Args:
        data: The frame; collect a lazy one first.
        format: As in `files`.
        id: As in `files`.
        reasoning: As in `files`.
        calls: As in `files`.

    Returns:
        An input.

    Raises:
        MixtureError: `data` is not a `polars.DataFrame`, a column has a type that Arrow has not (`Object`, `Int128`),
            or the format is unknown.

    Example:
        >>> opened = frame(pl.DataFrame({"question": ["2+2?"], "answer": ["4"]})).open()
        >>> opened.describe()
        'question_answer() (auto: 1 of the first 1 rows have answer, question as it reads them)'
    """
    if not isinstance(data, pl.DataFrame):
        hint = "; call .collect() on it" if isinstance(data, pl.LazyFrame) else ""
        raise MixtureError(f"frame() takes a polars.DataFrame, not {type(data).__name__}{hint}")
    for name, kind in data.schema.items():
        if not _has_arrow_type(name, kind):
            raise MixtureError(f"frame(): column {name!r} is {kind}, which Arrow has not; cast it to text, or drop it")
    return Frame(
        format=named(format),
        id=id,
        reasoning=reasoning,
        calls=calls,
        name="frame",
        batches=lambda: iter(data.to_arrow().to_batches()),
        rows=data.height,
    )


def _has_arrow_type(name: str, kind: pl.DataType) -> bool:
    """Return whether Arrow has a column's type; it takes the addresses of Python objects for their bytes."""
    try:
        pl.DataFrame(schema={name: kind}).to_arrow()
    except pa.ArrowException:
        return False
    return kind != pl.Object


def dataset(
    data: Dataset | IterableDataset,
    format: FormatName | Format = "auto",  # noqa: A002
    *,
    id: str | None = "id",  # noqa: A002
    reasoning: Reasoning = "text",
    calls: Calls = "text",
) -> Input:
    """Rows of one split of a Hugging Face `datasets` object, streamed or not; nulls count as absent.

    Args:
        data: The dataset; of a `DatasetDict`, choose a split.
        format: As in `files`.
        id: As in `files`.
        reasoning: As in `files`.
        calls: As in `files`.

    Returns:
        An input.

    Raises:
        MixtureError: `data` is not a dataset, or the format is unknown.

    Example:
        >>> from datasets import Dataset
        >>> dataset(Dataset.from_dict({"question": ["2+2?"], "answer": ["4"]})).open().rows
        1
    """
    if not (hasattr(data, "with_format") and hasattr(data, "iter")):
        hint = f"; choose a split: {', '.join(map(str, data))}" if isinstance(data, dict) else ""
        raise MixtureError(f"dataset() takes a datasets.Dataset, not {type(data).__name__}{hint}")

    def batches() -> Iterator[pa.RecordBatch]:
        for table in data.with_format("arrow").iter(batch_size=1000):
            yield from table.to_batches()

    return Frame(
        format=named(format),
        id=id,
        reasoning=reasoning,
        calls=calls,
        name="dataset",
        batches=batches,
        rows=len(data) if isinstance(data, Sized) else None,
    )
