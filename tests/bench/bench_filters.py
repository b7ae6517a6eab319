"""How fast `repetition` and `secrets_and_pii` read answers, on one core and on two threads.

Run it with `pytest tests/bench/bench_filters.py --benchmark-enable -s`; with `CURATE_REAL_DATA` it reads real answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.rows.schema import BODIES
from curate.rows.segments import Segments, segments
from curate.steps.filters.repetition import repetition
from curate.steps.filters.secrets_and_pii import secrets_and_pii

ENGLISH = "Here are three tips:\n\n1. I like a diet rich in fruit.\n2. I don't skip sleep, ever.\n3. Call 2 friends.\n"
STEPS: dict[str, Callable[[Segments], object]] = {
    "repetition": repetition().score,
    "repetition gopher": repetition("gopher").score,
    "secrets flag": secrets_and_pii().score,
    "secrets mask": secrets_and_pii("mask").edit,
}


@pytest.fixture(scope="module")
def halves() -> list[pa.RecordBatch]:
    """Two batches of about 50 MB of answers each."""
    folder = os.environ.get("CURATE_REAL_DATA")
    if folder:
        answers = [row["output"] for row in json.loads((Path(folder) / "sft/alpaca_random_9k.json").read_bytes())]
    else:
        answers = [ENGLISH * (1 + i % 9) for i in range(10_000)]
    texts = pa.concat_arrays([pa.array(answers)] * (50_000_000 // sum(map(len, answers)) + 1))
    roles = pa.array(["assistant"] * len(texts))
    turns = pa.StructArray.from_arrays([roles, texts], names=["role", "content"])
    rows = pa.ListArray.from_arrays(np.arange(len(texts) + 1, dtype=np.int32), turns)
    schema = BODIES["conversation"]
    columns = [rows.cast(schema.field("messages").type), pa.array(["{}"] * len(texts))]
    return [pa.RecordBatch.from_arrays(columns, schema=schema)] * 2


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", STEPS)
def test_score(benchmark: BenchmarkFixture, halves: list[pa.RecordBatch], name: str, threads: int) -> None:
    step, parts = STEPS[name], [segments(half) for half in halves]
    step(segments(halves[0].slice(0, 10)))
    with ThreadPoolExecutor(threads) as pool:
        benchmark(lambda: list(pool.map(step, parts)))
    if benchmark.stats is not None:  # benchmarks are enabled
        size = sum(len(part.parts[0].text.data) for part in parts)
        print(f"\n{name}, {threads} threads: {size / benchmark.stats.stats.min / 1e6:,.0f} MB/s")
