"""Rows held in memory are those of the files, however many of them are held."""

from __future__ import annotations

import polars as pl
import pytest

from curate.report.page import page
from curate.result.browser import stored_texts
from curate.result.browser.stored_texts import texts_in_memory, texts_there
from curate.result.build import Build
from curate.rows.schema import Kind


def all_rows(build: Build) -> dict[Kind, pl.DataFrame]:
    """Return the keys of all rows of each kind, and of one that is not there."""
    none = pl.LazyFrame({"source": ["ratings"], "id": ["none"]})
    return {kind: pl.concat([build.lines_of(kind).select("source", "id"), none]).collect() for kind in build.kinds}


@pytest.mark.parametrize(("held", "folders"), [(0, 0), (5_000, 1), (2**28, 3)])
def test_memory_answers_as_files_do(
    rated_build: Build, held: int, folders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = all_rows(rated_build)
    expected = {kind: texts_there(rated_build, keys, kind) for kind, keys in rows.items()}
    monkeypatch.setattr(stored_texts, "HELD", held)
    some = {kind: keys.gather_every(2) for kind, keys in rows.items()}
    with texts_in_memory(rated_build, some):
        answered = {kind: texts_there(rated_build, keys, kind) for kind, keys in rows.items()}
        assert sum(bool(one.rows) for one in rated_build.held_texts.values()) == folders
    assert answered == expected
    assert rated_build.held_texts == {}


def test_all_that_the_page_shows_is_read_at_once(rated_build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    frames = stored_texts._frames

    def counted(build: Build, folder: str, keys: pl.DataFrame) -> object:
        read.extend([folder] if keys.height else [])
        return frames(build, folder, keys)

    monkeypatch.setattr(stored_texts, "_frames", counted)
    page(rated_build)
    assert sorted(read) == ["data", "dropped", "rated"]
