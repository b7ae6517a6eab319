"""What a ladder of three sizes costs beside one build of the largest.

300,000 real chats go through language, refusals, exact_dedup, dedup and shape; 5,000, 25,000 and 100,000 rows are
taken, at random and by `Longest`. Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_ladder.py -s`. Each side
is a process of its own, one after the other in three rounds; figures are medians of the clock from the first call to
the last, imports left out, and of processor time. The largest build must be the same on both sides, byte for byte.
`CURATE_BENCH_ROWS` and `CURATE_BENCH_ROUNDS` set other numbers.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from tests.bench.bench_build import dialogues, perturbed
from tests.support.build_data import hashes

MOST: Final = 1.2
"""Times one build that a ladder of three may take."""

CURATE: Final = """
import sys, time
import curate as c
rows, out, take, *sizes = sys.argv[1:]
start, cpu = time.perf_counter(), time.process_time()
any_drop = {"allow_large_drop": True}
steps = [
    c.language("en", "zh", **any_drop),
    c.refusals(**any_drop),
    c.exact_dedup(**any_drop),
    c.dedup(**any_drop),
    c.shape(min_words=20, **any_drop),
]
sizes = [int(size) for size in sizes]
taken = getattr(c, take)(sizes[-1])
mixture = c.Mixture("bench", [c.Source("chats", c.files(rows, "messages"), take=taken)], steps)
if len(sizes) > 1:
    mixture.ladder(sizes, out, overwrite=True, quiet=True)
else:
    mixture.build(out, overwrite=True, resume=False, quiet=True)
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def run(rows: Path, out: Path, take: str, sizes: list[int]) -> tuple[float, float]:
    """Build in a process of its own; return the seconds that it took, and those of the processor."""
    command = [sys.executable, "-c", CURATE, str(rows), str(out), take, *map(str, sizes)]
    clock, cpu = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(clock), float(cpu)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("take", ["Rows", "Longest"])
def test_three_sizes_in_one_pass(take: str, real_file: Callable[[str], Path], tmp_path: Path) -> None:
    count, rounds = (
        int(os.environ.get(f"CURATE_BENCH_{name}", given)) for name, given in (("ROWS", 300_000), ("ROUNDS", 3))
    )
    rows, one, three = tmp_path / "chats.jsonl", tmp_path / "one", tmp_path / "three"
    with rows.open("wb") as out:
        out.writelines(islice(perturbed(dialogues(real_file), random.Random(0)), count))
    sizes = [count // 60, count // 12, count // 3]
    both = [(run(rows, one, take, sizes[-1:]), run(rows, three, take, sizes)) for _ in range(rounds)]
    assert hashes(three / str(sizes[-1])) == hashes(one)
    for place, name in enumerate(("clock", "processor")):
        single, ladder = (statistics.median(side[place] for side in sides) for sides in zip(*both, strict=True))
        print(f"\n{take}, {name}: one build {single:.1f} s, three {ladder:.1f} s: {ladder / single:.2f} times", end="")
    print(f" (at most {MOST})")
