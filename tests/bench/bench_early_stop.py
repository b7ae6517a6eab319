"""Fifty thousand of two million rows: as many as `take` needs through the steps, beside all of them.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_early_stop.py -s`. Both sides are processes of their own, one
after the other in three rounds; figures are medians. `CURATE_BENCH_ROWS` sets another number of rows, of which one in
forty is taken. Both sides must write the same data files.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bench.bench_build import dialogues, perturbed

ROUNDS = 3
ONE_IN = 40
CODE = """
import sys
import curate as c
steps = [c.language("en"), c.refusals(), c.truecase(), c.repetition(), c.shape()]
given, take = c.files(sys.argv[1], "messages"), c.Rows(int(sys.argv[3]))
source = c.Source("chats", given, take=take, early_stop=sys.argv[4] == "early")
c.Mixture("bench", [source], steps).build(sys.argv[2], overwrite=True, resume=False, quiet=True)
"""


class Run(NamedTuple):
    """Seconds from start to end, and of processor, of a process; and a hash of the data files it wrote."""

    whole: float
    cpu: float
    data: str


def run(source: Path, target: Path, take: int, how: str) -> Run:
    """Build on one side."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", CODE, source, target, str(take), how])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    whole = time.perf_counter() - start
    data = hashlib.sha256(b"".join(path.read_bytes() for path in sorted((target / "data").iterdir()))).hexdigest()
    shutil.rmtree(target)
    return Run(whole, used.ru_utime + used.ru_stime, data)


@pytest.mark.timeout(7200)
def test_as_many_rows_as_are_needed_beside_all(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    rows = int(os.environ.get("CURATE_BENCH_ROWS", "2000000"))
    chats = tmp_path / "chats.jsonl"
    with chats.open("wb") as out:
        out.writelines(islice(perturbed(dialogues(real_file), random.Random(0)), rows))
    with chats.open("rb") as source, (tmp_path / "warm.jsonl").open("wb") as out:
        out.writelines(islice(source, 4_000))
    for how in ("all", "early"):
        run(tmp_path / "warm.jsonl", tmp_path / "warm", 100, how)  # kernels are compiled once an installation
    runs: dict[str, list[Run]] = {"all": [], "early": []}
    for _ in range(ROUNDS):
        for how, found in runs.items():
            found.append(run(chats, tmp_path / how, rows // ONE_IN, how))
    print(f"\n{rows // ONE_IN:,} of {rows:,} rows, {chats.stat().st_size / 1e9:.2f} GB, medians of {ROUNDS} rounds")
    for how, found in runs.items():
        whole, cpu = (statistics.median(column) for column in list(zip(*found, strict=True))[:2])
        print(f"{how:6} {whole:6.2f} s  cpu {cpu:6.2f} s")
    pairs = list(zip(runs["early"], runs["all"], strict=True))
    whole = statistics.median(early.whole / every.whole for early, every in pairs)
    cpu = statistics.median(early.cpu / every.cpu for early, every in pairs)
    print(f"early / all: {whole:.2f} of the time, {cpu:.2f} of the processor time (at most 0.33)")
    assert len({one.data for found in runs.values() for one in found}) == 1, "both write the same data files"
