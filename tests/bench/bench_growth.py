"""Eight steps at a growing number of rows, beside Polars, which merely writes the same file as Parquet.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_growth.py -s`. Real chats, nine in ten with a word put in, go
through language, refusals, truecase, shape, repetition, secrets_and_pii, dedup and decontaminate (TruthfulQA) into a
finished build folder. `CURATE_BENCH_ROWS` has the numbers of rows ("50000,500000"; tenfold, "5000000", takes well
over ten minutes and 20 GB of disk), `CURATE_BENCH_ROUNDS` the rounds (1).

Each side is a process of its own, one after the other; figures are medians of the clock from the first call to the
last, imports left out, and of processor time. Memory is the peak of what is not a file mapped in (`RssAnon`). The
exponent of growth is that of the clock from each number of rows to the next.
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.bench.bench_build import dialogues, perturbed

MOST_GROWTH: Final = 1.1
"""The exponent of growth that a build may have."""

PEAK: Final = """
import json, pathlib, sys, threading, time
peak, over = 0, threading.Event()
def watch():
    global peak
    while not over.wait(0.05):
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        peak = max(peak, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")))
watching = threading.Thread(target=watch)
"""
DONE: Final = """
over.set()
watching.join()
print(json.dumps([seconds, cpu, peak]))
"""
CURATE: Final = f"""{PEAK}
import curate as c
from curate.mixture import Mixture
_, rows, out, evals = sys.argv
any_drop = {{"allow_large_drop": True}}
watching.start()
start, used = time.perf_counter(), time.process_time()
truthful = c.evals.files(evals, question="Question", name="truthful_qa")
steps = [
    c.language("en", **any_drop), c.refusals(**any_drop), c.truecase(), c.shape(**any_drop), c.repetition(**any_drop),
    c.secrets_and_pii(**any_drop), c.dedup(**any_drop), c.decontaminate(*truthful, **any_drop),
]
Mixture("bench", [c.Source("chats", c.files(rows, "messages"))], steps).build(
    out, overwrite=True, resume=False, quiet=True
)
seconds, cpu = time.perf_counter() - start, time.process_time() - used
{DONE}"""
POLARS: Final = f"""{PEAK}
import polars as pl
watching.start()
start, used = time.perf_counter(), time.process_time()
pl.scan_ndjson(sys.argv[1]).sink_parquet(sys.argv[2])
seconds, cpu = time.perf_counter() - start, time.process_time() - used
{DONE}"""


class Figures(NamedTuple):
    """Seconds by the clock and of the processor, and the peak of memory in bytes."""

    seconds: float
    cpu: float
    peak: float


def run(code: str, *arguments: Path) -> Figures:
    """Run one side in a process of its own."""
    made = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return Figures(*json.loads(made.stdout.splitlines()[-1]))


def median(runs: list[Figures]) -> Figures:
    return Figures(*(statistics.median(each) for each in zip(*runs, strict=True)))


@pytest.mark.timeout(7200)
def test_eight_steps_grow_with_the_rows(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    counts = [int(each) for each in os.environ.get("CURATE_BENCH_ROWS", "50000,500000").split(",")]
    rounds = int(os.environ.get("CURATE_BENCH_ROUNDS", "1"))
    rows, evals, found = tmp_path / "chats.jsonl", real_file("evals/TruthfulQA.csv"), dialogues(real_file)
    measured: dict[int, Figures] = {}
    for place, count in enumerate([2_000, *counts]):  # the first compiles kernels, once an installation
        with rows.open("wb") as out:
            out.writelines(islice(perturbed(found, random.Random(0)), count))
        sides: list[tuple[Figures, Figures]] = []
        for _ in range(rounds if place else 1):
            ours = run(CURATE, rows, tmp_path / "build", evals)
            sides.append((ours, run(POLARS, rows, tmp_path / "polars.parquet")))
        if not place:
            continue
        ours, theirs = (median(list(side)) for side in zip(*sides, strict=True))
        measured[count] = ours
        print(
            f"\n{count:,} rows, {rows.stat().st_size / 1e6:,.0f} MB: {ours.seconds:.1f} s, processor {ours.cpu:.1f} s, "
            f"memory {ours.peak / 1e9:.2f} GB; Polars {theirs.seconds:.1f} s, {theirs.cpu:.1f} s: "
            f"{ours.seconds / theirs.seconds:.2f} times by the clock, {ours.cpu / theirs.cpu:.2f} of processor time",
            end="",
        )
    for (few, less), (many, more) in pairwise(measured.items()):
        growth = math.log(more.seconds / less.seconds) / math.log(many / few)
        print(f"\nfrom {few:,} to {many:,} rows the time grows by an exponent of {growth:.2f} (at most {MOST_GROWTH})")
