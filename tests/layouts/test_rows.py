"""Rows of every layout go in, by every step, and come out to every trainer with all that they say."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import datasets
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate as c
from curate.io.formats.unpaired import PromptsFormat
from curate.result.build import Build
from curate.steps.base import Pairing
from tests.laws.test_steps import STEPS
from tests.support.bank import CALLS, MAKE, Row, some_rows
from tests.support.chat_layouts import CHATS
from tests.support.examples import part_of_examples
from tests.support.judged_layouts import JUDGED
from tests.support.layout_build import (
    FOLDER,
    as_read,
    build_rows,
    check_build,
    differences,
    every_step,
    in_order,
    normal,
    rows_of,
)
from tests.support.layout_exports import check_exports
from tests.support.layouts import Layout
from tests.support.pair_layouts import PAIRS

LAYOUTS: Final = {layout.name: layout for layout in (*CHATS, *PAIRS, *JUDGED)}
each_layout: Final = pytest.mark.parametrize("name", LAYOUTS)


def raw_rows(layout: Layout, most: int) -> list[Row]:
    """Return raw rows with each set of at most so many parts, and 24 with nearly all that the layout can hold."""
    return [layout.write(row, i) for i, row in enumerate(some_rows(layout.kind, layout.holds, most))]


@cache
def whole_build(name: str) -> tuple[list[Row], Build]:
    """Return the raw rows of a layout, and the build that every step has seen them in."""
    layout = LAYOUTS[name]
    raw = raw_rows(layout, 2)
    return raw, build_rows(layout, raw, Path(FOLDER.name) / f"{name} build", every_step(layout.kind))


@each_layout
def test_every_field_comes_through_every_step(name: str) -> None:
    raw, build = whole_build(name)
    assert len(raw) >= 20
    check_build(LAYOUTS[name], as_read(LAYOUTS[name], raw), rows_of(build))
    assert len(build.manifest["steps"]) == len(every_step(build.kind)) >= 20


@each_layout
def test_every_field_comes_out_or_is_named_and_counted(name: str, tmp_path: Path) -> None:
    check_exports(whole_build(name)[1], tmp_path)


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.detected])
def test_a_layout_is_detected(name: str, tmp_path: Path) -> None:
    layout, (raw, _) = LAYOUTS[name], whole_build(name)
    found = c.files(layout.save(tmp_path / "rows", raw)).open().format
    assert (replace(found, needs=()) if isinstance(found, PromptsFormat) else found) == layout.form


@each_layout
def test_data_sets_and_polars_load_the_folder_without_a_warning(name: str, tmp_path: Path) -> None:
    build = whole_build(name)[1]
    rows = rows_of(build)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = datasets.load_dataset(str(build.path), split="train", cache_dir=str(tmp_path / "cache"))
        frame = pl.read_parquet(build.path / "data" / "*.parquet")
    assert in_order(list(loaded)) == in_order(rows)
    assert in_order(frame.to_dicts()) == in_order(rows)


def value_of(answer: Row) -> float:
    return next(score["value"] for score in answer["scores"] if score["name"] == "helpfulness")


def test_pairs_made_of_ratings_come_out_or_are_named_and_counted(tmp_path: Path) -> None:
    layout = LAYOUTS["rated"]
    raw = raw_rows(layout, 2)
    build = build_rows(layout, raw, tmp_path / "b", [c.binarize(score=c.mean("helpfulness"), rejected="worst")])
    pairs = []
    for row in as_read(layout, raw):
        ranked = sorted((value_of(one), one["content"]) for one in row.pop("completions"))
        pair = row | {"prompt": row.pop("messages")}
        for name, (score, content) in (("rejected", ranked[0]), ("chosen", ranked[-1])):
            pair |= {name: [{"role": "assistant", "content": content}], f"{name}_score": score}
        pairs.append(pair)
    made = in_order(rows_of(build))
    for pair, found in zip(in_order(pairs), made, strict=True):
        assert not (wrong := differences(normal(pair), normal(found))), wrong
    check_exports(build, tmp_path)


def test_every_step_is_held_to_the_layouts() -> None:
    held = {type(step).__name__ for step in every_step("conversation")}
    every = {type(step).__name__ for step in STEPS.values() if not isinstance(step, Pairing)}
    assert sorted(every - held) == []


@pytest.mark.thorough
@each_layout
def test_sets_of_three_parts_come_out_or_are_named_and_counted(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    raw = raw_rows(layout, 3)
    build = build_rows(layout, raw, tmp_path / "b")
    check_build(layout, as_read(layout, raw), rows_of(build))
    check_exports(build, tmp_path)


@part_of_examples(0.3)  # each is built, and exported 14 times
@given(data=st.data())
def test_any_few_rows_come_out_or_are_named_and_counted(data: st.DataObject) -> None:
    layout = LAYOUTS[data.draw(st.sampled_from([*LAYOUTS]))]
    numbers = data.draw(st.lists(st.integers(0, 999), min_size=1, max_size=3, unique=True))
    raw = []
    for number in numbers:
        parts = data.draw(st.frozensets(st.sampled_from(sorted(layout.holds))))
        parts -= {*CALLS} if "calls" not in parts else {"empty"} if "text" in parts else set()
        raw.append(layout.write(MAKE[layout.kind](parts, number), number))
    with TemporaryDirectory() as folder:
        build = build_rows(layout, raw, Path(folder) / "b")
        check_build(layout, as_read(layout, raw), rows_of(build))
        check_exports(build, Path(folder))
