"""How fast `refusals` reads answers: the whole step, on as many threads as there are cores, and by processor time.

Run it with `pytest tests/bench/bench_refusals.py --benchmark-enable -s`; with `CURATE_REAL_DATA` it reads real answers.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import Filter
from curate.steps.refusals.phrase_files import PRESETS
from curate.steps.refusals.refusals import refusals

ENGLISH = "Here are three tips:\n\n1. I like a diet rich in fruit. As a rule, it is best.\n2. I don't skip sleep.\n"
THREADS = 2
BATCH = 16_000_000
STEPS: dict[str, Filter] = {
    **{preset: refusals(preset) for preset in PRESETS},
    "default, no model": refusals(model=None),
    "default, no moralising": refusals(families=[each for each in PRESETS["default"].families if each != "moralising"]),
    "default, keep_safety": refusals(keep_safety=True),
}


@pytest.fixture(scope="module")
def batches() -> list[pa.RecordBatch]:
    """About 128 MB of answers, in batches."""
    folder = os.environ.get("CURATE_REAL_DATA")
    if folder:
        rows = json.loads((Path(folder) / "sft/alpaca_random_9k.json").read_bytes())
        said = [(row["instruction"], row["output"]) for row in rows]
    else:
        said = [("Hi", ENGLISH * (1 + i % 9)) for i in range(10_000)]
    dialogues = [
        {"meta": "{}", "messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
        for a, b in said
    ]
    one = pa.RecordBatch.from_pylist(dialogues, BODIES["conversation"])
    size = sum(len(answer.encode()) for _, answer in said)
    return [pa.concat_batches([one] * max(BATCH // size, 1))] * 8


@pytest.mark.parametrize("name", STEPS)
def test_score(benchmark: BenchmarkFixture, batches: list[pa.RecordBatch], name: str) -> None:
    step = STEPS[name]
    found = [segments(batch, step.reads) for batch in batches]
    step.score(found[0])

    def run() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(step.score, found))

    before = time.process_time()
    step.score(found[0])
    spent = time.process_time() - before
    benchmark(run)
    if benchmark.stats is not None:  # benchmarks are enabled
        parts = segments(batches[0], step.on).parts
        sizes = [int(sum(np.diff(part.text.offsets)[part.index].sum() for part in parts))] * len(
            batches
        )  # what is read
        wall = sum(sizes) / benchmark.stats.stats.min / 1e6
        print(f"\n{name}: {wall:,.0f} MB/s on {THREADS} threads, {sizes[0] / spent / 1e6:,.0f} MB/s of processor time")
