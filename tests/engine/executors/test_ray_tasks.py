"""A build by Ray has the bytes of one on threads: with any workers, in any order, whoever dies on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Final, Literal

import pytest

from curate import mixture as mixtures
from curate.cli.mixture_recipes import mixtures_in
from curate.engine.executors import ray_tasks as module
from curate.engine.executors.ray_tasks import QUEUED, RayTasks, ray_tasks
from curate.errors import CallError, MixtureError, WorkerError
from curate.io.inputs import Opened, files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.custom.functions import keep_if
from tests.support.build_data import chats, hashes, left_behind, write_lines
from tests.support.meddling import Meddling, lay, noted, small_blocks
from tests.support.word_tokenizer import words

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.usefixtures("no_page"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray, about its own processes
]

THOROUGH: Final = pytest.mark.thorough
NAMES: Final = ("chats", "pairs")
BLOCKS: Final = Opened.blocks
ROOT: Final = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    """A Ray with so many workers; builds use it, as this process is connected to it."""
    with ray_tasks(request.param):
        yield request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mixture file, its data, and a build of each mixture on threads."""
    folder = tmp_path_factory.mktemp("mine")
    words(lay(folder).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Opened, "blocks", small_blocks)
        patch.setattr("curate.mixture.write_page_and_card", Build)
        for name in NAMES:
            mixture(name).build(folder / "local" / name, threads=2)
    return folder


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the folder: one of the sources has a relative path."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Opened, "blocks", small_blocks)


def mixture(name: str) -> Mixture:
    (found,) = mixtures_in(f"mine.py:{name}")
    return found


@pytest.mark.parametrize(
    ("workers", "name", "deaths"),
    [
        (2, "chats", 0),
        (2, "pairs", 1),
        pytest.param(2, "chats", 3, marks=THOROUGH),
        pytest.param(2, "pairs", 3, marks=THOROUGH),
        pytest.param(1, "chats", 1, marks=THOROUGH),
        pytest.param(5, "chats", 1, marks=THOROUGH),
        pytest.param(5, "pairs", 0, marks=THOROUGH),
    ],
    indirect=["workers"],
)
@pytest.mark.usefixtures("workers")
def test_the_bytes_are_those_of_threads(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, deaths: int
) -> None:
    meddling = Meddling(RayTasks(2), tmp_path / "notes", deaths)
    meddling.notes.mkdir()

    @contextmanager
    def started(threads: int, address: str | None, *, costly: bool) -> Iterator[Meddling]:
        assert (threads, address, costly) == (2, None, False)
        yield meddling

    monkeypatch.setattr(mixtures, "ray_tasks", started)
    mixture(name).build(tmp_path / "out", threads=2, engine="ray")
    assert hashes(tmp_path / "out") == hashes(folder / "local" / name)
    died = {note.name: note.stat().st_size for note in meddling.notes.iterdir()}
    stages = {"_survey_block", "relocate"} if name == "chats" else {"write_source", "relocate"}
    assert died == (dict.fromkeys({"_make", "_write_part"} | stages, deaths) if deaths else {})
    assert left_behind(tmp_path / "out") == []


@pytest.mark.parametrize("workers", [2], indirect=True)
@pytest.mark.usefixtures("workers")
def test_answers_come_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    read: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(16):
            ran = len(list(tmp_path.iterdir()))
            assert number - ran <= QUEUED * 2, "no more wait than the workers take next"
            read.append(number)
            yield number

    assert list(RayTasks(2).run_all(partial(noted, tmp_path), tasks())) == [number * number for number in read]
    assert list(RayTasks(2).run_all(partial(noted, tmp_path), [])) == []


@pytest.mark.parametrize("workers", [2], indirect=True)
@pytest.mark.usefixtures("workers")
def test_the_first_error_stops_the_rest_and_nothing_runs_on(tmp_path: Path) -> None:
    (tmp_path / "fails").touch()
    answers: list[int] = []
    with pytest.raises(ValueError, match=r"^number 5$"):
        answers.extend(RayTasks(2).run_all(partial(noted, tmp_path), range(1_000)))
    ran = len(list(tmp_path.iterdir()))
    assert answers == [0, 1, 4, 9, 16]
    assert ran < 30
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == ran


SCRIPT: Final = """
import sys
from curate.cli.mixture_recipes import mixtures_in
from curate.io.inputs import Opened
from curate.result.build import Build
from curate import mixture
from tests.support.meddling import small_blocks

mixture.write_page_and_card = Build
Opened.blocks = small_blocks
(found,) = mixtures_in("mine.py:" + sys.argv[1])
found.build(sys.argv[2], threads=2, engine="ray")
"""


@pytest.mark.parametrize("workers", [2], indirect=True)
@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize(
    ("name", "pattern", "count"),
    [
        ("pairs", "partitions/*.lines.arrow", 4),
        pytest.param("pairs", "partitions/rated/*.lines.arrow", 2, marks=THOROUGH),
        pytest.param("chats", "partitions/*.survey.arrow", 2, marks=THOROUGH),
        pytest.param("chats", "out/ledger/*", 1, marks=THOROUGH),
        pytest.param("chats", "out/data/*.parquet", 1, marks=THOROUGH),
    ],
)
def test_a_build_goes_on_when_the_process_that_builds_was_killed(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, pattern: str, count: int
) -> None:
    out = tmp_path / "out"
    partial = out.with_name(".out.partial")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", SCRIPT, name, out], env=environment) as process:
        end = time.monotonic() + 60
        while len(list(partial.glob(pattern))) < count and time.monotonic() < end:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    made = {path: path.stat().st_mtime_ns for path in partial.glob("partitions/**/*.lines.arrow")}
    unchanged: list[bool] = []

    def look(built: Path) -> Build:
        unchanged.extend(path.stat().st_mtime_ns == at for path, at in made.items())
        return Build(built)

    monkeypatch.setattr(mixtures, "write_page_and_card", look)
    mixture(name).build(out, threads=2, engine="ray")
    assert hashes(out) == hashes(folder / "local" / name)
    assert all(unchanged)
    assert len(unchanged) == len(made) > 0 or "survey" in pattern


def failing(texts: object) -> object:
    raise ValueError(f"no judge for {type(texts).__name__}")


def short(_: object) -> list[bool]:
    return [True]


@pytest.mark.parametrize("workers", [2], indirect=True)
@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("function", [failing, short])
def test_an_error_of_a_task_is_that_of_threads(tmp_path: Path, function: Callable[[object], object]) -> None:
    path = write_lines(tmp_path / "rows.jsonl", chats(400))
    declared = Mixture("mix", [Source("s", files(path, "messages"))], [keep_if(function)])
    found: list[Exception] = []
    engines: tuple[Literal["local", "ray"], ...] = ("local", "ray")
    for engine in engines:
        with pytest.raises((ValueError, MixtureError), match=r"keep_if|no judge") as caught:
            declared.build(tmp_path / "out", threads=2, engine=engine)
        found.append(caught.value)
        shutil.rmtree(tmp_path / ".out.partial", ignore_errors=True)
    assert type(found[0]) is type(found[1])
    assert str(found[0]) == str(found[1])


@pytest.mark.parametrize("workers", [2], indirect=True)
@pytest.mark.usefixtures("workers")
def test_a_task_that_kills_every_worker_ends_the_build_and_keeps_what_was_made(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes").mkdir()
    monkeypatch.setattr("curate.engine.executors.ray_tasks.RETRIES", 0)
    monkeypatch.setattr(
        mixtures, "ray_tasks", lambda *_, **__: nullcontext(Meddling(RayTasks(2), tmp_path / "notes", 99))
    )
    with pytest.raises(WorkerError, match=r"Ray lost a part .* and 0 further tries .* build again to go on") as caught:
        mixture("pairs").build(tmp_path / "out", threads=2, engine="ray")
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path / "out") == [".out.partial"]
    mixture("pairs").build(tmp_path / "out", threads=2)
    assert hashes(tmp_path / "out") == hashes(folder / "local" / "pairs")


@THOROUGH
@pytest.mark.parametrize("workers", [2], indirect=True)
@pytest.mark.usefixtures("workers")
def test_the_command_line_builds_on_a_ray_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(Opened, "blocks", BLOCKS)

    address = ray.get_runtime_context().gcs_address
    main = "from curate.cli.app import main; main()"
    command = [sys.executable, "-c", main, "build", "mine.py", "--quiet", "--engine", "ray", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--address", address], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(tmp_path / name) for name in NAMES]
    for name in NAMES:
        mixture(name).build(tmp_path / "local" / name, threads=2)
        ours, theirs = (hashes(folder / name) for folder in (tmp_path, tmp_path / "local"))
        assert {name: ours[name] for name in theirs} == theirs


def test_calls_that_no_engine_can_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = mixture("pairs")
    with pytest.raises(CallError, match=r"engine='rays': did you mean 'ray'\?"):
        declared.build(tmp_path / "out", engine="rays")  # type: ignore[arg-type]
    with pytest.raises(CallError, match="say engine='ray'"):
        declared.build(tmp_path / "out", address="10.0.0.1:6379")
    with pytest.raises(CallError, match=r"^the Ray at 127\.0\.0\.1:1 does not answer: .*refused$"):
        declared.build(tmp_path / "out", engine="ray", address="127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CallError, match=r"pip install 'curate\[ray\]'"):
        declared.build(tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()


def test_a_second_ray_takes_calls_where_the_environment_was_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray keeps the first token of a process; a new Ray gets it from the environment."""
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    for name in own:
        monkeypatch.setenv(name, "of this test")
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setattr(module, "_OWN_CALLS", own)
    module._prepare(alone=False)
    assert not own.keys() & os.environ.keys()
    module._prepare(alone=True)
    assert {name: os.environ[name] for name in own} == own
