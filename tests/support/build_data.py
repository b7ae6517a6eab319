"""Small mixtures, made and built in a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.errors import EmptyBuildError
from curate.io.inputs import Input
from curate.io.tables import frame
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build

Row = dict[str, Any]


def turns(*texts: str) -> list[Row]:
    """Return a dialogue: user and assistant take turns."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def chat(*texts: str, **more: object) -> Row:
    """Return a row in the layout `messages`."""
    return {"messages": turns(*texts), **more}


def chats(count: int, start: int = 0, **more: object) -> list[Row]:
    """Return so many different rows, of different lengths, that every step lets through."""
    return [chat(f"Ask {i}?", f"Answer {i}. " + "word " * (i % 7), **more) for i in range(start, start + count)]


def of_rows(rows: list[Row]) -> Input:
    """Return an input that holds these rows."""
    return frame(pl.DataFrame(rows, infer_schema_length=None), "messages")


def write_lines(path: Path, rows: Iterable[Row | str | bytes]) -> Path:
    """Write JSON lines; text and bytes go in as they stand."""
    lines = [json.dumps(row, ensure_ascii=False) if isinstance(row, dict) else row for row in rows]
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return path


def source(name: str, rows: Input | list[Row], **options: Any) -> Source:  # noqa: ANN401
    return Source(name, of_rows(rows) if isinstance(rows, list) else rows, **options)


def built(out: Path, *sources: Source, threads: int = 1, overwrite: bool = False, **options: Any) -> Build:  # noqa: ANN401
    """Build a mixture of `sources`, which `options` complete, into `out`."""
    return Mixture("mix", sources, **options).build(out, threads=threads, overwrite=overwrite, quiet=True)


def built_empty(out: Path, *sources: Source, **options: Any) -> Build:  # noqa: ANN401
    """Build a mixture that keeps no row, which is an error, and return the build that it leaves."""
    with pytest.raises(EmptyBuildError, match=r"^mixture 'mix' keeps no row\. "):
        built(out, *sources, **options)
    return Build(out)


def hashes(folder: Path) -> Mapping[str, str]:
    """Return the SHA-256 of every file below `folder`, by its path within."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def texts(rows: pl.DataFrame | pl.LazyFrame) -> list[tuple[str, ...]]:
    """Return the contents of each row's messages, sorted."""
    found = rows.lazy().select(pl.col("messages").list.eval(pl.element().struct.field("content"))).collect()
    return sorted(tuple(row) for row in found["messages"].to_list())


def said(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """Return the same of rows in the layout `messages`."""
    return sorted(tuple(turn["content"] for turn in row["messages"]) for row in rows)


def fates(done: Build) -> dict[str, dict[str, int]]:
    """RowCount the ledger's lines by source and fate."""
    counted = done.ledger.group_by("source", "fate").len().collect()
    found: dict[str, dict[str, int]] = {name: {} for name in done.sources}
    for name, fate, count in counted.iter_rows():
        found[name][fate] = count
    return found


def left_behind(out: Path) -> list[str]:
    """Return what a build has left beside its folder."""
    return sorted(entry.name for entry in out.parent.iterdir() if entry.name.startswith(f".{out.name}"))
