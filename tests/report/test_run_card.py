"""The card: its front matter loads, its tables hold, and `datasets` finds the splits through it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.report.run_card import card, cell, code, size_category, table
from curate.result.build import Build


def front_matter(text: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    _, front, _ = text.split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def relicensed(build: Build, folder: Path, licence: str | None) -> Build:
    """Return a copy of a build whose sources all have one licence."""
    shutil.copytree(build.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for source in manifest["sources"]:
        source["licence"] = licence
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return Build(folder)


def test_front_matter_names_splits_and_the_one_licence(demo: Build) -> None:
    found = front_matter(card(demo))
    assert found["pretty_name"] == "demo"
    assert found["license"] == "cc0-1.0"
    assert found["size_categories"] == ["n<1K"]
    assert [split["split"] for split in found["configs"][0]["data_files"]] == ["train", "test"]


def test_front_matter_names_no_licence_where_sources_differ(nasty: Build) -> None:
    assert "license" not in front_matter(card(nasty))


@pytest.mark.parametrize(
    "licence", ["My own: #1 'licence'", 'quote " and \\', "line\nbreak \u2028 \u202e \x7f", "- yes"]
)
def test_any_licence_makes_a_front_matter(nasty: Build, tmp_path: Path, licence: str) -> None:
    found = front_matter(card(relicensed(nasty, tmp_path / "copy", licence)))
    assert found["license"] == "other"
    assert found["license_name"].split()[0] == licence.split(maxsplit=1)[0]


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
    assert sorted(blocks) == [6, 10, 12], "three tables; no cell breaks out of one"
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


def test_sizes_are_the_hubs() -> None:
    assert [size_category(10**n) for n in range(2, 11)] == [
        *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "n>1B", "n>1B"),
    ]
