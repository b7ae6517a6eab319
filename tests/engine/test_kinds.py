"""Unpaired rows and prompts from their file to the files of a build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest

from curate.compare.diff import diff
from curate.errors import MixtureError
from curate.io.formats.unpaired import prompts
from curate.io.inputs import files
from curate.io.tables import frame
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.base import Step
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.refusals import refusals

KTO = [
    {"prompt": f"How do I cook {i} eggs?", "completion": f"Boil {i}.", "label": i % 3 > 0, "id": f"k{i}"}
    for i in range(60)
]
RLVR = [
    {
        "messages": [{"role": "user", "content": f"What is {i} + {i}?"}],
        "ground_truth": str(2 * i),
        "dataset": ["math"],
        "n": i,
        "id": f"r{i}",
    }
    for i in range(60)
]


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def built(path: Path, source: Any, *steps: Step) -> Build:  # noqa: ANN401
    return Mixture("m", [Source("s", source)], list(steps)).build(path, quiet=True)


def rows_of(build: Build) -> list[dict[str, Any]]:
    return sorted(build.kept().collect().to_dicts(), key=lambda row: int(row["id"][1:]))


def test_unpaired_rows_are_what_trl_reads(tmp_path: Path) -> None:
    build = built(
        tmp_path / "b",
        files(save(tmp_path / "kto.jsonl", KTO)),
        shape(),
        refusals(),
        exact_dedup(),
        dedup(threshold=1.0),
    )
    assert build.kind == "unpaired"
    loaded = datasets.load_dataset(str(build.path / "data"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names == ["source", "id", "prompt", "completion", "label", "meta"]
    rows = rows_of(build)
    assert [(row["prompt"][0]["content"], row["completion"][0]["content"], row["label"]) for row in rows] == [
        (row["prompt"], row["completion"], row["label"]) for row in KTO
    ]
    again = built(tmp_path / "again", frame(pl.read_parquet(build.path / "data/*.parquet").drop("source", "meta")))
    assert rows_of(again) == rows


def test_the_answer_of_an_unpaired_row_is_judged(tmp_path: Path) -> None:
    refused = [
        *KTO,
        {"prompt": "q?", "completion": "I'm sorry, but I can't help with that.", "label": False, "id": "k99"},
    ]
    build = built(tmp_path / "b", files(save(tmp_path / "kto.jsonl", refused)), refusals())
    (dropped,) = build.dropped().to_dicts()
    assert (dropped["id"], dropped["label"], dropped["evidence"][0]["side"]) == ("k99", False, "completion")
    assert "k99" in (build.path / "report.html").read_text()


def test_equal_answers_with_other_labels_have_ids_of_their_own(tmp_path: Path) -> None:
    rows = [{**KTO[0], "label": label} for label in (True, False)]
    for row in rows:
        del row["id"]
    build = built(tmp_path / "b", files(save(tmp_path / "kto.jsonl", rows)))
    assert len({row["id"] for row in build.kept().collect().to_dicts()}) == 2


def test_prompts_keep_reward_columns(tmp_path: Path) -> None:
    build = built(
        tmp_path / "b", files(save(tmp_path / "rlvr.jsonl", RLVR)), exact_dedup("prompt"), shape(unanswered=True)
    )
    assert build.kind == "prompt"
    loaded = datasets.load_dataset(str(build.path / "data"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names == ["source", "id", "prompt", "dataset", "ground_truth", "n", "meta"]
    rows = rows_of(build)
    for row, given in zip(rows, RLVR, strict=True):
        assert row["prompt"] == given["messages"]
        assert all(row[name] == given[name] for name in ("ground_truth", "dataset", "n", "id"))
    kept = pl.read_parquet(build.path / "data/*.parquet").drop("source", "meta")
    again = built(tmp_path / "again", frame(kept, prompts("prompt")))
    assert rows_of(again) == rows
    assert diff(build, again).same == 60


def test_a_prompt_is_a_row_though_nothing_answers_it(tmp_path: Path) -> None:
    build = built(tmp_path / "b", files(save(tmp_path / "rlvr.jsonl", RLVR)), shape())
    assert len(rows_of(build)) == 60


def test_tools_beside_rewards_add_only_their_column(tmp_path: Path) -> None:
    rows = [{**row, "tools": [{"name": "calc"}]} for row in RLVR]
    build = built(tmp_path / "b", files(save(tmp_path / "rlvr.jsonl", rows)))
    made = build.kept().collect_schema()
    assert [*made] == ["source", "id", "prompt", "dataset", "ground_truth", "n", "tools", "meta"]
    assert made["prompt"] == pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


def test_dropped_prompts_have_their_columns(tmp_path: Path) -> None:
    rows = [*RLVR, {**RLVR[0], "id": "r99"}]
    build = built(tmp_path / "b", files(save(tmp_path / "rlvr.jsonl", rows)), exact_dedup("prompt"))
    (dropped,) = build.dropped().to_dicts()
    assert (dropped["ground_truth"], dropped["dataset"], dropped["n"]) == ("0", ["math"], 0)


def test_kinds_are_not_mixed(tmp_path: Path) -> None:
    sources = [Source(name, files(save(tmp_path / f"{name}.jsonl", rows))) for name, rows in (("a", KTO), ("b", RLVR))]
    with pytest.raises(MixtureError, match="a holds unpaired rows, b holds prompt rows"):
        Mixture("m", sources, []).build(tmp_path / "b", quiet=True)
