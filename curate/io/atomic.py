"""Files and folders that are either whole or absent: written next to their place and moved there."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pyarrow as pa

DRAFT: Final = ".part"
"""The suffix of a file that is being written."""

_MARK: Final = [""]
"""What is before the suffix in the names of drafts of this process."""


def use_own_drafts() -> None:
    """Give the drafts of this process names that no other process uses, on any machine.

    For workers: one that seemed to be lost may still write a file when another writes it again.
    """
    _MARK[0] = _MARK[0] or f".{secrets.token_hex(8)}"


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that workers left in a folder when they died."""
    for draft in folder.rglob(f"*{DRAFT}"):
        draft.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file moves to `path` if the block succeeds, and is deleted if it fails.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replacing(place) as draft:
    ...     _ = draft.write_text("whole")
    >>> place.read_text(), draft.exists()
    ('whole', False)
    """
    draft = path.with_name(f"{path.name}{_MARK[0]}{DRAFT}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def share(path: Path, to: Path) -> None:
    """Let a file that stays as it is be at a second place too: the same bytes on disk, or a copy on another disk."""
    with replacing(to) as draft:
        draft.unlink(missing_ok=True)
        try:
            draft.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, draft)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to write to; it moves to `path` if the block succeeds, and is deleted if it fails.

    What is at `path` is replaced. Folders made for it are removed if they stay empty.
    """
    draft = path.with_name(f".{path.name}.part")
    absent = [folder for folder in draft.parents if not folder.exists()]
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        replace_folder(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):
            for folder in absent:
                folder.rmdir()


def replace_folder(new: Path, target: Path) -> None:
    """Move a finished folder into place; an old one steps aside first and goes last."""
    old = target.with_name(f".{target.name}.old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.replace(old)
    new.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8 with line feeds, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def write_ipc(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write at least one batch to an uncompressed Arrow IPC file, whole or not at all.

    Uncompressed, because these files are read back within the minute: writing costs 1.4 s of a core per GB, LZ4 2.0 s.
    """
    with replacing(path) as draft, pa.OSFile(str(draft), "wb") as sink:
        writer: pa.ipc.RecordBatchFileWriter | None = None
        for batch in batches:
            writer = writer or pa.ipc.new_file(sink, batch.schema)
            writer.write_batch(batch)
        if writer is not None:
            writer.close()


def read_ipc(path: Path) -> pa.RecordBatch:
    """Read an Arrow IPC file into memory, as one batch."""
    with pa.OSFile(str(path), "rb") as source:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
