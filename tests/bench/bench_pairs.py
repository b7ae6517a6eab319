"""How fast pairs are linted and brought to the same length, step by step.

Run it with `pytest tests/bench/bench_pairs.py --benchmark-enable -s`: 60,000 prompts, with one pair and with three.
"""

from __future__ import annotations

import random
import resource

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.engine.barrier import MemoryKeys, StoredLists
from curate.result.length_bias import length_bias
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import Group
from curate.steps.pairs.balance_length import balance_length
from curate.steps.pairs.contradictions import contradictions
from curate.steps.pairs.lint_pairs import lint_pairs

PROMPTS = 60_000
WORDS = (*"abcdefghijklmnop", "the", "model", "answers", "because", "length", "don't", "chosen.")
STEPS = {"balance_length": balance_length(), "contradictions": contradictions()}


@pytest.fixture(scope="module", params=[1, 3])
def body(request: pytest.FixtureRequest) -> pa.RecordBatch:
    """Pairs of about 1,400 characters a side, 1 or 3 a prompt."""
    chance = random.Random(0)
    text = " ".join(chance.choices(WORDS, k=100_000))
    count = PROMPTS * request.param
    columns = {}
    for side, role, size in (("prompt", "user", 200), ("chosen", "assistant", 1_500), ("rejected", "assistant", 1_300)):
        starts = [chance.randrange(len(text) - 2 * size) for _ in range(count)]
        contents = pa.array([text[start : start + size // 2 + start % size] for start in starts])
        if side == "prompt":
            contents = contents.take(pa.array(np.arange(count) // request.param))
        messages = pa.StructArray.from_arrays([pa.array([role] * count), contents], ["role", "content"])
        columns[side] = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), messages)
    columns |= {
        "chosen_score": pa.array(np.arange(count) % 7 + 1.0),
        "rejected_score": pa.array(np.arange(count) % 5 + 0.0),
        "meta": pa.array(["{}"] * count),
    }
    schema = BODIES["preference"]
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def told(benchmark: BenchmarkFixture, what: str, rows: int) -> None:
    if benchmark.stats is not None:  # benchmarks are enabled
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"\n{what}: {rows:,} pairs in {benchmark.stats.stats.min:.2f} s; the process took {peak:.1f} GB at most")


def test_lint(benchmark: BenchmarkFixture, body: pa.RecordBatch) -> None:
    step = lint_pairs(cut=512)
    seen = segments(body)
    step.score(segments(body.slice(0, 100)))
    benchmark(step.score, seen)
    told(benchmark, "lint_pairs", body.num_rows)


@pytest.mark.parametrize("name", STEPS)
def test_group(benchmark: BenchmarkFixture, body: pa.RecordBatch, name: str) -> None:
    step: Group = STEPS[name]
    seen = segments(body)

    def decide() -> int:
        sheet = MemoryKeys(body.num_rows, {"": step.sign(seen)})
        keys = pl.DataFrame(dict(sheet.by_label[""].columns)).with_columns(
            row=pl.int_range(pl.len()),
            source=pl.lit(0, pl.Int16),
            rank=pl.int_range(pl.len()).hash(),
            protect=pl.lit(value=False),
        )
        return step.resolve(keys, StoredLists([sheet], "", np.arange(keys.height)), {}).drops.height

    decide()
    benchmark(decide)
    told(benchmark, name, body.num_rows)


def test_length_bias(benchmark: BenchmarkFixture, body: pa.RecordBatch) -> None:
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([body]))).with_columns(source=pl.lit("a"))
    benchmark(length_bias, frame)
    told(benchmark, "length_bias", body.num_rows)
