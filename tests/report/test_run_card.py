"""The card: its tables hold, and `datasets` finds the splits through it."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from curate.report.run_card import card, cell, code, table
from curate.result.build import Build


def test_datasets_loads_the_folder(demo: Build, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(demo.path), cache_dir=str(tmp_path))
    assert {name: len(rows) for name, rows in found.items()} == {
        name: split["rows"] for name, split in demo.manifest["splits"].items()
    }
    assert found["train"].column_names == ["source", "id", "messages", "meta"]
    assert found["train"]["id"][:] == demo.kept("train").select("id").collect()["id"].to_list()


def test_card_is_a_function_of_the_files(nasty: Build, tmp_path: Path) -> None:
    shutil.copytree(nasty.path, tmp_path / "elsewhere")
    assert card(Build(tmp_path / "elsewhere")) == card(nasty) == (nasty.path / "README.md").read_text("utf-8")
    assert str(nasty.path) not in card(nasty)


def test_tables_keep_their_shape(nasty: Build) -> None:
    lines = [line for line in card(nasty).splitlines() if line.startswith("|")]
    blocks: dict[int, int] = {}
    for line in lines:
        cells = line.replace("\\|", "").count("|")
        blocks[cells] = blocks.get(cells, 0) + 1
    assert sorted(blocks) == [5, 6, 10, 12], "four tables; no cell breaks out of one"
    assert "\\<b\\>mine\\|yours\\</b\\>" in card(nasty)


@pytest.mark.parametrize(
    "text", ["a|b", "line\nbreak", "\r\n| --- |", "`code` | more", "a\\|b", "<img src=x>", "\u2028|"]
)
def test_a_cell_stays_one_cell(text: str) -> None:
    shown = table(pl.DataFrame({"a": [text], "b": ["x"]}))
    assert len(shown.splitlines()) == 3
    row = shown.splitlines()[2].replace("\\\\", "").replace("\\|", "")
    assert row.count("|") == 3
    assert "<" not in cell(text).replace("\\<", "")


@pytest.mark.parametrize("text", ["plain", "`", "a``b`c", "'I don\\'t'", "end`"])
def test_code_holds_its_text(text: str) -> None:
    shown = code(text)
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    inside = shown.removeprefix(fence).removesuffix(fence)
    assert inside.strip() == text
    assert fence not in inside
