"""`binarize` and its slow definition agree on all real rated files, whatever the strategy."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from curate.io.formats.oasst import oasst_ranked
from curate.io.inputs import Input, files
from curate.io.joined import joined
from curate.steps.pairs.binarize import argilla, binarize, max_min, tulu3, zephyr
from curate.steps.pairs.completion_scores import ASPECTS, Blend, mean, weighted
from tests.support.pair_rows import Row, ask, body, every_strategy, expected, orders, outcomes

SCORED: Final[dict[str, tuple[int, int, float, float]]] = {
    "bon_tulu2dpo13b_scored": (11, 805, 1.9, 0.3),
    "alpaca_eval_weighted": (15, 805, 1.2, 0.1),
    "alpaca_eval_v1_gpt4": (21, 805, 1.5, 0.5),
}
"""Folders with a file a model: their files, their prompts, a score to be chosen from, and a margin."""


def rows_of(source: Input) -> pa.RecordBatch:
    opened = source.open()
    parsed = [opened.parse(block) for block in opened.blocks()]
    assert not any(each.bad.num_rows for each in parsed)
    return pa.concat_batches([each.body for each in parsed])


def agree(batch: pa.RecordBatch, score: str | Blend, good: float, margin: float) -> None:
    """Hold every strategy against the slow definition: on all rows in CI, else on a part of them, each another."""
    rows: list[Row] = batch.drop_columns("meta").to_pylist()
    parts = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else 12
    steps = every_strategy(score, good, margin)
    drawn = [orders(row, steps[0].seed) for row in rows]
    batches = [body(rows[part::parts]) for part in range(parts)]
    for number, step in enumerate(steps):
        part = number % parts
        assert outcomes(step, batches[part]) == expected(step, rows[part::parts], drawn[part::parts])


@pytest.mark.parametrize("name", SCORED)
def test_files_of_one_model_each(real_file: Callable[[str], Path], name: str) -> None:
    models, prompts, good, margin = SCORED[name]
    folder = real_file(f"preference/{name}")
    batch = rows_of(joined(folder, on="instruction", content="output_2", score="preference", model="generator_2"))
    assert batch.num_rows == prompts
    sizes = Counter(len(row) for row in batch["completions"].to_pylist())
    assert max(sizes) == models
    assert sum(size * count for size, count in sizes.items()) >= models * prompts - 3
    agree(batch, "preference", good, margin)
    assert sum(isinstance(each, list) for each in outcomes(binarize(score="preference"), batch)) > 0.9 * prompts


def test_names_of_models_from_a_mapping(real_file: Callable[[str], Path]) -> None:
    folder = real_file("preference/alpaca_eval_weighted")
    paths = {name: folder / f"{name}.json.gz" for name in ("NullModel", "claude-2")}
    batch = rows_of(joined(paths, on="instruction", content="output_2", score="preference"))
    assert {each["model"] for row in batch["completions"].to_pylist() for each in row} == set(paths)
    pairs = binarize(score="preference").pair(batch)
    assert pairs.body.num_rows == 805


def test_ranked_replies(real_file: Callable[[str], Path]) -> None:
    batch = rows_of(files(real_file("sft/oasst_en_100_tree.jsonl"), oasst_ranked()))
    agree(batch, "overall", -1, 2)
    said = Counter(each if isinstance(each, str) else "" for each in outcomes(max_min(), batch))
    assert said[""] > 200
    assert said["one_completion"] >= 40
    assert said.keys() <= {"", "one_completion", "missing_score"}


def test_completions_without_ratings(real_file: Callable[[str], Path]) -> None:
    batch = rows_of(files(real_file("preference/ultrafeedback_truthful_qa_completions.json"), "ultrafeedback"))
    for step in (zephyr(), argilla(), max_min(), tulu3()):
        assert outcomes(step, batch) == ["missing_score"] * 10


def test_presets_on_ultrafeedback_with_ratings(real_file: Callable[[str], Path]) -> None:
    """The real completions, rated by a rule: aspects by length, and an overall score that is wrong where all are 1."""
    raw = json.loads(real_file("preference/ultrafeedback_truthful_qa_completions.json").read_bytes())
    rows = [
        ask(*((each["response"], rated(each["response"], i)) for i, each in enumerate(row["completions"])))
        for row in raw * 20
    ]
    rows = [row | {"messages": [{"role": "user", "content": f"{i}"}]} for i, row in enumerate(rows)]
    for step in (zephyr(), argilla(), max_min(), tulu3()):
        assert outcomes(step, body(rows)) == expected(step, rows)
    agree(body(rows), mean(*ASPECTS), 3, 0.5)
    agree(body(rows), weighted(helpfulness=3, honesty=-1), 0.5, 0.5)


def rated(text: str, number: int) -> dict[str, Any]:
    scores: dict[str, Any] = {
        aspect: float(1 + len(text) * (place + 3) % 5) if len(text) * number % 11 else None
        for place, aspect in enumerate(ASPECTS)
    }
    return scores | {"overall_score": float(1 + len(text) % 10)}
