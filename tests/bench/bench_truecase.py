"""How fast tokens are scored beside the `truecase` package, and how fast the step runs over rows of which few need it.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_truecase.py --benchmark-enable -s`. Both sides are timed in
one run on the same tokens, each by its best.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.kernels.buffers import view
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.filters.truecase import Mode, truecase
from curate.text.casing.model import load
from curate.text.casing.restore import restore
from curate.text.casing.scoring_kernel import choose, recognise

TOKEN: Final = re.compile(r"\w+(?:['’.-]\w+)*|[^\w\s]+")
START: Final = re.compile(r"(?:(?<=^)|(?<=[.!?]\s))[A-Z]", re.MULTILINE)
SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+")
THREADS: Final = 2
BYTES: Final = 64_000_000
ONE_IN: Final = 20

LOWER: Final = {"messages": [{"role": "assistant", "content": "i saw him in new york last july."}], "meta": "{}"}
PEAK: Final = """
import json, sys
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
import pyarrow as pa
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.filters.truecase import truecase
def peak():  # of this process alone: ru_maxrss begins with that of the parent
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
path, size, mode = sys.argv[1:]
texts = [row["output"] for row in json.loads(open(path, "rb").read())]
texts = [text.lower() if k % 20 == 0 else text for k, text in enumerate(texts)]
rows = [{"messages": [{"role": "assistant", "content": text}], "meta": "{}"} for text in texts]
body = pa.RecordBatch.from_pylist(rows, BODIES["conversation"])
times = int(size) // body.nbytes + 1
parts = [segments(pa.concat_batches([body] * max(1, times // 2))) for _ in range(2)]
step = truecase(mode)
before = peak()
with ThreadPoolExecutor(2) as pool:
    list(pool.map(step.edit, parts))
print(peak() - before)
"""


@pytest.fixture(scope="module")
def answers(real_file: Callable[[str], Path]) -> list[str]:
    return [row["output"] for row in json.loads(real_file("sft/lima.json").read_bytes())]


@pytest.fixture(scope="module")
def sentences(answers: list[str]) -> list[list[str]]:
    return [tokens for text in answers for line in SENTENCE.split(text) if (tokens := TOKEN.findall(line.lower()))]


def best(call: Callable[[], object], times: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the least seconds that a call took, by a clock."""
    spent = []
    for _ in range(times):
        start = clock()
        call()
        spent.append(clock() - start)
    return min(spent)


@pytest.fixture(scope="module")
def package() -> Any:  # noqa: ANN401
    return pytest.importorskip("truecase.TrueCaser").TrueCaser()


def score(tokens: pa.ListArray) -> None:
    """Choose the form of every token."""
    table, text = load(), view(tokens.values)
    word, chosen = recognise(text.data, text.offsets[:-1], text.offsets[1:], table)
    choose(tokens.offsets.to_numpy(), word, chosen, table, table.opened)


def test_tokens(benchmark: BenchmarkFixture, sentences: list[list[str]], package: Any) -> None:  # noqa: ANN401
    arrays = [pa.array(sentences[k::THREADS], pa.list_(pa.string())) for k in range(THREADS)]
    count = sum(map(len, sentences))
    benchmark(score, arrays[0])
    if benchmark.stats is None:  # benchmarks are off
        return
    some = sentences[:4000]
    theirs = best(lambda: [package.get_true_case_from_tokens(tokens) for tokens in some], 3, time.process_time)
    rate = sum(map(len, some)) / theirs
    one = count / best(lambda: list(map(score, arrays)), 9, time.process_time)
    with ThreadPoolExecutor(THREADS) as pool:
        two = count / best(lambda: list(pool.map(score, arrays)), 9)
    print(
        f"\npackage {rate:,.0f} tokens a processor second; one thread {one:,.0f} ({one / rate:,.0f} times); "
        f"{THREADS} threads, by the clock, {two:,.0f} ({two / rate:,.0f} times)"
    )


@pytest.mark.parametrize("mode", ["sentence_start", "full"])
def test_step(benchmark: BenchmarkFixture, answers: list[str], package: Any, mode: Mode) -> None:  # noqa: ANN401
    lower = {"sentence_start": lambda text: START.sub(lambda found: found[0].lower(), text), "full": str.lower}[mode]
    mixed = [lower(text) if k % ONE_IN == 0 else text for k, text in enumerate(answers)]
    rows = [{"messages": [{"role": "assistant", "content": text}], "meta": "{}"} for text in mixed]
    batch = pa.RecordBatch.from_pylist(rows, BODIES["conversation"])
    size = sum(len(text.encode()) for text in mixed)
    parts = [segments(batch)] * (BYTES // size + 1)
    step = truecase(mode)
    benchmark(step.edit, parts[0])
    if benchmark.stats is None:
        return
    with ThreadPoolExecutor(THREADS) as pool:
        took = best(lambda: list(pool.map(step.edit, parts)), 5)
    tokens = [found for text in mixed for line in SENTENCE.split(text) if (found := TOKEN.findall(line))]
    some = tokens[:4000]
    theirs = sum(map(len, some)) / best(lambda: [package.get_true_case_from_tokens(each) for each in some], 3)
    ours = sum(map(len, tokens)) * len(parts) / took
    print(
        f"\n{mode}, 5 % of rows need repair, {THREADS} threads: {len(parts) * size / took / 1e6:,.0f} MB/s; "
        f"{ours:,.0f} tokens a second, the package {theirs:,.0f}: "
        f"{ours / theirs:,.0f} times"
    )


def test_without_case(benchmark: BenchmarkFixture, answers: list[str]) -> None:
    text = view(pa.array([text.lower() for text in answers]))
    every, user = np.arange(len(answers), dtype=np.int32), np.zeros(len(answers), np.bool_)
    benchmark(restore, text, every, user)
    if benchmark.stats is None:
        return
    slow = best(lambda: restore(text, every, user), 3)
    print(f"\nfull, every row without case, one thread: {len(text.data) / slow / 1e6:,.0f} MB/s")


def test_memory(benchmark: BenchmarkFixture, real_file: Callable[[str], Path]) -> None:
    """What the step takes beyond the text, in a process of its own, in which nothing else was ever loaded."""
    size = BYTES if benchmark.enabled else BYTES // 64
    call = [sys.executable, "-c", PEAK, str(real_file("sft/lima.json")), str(size)]
    truecase("full").edit(segments(pa.RecordBatch.from_pylist([LOWER], BODIES["conversation"])))  # compiles the table
    figures: dict[Mode, str] = {}

    def run() -> None:
        for mode in get_args(Mode):
            figures[mode] = subprocess.run([*call, mode], check=True, capture_output=True, text=True).stdout

    benchmark(run)
    for mode, more in figures.items():
        print(f"\n{mode}: {int(more) / 1024:,.0f} MiB more at the peak than the text ({size / 1e6:,.0f} MB)")
