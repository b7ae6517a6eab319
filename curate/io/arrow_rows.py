"""Rows of Parquet, Arrow and tables in memory: batches that are valid, and their rows as Python values.

Nothing else trusts what comes from outside: offsets are held against the buffers that they point into before a value is
read, for a wrong one would read other memory.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from curate.errors import FormatError
from curate.io.formats.base import JsonText
from curate.io.parquet import needed_row_groups, parquet_file, read_columns
from curate.io.paths import File
from curate.io.unpack import packing, whole_bytes
from curate.rows.validate import Fault

_BINARY: Final = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
_STREAM_END: Final = b"\xff\xff\xff\xff\0\0\0\0"
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001  a moment without a zone, to which one is given where there is one


class ParquetPart(NamedTuple):
    """What is read of Parquet: `columns` (None: all), of row groups that may hold rows with the values of `where`."""

    columns: tuple[str, ...] | None = None
    where: Mapping[str, Sequence[object]] = {}


WHOLE: Final = ParquetPart()


class NumberedBatch(NamedTuple):
    """Rows of a file: the number of the first, from 1, and how many the file (of a stream: the batch) has."""

    rows: pa.RecordBatch
    first: int
    total: int


def arrow_batches(file: File, container: str, size: int, part: ParquetPart = WHOLE) -> Iterator[NumberedBatch]:
    """Give the batches of a file, valid; of Parquet, those of a part of it.

    Raises `FormatError` for one that is damaged.
    """
    packed = packing(file)
    source: Any = pa.memory_map(str(file.path)) if packed is None else pa.BufferReader(whole_bytes(file, packed))
    with source:
        if container == "parquet":
            yield from (batch._replace(rows=valid(batch.rows)) for batch in _parquet(source, size, part))
            return
        first = 1
        for rows, total in _ipc(source):
            yield NumberedBatch(valid(rows), first, total)
            first += rows.num_rows


def _parquet(source: pa.NativeFile, size: int, part: ParquetPart) -> Iterator[NumberedBatch]:
    with parquet_file(source) as table:
        meta = table.metadata
        numbers, several = read_columns(meta, part.columns), range(meta.num_row_groups)
        held = sum(meta.row_group(i).column(j).total_uncompressed_size for i in several for j in numbers)
        rows = max(1, min(65_536, size * max(meta.num_rows, 1) // max(held, 1)))
        columns = None if part.columns is None else [name for name in table.schema_arrow.names if name in part.columns]
        starts = list(accumulate((meta.row_group(i).num_rows for i in several), initial=1))
        groups = [[i] for i in needed_row_groups(meta, part.where)] if part.where else [list(several)]
        for group in groups:
            if part.where and not _may_have(table.read_row_groups(group, columns=list(part.where)), part.where):
                continue
            first = starts[group[0]] if group else 1
            for batch in table.iter_batches(batch_size=rows, row_groups=group, columns=columns):
                yield NumberedBatch(batch, first, meta.num_rows)
                first += batch.num_rows


def _may_have(columns: pa.Table, where: Mapping[str, Sequence[object]]) -> bool:
    """Return whether each column of a row group has one of its values in some row."""
    for name, values in where.items():
        try:
            if not pc.any(pc.is_in(columns[name], pa.array(values))).as_py():
                return False
        except pa.ArrowException:  # values of another type than the column: rows are compared one by one
            continue
    return True


def _ipc(source: pa.NativeFile) -> Iterator[tuple[pa.RecordBatch, int]]:
    head = source.read(6)
    source.seek(0)
    if head != b"ARROW1":
        for batch in pyarrow.ipc.open_stream(source):
            yield batch, batch.num_rows
        source.seek(max(0, source.size() - len(_STREAM_END)))
        if head.startswith(_STREAM_END[:4]) and source.read() != _STREAM_END:
            raise pa.ArrowInvalid("truncated: the mark at its end is missing")
        return
    reader = pyarrow.ipc.open_file(source)
    batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    for batch in batches:
        yield batch, sum(one.num_rows for one in batches)


def valid(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose buffers hold what it says; text that is not UTF-8 is left to the reading of its row.

    Raises `FormatError` where they do not, or where two columns have one name.
    """
    names = batch.schema.names
    if len(set(names)) < len(names):
        raise FormatError(f"two columns have one name: {', '.join(sorted(names))}; rename one")
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        for name, column in zip(names, batch.columns, strict=True):
            _check_buffers(name, column, error)
    return batch


def _check_buffers(name: str, column: pa.Array, error: Exception) -> None:
    """Raise `FormatError` unless a column is valid but for text that is not UTF-8."""
    try:
        column.validate()
        column.view(_without_text(column.type)).validate(full=True)
    except pa.ArrowException as fault:
        raise FormatError(
            f"column {name!r} is damaged: {' '.join(str(fault).split())}. Write the file again."
        ) from error


def _without_text(kind: pa.DataType) -> pa.DataType:
    """Return a type with the same buffers, in which text is bytes."""
    if kind in _BINARY:
        return _BINARY[kind]
    if pa.types.is_struct(kind):
        return pa.struct([_bytes_field(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_bytes_field(kind.key_field), _bytes_field(kind.item_field))
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _without_text(kind.value_type), kind.ordered)
    for is_kind, make in _LISTS:
        if is_kind(kind):
            return make(_bytes_field(kind.value_field))
    return pa.list_(_bytes_field(kind.value_field), kind.list_size) if pa.types.is_fixed_size_list(kind) else kind


_LISTS: Final = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
    (pa.types.is_list_view, pa.list_view),
    (pa.types.is_large_list_view, pa.large_list_view),
)


def _bytes_field(field: pa.Field) -> pa.Field:
    return field.with_type(_without_text(field.type))


def slices(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """Cut a batch into parts of about `size` bytes."""
    step = max(1, min(65_536, size * max(batch.num_rows, 1) // max(batch.nbytes, 1)))
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def together(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Put batches into one; none where there is no row."""
    several = [batch for batch in batches if batch.num_rows]
    if several:
        yield pa.concat_batches(several)


def batch_rows(batch: pa.RecordBatch | pa.Table) -> list[dict[str, Any] | Fault]:
    """Return the rows of a batch as Python values; a `Fault` in place of one whose text is not UTF-8.

    Moments, times and durations that Python cannot hold (nanoseconds, years after 9999) are text, as ISO 8601 has it.
    """
    try:
        if not any(map(_needs_care, batch.schema.types)):
            return batch.to_pylist()
        columns = [_values(column) for column in batch.columns]
    except (UnicodeDecodeError, KeyError) as error:
        if batch.num_rows == 1:
            reason = f"UTF-8; {error.reason}" if isinstance(error, UnicodeDecodeError) else "each key of a map once"
            return [Fault("", reason)]
        return [row for i in range(batch.num_rows) for row in batch_rows(batch.slice(i, 1))]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    if isinstance(column.type, pa.JsonType):
        return [text and JsonText(text) for text in column.to_pylist()]
    return [_value(scalar) for scalar in column] if _needs_care(column.type) else column.to_pylist()


def _needs_care(kind: pa.DataType) -> bool:
    """Return whether values hold moments, which Python may not reach, maps, which Arrow gives as pairs, or JSON."""
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    if isinstance(kind, pa.DictionaryType | pa.RunEndEncodedType):
        inner.append(kind.value_type)
    own = pa.types.is_map(kind) or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind))
    return own or isinstance(kind, pa.JsonType) or any(map(_needs_care, inner))


def _value(scalar: pa.Scalar) -> Any:  # noqa: ANN401
    """Return a value, and those within it; moments as text."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(kind):
        return _moment(scalar.value, _PER_SECOND[kind.unit], kind.tz)
    if pa.types.is_date(kind):
        return str(np.datetime64(scalar.value, "D" if pa.types.is_date32(kind) else "ms").astype("datetime64[D]"))
    if pa.types.is_time(kind):
        return _with_nanoseconds(scalar.value, _PER_SECOND[kind.unit], lambda passed: (_EPOCH + passed).time())
    if pa.types.is_duration(kind):
        return _duration(scalar.value, _PER_SECOND[kind.unit])
    if pa.types.is_map(kind):
        return _map(scalar)
    if pa.types.is_struct(kind):
        return {name: _value(item) for name, item in scalar.items()}
    if pa.types.is_nested(kind) and hasattr(scalar, "values"):
        return [_value(item) for item in scalar.values]
    if isinstance(kind, pa.JsonType):
        return JsonText(scalar.as_py())
    inner = getattr(scalar, "value", None)
    return _value(inner) if isinstance(inner, pa.Scalar) else scalar.as_py()


def _map(scalar: pa.MapScalar) -> dict[Any, Any]:
    pairs = [(_value(pair["key"]), _value(pair["value"])) for pair in scalar.values]
    made = dict(pairs)
    if len(made) < len(pairs):
        raise KeyError(next(key for key, _ in pairs))
    return made


def _moment(value: int, per_second: int, zone: str | None) -> str:
    """Return a moment as ISO text, in its zone; in UTC where Python's dates do not reach it.

    >>> _moment(1, 10**9, "UTC"), _moment(300_000_000_000, 1, None)
    ('1970-01-01T00:00:00.000000001Z', '11476-08-15T05:20:00')
    """

    def local(passed: dt.timedelta) -> dt.datetime:
        moment = _EPOCH + passed
        if zone is None:
            return moment
        return moment.replace(tzinfo=dt.UTC).astimezone(pa.lib.string_to_tzinfo(zone))

    try:
        return _with_nanoseconds(value, per_second, local)
    except OverflowError:
        seconds, part = divmod(value, per_second)
        digits = f".{part * (10**6 // per_second):06d}" if part else ""
        return f"{np.datetime64(seconds, 's')}{digits}{'Z' if zone else ''}"


def _duration(value: int, per_second: int) -> str:
    """Return a duration as ISO text.

    >>> _duration(-1_500, 1000), _duration(86_400 * 10**9 + 1, 10**9)
    ('-PT1.5S', 'P1DT0.000000001S')
    """
    days, rest = divmod(abs(value), 86_400 * per_second)
    seconds, part = divmod(rest, per_second)
    digits = f".{part * (10**9 // per_second):09d}".rstrip("0") if part else ""
    date, time = f"{days}D" if days or not rest else "", f"T{seconds}{digits}S" if rest else ""
    return f"{'-' if value < 0 else ''}P{date}{time}"


def _with_nanoseconds(value: int, per_second: int, make: Callable[[dt.timedelta], dt.datetime | dt.time]) -> str:
    """Return what `make` makes of the whole microseconds as ISO text, with the nanoseconds behind them."""
    micro, nanoseconds = divmod(value * (10**9 // per_second), 1000)
    made = make(dt.timedelta(microseconds=micro))
    if not nanoseconds:
        return msgspec.to_builtins(made)
    text: str = msgspec.to_builtins(made.replace(microsecond=0))
    digits = f".{made.microsecond:06d}{nanoseconds:03d}"
    clock = text.index(":") + len(":00:00") - len(":")
    return f"{text[: clock + 1]}{digits}{text[clock + 1 :]}"
