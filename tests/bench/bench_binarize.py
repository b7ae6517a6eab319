"""How long 60,000 prompts with four completions each take to pair.

Run it with `pytest tests/bench/bench_binarize.py --benchmark-enable -s`; the texts have the lengths of UltraFeedback's.
"""

from __future__ import annotations

import resource
from typing import Final

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.rows.schema import BODIES, COMPLETION, MESSAGE, MESSAGES, SCORE
from curate.steps.pairs.binarize import Binarize, argilla, at_least, binarize, max_min, zephyr
from curate.steps.pairs.completion_scores import ASPECTS

PROMPTS: Final = 60_000
BATCH: Final = 6_000
STEPS: Final = {
    "zephyr": zephyr(),
    "argilla": argilla(),
    "max_min": max_min(),
    "length_matched": binarize(rejected="length_matched"),
    "every pair, two a prompt": binarize(chosen=at_least(2), rejected="all_lower", pairs_per_prompt=2),
}


def texts(rng: np.random.Generator, count: int, mean: int) -> pa.StringArray:
    sizes = rng.gamma(2, mean / 2, count).astype(np.int64)
    letters = bytes(rng.choice(np.frombuffer(b"abcdefghij klmnop qrst ", np.uint8), int(sizes.sum())))
    return pa.StringArray.from_buffers(
        count, pa.py_buffer(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)), pa.py_buffer(letters)
    )


def lists(values: pa.Array, each: int, kind: pa.ListType) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, each, dtype=np.int32)), values, type=kind)


@pytest.fixture(scope="module")
def batches() -> list[pa.RecordBatch]:
    """Rated rows: a prompt of 800 bytes and four answers of 1,300, with five scores each."""
    rng = np.random.default_rng(1)
    return [batch(rng) for _ in range(PROMPTS // BATCH)]


def batch(rng: np.random.Generator) -> pa.RecordBatch:
    names = pa.array([*ASPECTS, "overall_score"] * (4 * BATCH))
    values = pa.array(rng.integers(1, 6, len(names)).astype(np.float64))
    scores = lists(pa.StructArray.from_arrays([names, values], fields=list(SCORE)), 5, pa.list_(SCORE))
    content = [texts(rng, 4 * BATCH, 1300), pa.array(["gpt-4"] * (4 * BATCH)), scores]
    answers = lists(pa.StructArray.from_arrays(content, fields=list(COMPLETION)), 4, pa.list_(COMPLETION))
    turns = pa.StructArray.from_arrays([pa.array(["user"] * BATCH), texts(rng, BATCH, 800)], fields=list(MESSAGE))
    columns = [lists(turns, 1, MESSAGES), answers, pa.array(['{"source":"evol_instruct"}'] * BATCH)]
    return pa.RecordBatch.from_arrays(columns, schema=BODIES["rated"])


@pytest.mark.parametrize("name", STEPS)
def test_pair(benchmark: BenchmarkFixture, batches: list[pa.RecordBatch], name: str) -> None:
    step = STEPS[name]
    assert benchmark(pair_all, step, batches) > PROMPTS // 2
    if benchmark.stats is not None:  # benchmarks are enabled
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"\n{name}: {benchmark.stats.stats.min:.2f} s for {PROMPTS:,} prompts; peak of the process {peak:,.0f} MB"
        )


def pair_all(step: Binarize, batches: list[pa.RecordBatch]) -> int:
    return sum(step.pair(each).body.num_rows for each in batches)
