"""The page of what differs between two builds of 300,000 real rows: seconds to compare and to write it, and its size.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_diff.py -s`. `CURATE_BENCH_ROWS` sets another number of rows.
A bound is moved, texts are edited and a sample is drawn, so that rows enter, leave and change. Figures are of one
process, after the page of a small difference that loads what it needs.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

import curate as c
from curate.compare.diff import diff
from curate.report.page import PAGE_BYTES
from tests.bench.bench_build import dialogues, perturbed
from tests.bench.bench_recut import mixture

WRITTEN: Final = 10.0
"""Seconds, at most, for the comparison and the page."""

FIRST: Final = 500
"""Rows of the small builds."""


@pytest.mark.timeout(7200)
def test_the_difference_of_large_builds_is_quick(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    rows = int(os.environ.get("CURATE_BENCH_ROWS", "300000"))
    diff(*builds(real_file, tmp_path / "small", FIRST)).page()
    before, now = builds(real_file, tmp_path / "large", rows)
    start, busy = time.perf_counter(), time.process_time()
    found = diff(before, now)
    compared = time.perf_counter() - start
    html = found.page()
    taken, busy = time.perf_counter() - start, time.process_time() - busy
    size = len(html.encode())
    counts = dict(found.rows.group_by("change").len().sort("change").rows())
    print(f"\n{rows:,} rows: {counts} and {found.same:,} the same are compared in {compared:.1f} s;")
    print(f"with the page of {size / 1e6:.2f} MB it takes {taken:.1f} s, of the processor {busy:.1f} s")
    assert len(counts) == 3
    assert size <= PAGE_BYTES
    assert taken < WRITTEN


def builds(real_file: Callable[[str], Path], folder: Path, rows: int) -> tuple[c.Build, c.Build]:
    """Build real rows twice: with a shorter limit on words, then with a longer one and true case."""
    folder.mkdir()
    chats = folder / "chats.jsonl"
    with chats.open("wb") as out:
        out.writelines(islice(perturbed(dialogues(real_file), random.Random(0)), rows))
    before = mixture(chats, rows // 3)
    later = mixture(chats, rows // 3, words=40)
    now = replace(later, steps=[*later.steps, c.truecase()])
    return before.build(folder / "before", quiet=True), now.build(folder / "now", quiet=True)
