"""A whole build beside bare copies of the same file.

One GB of conversations goes through refusals, shape, exact_dedup and sampling into a finished build folder; Polars and
pyarrow merely write the file as Parquet. Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_build.py -s`.

Each side is a process of its own, one after the other in five rounds; figures are medians. The clock of a side runs
from its first call to its last, imports left out; `whole` is the process from start to end. `CURATE_BENCH_GB` sets
another size, `CURATE_BENCH_TAKE` another share to sample (0.9).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROUNDS = 5
ALPACA = (
    "sft/lima.json",
    "sft/alpaca_random_9k.json",
    "sft/cherry_alpaca_5pct.json",
    "sft/gsm8k_train_alpaca.json",
    "sft/gpteacher_codegen-instruct.json",
    "sft/gpteacher_roleplay-simple-deduped-roleplay-instruct.json",
    "sft/alpaca_zh_demo.json",
)
SHAREGPT = ("sft/dummy_conversation.json", "sft/alpaca_1k_longest.json", "sft/glaive_toolcall_en_demo.json")

CURATE = """
import sys, time
import curate as c
from curate.mixture import Mixture
start = time.perf_counter()
steps = [c.refusals(), c.shape(), c.exact_dedup()]
source = c.Source("chats", c.files(sys.argv[1], format="messages"), take=c.Fraction(float(sys.argv[3])))
Mixture("bench", [source], steps).build(sys.argv[2], overwrite=True, resume=False, quiet=True)
print(time.perf_counter() - start)
"""
POLARS = """
import sys, time
import polars as pl
start = time.perf_counter()
pl.scan_ndjson(sys.argv[1]).sink_parquet(sys.argv[2])
print(time.perf_counter() - start)
"""
PYARROW = """
import sys, time
import pyarrow.json
import pyarrow.parquet
start = time.perf_counter()
reader = pyarrow.json.open_json(sys.argv[1])
with pyarrow.parquet.ParquetWriter(sys.argv[2], reader.schema, compression="zstd") as writer:
    for batch in reader:
        writer.write_batch(batch)
print(time.perf_counter() - start)
"""
SIDES = {"curate": CURATE, "polars": POLARS, "pyarrow": PYARROW}


class Run(NamedTuple):
    """What one process took: seconds of its work, from start to end, and of processor; its peak memory in bytes."""

    work: float
    whole: float
    cpu: float
    peak: int


def dialogues(real_file: Callable[[str], Path]) -> list[list[str]]:
    """Return the turns of real dialogues, the user's first."""
    found = []
    for name in ALPACA:
        for row in json.loads(real_file(name).read_bytes()):
            question = "\n\n".join(part for part in (row["instruction"], row.get("input")) if part)
            found.append([question, row.get("output") or row.get("response") or "I see."])
    for name in SHAREGPT:
        found += [[turn["value"] for turn in row["conversations"]] for row in json.loads(real_file(name).read_bytes())]
    return found


def perturbed(found: list[list[str]], rng: random.Random) -> Iterator[bytes]:
    """Yield lines without end: one or two real dialogues in a row, nine in ten with a word put in somewhere."""
    number = 0
    while True:
        turns = list(rng.choice(found)) + (list(rng.choice(found)) if rng.random() < 0.5 else [])
        if rng.random() < 0.9:
            place = rng.randrange(len(turns))
            words = turns[place].split(" ")
            words.insert(rng.randrange(len(words) + 1), f"w{number}")
            turns[place] = " ".join(words)
        roles = ("user", "assistant")
        messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]
        row = {"id": f"r{number}", "messages": messages, "dataset": "bench"}
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        number += 1


@pytest.fixture(scope="module")
def chats(real_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON Lines file of the size asked for."""
    path = tmp_path_factory.mktemp("bench") / "chats.jsonl"
    left = float(os.environ.get("CURATE_BENCH_GB", "1")) * 1e9
    lines = perturbed(dialogues(real_file), random.Random(0))
    with path.open("wb") as out:
        while left > 0:
            left -= out.write(next(lines))
    return path


def run(code: str, source: Path, target: Path) -> Run:
    """Run one side to its end."""
    share = os.environ.get("CURATE_BENCH_TAKE", "0.9")
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, source, target, share], stdout=subprocess.PIPE, text=True)
    with process, process.stdout or contextlib.nullcontext() as out:
        seconds = out.read() if out else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Run(float(seconds), time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


@pytest.mark.timeout(3600)
def test_a_build_beside_bare_copies(chats: Path, tmp_path: Path) -> None:
    warm = tmp_path / "warm.jsonl"
    with chats.open("rb") as source, warm.open("wb") as out:
        out.writelines(source.readline() for _ in range(2_000))
    run(CURATE, warm, tmp_path / "warm")  # kernels are compiled once an installation
    runs: dict[str, list[Run]] = {name: [] for name in SIDES}
    for _ in range(ROUNDS):
        for name, code in SIDES.items():
            runs[name].append(run(code, chats, tmp_path / name))
    size = chats.stat().st_size
    work = {name: statistics.median(one.work for one in found) for name, found in runs.items()}
    print(f"\n{size / 1e9:.2f} GB of conversations, medians of {ROUNDS} rounds")
    for name, found in runs.items():
        whole, cpu = (statistics.median(column) for column in list(zip(*found, strict=True))[1:3])
        peak = max(one.peak for one in found) / 1e9
        rate = size / work[name] / 1e6
        print(
            f"{name:8} {work[name]:6.2f} s {rate:4.0f} MB/s  whole {whole:5.2f} s  cpu {cpu:5.2f} s  peak {peak:.2f} GB"
        )
    print(f"curate / polars  {work['curate'] / work['polars']:.2f}  (at most 1)")
    print(f"curate / pyarrow {work['curate'] / work['pyarrow']:.2f}  (at most 2)")
