r"""Some rows of a block: those that have certain values, or certain numbers.

The rows that are left keep their numbers. Rows that cannot be read stay, for the quarantine to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.io.blocks import Block, JsonItems, Lines
from curate.io.formats.base import Fields, json_fields
from curate.io.json_text import has_constants, without_nan
from curate.rows.validate import Fault

Value: TypeAlias = str | int | bool
Where: TypeAlias = Mapping[str, Value | Sequence[Value]]
"""The values that a row must have, by column: one, or any of several."""

Values: TypeAlias = Mapping[str, tuple[Value, ...]]
"""The same, checked."""


def checked_where(where: Where, owner: str) -> Values:
    """Return the values by column as tuples; raises `MixtureError` for a column or a value that is none.

    >>> checked_where({"dataset": "flan", "turns": [1, 2]}, "source 'a'")
    {'dataset': ('flan',), 'turns': (1, 2)}
    """
    if not isinstance(where, Mapping):
        raise MixtureError(f'{owner}: where={where!r} is no mapping of columns, such as {{"dataset": "flan"}}')
    for column, given in where.items():
        values = given if isinstance(given, list | tuple) else (given,)
        if not isinstance(column, str) or not values or not all(isinstance(value, str | int) for value in values):
            raise MixtureError(f"{owner}: where={{{column!r}: {given!r}}}: a column, and text or whole numbers")
    return values_of(where)


def values_of(where: Where) -> Values:
    """Return the values by column as tuples, unchecked.

    >>> values_of({"dataset": "flan"})
    {'dataset': ('flan',)}
    """
    return {name: (given,) if isinstance(given, str | int) else tuple(given) for name, given in where.items()}


def matching(block: Block, where: Values) -> Block:
    r"""Return the rows of a block that have the values of `where`; a row without one of its columns has not.

    >>> block = Block("a", 1, Lines(b'{"set":"x"}\n{"set":"y"}\n'), 24)
    >>> matching(block, {"set": ("y",)}).data
    Lines(data=b'\n{"set":"y"}\n')
    """
    match block.data:
        case Lines(data):
            lines = bytes(data).split(b"\n")
            kept = [line if _text_matches(line, where) else b"" for line in lines]
            return block._replace(data=Lines(b"\n".join(kept)), start=None)
        case JsonItems(items):
            return _numbered(block, np.array([_text_matches(item, where) for item in items], np.bool_))
        case pa.RecordBatch():
            return _numbered(block, _batch_matches(block.data, where))
    return block


def gathered(blocks: Iterable[Block], where: Values, size: int) -> Iterator[Block]:
    """Put the matching rows of several blocks of a table into one of about `size` bytes; other blocks stay as they are.

    Row groups may be small, and only a few of their rows match.
    """
    held: list[Block] = []
    filled = 0
    for block in blocks:
        if held and (not isinstance(block.data, pa.RecordBatch) or block.file != held[0].file):
            yield _joined(held)
            held, filled = [], 0
        if not isinstance(block.data, pa.RecordBatch):
            yield block
            continue
        found = matching(block, where)
        held.append(found)
        filled += found.data.nbytes if isinstance(found.data, pa.RecordBatch) else 0
        if filled >= size:
            yield _joined(held)
            held, filled = [], 0
    if held:
        yield _joined(held)


def _joined(blocks: list[Block]) -> Block:
    batches = [block.data for block in blocks if isinstance(block.data, pa.RecordBatch)]
    numbers = np.concatenate([numbers_of(block) for block in blocks])
    size = sum(block.size for block in blocks)
    return blocks[0]._replace(data=pa.concat_batches(batches), numbers=numbers, size=size)


def matching_cells(
    rows: list[Fields | Fault], lines: list[int], raw: list[bytes], where: Values
) -> tuple[list[Fields | Fault], list[int], list[bytes]]:
    """Return the rows of CSV that have the values, as text, with their lines and bytes; and what cannot be read."""
    if not where:
        return rows, lines, raw
    keep = [_cells_match(row, where) for row in rows]
    return list(compress(rows, keep)), list(compress(lines, keep)), list(compress(raw, keep))


def _cells_match(row: Fields | Fault, where: Values) -> bool:
    if isinstance(row, Fault):
        return True
    return all(row.get(column) in [str(value) for value in values] for column, values in where.items())


def with_numbers(block: Block, numbers: NDArray[np.int64]) -> Block:
    r"""Return the rows of a block whose number is one of `numbers`, which are in order.

    Rows of CSV are left to whoever reads them: their numbers are known only then.

    >>> with_numbers(Block("a", 7, Lines(b"{}\n[]\n1\n"), 8), np.array([8])).data
    Lines(data=b'\n[]\n\n')
    """
    match block.data:
        case Lines(data):
            kept = _only_lines(np.frombuffer(data, np.uint8), numbers - block.first)
            return block._replace(data=Lines(kept), start=None)
        case JsonItems() | pa.RecordBatch():
            rows = numbers_of(block)
            return _numbered(block, np.isin(rows, numbers))
    return block


def numbers_of(block: Block) -> NDArray[np.int64]:
    """Return the numbers of the rows of a block of JSON values or of a table."""
    if block.numbers is not None:
        return block.numbers
    rows = block.data.num_rows if isinstance(block.data, pa.RecordBatch) else len(block.data.items)  # type: ignore[union-attr]
    return np.arange(block.first, block.first + rows)


def _numbered(block: Block, keep: NDArray[np.bool_]) -> Block:
    numbers = numbers_of(block)[keep]
    match block.data:
        case JsonItems(items, keys):
            rows = np.flatnonzero(keep).tolist()
            data: Any = JsonItems([items[i] for i in rows], None if keys is None else [keys[i] for i in rows])
        case _:
            data = _of_batch(block.data, keep)
    return block._replace(data=data, numbers=numbers)


def _of_batch(batch: pa.RecordBatch, keep: NDArray[np.bool_]) -> pa.RecordBatch:
    try:
        return batch.filter(pa.array(keep))
    except pa.ArrowNotImplementedError:  # views of text, as Polars writes them
        edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]))).reshape(-1, 2).tolist()
        return pa.concat_batches([batch.slice(0, 0), *(batch.slice(start, end - start) for start, end in edges)])


def _only_lines(data: NDArray[np.uint8], lines: NDArray[np.int64]) -> bytes:
    """Return text in which all lines but some are empty."""
    ends = np.flatnonzero(data == ord("\n"))
    if not len(ends) or ends[-1] != len(data) - 1:
        ends = np.append(ends, len(data))
    keep = np.zeros(len(ends), np.bool_)
    keep[lines[lines < len(ends)]] = True
    mask = np.repeat(keep, np.diff(ends, prepend=-1))[: len(data)]
    mask[ends[ends < len(data)]] = True
    return data[mask].tobytes()


def _text_matches(text: bytes, where: Values) -> bool:
    """Return whether a JSON object has the values; what is no JSON counts as if it had."""
    if not text.strip():
        return False
    try:
        fields = json_fields(without_nan(text) if has_constants(text) else text)
    except msgspec.ValidationError:
        return False
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Fault):
        return True
    return all(
        column in fields and _among(msgspec.json.decode(fields[column]), values) for column, values in where.items()
    )


def _batch_matches(batch: pa.RecordBatch, where: Values) -> NDArray[np.bool_]:
    keep = np.ones(batch.num_rows, np.bool_)
    for column, values in where.items():
        keep &= _column_matches(batch[column], values) if column in batch.schema.names else False
    return keep


def _column_matches(column: pa.Array, values: Sequence[Value]) -> NDArray[np.bool_]:
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        wanted = pa.array([value for value in values if isinstance(value, str)], column.type)
        return np.asarray(pc.is_in(column, wanted))
    return np.array([_among(value, values) for value in column.to_pylist()], np.bool_)


def _among(value: object, values: Sequence[Value]) -> bool:
    """Return whether a value is one of `values`: true is not 1."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values)
