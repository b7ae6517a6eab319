"""A build from an earlier one beside one from nothing: after a moved bound, before and behind dedup, and an added step.

300,000 real chats go through language, refusals, truecase, repetition, exact_dedup, dedup and shape, and through these
with decontaminate behind dedup, which holds them against TruthfulQA and GSM8K as the README's mixture does. Run it with
`CURATE_REAL_DATA=... pytest tests/bench/bench_from.py -s`. Each side is a process of its own, one after the other in
three rounds; figures are medians of the clock from the first call to the last, imports left out, and of processor time.
The folders of both sides must be the same, byte for byte. `CURATE_BENCH_ROWS` and `CURATE_BENCH_ROUNDS` set other
numbers.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from tests.bench.bench_build import dialogues, perturbed
from tests.support.build_data import hashes

MOST: Final = 0.25
"""Share of a full build that one after a moved bound may take."""

CURATE: Final = """
import sys, time
import curate as c
from curate.mixture import Mixture
rows, out, change, earlier, *evals = sys.argv[1:]
start, cpu = time.perf_counter(), time.process_time()
any_drop = {"allow_large_drop": True}
asked = zip(evals, ("Question", "question"), ("truthful_qa", "gsm8k"))
searched = [c.evals.files(path, question=question, name=name) for path, question, name in asked]
steps = [
    c.language("en", "zh", **any_drop),
    c.refusals(**any_drop),
    c.truecase(),
    c.repetition(top_2gram=0.1 if change == "before" else 0.2, **any_drop),
    c.exact_dedup(**any_drop),
    c.dedup(**any_drop),
    *([c.decontaminate(*searched, **any_drop)] if evals else []),
    c.shape(min_words=24 if change == "behind" else 20, **any_drop),
    *([c.secrets_and_pii("drop", **any_drop)] if change == "added" else []),
]
mixture = Mixture("bench", [c.Source("chats", c.files(rows, "messages"))], steps)
mixture.build(out, overwrite=True, resume=False, quiet=True, from_=earlier or None)
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def run(rows: Path, out: Path, change: str, evals: Sequence[Path], earlier: Path | None = None) -> tuple[float, float]:
    """Build in a process of its own; return the seconds that it took, and those of the processor."""
    command = [sys.executable, "-c", CURATE, str(rows), str(out), change, str(earlier or ""), *map(str, evals)]
    clock, cpu = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(clock), float(cpu)


@pytest.mark.timeout(14400)
@pytest.mark.parametrize("search", [False, True])
def test_builds_from_an_earlier_one(search: bool, real_file: Callable[[str], Path], tmp_path: Path) -> None:  # noqa: FBT001
    count, rounds = (
        int(os.environ.get(f"CURATE_BENCH_{name}", given)) for name, given in (("ROWS", 300_000), ("ROUNDS", 3))
    )
    rows, first = tmp_path / "chats.jsonl", tmp_path / "first"
    with rows.open("wb") as out:
        out.writelines(islice(perturbed(dialogues(real_file), random.Random(0)), count))
    evals = [real_file(f"evals/{name}") for name in ("TruthfulQA.csv", "gsm8k_test.jsonl")] if search else []
    run(rows, first, "", evals)
    with_search = " with decontaminate," if search else ""
    print(f"\n{count:,} rows,{with_search} {rows.stat().st_size / 1e9:.2f} GB; medians of {rounds} rounds")
    for change in ("behind", "before", "added"):
        nothing, again = tmp_path / "nothing", tmp_path / "again"
        both = [(run(rows, nothing, change, evals), run(rows, again, change, evals, first)) for _ in range(rounds)]
        assert hashes(again) == hashes(nothing)
        full, part = (tuple(map(statistics.median, zip(*side, strict=True))) for side in zip(*both, strict=True))
        print(
            f"{change:7} from nothing {full[0]:6.1f} s (processor {full[1]:6.1f} s), from a build {part[0]:6.1f} s "
            f"({part[1]:6.1f} s): {part[0] / full[0]:.2f}, {part[1] / full[1]:.2f} (at most {MOST} after a moved bound)"
        )
