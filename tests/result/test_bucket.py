"""A build in a bucket has the bytes of one on disk, is whole or no build, and touches nothing that is not its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import polars as pl
import pytest

from curate import mixture as mixtures
from curate.cli.mixture_recipes import mixtures_in
from curate.engine.executors.ray_tasks import RayTasks, ray_tasks
from curate.errors import BuildFolderError, CallError, EmptyBuildError, PushError, QuarantineError, SourceNotFoundError
from curate.io.inputs import Opened, files
from curate.mix.amounts import Rows
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.base import Step
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.exact_dedup import exact_dedup, exclude_prompts_of
from curate.steps.filters.shape import shape
from tests.support.bucket import Bucket
from tests.support.build_data import built, chat, chats, hashes, left_behind, source, write_lines
from tests.support.meddling import MINE, lay, small_blocks
from tests.support.word_tokenizer import words

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Ray, about its own processes

ROOT: Final = Path(__file__).parents[2]
OUT: Final = "s3://bucket/out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two mixture files, on disk and in a bucket, and a build of each mixture of the first."""
    folder = lay(tmp_path_factory.mktemp("mine")).parent
    for name in ("judges", "marks"):
        sys.modules.pop(name, None)  # those of other tests
    words(folder)
    in_store = MINE.replace('"main"', '"s3://bucket/in/main"').replace('HERE / "', '"s3://bucket/in/')
    assert in_store.count("s3://bucket/in/") == 5
    (folder / "in_store.py").write_text(in_store, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Opened, "blocks", small_blocks)
        for name in ("chats", "pairs"):
            mixture("mine", name).build(folder / "local" / name, threads=2, quiet=True)
    return folder


def mixture(file: str, name: str) -> Mixture:
    (found,) = mixtures_in(f"{file}.py:{name}")
    return found


def simple(place: str | Path = "s3://bucket/in", name: str = "mix", **more: Any) -> Mixture:  # noqa: ANN401
    return Mixture(name, [source("s", files(place, "messages"))], [shape(), exact_dedup()], **more)


def sums(there: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in there.items()}


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_the_bytes_are_those_of_a_build_on_disk(
    store: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch, engine: Literal["local", "ray"]
) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Opened, "blocks", small_blocks)
    store.put({path: (folder / path).read_bytes() for path in ("rated.jsonl", "ready.jsonl.gz", "quiz.jsonl")}, "in/")
    store.put({"side.jsonl.gz": (folder / "side.jsonl.gz").read_bytes()}, "in/")
    store.put(folder / "main", "in/main/")
    with ray_tasks(2) if engine == "ray" else nullcontext():
        for name in ("chats", "pairs"):
            made = mixture("in_store", name).build(f"{OUT}/{name}", threads=2, engine=engine, quiet=True)
            wanted = hashes(folder / "local" / name)
            assert sums(store.read(f"out/{name}/")) == wanted
            assert hashes(made.path) == wanted
            assert (made.url, made.place) == (f"{OUT}/{name}", f"{OUT}/{name}")
            assert repr(made).startswith(f"Build('s3://bucket/out/{name}': ")
            assert made.funnel.equals(Build(folder / "local" / name).funnel)
            assert left_behind(made.path) == []
    assert store.asked("GET", "/out/.*(data|ledger)/") == [], "a build that was made here is not fetched"


def elsewhere(work: Callable[[Any], Any], folder: str, task: Any) -> Any:  # noqa: ANN401
    """Run a task as on a machine that has no copies of its own yet, and none of those that the first one fetched."""
    os.environ["CURATE_BUCKETS"] = folder
    if getattr(work, "func", work).__name__ == "_write_part":  # the process that builds has read all
        shutil.rmtree(Path(folder).with_name("copies") / "files", ignore_errors=True)
    return work(task)


class OnOtherMachines(NamedTuple):
    """Runs stages on workers, each of which is on another machine, as far as copies of files go."""

    executor: RayTasks
    folder: Path

    @property
    def threads(self) -> int:
        return self.executor.threads

    def run_all(self, work: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        return self.executor.run_all(partial(elsewhere, work, str(self.folder / "other copies")), tasks)


def test_workers_on_other_machines_fetch_what_they_read(
    store: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    for number in range(3):
        store.put({f"in/{number}.jsonl": write_lines(tmp_path / "a.jsonl", chats(200, 100 * number)).read_bytes()})
    store.put({"in/a.jsonl": (tmp_path / "a.jsonl").read_bytes()})
    monkeypatch.setattr(Opened, "blocks", small_blocks)
    wanted = hashes(simple().build(tmp_path / "local", quiet=True).path)
    shutil.rmtree(tmp_path / "copies")
    store.requests.clear()
    with ray_tasks(2):
        wide = OnOtherMachines(RayTasks(2), tmp_path)
        monkeypatch.setattr(mixtures, "ray_tasks", lambda *_, **__: nullcontext(wide))
        made = simple().build(OUT, engine="ray", threads=2, quiet=True)
    assert hashes(made.path) == sums(store.read("out/")) == wanted
    assert len(store.asked("GET", "/in/.*jsonl")) == 8, "each file once on either machine"
    assert [path for path in (tmp_path / "other copies").rglob("*") if path.stat().st_mode & 0o777 == 0o444]


def test_whoever_opens_a_build_gets_a_copy(store: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = built(tmp_path / "disk", source("s", [*chats(40), *chats(3)]), steps=(exact_dedup(),))
    store.put(made.path, "out/")
    store.put({"steps/../../up.parquet": b"", "steps/../up.parquet": b"", "notes.txt": b"mine"}, "out/")
    opened = Build(OUT)
    assert hashes(opened.path) == hashes(made.path)
    assert opened.kept().collect().equals(made.kept().collect())
    assert opened.dropped().equals(made.dropped())
    assert set(opened.chart.names) == set(made.chart.names)
    assert opened.url == OUT
    assert not list(tmp_path.rglob("up.parquet"))
    opened.verify()
    store.requests.clear()
    assert Build(f"{OUT}/").path == opened.path
    assert store.asked("GET", "parquet") == []
    monkeypatch.setenv("CURATE_BUCKETS", str(tmp_path / "elsewhere"))
    assert hashes(Build(OUT).path) == hashes(made.path)
    other = built(tmp_path / "disk", source("s", chats(20)), overwrite=True)
    store.remove(*(f"out/{name}" for name in store.names("out/")))
    store.put(other.path, "out/")
    assert hashes(Build(OUT).path) == hashes(other.path)


def test_what_takes_a_build_takes_its_url(store: Bucket, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [*chats(30), chat("New?", "Yes.")])
    built(tmp_path / "earlier", source("s", chats(30)))
    store.put(tmp_path / "earlier", "out/")
    steps: tuple[Callable[[str | Path], Step], ...] = (
        lambda place: dedup(against=place, allow_large_drop=True),
        lambda place: exclude_prompts_of(place, allow_large_drop=True),
    )
    for number, step in enumerate(steps):
        one, two = (
            built(tmp_path / f"{number}-{i}", source("s", files(tmp_path / "a.jsonl")), steps=(step(place),))
            for i, place in enumerate((OUT, str(tmp_path / "earlier")))
        )
        assert hashes(one.path) == hashes(two.path)
        assert one.kept().collect().height == 1
    with pytest.raises(SourceNotFoundError, match=r"dedup\(against='s3://bucket/no'\): no build is there"):
        dedup(against="s3://bucket/no")
    store.put({"in/a.jsonl": (tmp_path / "a.jsonl").read_bytes()})
    again = simple().build("s3://bucket/next", from_=OUT, quiet=True)
    assert hashes(again.path) == hashes(simple().build(tmp_path / "next", quiet=True).path)
    rows = files(f"{OUT}/data/*.parquet").open()
    assert (rows.kind, rows.rows, [file.name for file in rows.parts]) == (
        "conversation", None, ["train-00000-of-00001.parquet"],
    )  # fmt: skip


def test_a_place_is_refused_or_replaced_as_on_disk(store: Bucket, tmp_path: Path) -> None:
    store.put({"in/a.jsonl": write_lines(tmp_path / "a.jsonl", chats(9)).read_bytes(), "mine/notes.txt": b"mine"})
    simple().build(OUT, quiet=True)
    before = store.read()
    with pytest.raises(BuildFolderError, match=r"^s3://bucket/out exists; choose another place, or say --overwrite"):
        simple().build(OUT, quiet=True)
    with pytest.raises(BuildFolderError, match=r"^s3://bucket/mine exists and is no build of curate \(it has no man"):
        simple().build("s3://bucket/mine", overwrite=True, quiet=True)
    with pytest.raises(BuildFolderError, match=r"^s3://bucket/in/a\.jsonl exists and is no build"):
        simple().build("s3://bucket/in/a.jsonl", overwrite=True, quiet=True)
    with pytest.raises(PushError, match=r"^s3://other/out: there is no such bucket"):
        simple().build("s3://other/out", quiet=True)
    store.put({"out/data/own.txt": b"mine"})
    with pytest.raises(BuildFolderError, match=r"holds files that no build wrote: data/own\.txt; nothing was deleted"):
        simple().build(OUT, overwrite=True, quiet=True)
    store.remove("out/data/own.txt")
    assert store.read() == before
    made = simple(test=Rows(3)).build(OUT, overwrite=True, quiet=True)
    assert sums(store.read("out/")) == hashes(made.path)
    assert "data/test-00000-of-00001.parquet" in store.names("out/")
    made = simple().build(OUT, overwrite=True, quiet=True)
    assert store.read() == before
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("status", [403, 500])
def test_a_store_that_cannot_be_written_is_noticed_before_anything_is_built(
    store: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    store.put({"in/a.jsonl": write_lines(tmp_path / "a.jsonl", chats(9)).read_bytes()})
    store.fail("PUT", "out", status=status, times=99)
    what = r"no access \(Forbidden\)" if status == 403 else "the store fails or cannot be reached"
    with pytest.raises(PushError, match=rf"^s3://bucket/out/unfinished\.json: {what}"):
        simple().build(OUT, quiet=True)
    assert store.asked("GET", "a.jsonl") == []
    assert store.names() == ["in/a.jsonl"]


def test_data_that_cannot_be_built_leaves_nothing(store: Bucket) -> None:
    store.put({"in/a.jsonl": b"no row\n" * 99})
    with pytest.raises(QuarantineError, match=r"\ns3://bucket/in/a\.jsonl: its first 99 rows cannot be read"):
        simple().build(OUT, quiet=True)
    assert store.names() == ["in/a.jsonl"]


def test_a_build_without_rows_is_there_to_say_why(store: Bucket) -> None:
    store.put({"in/a.jsonl": b""})
    with pytest.raises(
        EmptyBuildError, match=r"The build in s3://bucket/out has a line for each: curate show s3://buck"
    ):
        simple().build(OUT, quiet=True)
    assert Build(OUT).funnel["rows"].to_list() == [0, 0]


def test_ladders_and_comparisons_stay_on_this_machine(store: Bucket) -> None:
    for call in ("ladder", "compare"):
        given: list[Any] = [[2, 4]] if call == "ladder" else [{}, [2, 4]]
        with pytest.raises(
            CallError, match=rf"^{call}\(\) writes to folders of this machine, and s3://bucket/out is in"
        ):
            getattr(simple(), call)(*given, out=OUT)
    assert store.names() == []


def test_exports_stay_on_this_machine(store: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were written into a folder called "s3:"."""
    monkeypatch.chdir(tmp_path)
    built = simple(write_lines(tmp_path / "rows.jsonl", chats(4))).build(tmp_path / "build", quiet=True)
    for place in ("s3://bucket/export", Path("s3://bucket/export")):
        with pytest.raises(CallError, match=r"^export\(\) writes to folders .*, and s3://bucket/export is in a store"):
            built.export("jsonl", place)
    assert store.names() == []
    assert {path.name for path in tmp_path.iterdir()} == {"build", "rows.jsonl"}


def test_the_command_line_takes_urls(store: Bucket, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [*chats(30), *chats(2)])
    store.put({"in/a.jsonl": (tmp_path / "a.jsonl").read_bytes()})
    (tmp_path / "mix.py").write_text(
        "import curate as c\n"
        "one = c.Mixture('one', [c.Source('s', c.files('s3://bucket/in'))], [c.exact_dedup()])\n"
        "two = c.Mixture('two', [c.Source('s', c.files('s3://bucket/in'))])\n",
        "utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", "from curate.cli.app import main; main()", *command]
        return subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    made = run("build", "mix.py", "--out", "s3://bucket/builds")
    assert made.returncode == 0, made.stderr
    assert "The build is in s3://bucket/builds/one: train 30 rows." in made.stdout
    assert "curate show s3://bucket/builds/one" in made.stdout
    assert {name.partition("/")[0] for name in store.names("builds/")} == {"one", "two"}
    assert not (tmp_path / "s3:").exists()
    again = run("build", "mix.py", "--out", "s3://bucket/builds")
    assert (again.returncode, again.stderr.count("s3://bucket/builds/one exists")) == (1, 1)
    quiet = run("build", "mix.py:one", "--out", "s3://bucket/builds/one", "--overwrite", "-q")
    assert quiet.stdout == "s3://bucket/builds/one\n"
    shown = run("show", "s3://bucket/builds/one")
    assert shown.returncode == 0
    assert "exact_dedup: duplicate" in shown.stdout
    different = run("diff", "s3://bucket/builds/one", "s3://bucket/builds/two")
    assert different.returncode == 0, different.stderr
    none = run("show", "s3://bucket/none")
    assert (none.returncode, "no build at s3://bucket/none: it has no manifest.json" in none.stderr) == (1, True)
    assert "hidden-key" not in "".join(one.stdout + one.stderr for one in (made, again, quiet, shown, different, none))


def test_datasets_and_polars_read_the_bucket(store: Bucket, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    made = built(tmp_path / "disk", source("s", chats(9)))
    store.put(made.path, "out/")
    script = (
        "import datasets; "
        f"rows = datasets.load_dataset('parquet', data_files='{OUT}/data/train-*.parquet', split='train'); "
        "print(rows.num_rows, *rows.column_names)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment |= {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split() == ["9", *made.kept().collect_schema().names()], done.stderr
    assert pl.read_parquet(Build(OUT).path / "data" / "*.parquet").height == 9
