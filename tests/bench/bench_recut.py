"""What if, in a build of 300,000 real rows: a bound moved, two at once, a step left out, a dedup threshold.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_recut.py -s`. Figures are medians of five rounds in one
process, after one that loads kernels; `CURATE_BENCH_ROWS` sets another number of rows. Fresh builds with a bound moved
must say the same of every row.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest

import curate as c
from tests.bench.bench_build import dialogues, perturbed

ROUNDS: Final = 5
MOST: Final = 1.0
"""Seconds that a bound may take to move."""

SAYS: Final = ("fate", "step", "reason", "score", "bound", "copies", "split")
MOVES: Final[dict[str, dict[str, Any]]] = {
    "a bound up": {"shape": {"too_few_words": 40}},
    "a bound down": {"shape": {"too_few_words": 5}},
    "two bounds": {"shape": {"too_few_words": 40}, "refusals": {"self_reference": 1}},
    "without a step": {"refusals": None},
}


def mixture(rows: Path, take: int, threshold: float | None = None, words: int = 20) -> c.Mixture:
    steps: list[c.Step] = [
        c.refusals(),
        c.shape(min_words=words),
        c.repetition(),
        c.language("en", "zh", allow_large_drop=True),
    ]
    steps += [] if threshold is None else [c.dedup(threshold=threshold, allow_large_drop=True)]
    source = c.Source("chats", c.files(rows, "messages"), take=c.Rows(take) if threshold is None else c.All())
    return c.Mixture("bench", [source], steps, test=c.Rows(1_000))


def seconds(made: c.Build, **moved: Any) -> float:  # noqa: ANN401
    start = time.perf_counter()
    made.recut(**moved)
    return time.perf_counter() - start


def same(made: c.Build, fresh: c.Build, **moved: Any) -> None:  # noqa: ANN401
    found = made.recut(**moved)
    own = fresh.ledger.select("source", "id", *SAYS).sort("source", "id").collect()
    assert found.rows.sort("source", "id").select(*own.columns).equals(own)
    assert not found.unknown.height


@pytest.mark.timeout(7200)
def test_bounds_move_in_a_build_of_300_000_rows(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    rows = int(os.environ.get("CURATE_BENCH_ROWS", "300000"))
    chats = tmp_path / "chats.jsonl"
    with chats.open("wb") as out:
        out.writelines(islice(perturbed(dialogues(real_file), random.Random(0)), rows))
    start = time.perf_counter()
    made = mixture(chats, rows // 3).build(tmp_path / "made", quiet=True)
    print(f"\n{rows:,} rows, {chats.stat().st_size / 1e9:.2f} GB; built in {time.perf_counter() - start:.1f} s")
    for name, moved in MOVES.items():
        seconds(made, **moved)
        taken = statistics.median(seconds(made, **moved) for _ in range(ROUNDS))
        print(f"{name:16} {taken:6.2f} s  {made.recut(**moved)!r}")
        assert taken < MOST
    same(made, mixture(chats, rows // 3, words=40).build(tmp_path / "fresh", quiet=True), **MOVES["a bound up"])
    start = time.perf_counter()
    near = mixture(chats, 0, 0.8).build(tmp_path / "near", quiet=True)
    built = time.perf_counter() - start
    quick = seconds(near, **MOVES["a bound up"], compute=False)
    again = seconds(near, **MOVES["a bound up"])
    print(f"with dedup: built in {built:.1f} s; a bound up {quick:.2f} s from scores alone, {again:.1f} s in full")
    taken = seconds(near, dedup=0.9)
    print(f"dedup 0.8 to 0.9 {taken:6.1f} s  {near.recut(dedup=0.9)!r}")
    same(near, mixture(chats, 0, 0.9).build(tmp_path / "higher", quiet=True), dedup=0.9)
