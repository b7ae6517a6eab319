"""Folders, links and patterns: every file is read once, and what is no row, or leads nowhere, is named."""

from __future__ import annotations

import os
import re
from pathlib import Path

import datasets
import pytest

from curate.errors import FormatError, SourceNotFoundError
from curate.io.inputs import Opened, files
from curate.io.paths import repeated, resolve
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from tests.support.build_data import Row, built, chats, said, source, texts, write_lines


def opened(*paths: Path | str) -> Opened:
    return files(paths, "messages").open()


def names(*paths: Path | str) -> list[str]:
    return [file.name for file in opened(*paths).parts]


def lay(folder: Path, *places: str) -> Path:
    """Write a row to each place below a folder."""
    for number, place in enumerate(places):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        write_lines(folder / place, chats(1, number))
    return folder


# --- links ---------------------------------------------------------------------------------------------------------


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    lay(tmp_path, "a.jsonl", "deep/er/b.jsonl")
    for place, target in {"here": ".", "deep/up": "..", "deep/er/top": "../..", "deep/self": "../deep"}.items():
        (tmp_path / place).symlink_to(target)
    for given in (tmp_path, f"{tmp_path}/**", f"{tmp_path}/**/*.jsonl"):
        assert names(given) == ["a.jsonl", "deep/er/b.jsonl"]
    assert names(f"{tmp_path}/**/deep/**/*.jsonl") == ["deep/er/b.jsonl", "deep/er/top/a.jsonl"], "only through a link"


def test_folders_that_all_lead_to_each_other_end(tmp_path: Path) -> None:
    """Twelve folders with links to all of them have 12! paths."""
    for one in range(12):
        lay(tmp_path, f"{one:02}/{one:02}.jsonl")
        for other in range(12):
            (tmp_path / f"{one:02}" / f"to{other}").symlink_to(f"../{other:02}")
    assert names(tmp_path) == [f"{one:02}/{one:02}.jsonl" for one in range(12)]


TWICE = {
    "a link": ("z.jsonl", "z.jsonl is read once, though reached as a.jsonl too"),
    "a hard link": ("a.jsonl", "a.jsonl is read once, though reached as z.jsonl too"),
    "a path and a pattern": ("z.jsonl", "z.jsonl is read once, though reached twice"),
    "a folder and a file of it": ("z.jsonl", "z.jsonl is read once, though reached twice"),
    "a link to its folder": ("in/z.jsonl", "in/z.jsonl is read once, though reached as again/z.jsonl too"),
    "two folders": ("in/y.jsonl", "in/y.jsonl is read once, though reached as again/y.jsonl too; 1 more likewise"),
}


@pytest.mark.parametrize("how", TWICE)
def test_a_file_reached_twice_is_read_once_and_that_is_said(tmp_path: Path, how: str) -> None:
    name, note = TWICE[how]
    folder = lay(tmp_path / "data", "in/z.jsonl" if "folder" in note or "in/" in name else "z.jsonl")
    given: list[Path | str] = [folder]
    match how:
        case "a link":
            (folder / "a.jsonl").symlink_to("z.jsonl")
        case "a hard link":
            (folder / "a.jsonl").hardlink_to(folder / "z.jsonl")
        case "a path and a pattern":
            given = [f"{folder}/*.jsonl", folder / "z.jsonl"]
        case "a folder and a file of it":
            given = [folder, folder / "z.jsonl"]
        case "two folders":
            lay(folder, "in/y.jsonl")
    if "again/" in note:
        (folder / "again").symlink_to("in")
    source_of = Source("s", files(given, "messages"))
    assert opened(*given).parts[0].name == name
    assert repeated(opened(*given).parts) == [note]
    done = built(tmp_path / "out", source_of)
    rows = 2 if how == "two folders" else 1
    assert done.funnel["read"].to_list() == [rows, rows]
    assert done.notes == [f"source 's': {note}"]
    assert check(Mixture("mix", [source_of])).warnings == (f"source 's': {note}",)


def test_one_file_in_two_sources_is_read_for_each(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", chats(2))
    done = built(tmp_path / "out", *(Source(name, files(path, "messages")) for name in "ab"))
    assert done.funnel["read"].to_list() == [2, 2, 4]
    assert done.notes == []


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    folder = lay(tmp_path, "a.jsonl")
    (folder / "readme.txt").symlink_to("gone.txt")
    assert names(folder) == ["a.jsonl"], "a link that would give no row"
    gone = re.escape(f"{folder}/gone")
    for name, target, leads in (
        ("b.jsonl", "gone.jsonl", rf"{gone}\.jsonl, which is not there"),
        ("more", "gone/data", rf"{gone}/data, which is not there"),
        ("self.jsonl", "self.jsonl", "itself"),
    ):
        (folder / name).symlink_to(target)
        for given in (folder, f"{folder}/*", f"{folder}/**/*.jsonl", folder / name, folder / name / "x.jsonl"):
            if given == f"{folder}/*" and name == "more":
                continue
            with pytest.raises(SourceNotFoundError, match=rf"/{name} is a broken link: it leads to {leads}\. Correct"):
                opened(given)
        (folder / name).unlink()


@pytest.mark.timeout(20)
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    for given in (tmp_path, tmp_path / "a.jsonl"):
        with pytest.raises(FormatError, match=r"a\.jsonl is a pipe or a device, which cannot be read twice; write"):
            opened(given)


# --- brackets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "pattern", "found"),
    [
        ("[v1] data/a.jsonl", "[v1] data/*.jsonl", ["a.jsonl"]),
        ("[v1] data/b/a.jsonl", "[v1] data/**/*.jsonl", ["b/a.jsonl"]),
        ("in/[v1]/a.jsonl", "*/[v1]/a.json?", ["in/[v1]/a.jsonl"]),
        ("in/[a] b.jsonl", "*/[a] b.jsonl", ["in/[a] b.jsonl"]),
        ("what? [x]/y/a.jsonl", "what? [x]/[xyz]/*", ["y/a.jsonl"]),
        ("a1/a.jsonl", "a[0-9]/*.jsonl", ["a1/a.jsonl"]),
    ],
)
def test_brackets_of_a_name_that_is_there_are_no_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, pattern: str, found: list[str]
) -> None:
    lay(tmp_path, place)
    monkeypatch.chdir(tmp_path)
    assert names(pattern) == found


def test_a_pattern_with_brackets_that_matches_nothing_says_what_they_mean(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"matches no file.*\[\.\.\.\] means one of the characters in it"):
        opened(f"{tmp_path}/[v1] data/*.jsonl")


# --- folders of datasets ---------------------------------------------------------------------------------------------


def saved(folder: Path, count: int, start: int = 0, **options: int) -> list[Row]:
    rows = chats(count, start)
    datasets.Dataset.from_list(rows).save_to_disk(folder, **options)
    return rows


def rows_of(*paths: Path | str) -> list[tuple[str, ...]]:
    found = opened(*paths)
    rows = [row for block in found.blocks() for row in found.parse(block).body.to_pylist()]
    assert not [bad for block in found.blocks() for bad in found.parse(block).bad.to_pylist()]
    return said(rows)


def test_of_a_saved_dataset_the_rows_are_read(tmp_path: Path) -> None:
    rows = saved(tmp_path / "all" / "small", 6, num_shards=3)
    (tmp_path / "all" / "small" / "cache-1.arrow").write_bytes(b"no rows of it")
    for given in (tmp_path / "all" / "small", tmp_path / "all", f"{tmp_path}/**", f"{tmp_path}/all/*/*"):
        assert rows_of(given) == said(rows), given
    done = built(tmp_path / "out", Source("s", files(tmp_path / "all" / "small")))
    assert texts(done.kept()) == said(rows)
    assert done.quarantined().height == 0
    with pytest.raises(SourceNotFoundError, match="matches no file"):
        opened(f"{tmp_path}/all/small/*.json")


def test_of_a_saved_dict_a_split_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    splits = {"train": chats(4), "test": chats(2, 50)}
    made = {name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}
    datasets.DatasetDict(made).save_to_disk("in/dict")
    lay(tmp_path, "in/more.jsonl")
    calls = r"with the splits train, test\. Choose one: files\('{0}/train'\) or files\('{0}/test'\)$"
    for given, place in (
        ("in/dict", "in/dict"),
        ("in", "in/dict"),
        ("./in/dict/", "in/dict"),
        (tmp_path, f"{tmp_path}/in/dict"),
    ):
        with pytest.raises(FormatError, match=calls.format(re.escape(str(place)))):
            opened(given)
    assert rows_of("in/dict/train") == said(splits["train"])
    assert rows_of("in/dict/*/*.arrow") == rows_of("in/dict/**") == said([*splits["train"], *splits["test"]])
    with pytest.raises(FormatError, match=r"source 's': .*splits train, test"):
        built(tmp_path / "out", Source("s", files("in/dict")), source("t", chats(1)))


def test_files_that_only_have_the_names_are_rows(tmp_path: Path) -> None:
    lay(tmp_path, "state.json", "dataset_info.json", "dataset_dict.json")
    assert len(names(tmp_path)) == 3


def test_a_saved_dataset_without_one_of_its_files_is_not_read_in_part(tmp_path: Path) -> None:
    saved(tmp_path, 6, num_shards=3)
    (tmp_path / "data-00001-of-00003.arrow").unlink()
    with pytest.raises(SourceNotFoundError, match=r"state\.json names data-00001-of-00003\.arrow, which is not there"):
        opened(tmp_path)


def test_the_description_in_the_cache_of_datasets_is_no_row(tmp_path: Path) -> None:
    rows = saved(tmp_path, 3)
    (tmp_path / "state.json").unlink()
    assert rows_of(tmp_path) == said(rows)


def test_relative_names_do_not_depend_on_links_above(tmp_path: Path) -> None:
    lay(tmp_path / "real", "b.jsonl", "in/a.jsonl")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "c.jsonl").symlink_to("b.jsonl")
    found = [[file[:1] + file[4:5] for file in resolve((f"{tmp_path}/{name}",))] for name in ("real", "link")]
    assert found[0] == found[1] == [("b.jsonl", ("c.jsonl",)), ("in/a.jsonl", ())]


def test_of_a_build_its_rows_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built(tmp_path / "runs" / "one", source("s", chats(4)))
    for given in ("runs/one", "runs"):
        with pytest.raises(FormatError, match=r"is a build of curate\. Its rows are in files\('runs/one/data'\)$"):
            opened(given)
    assert sorted(rows_of("runs/one/data")) == sorted(said(chats(4)))
    lay(tmp_path, "own/manifest.json", "own/data/a.jsonl")
    assert names("own") == ["data/a.jsonl", "manifest.json"]
