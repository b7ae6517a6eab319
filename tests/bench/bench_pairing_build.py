"""How long a build takes that reads 60,000 prompts with four rated answers, pairs, lints and balances them.

Run it with `pytest tests/bench/bench_pairing_build.py --benchmark-enable -s`. The build runs in a process of its own,
so that its peak memory can be measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

PROMPTS: Final = 60_000
ASPECTS: Final = ("helpfulness", "honesty", "instruction_following", "truthfulness")

BUILD: Final = """
import sys, time
from pathlib import Path
import curate as c
def mixture(path):
    source = c.Source("ratings", c.files(path, "ultrafeedback"))
    score = c.mean("helpfulness", "honesty", "instruction_following", "truthfulness")
    balance = c.balance_length(0.5, allow_large_drop=True)
    steps = [c.binarize(score=score), c.lint_pairs("all"), c.contradictions(), balance]
    return c.Mixture("feedback", [source], [*steps], seed=1)
path, small, out = sys.argv[1:]
mixture(small).build(f"{out}/small", quiet=True, overwrite=True)  # compiles
start = time.perf_counter()
build = mixture(path).build(f"{out}/large", quiet=True, overwrite=True)
took = time.perf_counter() - start
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e6
print(f"{took:.2f} s, peak {peak:.2f} GB", build.funnel.drop("source").row(-1, named=True))
"""


def write(path: Path, rows: int) -> None:
    """Write raw UltraFeedback: prompts of 400 bytes, answers of 1,000, longer ones with better ratings."""
    chance = np.random.default_rng(7)
    letters = np.array(list("etaoinshrdlu"))
    words = ["".join(chance.choice(letters, size)) for size in chance.integers(2, 9, 20_000)]

    def text(mean: int) -> str:
        picked = chance.integers(0, len(words), max(3, int(chance.normal(mean, mean / 3))))
        return " ".join([words[place] for place in picked])

    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            completions = []
            for model in range(4):
                ratings = chance.integers(1, 6, 4)
                rated = [str(rating) for rating in ratings.tolist()]
                notes = {
                    name: {"Rating": rating, "Rationale": "So."} for name, rating in zip(ASPECTS, rated, strict=True)
                }
                overall = float(chance.integers(1, 11))
                one = {
                    "response": text(110 + 5 * int(ratings.sum())),
                    "model": f"m{model}",
                    "annotations": notes,
                    "overall_score": overall,
                }
                completions.append(one)
            file.write(json.dumps({"instruction": text(70), "completions": completions}) + "\n")


def test_build(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    large, small = tmp_path / "large.jsonl", tmp_path / "small.jsonl"
    write(small, 200)
    write(large, PROMPTS if benchmark.enabled else 200)
    call = [sys.executable, "-c", BUILD, str(large), str(small), str(tmp_path)]
    outputs: list[str] = []
    benchmark(lambda: outputs.append(subprocess.run(call, check=True, capture_output=True, text=True).stdout))
    print(f"\n{large.stat().st_size / 1e6:,.0f} MB: {outputs[-1]}")
