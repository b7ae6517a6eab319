"""This tree beside an earlier commit: what each costs, in turns, so that a feature which slows another is seen.

Run it with `CURATE_REAL_DATA=... python -m tests.bench.against_commit COMMIT [CASE ...]`. Each case is a program of its
own that runs in both trees, first once so that kernels are compiled, then in turns; figures are medians of seconds by
the clock and of the processor, imports included. Ratios above `MOST` end it with status 1. `CURATE_BENCH_ROWS` and
`CURATE_BENCH_ROUNDS` set other numbers. The earlier tree is checked out beside the data, and removed at the end.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from tests.bench.bench_build import dialogues, perturbed

ROOT: Final = Path(__file__).parents[2]
MOST: Final = 1.1
"""Times the earlier commit that a case may take: less is noise on most machines."""

HEAD: Final = """
import sys
import curate as c
rows, out, data = sys.argv[1:]
drop = {"allow_large_drop": True}
def build(steps, take=None):
    source = c.Source("chats", c.files(rows, "messages"), take=take or c.All())
    return c.Mixture("case", [source], steps).build(out, overwrite=True, resume=False, quiet=True)
"""
CASES: Final[Mapping[str, str]] = {
    "scan": "build([c.refusals(**drop), c.shape(**drop), c.exact_dedup(**drop)], c.Rows(1_000))",
    "dedup": "build([c.dedup(**drop)])",
    "eight-steps": """
evals = c.evals.files(f"{data}/evals/TruthfulQA.csv", question="Question", name="truthful_qa")
build([
    c.language("en", **drop), c.refusals(**drop), c.truecase(), c.shape(**drop), c.repetition(**drop),
    c.secrets_and_pii(**drop), c.dedup(**drop), c.decontaminate(*evals, **drop),
])
""",
    "page": "build([])",
    "pairs": """
pairs = c.files(f"{data}/preference/ultrafeedback_binarized_train_clean.jsonl")
c.Mixture("case", [c.Source("pairs", pairs)], [c.dedup("prompt", **drop)]).build(out, overwrite=True, quiet=True)
""",
    "small-builds": """
for n in range(30):
    lines = [{"instruction": f"Is boat {n} {i} fast?", "output": f"It runs {i} knots. " * i} for i in range(1, 21)]
    import polars as pl
    source = c.Source("a", c.frame(pl.DataFrame(lines), "alpaca"))
    c.Mixture("case", [source], [c.shape(**drop)]).build(out, overwrite=True, quiet=True)
""",
    "demo": """
from curate.cli.mixture_file import run_file
for mixture in vars(run_file(__import__("pathlib").Path("mixtures/demo.py"))).values():
    if isinstance(mixture, c.Mixture):
        mixture.build(out, overwrite=True, quiet=True)
""",
    "import": "c.Mixture, c.dedup, c.files",
}


class Cost(NamedTuple):
    """Seconds of a run, by the clock and of the processor."""

    clock: float
    processor: float


def run(tree: Path, case: str, rows: Path, out: Path) -> Cost:
    """Run a case in a tree, in a process of its own."""
    command = [sys.executable, "-c", HEAD + CASES[case], str(rows), str(out), os.environ["CURATE_REAL_DATA"]]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)})
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main(commit: str, cases: list[str]) -> int:
    """Run cases in both trees in turns, print a line for each, and return the exit status."""
    count, rounds = (
        int(os.environ.get(f"CURATE_BENCH_{name}", given)) for name, given in (("ROWS", 100_000), ("ROUNDS", 3))
    )
    slower = 0
    with TemporaryDirectory() as folder:
        rows, out, earlier = (Path(folder) / name for name in ("chats.jsonl", "out", "earlier"))
        with rows.open("wb") as stream:
            real = Path(os.environ["CURATE_REAL_DATA"])
            stream.writelines(islice(perturbed(dialogues(real.joinpath), random.Random(0)), count))
        subprocess.run(["git", "worktree", "add", "-q", "--detach", earlier, commit], check=True, cwd=ROOT)
        try:
            print(f"{count:,} rows, {rows.stat().st_size / 1e6:.0f} MB; medians of {rounds} rounds; then, now: ratio")
            for case in cases:
                for tree in (earlier, ROOT):
                    run(tree, case, rows, out)
                both = [(run(earlier, case, rows, out), run(ROOT, case, rows, out)) for _ in range(rounds)]
                then, now = (Cost(*map(statistics.median, zip(*side, strict=True))) for side in zip(*both, strict=True))
                ratios = Cost(now.clock / then.clock, now.processor / then.processor)
                slower += max(ratios) > MOST
                print(
                    f"{case:12} clock {then.clock:6.2f} s, {now.clock:6.2f} s: {ratios.clock:.2f}   "
                    f"processor {then.processor:6.2f} s, {now.processor:6.2f} s: {ratios.processor:.2f}",
                    flush=True,
                )
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", earlier], check=True, cwd=ROOT)
    return int(slower > 0)


if __name__ == "__main__":
    unknown = [case for case in sys.argv[2:] if case not in CASES]
    if len(sys.argv) < 2 or unknown:
        sys.exit(f"{__doc__}\nCases: {', '.join(CASES)}" + (f"\nUnknown: {', '.join(unknown)}" if unknown else ""))
    sys.exit(main(sys.argv[1], sys.argv[2:] or [*CASES]))
