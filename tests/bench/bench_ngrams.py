"""How fast one core reads words and n-grams of texts in normal form, beside plain Python.

Run it with `pytest tests/bench/bench_ngrams.py --benchmark-enable -s`; with `CURATE_REAL_DATA` it reads the prompts and
answers of real instruction files, 100 MB of them (files repeat where there is less).
"""

from __future__ import annotations

import json
import os
import re
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from curate.kernels.buffers import Text, view
from curate.text.ngrams import hash_words, ngrams, word_spans

ENGLISH = "Here are three tips:\n\n1. Eat a balanced diet, rich in fruits and vegetables.\n2. Don't skip sleep.\n"
CHINESE = "以下是保持健康的三个提示：\n\n1. 保持身体活动。每天做适当的身体运动，如散步、跑步或游泳。\n"
FILES: Final = {
    "english": (
        "alpaca_random_9k.json",
        "lima.json",
        "cherry_alpaca_5pct.json",
        "alpagasus_claude_t45.json",
        "gsm8k_train_alpaca.json",
    ),
    "chinese": ("alpaca_zh_part00.json",),
}
SIZE: Final = 100_000_000
SUBSET: Final = 2_000_000
"""Bytes that plain Python reads; it is scaled per MB."""
N: Final = 5


@pytest.fixture(scope="module", params=["english", "chinese"])
def texts(request: pytest.FixtureRequest) -> pa.StringArray:
    folder = os.environ.get("CURATE_REAL_DATA")
    found = [(ENGLISH if request.param == "english" else CHINESE) * (1 + i % 9) for i in range(10_000)]
    if folder:
        paths = [Path(folder) / "sft" / name for name in FILES[request.param]]
        rows = [row for path in paths for row in json.loads(path.read_bytes())]
        found = [row[field] for row in rows for field in ("instruction", "output")]
    size = sum(len(text.encode()) for text in found)
    return pa.concat_arrays([pa.array(found)] * (SIZE // size + 1))


def plain(texts: list[str]) -> int:
    """Hash the 5-grams of words in normal form, as a plain script does."""
    count = 0
    for text in texts:
        normal = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text.replace("’", "'")).casefold())
        words = re.findall(r"[^\W_]+(?:'[^\W_]+)*", normal)
        count += len({hash(tuple(words[i : i + N])) for i in range(max(1, len(words) - N + 1))})
    return count


def plain_seconds(texts: pa.StringArray) -> tuple[float, int]:
    """Return how long plain Python takes for a subset of `texts`, and its bytes."""
    ends = view(texts).offsets
    count = int(np.searchsorted(ends, SUBSET))
    some = texts[:count].to_pylist()
    start = time.perf_counter()
    plain(some)
    return time.perf_counter() - start, int(ends[count])


@pytest.mark.parametrize("read", ["hash_words", "ngrams", "both"])
def test_read(benchmark: BenchmarkFixture, texts: pa.StringArray, read: str) -> None:
    text, index = view(texts), np.arange(len(texts), dtype=np.int32)
    words = hash_words(text, index)
    runs: dict[str, Callable[[], Any]] = {
        "hash_words": lambda: hash_words(text, index),
        "ngrams": lambda: ngrams(words, N),
        "both": lambda: ngrams(hash_words(text, index), N),
    }
    ngrams(words, N)
    benchmark(runs[read])
    rate = report(benchmark, text)
    if read == "both" and rate:
        seconds, size = plain_seconds(texts)
        slow = size / seconds / 1e6
        print(f"plain Python: {slow:.1f} MB/s on {size / 1e6:.0f} MB of it; ratio {rate / slow:,.0f}")


def test_word_spans(benchmark: BenchmarkFixture, texts: pa.StringArray) -> None:
    text = view(texts[: len(texts) // 50])
    index = np.arange(len(text), dtype=np.int32)
    word_spans(text, index)
    benchmark(word_spans, text, index)
    report(benchmark, text)


def report(benchmark: BenchmarkFixture, text: Text) -> float:
    """Print and return the MB/s; 0 where benchmarks are disabled, and the run only shows that they work."""
    if benchmark.stats is None:
        return 0.0
    size = int(text.offsets[-1]) - int(text.offsets[0])
    rate = size / benchmark.stats.stats.min / 1e6
    benchmark.extra_info["MB/s"] = round(rate)
    print(f"\n{benchmark.name}: {rate:,.0f} MB/s of {size / 1e6:,.0f} MB")
    return float(rate)
