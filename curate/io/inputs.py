"""Inputs: where rows come from, opened, cut into blocks, and parsed into the row schema."""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

import polars as pl
import pyarrow as pa

from curate.errors import MixtureError, SourceNotFoundError
from curate.io.blocks import (
    BLOCK,
    Block,
    DelimitedRows,
    Delimiting,
    JsonItems,
    Lines,
    Refused,
    batch_rows,
    file_blocks,
    raw_rows,
    slices,
    table_rows,
    together,
)
from curate.io.detect import (
    CANDIDATES,
    DEFAULT,
    LOOKED_AT,
    Detected,
    FormatName,
    call,
    checked,
    detect,
    field_names,
    fits_json,
    named,
)
from curate.io.formats.base import Format
from curate.io.jsonl.fast_path import parse_block
from curate.io.labels import first_items
from curate.io.parse import parse_lines, parse_objects
from curate.io.paths import File, repeated, resolve
from curate.io.row_collector import Collector, Parsed, excerpt_of
from curate.rows.schema import Kind

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

__all__ = ["Block", "Input", "Opened", "Parsed", "dataset", "files", "frame"]

PEEK: Final = 1 << 18
"""Bytes of a block when the first rows are looked at."""


@dataclass(frozen=True, kw_only=True)
class Input(ABC):
    """Where rows come from, and in which format (None: detect it). Nothing is read before `open`."""

    format: Format | None = None
    id: str | None = "id"

    def open(self, root: str | None = None) -> Opened:
        """Resolve the files, and detect the format; relative paths start at `root` (the working directory).

        Raises `SourceNotFoundError` if there is nothing, `FormatError` if "auto" cannot detect the format, if no row
        has a field that the format names, and for binary feedback read as conversations. An input without rows counts
        as `DEFAULT`.
        """
        parts = self.parts(root)
        rows = self.first_rows(parts, CANDIDATES) if self.format is None else self.glance(parts, self.format)
        if self.format is not None:
            found = Detected(self.format, "as declared")
        elif rows:
            found = detect(rows, self.label(parts))
        else:
            found = Detected(DEFAULT, "auto: there is no row to look at")
        return Opened(self, parts, checked(found, rows, self.label(parts)) if rows else found)

    def glance(self, parts: tuple[File, ...], declared: Format) -> list[Any]:
        """Return some of the first rows, at little cost, to hold a declared format against them."""
        return self.first_rows(parts, (declared, *CANDIDATES))

    def first_rows(self, parts: tuple[File, ...], formats: Sequence[Format]) -> list[Any]:
        """Return the first rows, raw: JSON objects as bytes, or Python values."""
        rows: list[Any] = []
        for block in self.read(parts, formats, size=PEEK):
            if not isinstance(block.data, Refused):
                rows += raw_rows(block)[: LOOKED_AT - len(rows)]
            if len(rows) == LOOKED_AT:
                break
        return rows

    @abstractmethod
    def parts(self, root: str | None) -> tuple[File, ...]:
        """Return the files; none for data in memory."""

    @abstractmethod
    def read(self, parts: tuple[File, ...], formats: Sequence[Format], *, size: int = BLOCK) -> Iterator[Block]:
        """Give blocks of about `size` bytes of rows that are in one of `formats`."""

    def stamps(self, parts: tuple[File, ...]) -> list[tuple[str, int, int]]:
        """Return what changes with the data: name, size and time of change of each file."""
        return [(file.name, file.size, file.mtime_ns) for file in parts]

    def label(self, parts: tuple[File, ...]) -> str:
        """Return the name that errors use: the first file's path."""
        return str(parts[0].path)


@dataclass(frozen=True)
class Opened:
    """An input with its files resolved and its format known."""

    input: Input
    parts: tuple[File, ...]
    found: Detected

    @property
    def format(self) -> Format:
        """The format it is read in."""
        return self.found.format

    @property
    def kind(self) -> Kind:
        """The kind of row that it holds."""
        return self.format.kind

    @property
    def size(self) -> int | None:
        """Bytes of its files on disk; None for data in memory."""
        return sum(file.size for file in self.parts) if self.parts else None

    @property
    def rows(self) -> int | None:
        """Number of rows, if known without reading; otherwise None."""
        return self.input.rows if isinstance(self.input, Frame) else None

    def describe(self) -> str:
        """Return its format, and why it was chosen."""
        return f"{call(self.format)} ({self.found.why})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth a look: files that are reached twice, labels that its format leaves out."""
        return (*repeated(self.parts), *self.found.notes)

    def fields(self) -> tuple[str, ...]:
        """Return the names of the fields that its first rows have, each once, in the order first seen."""
        rows = self.input.first_rows(self.parts, (self.format, *CANDIDATES))
        return tuple(dict.fromkeys(name for row in rows for name in field_names(row)))

    def stamp(self) -> list[tuple[str, int, int]]:
        """Return a stamp of the data: each file's name, size and time of change; a checksum of a frame."""
        return self.input.stamps(self.parts)

    def blocks(self) -> Iterator[Block]:
        """Yield its blocks in order, reading lazily; raises `FormatError` for an unreadable file."""
        return self.input.read(self.parts, (self.format,))

    def parse(self, block: Block) -> Parsed:
        """Parse a block; bad rows are quarantined. Pure: blocks may go to any thread or machine."""
        name = self.format.id_column if self.format.id_column is not None else self.input.id
        data = block.data
        match data:
            case Lines():
                return parse_block(data.data, block.first, self.format, name)
            case JsonItems():
                numbers = range(block.first, block.first + len(data.items))
                return parse_lines(data.items, numbers, self.format, name, data.keys)
            case DelimitedRows():
                rows, lines, raw = table_rows(data, block.first)
                return parse_objects(rows, lines, self.format, name, raw)
            case pa.RecordBatch():
                return parse_objects(
                    batch_rows(data), range(block.first, block.first + data.num_rows), self.format, name
                )
            case Refused():
                into = Collector(self.kind)
                into.refuse(block.first, "", data.expected, excerpt_of(data.start))
                return into.parsed()
            case _:
                raise ValueError(f"the block from {block.first} of {block.file} has been released")


_WHERE: Final = {"fingerprint": False}
"""Marks a field that is left out of the fingerprint: it names a place, not the data."""


@dataclass(frozen=True, kw_only=True)
class Files(Input):
    """See `files`."""

    paths: tuple[str, ...] = field(metadata=_WHERE)
    how: Delimiting

    def parts(self, root: str | None) -> tuple[File, ...]:
        """Return the files, sorted by name."""
        return tuple(resolve(self.paths, root))

    def glance(self, parts: tuple[File, ...], declared: Format) -> list[Any]:
        """Return some of the first rows; of a JSON array, only its first bytes are read."""
        return first_items(parts[0], LOOKED_AT, PEEK) or super().glance(parts, declared)

    def read(self, parts: tuple[File, ...], formats: Sequence[Format], *, size: int = BLOCK) -> Iterator[Block]:
        """Yield the blocks of one file after the other."""
        for file in parts:
            yield from file_blocks(
                file, self.how, lambda text: fits_json(formats, text), at_once=_whole(formats), size=size
            )


@dataclass(frozen=True, kw_only=True)
class Frame(Input):
    """See `frame` and `dataset`."""

    name: str
    batches: Callable[[], Iterator[pa.RecordBatch]] = field(metadata=_WHERE, repr=False, compare=False)
    rows: int | None = field(default=None, metadata=_WHERE, repr=False, compare=False)

    def parts(self, root: str | None) -> tuple[File, ...]:  # noqa: ARG002
        """Return no file."""
        return ()

    def read(self, parts: tuple[File, ...], formats: Sequence[Format], *, size: int = BLOCK) -> Iterator[Block]:  # noqa: ARG002
        """Yield its batches."""
        batches = self.batches()
        first = 1
        for part in (
            together(batches) if _whole(formats) else (part for batch in batches for part in slices(batch, size))
        ):
            yield Block(self.name, first, part, part.nbytes)
            first += part.num_rows

    def stamps(self, parts: tuple[File, ...]) -> list[tuple[str, int, int]]:  # noqa: ARG002
        """Return a checksum of all that it holds."""
        size = check = 0
        for batch in self.batches():
            data = batch.serialize()
            size += data.size
            check = zlib.crc32(data, check)
        return [(self.name, size, check)]

    def label(self, parts: tuple[File, ...]) -> str:  # noqa: ARG002
        """Return its name."""
        return f"the {self.name}"


def _whole(formats: Sequence[Format]) -> bool:
    """Return whether a file must come in one block; not while formats are tried."""
    return len(formats) == 1 and formats[0].whole_file


def files(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    format: FormatName | Format = "auto",  # noqa: A002
    *,
    id: str | None = "id",  # noqa: A002
    columns: Sequence[str] | None = None,
    quoted: bool | None = None,
    separator: str | None = None,
    unescape: bool = False,
) -> Input:
    r"""Rows from files: JSON, JSON lines, CSV, TSV, Parquet and Arrow, each also as `.gz` or `.zst`.

    Nothing is read before the input is opened. An empty file has no rows. JSON and JSON lines are distinguished by
    content, whatever the name.

    Args:
        paths: A file, a pattern (`data/**/*.jsonl`), a folder (every file in it with a known suffix, or what
            `datasets` saved there), or several. Files are read sorted by name, each once.
        format: A format by name, one made by its function (`messages(column="input")`), or "auto", which detects it.
        id: The field with the rows' own ids (text or integers). In JSON keyed by id, the keys are.
        columns: The names of the columns of CSV or TSV without a header.
        quoted: Whether cells may be quoted. None: in CSV, and not in TSV.
        separator: A character. None: comma or tab by suffix.
        unescape: A backslash and an n in a cell of CSV or TSV is a line end, as in FLAN's files.

    Returns:
        An input.

    Raises:
        MixtureError: There is no path, the format is unknown, or the separator is not one ASCII character.

    Example:
        >>> files("lima.json", "alpaca").format
        Alpaca()
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not several:
        raise MixtureError("files() takes at least one path")
    if separator is not None and (len(separator) != 1 or separator in '"\r\n' or not separator.isascii()):
        raise MixtureError(f"separator={separator!r} is not a single ASCII character")
    how = Delimiting(None if columns is None else tuple(columns), quoted, separator, unescape)
    return Files(format=named(format), id=id, paths=tuple(os.fspath(path) for path in several), how=how)


def frame(data: pl.DataFrame, format: FormatName | Format = "auto", *, id: str | None = "id") -> Input:  # noqa: A002
    """Rows of a polars frame; nulls count as absent.

    Args:
        data: The frame; collect a lazy one first.
        format: As in `files`.
        id: As in `files`.

    Returns:
        An input.

    Raises:
        MixtureError: `data` is not a `polars.DataFrame`, or the format is unknown.

    Example:
        >>> opened = frame(pl.DataFrame({"question": ["2+2?"], "answer": ["4"]})).open()
        >>> opened.describe()
        'question_answer() (auto: 1 of the first 1 rows have answer, question as it reads them)'
    """
    if not isinstance(data, pl.DataFrame):
        hint = "; call .collect() on it" if isinstance(data, pl.LazyFrame) else ""
        raise MixtureError(f"frame() takes a polars.DataFrame, not {type(data).__name__}{hint}")
    return Frame(
        format=named(format), id=id, name="frame", batches=lambda: iter(data.to_arrow().to_batches()), rows=data.height
    )


def dataset(data: Dataset | IterableDataset, format: FormatName | Format = "auto", *, id: str | None = "id") -> Input:  # noqa: A002
    """Rows of one split of a Hugging Face `datasets` object, streamed or not; nulls count as absent.

    Args:
        data: The dataset; of a `DatasetDict`, choose a split.
        format: As in `files`.
        id: As in `files`.

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
        name="dataset",
        batches=batches,
        rows=len(data) if isinstance(data, Sized) else None,
    )


@runtime_checkable
class Finished(Protocol):
    """What has a build folder, as `Build` does."""

    path: Path


Stored: TypeAlias = Input | Finished | str | os.PathLike[str]
"""Rows on disk or in memory: an input, a build, or the folder of a build."""


def rows_of(given: Stored, argument: str) -> Input:
    """Return stored rows as an input; `argument` names them in messages, such as `dedup(against=`.

    Raises `MixtureError` for any other type, `SourceNotFoundError` for a folder without a build.
    """
    if isinstance(given, Input):
        return given
    if not isinstance(given, Finished | str | os.PathLike):
        raise MixtureError(
            f"{argument}...) takes inputs such as files('rows.jsonl'), builds and their folders, not "
            f"{type(given).__name__}"
        )
    folder = given.path if isinstance(given, Finished) else Path(given)
    if not (folder / "manifest.json").is_file():
        raise SourceNotFoundError(
            f"{argument}{str(folder)!r}): no build is there (no manifest.json); give its folder, or an input such as "
            "files('rows.jsonl')"
        )
    return files(folder / "data" / "*.parquet")
