"""Builds that a new one cannot be made from, or only in part, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

import curate as c
from curate.engine.reuse.earlier import Earlier
from curate.errors import BuildFolderError
from tests.laws.test_from import made, same
from tests.laws.test_recut import near, sources
from tests.laws.test_steps import DEMO
from tests.support.build_data import hashes
from tests.support.scored_rows import rows_shape_sees


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return rows_shape_sees(monkeypatch)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What builds say of the builds that they are made from."""
    found: list[str] = []
    opened = Earlier.open

    def opening(path: Path) -> Earlier:
        return replace(opened(path), notes=found)

    monkeypatch.setattr(Earlier, "open", opening)
    return found


def changed(manifest: Path, change: Callable[[dict[str, Any]], object]) -> None:
    found = json.loads(manifest.read_text(encoding="utf-8"))
    change(found)
    manifest.write_text(json.dumps(found), encoding="utf-8")


BROKEN: Final[dict[str, tuple[Callable[[dict[str, Any]], object], str]]] = {
    "version": (lambda found: found["versions"].update(curate="0.0.1"), "other versions of curate or its libraries"),
    "format": (lambda found: found.update(format=0), "other versions of curate or its libraries"),
    "older": (lambda found: [one.pop("ledger") for one in found["sources"]], "does not vouch for its ledger"),
    "hash": (lambda found: found["sources"][0]["ledger"][0].update(sha256="0"), "is not as the build wrote it"),
    "name": (lambda found: found["sources"][0].update(name="else"), "no source of this name"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_build_that_cannot_be_used_is_not(name: str, tmp_path: Path, notes: list[str], seen: list[int]) -> None:
    given, steps = [c.Source("main", c.frame(pl.DataFrame(near(30))))], [c.shape(unanswered=True)]
    first = made(tmp_path / "first", given, steps)
    changed(first / "manifest.json", BROKEN[name][0])
    seen.clear()
    same(tmp_path, first, given, steps)
    assert seen == [30, 30]
    assert len(notes) == 1
    assert BROKEN[name][1] in notes[0]
    assert notes[0].endswith("; all steps run on all rows of source 'main'")


def test_a_ledger_changed_by_hand_is_not_used(tmp_path: Path, notes: list[str]) -> None:
    given, steps = [c.Source("main", c.frame(pl.DataFrame(near(30))))], [c.shape(unanswered=True, min_words=18)]
    first = made(tmp_path / "first", given, steps)
    path = first / "ledger" / "000-main.parquet"
    pl.read_parquet(path).with_columns(pl.lit(99, pl.Int32).alias("shape.words")).write_parquet(path)
    same(tmp_path, first, given, steps)
    assert ["000-main.parquet is not as the build wrote it" in note for note in notes] == [True]
    path.unlink()
    same(tmp_path, first, given, steps)
    assert "000-main.parquet cannot be read (No such file or directory)" in notes[1]


def test_a_folder_without_a_build_is_an_error(tmp_path: Path) -> None:
    given = sources("conversation", 9)
    with pytest.raises(
        BuildFolderError, match=r"no build at .*/none: it has no manifest\.json; from_ takes a finished"
    ):
        made(tmp_path / "out", given, [], tmp_path / "none")
    path = tmp_path / "manifest.json"
    for text, says in (
        ("{", "cannot be read"),
        ("[]", "is not the manifest of a build"),
        ("{}", "is not the manifest"),
    ):
        path.write_text(text)
        with pytest.raises(BuildFolderError, match=f"manifest.json {says}.*; leave it out to build from nothing"):
            made(tmp_path / "out", given, [], tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_build_in_its_own_place(tmp_path: Path) -> None:
    given = sources("conversation", 40)
    mixture = c.Mixture("m", given, [c.shape(min_words=1, allow_large_drop=True)])
    first = mixture.build(tmp_path / "out", quiet=True)
    again = c.Mixture("m", given, [c.shape(min_words=2, allow_large_drop=True)])
    nothing = again.build(tmp_path / "nothing", quiet=True)
    again.build(tmp_path / "out", from_=first, overwrite=True, quiet=True)
    assert hashes(tmp_path / "out") == hashes(nothing.path)


def test_paired_rows_go_through_all_steps(tmp_path: Path, notes: list[str]) -> None:
    given = [c.Source("ratings", c.files(DEMO.with_name("ratings.jsonl"), "ultrafeedback"))]
    paired = c.binarize(score=c.mean("honesty", "truthfulness"))
    first = made(tmp_path / "first", given, [c.shape(), paired, c.lint_pairs()])
    same(tmp_path, first, given, [c.shape(min_words=9), paired, c.lint_pairs("all")])
    assert notes == [f"{first}: rows of source 'ratings' are paired; all steps run on all of them"]
    same(tmp_path, first, given, [c.shape(min_words=9)])
