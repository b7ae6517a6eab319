"""No row is judged twice: in builds that are killed, in other orders, in builds at once; a new prompt judges again."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

from tests.support.judge_server import judging, score
from tests.support.killed_builds import KilledBuilds, files, wait_for

if TYPE_CHECKING:
    from pathlib import Path

ROWS: Final = 240


def test_a_build_killed_three_times_judges_each_row_once(tmp_path: Path) -> None:
    """The server holds what it has not judged while the build is killed, and leaves what no one waits for any more."""
    with judging(0.002) as server:
        builds = KilledBuilds(tmp_path, server, ROWS)
        for judged in (30, 90, 200):
            builds.kill_at(judged)
            assert server.total == builds.kept() == judged
        builds.finish()
        assert server.total == len(server.judged) == ROWS
        assert set(server.judged.values()) == {1}
        builds.finish("again", threads=1)
        assert server.total == ROWS, "another build asks for nothing"
        builds.finish("fresh", "another", threads=1)
        assert server.total == 2 * ROWS
        builds.prompt("Is it true?")
        builds.finish("other")
        assert server.total == 3 * ROWS, "another prompt is another judge"
        builds.prompt("How helpful is it?")
        builds.finish("back")
        assert server.total == 3 * ROWS, "and the first one's scores are still there"
    made = files(tmp_path / "build")
    for out in ("again", "fresh", "other", "back"):
        assert files(tmp_path / out) == made
    ledger = pl.read_parquet(tmp_path / "build/ledger").sort("line")
    assert ledger["judge.value"].to_list() == [score(f"Answer {n}.") for n in range(ROWS)]


def test_a_kill_at_any_moment_loses_no_more_than_what_was_under_way(tmp_path: Path) -> None:
    chance = random.Random(1)
    with judging(0.002) as server:
        builds = KilledBuilds(tmp_path, server, ROWS, workers=4)
        for kill in range(3):
            running = builds.start()
            wait_for(lambda kill=kill: server.total >= 60 * kill + chance.randrange(20, 60))
            running.kill()
            running.wait()
            wait_for(lambda: server.asking == 0)
            assert builds.kept() <= server.total <= builds.kept() + 4 * (kill + 1)
        builds.finish()
        assert len(server.judged) == ROWS
        assert server.total <= ROWS + 3 * 4


def test_builds_at_once_share_the_work(tmp_path: Path) -> None:
    with judging(0.005) as server:
        builds = KilledBuilds(tmp_path, server, ROWS, workers=2)
        running = [builds.start(f"build-{number}") for number in range(3)]
        assert [one.wait(timeout=120) for one in running] == [0, 0, 0]
        assert set(server.judged.values()) == {1}
        assert server.total == ROWS
    assert files(tmp_path / "build-0") == files(tmp_path / "build-1") == files(tmp_path / "build-2")


@pytest.mark.parametrize("threads", [1, 3])
def test_control_c_ends_a_build_soon_and_keeps_what_was_answered(threads: int, tmp_path: Path) -> None:
    with judging(0.05) as server:
        builds = KilledBuilds(tmp_path, server, ROWS, workers=2)
        running = builds.start(threads=threads)
        wait_for(lambda: server.total > 10)
        running.send_signal(signal.SIGINT)
        running.wait(timeout=5)
        assert running.returncode != 0
        assert builds.kept() == server.total < ROWS
