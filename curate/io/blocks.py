"""From a file to blocks: units of work of about 16 MiB, independent of each other.

JSON lines, CSV and TSV stream, also when packed; Parquet and Arrow come in batches; only one JSON text is read whole.
Where blocks end does not change what they come to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.io.containers import chunks, container_of, json_array, malformed, packing, reading, whole
from curate.io.delimited import MALFORMED, Cells, cell_text, split
from curate.io.formats.base import Fields, json_fields
from curate.io.parse import MAX_LINE
from curate.io.paths import File
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
    separator: str
    quoted: bool
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
    """

    file: str
    first: int
    data: Data | None
    size: int
    start: int | None = None


class Delimiting(NamedTuple):
    """How CSV and TSV are read.

    `columns` are the names where the file has no header; `quoted` tells whether cells may be quoted (None: in
    CSV, not in TSV); `separator` is None for the suffix to tell; `unescape` makes a line end of a backslash and an n.
    """

    columns: tuple[str, ...] | None = None
    quoted: bool | None = None
    separator: str | None = None
    unescape: bool = False


Fits: TypeAlias = Callable[[bytes], bool]
"""Returns whether one JSON object is a row, and not a file of rows."""


def file_blocks(
    file: File, how: Delimiting, fits: Fits, *, at_once: bool = False, size: int = BLOCK
) -> Iterator[Block]:
    """Give a file's blocks in order, or with `at_once` all of its rows in one. Raises `FormatError`."""
    with reading(file):
        container = container_of(file)
    match container:
        case "jsonl" if at_once:
            yield Block(file.name, 1, Lines(whole(file)), file.size)
        case "jsonl":
            yield from _lines(file, size)
        case "json":
            yield from _json(file, fits, file.size + size if at_once else size)
        case "csv" | "tsv":
            yield from _delimited(file, how, container, size, at_once=at_once)
        case _:
            yield from _arrow(file, container, size, at_once=at_once)


def _lines(file: File, size: int) -> Iterator[Block]:
    r"""Cut JSON lines after the last line end of each step; a line over `MAX_LINE` is skipped without being kept."""
    carry, line, done = b"", 1, 0
    skipping = False
    with reading(file):
        plain = packing(file) is None
    for chunk, place in chunks(file, size):
        if not carry and not skipping and chunk[-1:] == b"\n" and len(chunk) <= MAX_LINE:
            start = place - len(chunk) if plain else None
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
            start = place - len(data) if plain else None
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


def _json(file: File, fits: Fits, size: int) -> Iterator[Block]:
    data = whole(file)
    start = data.lstrip()[:1]
    keys: list[str] | None = None
    if not start:
        return
    if start == b"[":
        items = json_array(file, data)
    else:
        items, keys = _object(file, data, fits)
    del data
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


def _object(file: File, data: bytes, fits: Fits) -> tuple[list[bytes], list[str] | None]:
    """Return the rows of a file that is one JSON object: itself, the objects it holds by id, or those of its list."""
    text = data.strip()
    try:
        fields = json_fields(text)
    except Fault as fault:
        raise FormatError(
            f"{file.path} gives the key {fault.column!r} twice; give each row an id of its own"
        ) from fault
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(file, data, error) from error
    values = {name: bytes(value) for name, value in fields.items()}
    if fits(text):
        return [text], None
    if values and all(value.startswith(b"{") for value in values.values()):
        return list(values.values()), list(values)
    lists = [value for value in values.values() if value.startswith(b"[") and value[1:].lstrip()[:1] in {b"{", b"]"}]
    return (json_array(file, lists[0]) if len(lists) == 1 else [text]), None


def _delimited(file: File, how: Delimiting, container: str, size: int, *, at_once: bool) -> Iterator[Block]:
    separator = how.separator or ("," if container == "csv" else "\t")
    quoted = how.quoted if how.quoted is not None else container == "csv"
    names = how.columns
    carry, line, done = b"", 1, 0
    steps = iter([(whole(file) + b"\n", file.size)]) if at_once else chunks(file, size)
    for chunk, place in chain(steps, [(b"\n", file.size)]):  # a last row without a line end gets one
        data = carry + bytes(chunk)
        cells = split(data, separator, quoted=quoted)
        used, begin = cells.used, 0
        if names is None and len(cells.row_start):
            names = _header(file, data, cells)
            begin = int(cells.row_end[0]) + 1
        if len(cells.row_start) > (begin > 0) and names is not None:
            table = DelimitedRows(data[begin:used], names, separator, quoted, how.unescape)
            yield Block(file.name, line + data.count(b"\n", 0, begin), table, place - done)
            done = place
        line += cells.lines
        carry = data[used:]
        if len(carry) > MAX_LINE:
            raise FormatError(
                f"{file.path}, line {line}: the row has no end within {MAX_LINE >> 20} MiB; is a quote left open?"
            )
    if carry.strip():
        what = f"a closing quote before the end of the file ({carry.count(bytes([10]))} lines are in this row)"
        yield Block(file.name, line, Refused(what, carry[:_SHOWN]), 0)


def _header(file: File, data: bytes, cells: Cells) -> tuple[str, ...]:
    try:
        names = tuple(cell_text(data, cells, k, unescape=False) for k in range(int(cells.row_cell[1])))
    except UnicodeDecodeError as error:
        raise FormatError(f"the header of {file.path} is not UTF-8") from error
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise FormatError(
            f"{file.path} has the column {twice[0]!r} twice. If it has no header, name its columns: columns=(...)"
        )
    return names


def _arrow(file: File, container: str, size: int, *, at_once: bool) -> Iterator[Block]:
    first = 1
    with reading(file):
        batches = _parquet(file, size) if container == "parquet" else _ipc(file)
        if at_once:
            yield from (Block(file.name, 1, batch, file.size) for batch in together(batch for batch, _ in batches))
            return
        for batch, total in batches:
            for part in slices(batch, size):
                yield Block(file.name, first, part, file.size * part.num_rows // max(1, total))
                first += part.num_rows


def slices(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """Cut a batch into parts of about `size` bytes; raises `FormatError` where two columns have one name."""
    names = batch.schema.names
    if len(set(names)) < len(names):
        raise FormatError(f"two columns have one name: {', '.join(sorted(names))}; rename one")
    step = max(1, min(65_536, size * max(batch.num_rows, 1) // max(batch.nbytes, 1)))
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def together(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Put batches into one; none where there is no row."""
    several = [batch for batch in batches if batch.num_rows]
    if several:
        yield pa.concat_batches(several)


def _parquet(file: File, size: int) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Give a file's batches, each with the number of rows of the file."""
    source = file.path if packing(file) is None else pa.BufferReader(whole(file))
    with pq.ParquetFile(source) as table:
        meta = table.metadata
        held = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        rows = max(1, min(65_536, size * max(meta.num_rows, 1) // max(held, 1)))
        for batch in table.iter_batches(batch_size=rows):
            yield batch, meta.num_rows


def _ipc(file: File) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Give the batches of a file or stream, each with the total row count (of a stream: of the batch)."""
    source: Any = pa.memory_map(str(file.path)) if packing(file) is None else pa.BufferReader(whole(file))
    with source:
        stream = source.read(6) != b"ARROW1"
        source.seek(0)
        if stream:
            for batch in pyarrow.ipc.open_stream(source):
                yield batch, batch.num_rows
            return
        reader = pyarrow.ipc.open_file(source)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        for batch in batches:
            yield batch, sum(one.num_rows for one in batches)


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


def batch_rows(batch: pa.RecordBatch | pa.Table) -> list[Any]:
    """Return the rows of a batch as Python values; a `Fault` in place of one whose text is not UTF-8."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [Fault("", f"UTF-8; {error.reason}")]
        return [row for i in range(batch.num_rows) for row in batch_rows(batch.slice(i, 1))]


def table_rows(table: DelimitedRows, first: int) -> tuple[list[Fields | Fault], list[int], list[bytes]]:
    """Return the rows of CSV or TSV by column name (a `Fault` for a bad one), their first lines, and their bytes."""
    cells = split(table.data, table.separator, quoted=table.quoted)
    rows: list[Fields | Fault] = []
    raw = [table.data[start:end] for start, end in zip(cells.row_start, cells.row_end, strict=True)]
    bounds = cells.row_cell.tolist()
    for begin, end in pairwise(bounds):
        try:
            rows.append(_row(table, cells, begin, end))
        except Fault as fault:
            rows.append(fault)
    return rows, (cells.row_line + first).tolist(), raw


def _row(table: DelimitedRows, cells: Cells, begin: int, end: int) -> Fields:
    """Return a row's cells by column name; raises `Fault` where there are too many or too few, or one is malformed."""
    if end - begin != len(table.header):
        refuse("", f"{len(table.header)} cells, not {end - begin}")
    row: Fields = {}
    for name, k in zip(table.header, range(begin, end), strict=True):
        if cells.sort[k] == MALFORMED:
            refuse(name, "a separator after the closing quote")
        try:
            row[name] = cell_text(table.data, cells, k, unescape=table.unescape)
        except UnicodeDecodeError as error:
            raise Fault(name, f"UTF-8; {error.reason}") from error
    return row
