"""A judge of 20 ms a row over 20,000 rows, killed three times: how long that takes, and that no row is judged twice.

Run it with `pytest tests/bench/bench_judge.py -s`. One worker would take 400 s for the judge alone, 16 take 25 s. With
Ray, each build starts one and stops it, 10 s.
"""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.judge_server import judging
from tests.support.killed_builds import KilledBuilds, files

if TYPE_CHECKING:
    from pathlib import Path

ROWS: Final = 20_000
DELAY: Final = 0.020
WORKERS: Final = 16


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_twenty_thousand_rows_killed_three_times(tmp_path: Path, engine: str) -> None:
    with judging(DELAY) as server:
        builds = KilledBuilds(tmp_path, server, ROWS, WORKERS, engine=engine)
        begun = time.perf_counter()
        for judged in (5_000, 10_000, 15_000):
            builds.kill_at(judged)
            assert server.total == builds.kept() == judged
            print(f"\n{engine}: killed after {judged:,} rows, at {time.perf_counter() - begun:.1f} s")
        builds.finish()
        asked = sum(server.asked.values())
        print(f"done at {time.perf_counter() - begun:.1f} s; {server.total:,} judged, {asked:,} asked for")
        assert server.total == len(server.judged) == ROWS
        assert set(server.judged.values()) == {1}
        begun = time.perf_counter()
        builds.finish("again", threads=1)
        print(f"the same build from kept scores: {time.perf_counter() - begun:.1f} s, 0 judged")
        assert server.total == ROWS
        begun, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        builds.finish("fresh", "fresh-scores")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime
        print(f"without a kill: {time.perf_counter() - begun:.1f} s, {spent:.1f} s of processor time")
        assert server.total == 2 * ROWS
    made = files(tmp_path / "build")
    assert files(tmp_path / "again") == made
    assert files(tmp_path / "fresh") == made
