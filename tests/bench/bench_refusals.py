"""How fast one core looks for phrases of refusal in answers.

Run it with `pytest tests/bench/bench_refusals.py --benchmark-enable -s`; with `CURATE_REAL_DATA` it reads real answers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.steps.refusals import PRESETS, Preset, compiled, refusals
from curate.text.matching import find
from curate.text.views import view

ENGLISH = "Here are three tips:\n\n1. I like a diet rich in fruit. As a rule, it is best.\n2. I don't skip sleep.\n"


@pytest.fixture(scope="module")
def texts() -> pa.StringArray:
    """About 100 MB of answers."""
    folder = os.environ.get("CURATE_REAL_DATA")
    if folder:
        answers = [row["output"] for row in json.loads((Path(folder) / "sft/alpaca_random_9k.json").read_bytes())]
    else:
        answers = [ENGLISH * (1 + i % 9) for i in range(10_000)]
    return pa.concat_arrays([pa.array(answers)] * (100_000_000 // sum(map(len, answers)) + 1))


@pytest.mark.parametrize("preset", PRESETS)
def test_find(benchmark: BenchmarkFixture, texts: pa.StringArray, preset: Preset) -> None:
    step = refusals(preset)
    automaton = compiled(step.preset, step.families, ()).automaton
    text, index = view(texts), np.arange(len(texts), dtype=np.int32)
    find(text, index[:1], automaton)
    benchmark(find, text, index, automaton)
    if benchmark.stats is not None:  # benchmarks are enabled
        print(f"\n{preset}: {len(text.data) / benchmark.stats.stats.min / 1e6:,.0f} MB/s")
