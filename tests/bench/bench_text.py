"""How fast one core reads text: normal form, words, and the two steps that stand on them.

Run it with `pytest tests/bench/bench_text.py --benchmark-enable -s`; with `CURATE_REAL_DATA` it reads real answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.kernels.buffers import view
from curate.kernels.hashing import hash_strings
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.text.normal import hash_normal, normalise
from curate.text.words import count_characters, count_words

ENGLISH = "Here are three tips:\n\n1. Eat a balanced diet, rich in fruits and vegetables.\n2. Don't skip sleep.\n"
CHINESE = "以下是保持健康的三个提示：\n\n1. 保持身体活动。每天做适当的身体运动，如散步、跑步或游泳。\n"
FILES = {"english": "sft/alpaca_random_9k.json", "chinese": "sft/alpaca_zh_part00.json"}
ROWS = 1_000_000


@pytest.fixture(scope="module", params=["english", "chinese"])
def texts(request: pytest.FixtureRequest) -> pa.StringArray:
    """About 30 MB of answers."""
    folder = os.environ.get("CURATE_REAL_DATA")
    if folder:
        rows = json.loads((Path(folder) / FILES[request.param]).read_bytes())
        answers = [row["output"] for row in rows]
    else:
        answers = [(ENGLISH if request.param == "english" else CHINESE) * (1 + i % 9) for i in range(10_000)]
    size = sum(len(answer.encode()) for answer in answers)
    return pa.concat_arrays([pa.array(answers)] * (30_000_000 // size + 1))


def report(benchmark: BenchmarkFixture, size: int) -> None:
    if benchmark.stats is None:
        return  # benchmarks are disabled: the run only shows that they work
    rate = size / benchmark.stats.stats.min / 1e6
    benchmark.extra_info["MB/s"] = round(rate)
    print(f"\n{benchmark.name}: {rate:,.0f} MB/s")


@pytest.mark.parametrize("read", [hash_normal, count_words, count_characters])
def test_read(benchmark: BenchmarkFixture, texts: pa.StringArray, read: Callable[..., Any]) -> None:
    text, index = view(texts), np.arange(len(texts), dtype=np.int32)
    read(text, index)
    benchmark.name = f"{read.__name__}, {benchmark.name}"
    benchmark(read, text, index)
    report(benchmark, len(text.data))


@pytest.mark.parametrize(
    "write", [normalise, lambda texts: hash_strings(view(texts))], ids=["normalise", "hash_strings"]
)
def test_whole_arrays(benchmark: BenchmarkFixture, texts: pa.StringArray, write: Callable[..., Any]) -> None:
    write(texts)
    benchmark(write, texts)
    report(benchmark, len(view(texts).data))


@pytest.mark.parametrize("step", ["shape", "exact_dedup"])
def test_steps(benchmark: BenchmarkFixture, texts: pa.StringArray, step: str) -> None:
    roles = pa.array(["user", "assistant"]).take(pa.array(np.arange(len(texts)) % 2))
    turns = pa.StructArray.from_arrays(
        [roles, texts], fields=list(BODIES["conversation"].field("messages").type.value_type)
    )
    offsets = pa.array(np.arange(0, len(texts) + 1, 2, dtype=np.int32))
    lists = pa.ListArray.from_arrays(offsets, turns)
    body = pa.record_batch([lists, pa.array(["{}"] * len(lists))], names=["messages", "meta"])
    run = shape().score if step == "shape" else exact_dedup().sign
    run(segments(body))
    benchmark(lambda: run(segments(body)))
    report(benchmark, len(view(texts).data))


@pytest.mark.parametrize("share", [0.1, 1.0], ids=["a tenth repeated", "all repeated"])
def test_resolve_a_million_rows(benchmark: BenchmarkFixture, share: float) -> None:
    chance = np.random.default_rng(7)
    high = chance.integers(1, 2**63, ROWS, dtype=np.uint64)
    again = int(ROWS * share)
    high[:again] = chance.choice(high, again // 2)[chance.integers(0, again // 2, again)]
    keys = pl.DataFrame(
        {
            "row": np.arange(ROWS, dtype=np.uint32),
            "source": np.repeat(np.arange(10, dtype=np.uint16), ROWS // 10),
            "rank": chance.integers(0, 2**63, ROWS, dtype=np.uint64),
            "protect": np.zeros(ROWS, np.bool_),
            "high": high,
            "low": high,
        }
    )
    resolved = benchmark(exact_dedup().resolve, keys)
    assert resolved.height > again // 4
