"""Inputs: where rows come from, opened, cut into blocks, and parsed into the row schema."""

from __future__ import annotations

import codecs
import csv
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, get_args, runtime_checkable

import msgspec
import pyarrow as pa
from msgspec import Raw

from curate.errors import FormatError, MixtureError, SourceNotFoundError, did_you_mean
from curate.io.arrow_rows import ParquetPart
from curate.io.blocks import (
    BLOCK,
    Block,
    DelimitedRows,
    JsonItems,
    Lines,
    ReadOptions,
    Refused,
    file_blocks,
    raw_rows,
    table_rows,
)
from curate.io.containers import LATIN, may_be_latin
from curate.io.delimited import dialect_of
from curate.io.detect import (
    CANDIDATES,
    DEFAULT,
    LOOKED_AT,
    Detected,
    FormatName,
    call,
    checked,
    detect,
    fields_of,
    fits_json,
    named,
)
from curate.io.formats.base import Format
from curate.io.formats.exchanges import LongSplit, check_splits, split_parsed
from curate.io.formats.marked_calls import Calls, split_calls
from curate.io.formats.marked_reasoning import Reasoning, split_reasoning
from curate.io.hub.card import Origin
from curate.io.jsonl.fast_path import parse_block
from curate.io.labels import first_items
from curate.io.narrow import Values, gathered, matching, matching_cells, numbers_of
from curate.io.parse import parse_lines, parse_objects
from curate.io.paths import File, repeated
from curate.io.row_collector import Collector, Parsed, excerpt_of
from curate.io.stores.copies import find, is_there
from curate.io.stores.urls import below, shown, text_of
from curate.io.table_fast_path import parse_table
from curate.rows.schema import Kind

__all__ = ["Block", "Input", "Opened", "Parsed", "files"]

PLACE: Final = {"fingerprint": False}
"""Marks a field that is left out of the fingerprint: it names a place, not the data."""

PEEK: Final = 1 << 18
"""Bytes of a block when the first rows are looked at."""


@dataclass(frozen=True, kw_only=True)
class Input(ABC):
    """Where rows come from, and in which format (None: detect it). Nothing is read before `open`.

    `where` is the part that a source makes of it (`curate.mix.spec.Source`).
    """

    format: Format | None = None
    id: str | None = "id"
    reasoning: Reasoning = "text"
    calls: Calls = "text"
    long_split: LongSplit | None = None
    where: Values = field(default_factory=dict, hash=False, metadata=PLACE)

    def __post_init__(self) -> None:
        for name, known in (("reasoning", get_args(Reasoning)), ("calls", get_args(Calls))):
            value = getattr(self, name)
            if value not in known:
                raise MixtureError(f"{name}={value!r}: {did_you_mean(str(value), known)}")

    def open(self, root: str | None = None) -> Opened:
        """Resolve the files, and detect the format; relative paths start at `root` (the working directory).

        Raises `SourceNotFoundError` if there is nothing, `FormatError` if "auto" cannot detect the format, if no row
        has a field that the format names, and for binary feedback read as conversations; `MixtureError` where other
        rows than conversations are to be split. An input without rows counts as `DEFAULT`.
        """
        parts = self.parts(root)
        rows = self.first_rows(parts, CANDIDATES) if self.format is None else self.glance(parts, self.format)
        if self.format is not None:
            found = Detected(self.format, "as declared")
        elif rows:
            found = detect(rows, self.label(parts))
        else:
            found = Detected(DEFAULT, "auto: there is no row to look at")
        check_splits(self.long_split, found.format, self.label(parts))
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

    def count(self) -> int | None:
        """Return the number of rows, if known without reading; otherwise None."""
        return None

    def label(self, parts: tuple[File, ...]) -> str:
        """Return the name that errors use: the first file's path or URL."""
        return parts[0].place

    def hint(self, parts: tuple[File, ...]) -> str:  # noqa: ARG002
        """Return how to read what is not UTF-8; an empty text if that is not known."""
        return ""


@dataclass(frozen=True)
class Opened:
    """An input with its files resolved and its format known; `origin` is where rows from the Hub are from."""

    input: Input
    parts: tuple[File, ...]
    found: Detected
    origin: Origin | None = field(default=None, kw_only=True)

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
        return None if self.input.where or self.input.long_split else self.input.count()

    def describe(self) -> str:
        """Return its format, and why it was chosen."""
        return f"{call(self.format)} ({self.found.why}){self.input.long_split or ''}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth a look: files that are reached twice, labels that its format leaves out, rows not converted."""
        more = (self.origin.note,) if self.origin is not None and self.origin.note else ()
        return (*repeated(self.parts), *self.found.notes, *more)

    def fields(self) -> tuple[str, ...]:
        """Return the names of the fields that its first rows have, each once, in the order first seen."""
        rows = self.input.first_rows(self.parts, (self.format, *CANDIDATES))
        return tuple(dict.fromkeys(name for row in rows for name in fields_of(row)))

    def values(self, column: str) -> tuple[Any, ...]:
        """Return the values of a field in those of its first rows that have it."""
        rows = self.input.first_rows(self.parts, (self.format, *CANDIDATES))
        found = (fields_of(row).get(column) for row in rows)
        return tuple(msgspec.json.decode(each) if isinstance(each, Raw) else each for each in found if each is not None)

    def stamp(self) -> list[tuple[str, int, int]]:
        """Return a stamp of the data: each file's name, size and time of change; a checksum of a frame."""
        return self.input.stamps(self.parts)

    def blocks(self) -> Iterator[Block]:
        """Yield its blocks in order, reading lazily; raises `FormatError` for an unreadable file."""
        return self.input.read(self.parts, (self.format,))

    def parse(self, block: Block) -> Parsed:
        """Parse a block; bad rows are quarantined. Pure: blocks may go to any thread or machine."""
        where = self.input.where
        parsed = self._parsed(matching(block, where))._replace(span=None) if where else self._parsed(block)
        parsed = split_parsed(parsed, self.input.long_split, self.format.list_column)
        body = parsed.body if self.input.calls == "text" else split_calls(parsed.body)
        return parsed._replace(body=body if self.input.reasoning == "text" else split_reasoning(body))

    def _parsed(self, block: Block) -> Parsed:
        name = self.format.id_column if self.format.id_column is not None else self.input.id
        data = block.data
        match data:
            case Lines():
                return parse_block(data.data, block.first, self.format, name)
            case JsonItems():
                return parse_lines(data.items, numbers_of(block).tolist(), self.format, name, data.keys)
            case DelimitedRows():
                rows, lines, raw = matching_cells(*table_rows(data, block.first), self.input.where)
                return parse_objects(rows, lines, self.format, name, raw)
            case pa.RecordBatch():
                return parse_table(data, numbers_of(block), self.format, name)
            case Refused():
                into = Collector(self.kind)
                into.refuse(block.first, "", data.expected, excerpt_of(data.start))
                return into.parsed()
            case _:
                raise ValueError(f"the block from {block.first} of {block.file} has been released")


@dataclass(frozen=True, kw_only=True)
class Files(Input):
    """See `files`."""

    paths: tuple[str, ...] = field(metadata=PLACE)
    how: ReadOptions

    def open(self, root: str | None = None) -> Opened:
        """See `Input.open`; where another encoding reads the rows, the error says so."""
        try:
            return super().open(root)
        except FormatError as error:
            hint = self.hint(self.parts(root))
            if not hint:
                raise
            try:
                replace(self, how=self.how._replace(encoding=LATIN)).open(root)
            except FormatError as second:
                hint = f"{hint}. Read so, {second}"
            raise FormatError(hint) from error

    def parts(self, root: str | None) -> tuple[File, ...]:
        """Return the files, sorted by name."""
        return tuple(find(self.paths, root))

    def part(self) -> ParquetPart:
        """Return what is read of Parquet files: all columns, of row groups that may have rows of `where`."""
        return ParquetPart(None, self.where)

    def hint(self, parts: tuple[File, ...]) -> str:
        """Return the call that reads the first file which may be Windows-1252."""
        file = next((file for file in parts if may_be_latin(file, self.how.encoding)), None)
        return (
            f"{file.place} is not UTF-8. If it is Windows-1252 or Latin-1, read it with files(..., encoding={LATIN!r})"
            if file
            else ""
        )

    def glance(self, parts: tuple[File, ...], declared: Format) -> list[Any]:
        """Return some of the first rows; of a JSON array, only its first bytes are read."""
        return first_items(parts[0], self.how.encoding, LOOKED_AT, PEEK) or super().glance(parts, declared)

    def read(self, parts: tuple[File, ...], formats: Sequence[Format], *, size: int = BLOCK) -> Iterator[Block]:
        """Yield the blocks of one file after the other."""
        part, whole = self.part(), at_once(formats)
        for file in parts:
            blocks = file_blocks(
                file, self.how, lambda text: fits_json(formats, text), part=part, at_once=whole, size=size
            )
            yield from gathered(blocks, self.where, size) if self.where else blocks


def at_once(formats: Sequence[Format]) -> bool:
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
    dialect: str | csv.Dialect | type[csv.Dialect] | None = None,
    encoding: str | None = None,
    reasoning: Reasoning = "text",
    calls: Calls = "text",
) -> Input:
    r"""Rows from files: JSON, JSON lines, CSV, TSV, Parquet and Arrow, each also packed by gzip, zstd, xz or bzip2.

    Nothing is read before the input is opened. An empty file has no rows. What a file is, its content says before its
    name: packing, JSON lines, Parquet and Arrow, UTF-8 or UTF-16. One JSON text may be an array, an object of rows by
    id, an object with one list of rows, columns as pandas writes them, or objects one after the other. NaN counts as
    null. A quote in CSV that is never closed costs the line it is on.

    Args:
        paths: A file, a pattern (`data/**/*.jsonl`), a folder (every file in it with a known suffix, or what
            `datasets` saved there), or several; all may be URLs (`s3://bucket/chats/*.jsonl`), whose files are fetched
            once (`curate.io.stores.copies`). Files are read sorted by name, each once.
        format: A format by name, one made by its function (`messages(column="input")`), or "auto", which detects it.
        id: The field with the rows' own ids (text or integers). In JSON keyed by id, the keys are.
        columns: The names of the columns of CSV or TSV without a header.
        quoted: Whether cells may be quoted. None: in CSV, and not in TSV.
        separator: A character. None: comma or tab by suffix, unless the header has another one in their place (comma,
            tab, semicolon, vertical bar).
        unescape: A backslash and an n in a cell of CSV or TSV is a line end, as in FLAN's files.
        dialect: A dialect of Python's csv module, by name or as a class, for CSV and TSV with other quotes, or with
            escapes; `quoted` and `separator` change it.
        encoding: The encoding of text files, such as "cp1252". None is UTF-8; UTF-16 and UTF-32 are recognised.
        reasoning: "split" makes `<think>...</think>` at the start of an answer's text the reasoning of its message, so
            that steps judge the answer alone; "text" leaves it in the text. An export writes it back as it was.
        calls: "split" makes `<tool_call>...</tool_call>` at the end of an answer's text calls, and each
            `<tool_response>...</tool_response>` of a tool's turn a result of its own, as in Hermes and SmolTalk2; of a
            row without `tools`, the list within `<tools>...</tools>` of its system turn, or `xml_tools` of its
            `chat_template_kwargs`, is also its tools. `export(flatten=["calls"])` writes the text back as it was. What
            is no call, as JSON or a Python literal, or has text behind it stays text, as does Python code
            (`<code>...</code>` of smolagents); "text" leaves all in the text.

    Returns:
        An input.

    Raises:
        MixtureError: There is no path, or the format, the dialect or the encoding is unknown, or the separator is not
            one ASCII character.

    Example:
        >>> files("lima.json", "alpaca").format
        Alpaca()
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not several:
        raise MixtureError("files() takes at least one path")
    if separator is not None and (len(separator) != 1 or separator in '"\r\n' or not separator.isascii()):
        raise MixtureError(f"separator={separator!r} is not a single ASCII character")
    try:
        described = None if dialect is None else dialect_of(dialect)
    except ValueError as error:
        raise MixtureError(f"dialect={dialect!r}: {error}") from error
    try:
        encoding = None if encoding is None else codecs.lookup(encoding).name
    except LookupError as error:
        raise MixtureError(f"encoding={encoding!r} is none that Python knows; UTF-8 needs no name") from error
    names = None if columns is None else tuple(columns)
    how = ReadOptions(names, quoted, separator, unescape, described, encoding)
    return Files(
        format=named(format),
        id=id,
        reasoning=reasoning,
        calls=calls,
        paths=tuple(text_of(path) for path in several),
        how=how,
    )


@runtime_checkable
class Finished(Protocol):
    """What has a build folder, as `Build` does."""

    path: Path


Stored: TypeAlias = Input | Finished | str | os.PathLike[str]
"""Rows on disk or in memory: an input, a build, or the folder of a build."""


def rows_of(given: Stored, argument: str) -> Input:
    """Return stored rows as an input; `argument` names them in messages, such as `dedup(against=`."""
    if isinstance(given, Input):
        return given
    if not isinstance(given, Finished | str | os.PathLike):
        raise MixtureError(
            f"{argument}...) takes inputs such as files('rows.jsonl'), builds and their folders, not "
            f"{type(given).__name__}"
        )
    folder = text_of(given.path if isinstance(given, Finished) else given)
    if not is_there(below(folder, "manifest.json")):
        raise SourceNotFoundError(
            f"{argument}{shown(folder)!r}): no build is there (no manifest.json); give its folder, or an input such as "
            "files('rows.jsonl')"
        )
    return files(below(folder, "data/*.parquet"))
