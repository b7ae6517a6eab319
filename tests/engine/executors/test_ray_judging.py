"""A judge on Ray: each row is judged once whoever dies, and scores and messages are those of threads."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest

import curate as c
from curate.engine.executors import ray_tasks as module
from curate.engine.progress import BuildProgress
from curate.errors import CallError, JudgeError, MixtureError
from curate.io.inputs import Opened
from tests.support.build_data import chat, hashes, left_behind, write_lines
from tests.support.judge_server import JUDGES, JudgeServer, judging, score
from tests.support.killed_builds import KilledBuilds, below, called, files, is_running, lines_of, wait_for
from tests.support.meddling import small_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.usefixtures("no_page"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray, about its own processes
]

THOROUGH: Final = pytest.mark.thorough
ROWS: Final = 240
COPIES: Final = 20
MODULE: Final = (
    JUDGES
    + '''

import threading
import urllib.error
from pathlib import Path

MADE = Path(__file__).with_suffix(".made")


class Loaded(Helpful):
    """A model: notes each time that it is loaded, by process and GPUs."""

    def __init__(self):
        with MADE.open("a") as out:
            out.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\\n")
        self.thread = threading.get_ident()

    def __call__(self, rows):
        assert self.thread == threading.get_ident()
        return super().__call__(rows)


class Broken:
    def __init__(self):
        raise OSError("no such model")

    def __call__(self, rows):
        return [1.0] * rows.num_rows


def infinite(rows):
    return [float("inf")] * rows.num_rows


def forbidden(rows):
    raise urllib.error.HTTPError("http://judge", 401, "Unauthorized", {}, None)
'''
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray with two processors and, as far as Ray knows, two GPUs; builds use it, as this process is connected."""
    module._prepare(alone=True)
    ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with judging(0.002) as server:
        yield server


class Judged:
    """A folder with rows, some of them equal, and a module of judges; `build` makes a build of the folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.name = folder, f"judges_{url.rpartition(':')[2]}"
        (folder / f"{self.name}.py").write_text(MODULE.replace('os.environ["JUDGE_URL"]', repr(url)))
        rows = [chat(f"Ask {n}?", f"Answer {n}.", id=f"row {n}") for n in range(ROWS)]
        write_lines(folder / "rows.jsonl", [*rows, *({**row, "id": f"{row['id']}, again"} for row in rows[:COPIES])])

    def build(self, engine: Any, out: str, judge: str = "Helpful", **more: Any) -> c.Build:  # noqa: ANN401
        own = {"cache": self.folder / "kept", "at_least": 2.5, "allow_large_drop": True, "wait": 0.01, **more}
        steps = [c.judge(f"{self.name}:{judge}", **own), c.exact_dedup()]
        mixture = c.Mixture("judged", [c.Source("s", c.files(self.folder / "rows.jsonl"))], steps)
        return mixture.build(self.folder / out, threads=2, engine=engine)

    def kept(self) -> int:
        """The scores on disk."""
        return sum(map(lines_of, (self.folder / "kept").glob("*.sqlite")))

    def made(self) -> list[list[str]]:
        """The process and GPUs of each model that was loaded."""
        return [line.split() for line in (self.folder / f"{self.name}.made").read_text().splitlines()]


@pytest.fixture
def judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: JudgeServer, request: pytest.FixtureRequest
) -> Judged:
    request.getfixturevalue("cluster")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Opened, "blocks", small_blocks)
    return Judged(tmp_path, server.url)


def test_the_bytes_are_those_of_threads_and_each_row_is_judged_once(
    judged: Judged, server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(BuildProgress, "note", lambda _, text: notes.append(text.partition(": ")[2]))
    judged.build("ray", "wide", workers=3)
    assert server.total == len(server.judged) == ROWS
    judged.build("local", "one", cache=judged.folder / "others")
    assert server.total == 2 * ROWS
    judged.build("ray", "again")
    assert server.total == 2 * ROWS, "another build asks for nothing"
    assert hashes(judged.folder / "wide") == hashes(judged.folder / "one") == hashes(judged.folder / "again")
    found = pl.read_parquet(judged.folder / "wide/ledger").sort("line")
    assert found["judge.value"].to_list() == [score(f"Answer {n % ROWS}.") for n in range(ROWS + COPIES)]
    assert notes[0].startswith("240 rows judged now")
    assert notes[2] == "260 rows with a score that was kept"


@pytest.mark.parametrize("victim", ["ray::Worker", "ray::Host", "ray::_run"])
def test_a_process_that_dies_has_no_row_judged_twice(judged: Judged, server: JudgeServer, victim: str) -> None:
    """The server holds what it has not judged while the process dies, and leaves what no one waits for any more."""
    server.hold_after = 90
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(judged.build, "ray", "wide", workers=4)
        wait_for(lambda: (judged.kept() == 90 and server.asking == 4) or building.done())
        dying = [process for process in below(os.getpid()) if called(process).startswith(victim)]
        workers = [process for process in below(os.getpid()) if called(process).startswith("ray::Worker")]
        for process in dying:
            os.kill(process, signal.SIGKILL)
        wait_for(lambda: not any(map(is_running, dying if victim == "ray::_run" else workers)))
        server.release()
        building.result()
    assert dying
    assert server.total == len(server.judged) == ROWS
    judged.build("local", "one")
    assert hashes(judged.folder / "wide") == hashes(judged.folder / "one")


def test_the_default_folder_is_that_of_the_process_that_builds(
    judged: Judged, server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ray that is there has the environment in which it was started."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(judged.folder / "cache"))
    judged.build("ray", "wide", workers=4, cache=None)
    assert sum(map(lines_of, (judged.folder / "cache/curate/judged").glob("*.sqlite"))) == ROWS
    judged.build("local", "one", cache=None)
    assert server.total == ROWS


def test_a_model_is_loaded_once_for_each_worker(judged: Judged, server: JudgeServer) -> None:
    judged.build("ray", "threads", "Loaded", workers=4)
    made = judged.made()
    assert len({process for process, *_ in made}) == 2, "no more processes than processors"
    assert 2 <= len(made) <= 4
    assert server.total == ROWS


def test_each_worker_has_its_gpus(judged: Judged, server: JudgeServer) -> None:
    judged.build("ray", "gpus", "Loaded", workers=3, gpus=1, cache=judged.folder / "kept-gpus")
    assert sorted(gpu for _, gpu in judged.made()) == ["0", "1"]
    assert server.total == ROWS
    with pytest.raises(CallError, match=r"a worker is to have 4 GPUs, and no machine of this Ray has so many"):
        judged.build("ray", "more", "Loaded", gpus=4, cache=judged.folder / "kept-more")
    assert left_behind(judged.folder / "more") == []


def test_a_server_that_is_busy_is_asked_again(judged: Judged, server: JudgeServer) -> None:
    server.fail = {1: (429, {"Retry-After": "0.01"}), 2: (503, {})}
    judged.build("ray", "out", workers=8, attempts=3)
    assert server.refused == {429: ROWS, 503: ROWS}
    assert server.total == ROWS
    server.asked.clear()
    with pytest.raises(
        JudgeError, match=r"no answer for row row \d+.* of source 's' after 1 attempts: HTTPError: .*429"
    ):
        judged.build("ray", "late", attempts=1, cache=judged.folder / "kept-late")


def test_a_budget_holds_over_all_processes(judged: Judged, server: JudgeServer) -> None:
    with pytest.raises(JudgeError, match=r"budget of 100 rows is spent.*Raise budget="):
        judged.build("ray", "out", workers=4, budget=100)
    assert server.total == 100
    judged.build("ray", "out", workers=4, budget=ROWS)
    assert server.total == len(server.judged) == ROWS


@pytest.mark.parametrize(
    ("judge", "kind", "message"),
    [
        ("infinite", MixtureError, "is infinite for 1 rows"),
        ("Broken", OSError, "no such model"),
        ("forbidden", Exception, "HTTP Error 401: Unauthorized"),
    ],
)
def test_an_error_of_a_judge_is_that_of_threads(
    judged: Judged, judge: str, kind: type[Exception], message: str
) -> None:
    for engine in ("local", "ray"):
        with pytest.raises(kind, match=message) as caught:
            judged.build(engine, engine, judge)
        assert judge == "Broken" or "What was judged is kept in" in "".join(caught.value.__notes__)


@THOROUGH
def test_a_build_killed_three_times_judges_each_row_once(tmp_path: Path, server: JudgeServer) -> None:
    builds = KilledBuilds(tmp_path, server, ROWS, engine="ray")
    for rows in (30, 90, 200):
        builds.kill_at(rows)
        assert server.total == builds.kept() == rows
    builds.finish()
    assert server.total == len(server.judged) == ROWS
    builds.engine = "local"
    builds.finish("local")
    assert server.total == ROWS
    assert files(tmp_path / "build") == files(tmp_path / "local")


def test_control_c_ends_a_build_and_keeps_what_was_answered(tmp_path: Path, server: JudgeServer) -> None:
    server.delay = 0.05
    builds = KilledBuilds(tmp_path, server, ROWS, workers=2, engine="ray")
    running = builds.start()
    wait_for(lambda: server.total > 10)
    running.send_signal(signal.SIGINT)
    running.wait(timeout=60)
    assert running.returncode != 0
    assert builds.kept() == server.total < ROWS
