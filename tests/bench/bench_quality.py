"""How fast one core asks a classifier about answers, and how well classifiers trained on real files tell held-out rows.

Run it with `pytest tests/bench/bench_quality.py --benchmark-enable -s`; both need `CURATE_REAL_DATA`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.classify.train_classifier import train_classifier
from curate.io.inputs import Input, files
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.filters.quality import quality

PAIRS: Final = {
    "LIMA against Alpaca": ("sft/lima.json", "sft/alpaca_random_9k.json"),
    "LIMA against cleaned Alpaca": ("sft/lima.json", "sft/alpaca_cleaned_1000.json"),
    "longest Alpaca against Alpaca": ("sft/alpaca_1k_longest.json", "sft/alpaca_random_9k.json"),
    "GPT-4's Alpaca against davinci's": ("sft/alpaca_en_demo.json", "sft/alpaca_random_9k.json"),
    "ChatGPT's choice of Alpaca against Alpaca": ("sft/alpagasus_claude_t45.json", "sft/alpaca_random_9k.json"),
}


def source(folder: Path, name: str) -> Input:
    return files(folder / name)


def test_speed(benchmark: BenchmarkFixture, real_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    good, bad = (source(real_data, name) for name in PAIRS["LIMA against Alpaca"])
    step = quality(train_classifier(good, bad, tmp_path / "q.bin").path)
    answers = [row["output"] for row in json.loads((real_data / "sft/alpaca_random_9k.json").read_bytes())]
    rows = [{"messages": [{"role": "assistant", "content": answer}], "meta": "{}"} for answer in answers]
    body = pa.RecordBatch.from_pylist(rows * 10, BODIES["conversation"])
    read = segments(body, step.on)
    benchmark.pedantic(step.score, (read,), rounds=5, warmup_rounds=1)  # type: ignore[no-untyped-call]
    if benchmark.stats is not None:  # benchmarks are enabled
        size = 10 * sum(len(answer.encode()) for answer in answers)
        print(f"\nquality: {size / benchmark.stats.stats.min / 1e6:,.0f} MB/s of answers")


@pytest.mark.parametrize("pair", PAIRS)
def test_figures(benchmark: BenchmarkFixture, real_data: Path, tmp_path: Path, pair: str) -> None:
    pytest.importorskip("fasttext")
    good, bad = (source(real_data, name) for name in PAIRS[pair])
    found = benchmark.pedantic(train_classifier, (good, bad, tmp_path / "q.bin"), rounds=1)  # type: ignore[no-untyped-call]
    print(f"\n{pair}: {found}")
