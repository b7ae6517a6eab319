"""Where the rows of an eval set come from: the Hub, or files on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.io.arrow_rows import batch_rows
from curate.io.blocks import Block, JsonItems, ReadOptions, file_blocks, raw_rows
from curate.io.hub.refusals import error_text
from curate.io.paths import PACKED, SUFFIXES, File, suffix_of
from curate.io.stores.copies import find
from curate.io.stores.urls import shown
from curate.rows.validate import Fault

if TYPE_CHECKING:
    from datasets import Dataset

CONVERTED: Final = "refs/convert/parquet"
"""The revision where the Hub keeps Parquet of what a loading script makes: `datasets` runs no script any more."""

_BATCH: Final = 1000
_BAD: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Raw(NamedTuple):
    """A raw row: which config or file of several it is from (empty if there is one), its number there, and its key.

    `row` holds its fields; None where it could not be read.
    """

    part: str
    number: int
    key: str | None
    row: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A dataset repository on the Hub: its id, the configs to read (none: its only one), the split, the revision."""

    id: str
    split: str
    configs: tuple[str, ...] = ()
    revision: str | None = None

    def rows(self, root: str | None, fits: Callable[[object], bool]) -> Iterator[Raw]:  # noqa: ARG002
        """Give the raw rows, config by config; needs the extra `curate[datasets]`.

        Raises `SourceNotFoundError` where the Hub does not hand them out (offline, gated, no such repository, config or
        split), `FormatError` where they cannot be read.
        """
        for config in self.configs or (None,):
            part = config if config is not None and len(self.configs) > 1 else ""
            number = 0
            for table in self._open(config).with_format("arrow").iter(batch_size=_BATCH):
                for row in batch_rows(table):
                    yield Raw(part, number, None, None if isinstance(row, Fault) else row)
                    number += 1

    def label(self) -> str:
        """Return the name that errors use."""
        return f"{self.id} on the Hub, split {self.split}"

    def _open(self, config: str | None) -> Dataset:
        try:
            from datasets import load_dataset
            from datasets.exceptions import DatasetBuildError, DatasetsError
            from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the client it is built on
        except ImportError as error:
            raise MixtureError(
                f"{self.id} is on the Hub: install curate[datasets], or read it from files: EvalSet.at(path)"
            ) from error
        what: dict[str, Any] = {"name": config}
        if self.revision == CONVERTED:
            what = {"data_files": {self.split: f"{config or 'default'}/{self.split}/*.parquet"}}
        try:
            return load_dataset(self.id, split=self.split, revision=self.revision, **what)
        except (pa.ArrowException, DatasetBuildError) as error:
            raise FormatError(f"{self.id} on the Hub cannot be read: {error_text(error)}. {_ADVICE}") from error
        except (OSError, ValueError, RuntimeError, DatasetsError, HTTPError) as error:
            where = f"{self.id}{f', config {config}' if config else ''}, split {self.split}"
            raise SourceNotFoundError(
                f"{where} cannot be downloaded from the Hub: {error_text(error)}. {_ADVICE}"
            ) from error


def stem(name: str) -> str:
    """Return a file's name without its suffix and that of its packing.

    >>> stem("bbh/word_sorting.json.gz"), stem("v0.1.jsonl")
    ('bbh/word_sorting', 'v0.1')
    """
    path = PurePosixPath(name)
    plain = path.with_suffix("") if path.suffix in PACKED else path
    return str(plain.with_suffix(""))


_ADVICE: Final = (
    "Log in and accept its terms if it is gated; without a network, fetch its files elsewhere and point the set at "
    "them: EvalSet.at(path)."
)


@dataclass(frozen=True, kw_only=True)
class Local:
    """Files: paths, patterns or folders, and how CSV and TSV among them are read."""

    paths: tuple[str, ...] = field(metadata={"fingerprint": False})
    how: ReadOptions

    def rows(self, root: str | None, fits: Callable[[object], bool]) -> Iterator[Raw]:
        """Give the raw rows, file by file, sorted by name; relative paths start at `root` (the working directory).

        `fits` tells whether an object is a row, where a file is one JSON object. Raises `SourceNotFoundError` where
        there is nothing, `FormatError` for a file that cannot be read.
        """
        files = find(self.paths, root)
        for file in files:
            part = stem(file.name) if len(files) > 1 else ""
            blocks = file_blocks(self._named(file), self.how, lambda text: fits(_decoded(text)))
            for number, (key, row) in enumerate(chain.from_iterable(map(_block_rows, blocks))):
                yield Raw(part, number, key, row)

    def label(self) -> str:
        """Return the name that errors use."""
        return ", ".join(map(shown, self.paths))

    def _named(self, file: File) -> File:
        """Take a file of an unknown suffix for TSV where its columns are named: a text a line."""
        plain = self.how.columns is not None and suffix_of(file.name) not in SUFFIXES
        return file._replace(name=f"{file.name}.tsv") if plain else file


def _block_rows(block: Block) -> Iterator[tuple[str | None, dict[str, Any] | None]]:
    """Give the rows of a block, each with its key if it has one."""
    keys = block.data.keys if isinstance(block.data, JsonItems) else None
    return zip(keys or repeat(None), map(_decoded, raw_rows(block)))  # noqa: B905  # one of them has no end


def _decoded(row: Any) -> dict[str, Any] | None:  # noqa: ANN401
    try:
        value = msgspec.json.decode(row) if isinstance(row, bytes) else row
    except _BAD:
        return None
    return value if isinstance(value, dict) else None
