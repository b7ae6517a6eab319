"""Parts of Parquet files on the Hub: the footer, and the columns of the row groups that are needed.

Each file has a stand-in on this machine, as large as itself, with what was fetched in its place and holes elsewhere,
and beside it a note of what is there. So whatever reads the whole file reads the parts, at the same numbers of rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import FormatError, SourceNotFoundError, did_you_mean
from curate.io.arrow_rows import ParquetPart
from curate.io.atomic import write_text
from curate.io.hub.refusals import explained
from curate.io.hub.repository import Snapshot, get
from curate.io.parquet import needed_row_groups, read_columns

MAGIC: Final = b"PAR1"
FOOTER: Final = 1 << 16
"""Bytes at the end that are fetched first: they hold the footer of most files."""

GAP: Final = 1 << 14
"""Bytes between two ranges that are fetched with them: less than what one more request costs in time."""

MOST: Final = 32 << 20
"""Bytes of one request: so much is fetched again where a connection is cut."""

AT_ONCE: Final = 8
"""Requests at once, as many as the client makes for whole files."""

CHANGED_AT: Final = 0
"""The time of change of every stand-in: it holds the same file, however much of it is there."""


class ByteRange(NamedTuple):
    """Bytes of a file, from `start` to before `end`."""

    start: int
    end: int


def fetch_parts(found: Snapshot, path: str, part: ParquetPart) -> Path:
    """Return a stand-in for a Parquet file that holds a part of it.

    Raises `SourceNotFoundError` for a column that it has not, and for what the Hub does not hand out; `FormatError` for
    a file that is no Parquet.
    """
    place = _place(found, path)
    size = found.sizes[path]
    with explained(found.repository, found.commit):
        _fetch(found, path, place, [ByteRange(max(0, size - FOOTER), size)])
        length = int.from_bytes(_read(place, size - 8, 4), "little")
        if _read(place, size - 4, 4) != MAGIC or length > size - 12:
            raise FormatError(f"{found.repository}: {path} is no Parquet file, of which columns could be read")
        _fetch(found, path, place, [ByteRange(size - 8 - length, size)])
        try:
            meta = pq.read_metadata(place)
        except pa.ArrowException as error:
            raise FormatError(f"{found.repository}: the footer of {path} cannot be read: {error}") from error
        _fetch(found, path, place, _chunks(meta, part.columns, needed_row_groups(meta, part.where)))
    return place


def check_columns(names: Sequence[str], columns: Sequence[str], where: str) -> None:
    """Raise `SourceNotFoundError` for a column that is none of `names`."""
    for column in columns:
        if column not in names:
            raise SourceNotFoundError(f"{where} has no column {column!r}; {did_you_mean(column, names)}")


def _chunks(meta: pq.FileMetaData, columns: Sequence[str] | None, groups: Iterable[int]) -> Iterator[ByteRange]:
    """Give the bytes of the columns of row groups."""
    numbers = read_columns(meta, columns)
    for group in groups:
        row_group = meta.row_group(group)
        for number in numbers:
            chunk = row_group.column(number)
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            yield ByteRange(start, start + chunk.total_compressed_size)


def _place(found: Snapshot, path: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=found.repository, repo_type="dataset")
    return Path(constants.HF_HOME, "curate", folder, found.commit, path)


def _fetch(found: Snapshot, path: str, place: Path, wanted: Iterable[ByteRange]) -> None:
    """Fetch what is wanted of a file and not yet there into its stand-in."""
    from huggingface_hub import hf_hub_url

    note = place.with_name(f"{place.name}.parts.json")
    held = _noted(note) if place.is_file() else []
    missing = [part for span in joined(without(wanted, held), GAP) for part in _cut(span)]
    if not missing:
        return
    url = hf_hub_url(found.repository, path, repo_type="dataset", revision=found.commit)
    place.parent.mkdir(parents=True, exist_ok=True)
    stand_in = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.truncate(stand_in, found.sizes[path])
        os.pwrite(stand_in, MAGIC, 0)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for span, data in zip(missing, pool.map(lambda span: _range(url, span), missing), strict=True):
                os.pwrite(stand_in, data, span.start)
        os.fsync(stand_in)
    finally:
        os.close(stand_in)
    os.utime(place, ns=(CHANGED_AT, CHANGED_AT))
    write_text(note, msgspec.json.encode(joined([*held, *missing], 0)).decode())


def _range(url: str, span: ByteRange) -> bytes:
    """Fetch bytes of a file; the client tries again where the Hub fails or a connection is cut."""
    response = get(url, Range=f"bytes={span.start}-{span.end - 1}", **{"Accept-Encoding": "identity"})
    if response.status_code != 206 or len(response.content) != span.end - span.start:
        raise FormatError(f"{url} is not served in parts; leave columns= out, so that it is fetched whole")
    return response.content


def _noted(note: Path) -> list[ByteRange]:
    try:
        return msgspec.json.decode(note.read_bytes(), type=list[ByteRange])
    except (OSError, msgspec.MsgspecError):
        return []


def _read(place: Path, start: int, length: int) -> bytes:
    with place.open("rb") as stream:
        stream.seek(start)
        return stream.read(length)


def joined(spans: Iterable[ByteRange], gap: int) -> list[ByteRange]:
    """Return spans in order, those at most `gap` apart as one.

    >>> (
    ...     joined([ByteRange(8, 9), ByteRange(0, 4), ByteRange(3, 6)], 1),
    ...     joined([ByteRange(8, 9), ByteRange(0, 4), ByteRange(3, 6)], 2),
    ... )
    ([ByteRange(start=0, end=6), ByteRange(start=8, end=9)], [ByteRange(start=0, end=9)])
    """
    found: list[ByteRange] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].end + gap:
            found[-1] = ByteRange(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def without(spans: Iterable[ByteRange], held: Sequence[ByteRange]) -> Iterator[ByteRange]:
    """Give what of `spans` is in none of `held`, which is in order and apart.

    >>> list(without([ByteRange(0, 10)], [ByteRange(2, 4), ByteRange(8, 20)]))
    [ByteRange(start=0, end=2), ByteRange(start=4, end=8)]
    """
    for start, end in joined(spans, 0):
        inside = [span for span in held if span.end > start and span.start < end]
        starts = [start, *(span.end for span in inside)]
        ends = [*(span.start for span in inside), end]
        yield from (ByteRange(one, other) for one, other in zip(starts, ends, strict=True) if one < other)


def _cut(span: ByteRange) -> Iterator[ByteRange]:
    """Give the parts of a span that are fetched by one request each."""
    steps = range(span.start, span.end, MOST)
    yield from (ByteRange(start, min(span.end, start + MOST)) for start in steps)
