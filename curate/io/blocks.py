"""From a file to blocks: units of work of about 16 MiB, independent of each other.

JSON lines, CSV and TSV stream, also when packed; Parquet and Arrow come in batches; only one JSON text is read whole.
Where blocks end does not change what they come to.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.io.arrow_rows import WHOLE, ParquetPart, arrow_batches, batch_rows, slices, together
from curate.io.containers import container_of
from curate.io.delimited import COMMAS, MALFORMED, TABS, UNCLOSED, Cells, Dialect, cell_text, separator_in, split
from curate.io.formats.base import Fields
from curate.io.json_text import Fits, json_rows
from curate.io.parse import MAX_LINE
from curate.io.paths import File
from curate.io.unpack import Stored, chunks, reading, stored, whole
from curate.kernels.buffers import frozen
from curate.kernels.compile import kernel
from curate.rows.validate import Fault, refuse

BLOCK: Final = 16 << 20
"""Bytes of a block, about: enough to keep per-block costs under 1 %, small enough for many in flight."""

TOO_LONG: Final = f"a row of at most {MAX_LINE >> 20} MiB"

_SHOWN: Final = 1024
"""Bytes kept of a row that is too long, for its excerpt."""


class Lines(NamedTuple):
    """JSON lines, whole."""

    data: bytes | pa.Buffer


class JsonItems(NamedTuple):
    """Values of one JSON text; `keys` are their ids where they were keyed by id."""

    items: list[bytes]
    keys: list[str] | None


class DelimitedRows(NamedTuple):
    """Rows of CSV or TSV, whole."""

    data: bytes
    header: tuple[str, ...]
    dialect: Dialect
    unescape: bool


class Refused(NamedTuple):
    """One row that cannot be read: what was expected, and its first bytes."""

    expected: str
    start: bytes


Data: TypeAlias = Lines | JsonItems | DelimitedRows | Refused | pa.RecordBatch


class Block(NamedTuple):
    """A unit of work of a source: the file's name, the number of its first line (JSON lines, CSV, TSV) or row, from 1.

    `data` is what it holds (None once it is released), `size` about how many bytes of the file it took. `start` is the
    place in the file of the first byte of JSON lines that are in the file as they are; None if it is compressed.
    `numbers` are those of its JSON values or table rows where they do not count on from `first`.
    """

    file: str
    first: int
    data: Data | None
    size: int
    start: int | None = None
    numbers: NDArray[np.int64] | None = None


class ReadOptions(NamedTuple):
    """How text files are read.

    Of CSV and TSV, `columns` are the names where the file has no header; `dialect` is None for the suffix and the
    header to tell, `separator` and `quoted` change it; `unescape` makes a line end of a backslash and an n. `encoding`
    is None for UTF-8, or UTF-16 and UTF-32 where the first bytes say so.
    """

    columns: tuple[str, ...] | None = None
    quoted: bool | None = None
    separator: str | None = None
    unescape: bool = False
    dialect: Dialect | None = None
    encoding: str | None = None


def file_blocks(
    file: File, options: ReadOptions, fits: Fits, *, part: ParquetPart = WHOLE, at_once: bool = False, size: int = BLOCK
) -> Iterator[Block]:
    """Give a file's blocks in order, or with `at_once` all of its rows in one. Raises `FormatError`."""
    with reading(file):
        how = stored(file, options.encoding)
        container = container_of(file, how)
    match container:
        case "jsonl" if at_once:
            yield Block(file.name, 1, Lines(whole(file, how)), file.size)
        case "jsonl":
            yield from _lines(file, how, size)
        case "json":
            yield from _json(file, how, fits, file.size + size if at_once else size)
        case "csv" | "tsv":
            yield from _delimited(file, how, options, COMMAS if container == "csv" else TABS, size, at_once=at_once)
        case _:
            yield from _arrow(file, container, size, part, at_once=at_once)


def _lines(file: File, how: Stored, size: int) -> Iterator[Block]:
    r"""Cut JSON lines after the last line end of each step; a line over `MAX_LINE` is skipped without being kept."""
    carry, line, done = b"", 1, 0
    skipping = False
    for chunk, place in chunks(file, how, size):
        if not carry and not skipping and chunk[-1:] == b"\n" and len(chunk) <= MAX_LINE:
            start = place - len(chunk) if how.plain else None
            yield Block(file.name, line, Lines(pa.py_buffer(chunk)), place - done, start)
            line += count_lines(chunk)
            done = place
            continue
        data = carry + bytes(chunk)
        if skipping or (len(data) > MAX_LINE and data.find(b"\n", 0, MAX_LINE + 1) < 0):
            if not skipping:
                yield Block(file.name, line, Refused(TOO_LONG, data[:_SHOWN]), 0)
            end = data.find(b"\n") + 1
            skipping = not end
            line += bool(end)
            data = data[end:] if end else b""
        cut = data.rfind(b"\n") + 1
        if cut:
            start = place - len(data) if how.plain else None
            yield Block(file.name, line, Lines(data[:cut]), place - done, start)
            line += data.count(b"\n", 0, cut)
            done = place
        carry = data[cut:]
    if carry.strip():
        yield Block(file.name, line, Lines(carry), file.size - done)


def count_lines(data: bytes | memoryview) -> int:
    r"""Count line ends.

    >>> count_lines(b"a\nb\n")
    2
    """
    return _count_lines(frozen(np.frombuffer(data, np.uint8)))


@kernel
def _count_lines(data: NDArray[np.uint8]) -> int:
    count = 0
    for byte in data:
        count += byte == 10
    return count


def _json(file: File, how: Stored, fits: Fits, size: int) -> Iterator[Block]:
    items, keys = json_rows(file, whole(file, how), fits)
    total = max(1, sum(map(len, items)))
    first = 0
    while first < len(items):
        last, held = first, 0
        while last < len(items) and (held < size or last == first):
            held += len(items[last])
            last += 1
        part = None if keys is None else keys[first:last]
        yield Block(file.name, first + 1, JsonItems(items[first:last], part), file.size * held // total)
        first = last


def _delimited(
    file: File, how: Stored, options: ReadOptions, usual: Dialect, size: int, *, at_once: bool
) -> Iterator[Block]:
    names, dialect = options.columns, None
    carry, line, done = b"", 1, 0
    steps = iter([(whole(file, how), file.size)]) if at_once else chunks(file, how, size)
    end = (b"\n", file.size, True)  # a last row without a line end gets one
    for chunk, place, final in chain(((*step, False) for step in steps), [end]):
        data = carry + bytes(chunk)
        if dialect is None:
            if not (final or b"\n" in data or b"\r" in data):
                carry = data
                continue
            dialect = _dialect(options, usual, data)
        cells = split(data, dialect, longest=MAX_LINE, final=final)
        used, begin, begun = cells.used, 0, 0
        if names is None and len(cells.row_start):
            names = _header(file, data, cells, dialect)
            begin, begun = (used, cells.lines) if len(cells.row_start) == 1 else _second(cells)
        if used > begin and names is not None:
            table = DelimitedRows(data[begin:used], names, dialect, options.unescape)
            yield Block(file.name, line + begun, table, place - done)
            done = place
        line += cells.lines
        carry = data[used:]
        if len(carry) > MAX_LINE:
            raise FormatError(f"{file.place}, line {line}: the row has no end within {MAX_LINE >> 20} MiB")


def _second(cells: Cells) -> tuple[int, int]:
    """Return where the second row starts: its byte and its line."""
    return int(cells.row_start[1]), int(cells.row_line[1])


def _dialect(options: ReadOptions, usual: Dialect, data: bytes) -> Dialect:
    """Return the dialect of a file that begins with `data`."""
    dialect = options.dialect or usual
    if options.quoted is not None:
        dialect = dialect._replace(quote=(dialect.quote or '"') if options.quoted else None)
    if options.separator is not None:
        return dialect._replace(separator=options.separator)
    if options.dialect is not None or options.columns is not None:
        return dialect
    return dialect._replace(separator=separator_in(data, dialect))


def _header(file: File, data: bytes, cells: Cells, dialect: Dialect) -> tuple[str, ...]:
    last = int(cells.row_cell[1])
    if (cells.sort[:last] >= MALFORMED).any():
        raise FormatError(
            f"{file.place}: the header has a quote that is not closed, or text after one. Repair it, or describe the "
            "cells: quoted=False, or dialect="
        )
    try:
        names = tuple(cell_text(data[cells.start[k] : cells.end[k]], int(cells.sort[k]), dialect) for k in range(last))
    except UnicodeDecodeError as error:
        raise FormatError(
            f"the header of {file.place} is not UTF-8. Name its encoding: files(..., encoding=)"
        ) from error
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise FormatError(
            f"{file.place} has the column {twice[0]!r} twice. If it has no header, name its columns: columns=(...)"
        )
    return names


def _arrow(file: File, container: str, size: int, part: ParquetPart, *, at_once: bool) -> Iterator[Block]:
    with reading(file):
        batches = arrow_batches(file, container, size, part)
        if at_once:
            yield from (Block(file.name, 1, rows, file.size) for rows in together(batch.rows for batch in batches))
            return
        done = 0  # rows of the file that were read or left out so far: a block's size counts those left out before it
        for batch in batches:
            first = batch.first
            for rows in slices(batch.rows, size):
                here = first + rows.num_rows - 1 - done
                yield Block(file.name, first, rows, file.size * here // max(1, batch.total))
                first += rows.num_rows
                done += here


def raw_rows(block: Block) -> list[Any]:
    """Return the rows of a block, raw: JSON objects as bytes, Python values, a `Fault` for one that cannot be read."""
    match block.data:
        case Lines(data):
            return [line for line in bytes(data).split(b"\n") if line.strip()]
        case JsonItems(items):
            return items
        case DelimitedRows():
            return table_rows(block.data, block.first)[0]
        case pa.RecordBatch():
            return batch_rows(block.data)
        case Refused(expected):
            return [Fault("", expected)]
    return []


def table_rows(table: DelimitedRows, first: int) -> tuple[list[Fields | Fault], list[int], list[bytes]]:
    """Return the rows of CSV or TSV by column name (a `Fault` for a bad one), their first lines, and their bytes."""
    cells = split(table.data, table.dialect, longest=MAX_LINE)
    rows: list[Fields | Fault] = []
    raw = [table.data[start:end] for start, end in zip(cells.row_start, cells.row_end, strict=True)]
    data, sorts = table.data, cells.sort.tolist()
    texts = [data[start:end] for start, end in zip(cells.start.tolist(), cells.end.tolist(), strict=True)]
    for begin, end in pairwise(cells.row_cell.tolist()):
        try:
            rows.append(_row(table, texts[begin:end], sorts[begin:end]))
        except Fault as fault:
            rows.append(fault)
    return rows, (cells.row_line + first).tolist(), raw


def _row(table: DelimitedRows, texts: list[bytes], sorts: list[int]) -> Fields:
    """Return a row's cells by column name; raises `Fault` where there are too many or too few, or one is malformed."""
    if sorts[0] == UNCLOSED:
        refuse("", "a closing quote: the one that opens on this line is never closed")
    if len(texts) != len(table.header):
        refuse("", f"{len(table.header)} cells, not {len(texts)}")
    row: Fields = {}
    for name, text, sort in zip(table.header, texts, sorts, strict=True):
        if sort & MALFORMED:
            refuse(name, "a separator after the closing quote")
        try:
            row[name] = cell_text(text, sort, table.dialect, unescape=table.unescape)
        except UnicodeDecodeError as error:
            raise Fault(name, f"UTF-8; {error.reason}") from error
    return row
