"""The page of a build of 300,000 real rows: seconds to write it and count its limits, its size, and when rows show.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_page.py -s`; it needs Chromium. `CURATE_BENCH_ROWS` sets
another number of rows. Figures are of one process, after a first page that loads what it needs.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import sync_playwright

from curate.report.page import PAGE_BYTES, page
from curate.result.charts.limit_tables import limit_tables
from tests.bench.bench_build import dialogues, perturbed
from tests.bench.bench_recut import mixture

WRITTEN, INTERACTIVE, COUNTED = 10.0, 2.0, 1.0
"""Seconds, at most."""

ROUNDS: Final = 5


@pytest.mark.timeout(7200)
def test_the_page_of_a_large_build_is_quick(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    rows = int(os.environ.get("CURATE_BENCH_ROWS", "300000"))
    chats = tmp_path / "chats.jsonl"
    with chats.open("wb") as out:
        out.writelines(islice(perturbed(dialogues(real_file), random.Random(0)), rows))
    made = mixture(chats, rows // 3).build(tmp_path / "made", quiet=True)
    page(made)
    start = time.perf_counter()
    html = page(made)
    taken = time.perf_counter() - start
    path = tmp_path / "page.html"
    path.write_text(html, "utf-8")
    print(f"\n{rows:,} rows: the page is written in {taken:.1f} s and has {path.stat().st_size / 1e6:.2f} MB")
    start = time.perf_counter()
    tables = limit_tables(made)
    counted = time.perf_counter() - start
    print(f"{len(tables)} limits are counted at {sum(len(one.stops) for one in tables):,} stops in {counted:.2f} s")
    seconds = sorted(opened(path) for _ in range(ROUNDS))[ROUNDS // 2]
    print(f"Chromium shows a row after {seconds[0]:.2f} s, and what a search finds after {seconds[1]:.2f} s")
    assert path.stat().st_size <= PAGE_BYTES
    assert taken < WRITTEN
    assert counted < COUNTED
    assert seconds[1] < INTERACTIVE


def opened(path: Path) -> tuple[float, float]:
    """Return the seconds from the start of loading until the first row is shown, and until a search is done."""
    place = shutil.which("chromium")
    assert place is not None, "there is no chromium"
    with sync_playwright() as playwright:
        tab = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"]).new_page()
        start = time.perf_counter()
        tab.goto(path.as_uri() + "#rows", wait_until="commit")
        tab.locator(".shown h3").wait_for()
        first = time.perf_counter() - start
        tab.locator("[name=q]").fill("water")
        tab.locator(".count", has_text="found").wait_for()
        return first, time.perf_counter() - start
