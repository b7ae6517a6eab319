"""Same inputs, same bytes: on any number of threads, however rows lie in files, however often a build was killed."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from curate.engine import build as run
from curate.engine import partition, reading, shards, source_lines
from curate.engine.executors.threads import Threads
from curate.engine.partition import ChosenRows, RowCount, SourceJob, make_partition
from curate.engine.resolve import resolve
from curate.engine.spill import write_spill
from curate.engine.state import PartitionPaths
from curate.errors import BuildFolderError, FormatError, QuarantineError
from curate.io.inputs import Block, Opened, files
from curate.mix.amounts import Fraction, Repeat, Rows
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import Row, built, chat, chats, hashes, left_behind, source, texts, write_lines

REFUSAL = "As an AI language model, I cannot."


def rows_of(seed: int, count: int) -> list[Row]:
    """Return rows with own ids and without, duplicates, repeated prompts, refusals, and two that share an id."""
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        ask = f"Ask {chance.randrange(count)}?"
        say = [ask, REFUSAL if chance.random() < 0.05 else f"Answer {i % 50}. " + "word " * chance.randrange(9)]
        more = say if chance.random() < 0.3 else []
        rows.append(chat(*say, *more, **({"id": f"own-{i}"} if i % 3 == 0 else {})))
    twice = [chat("Same?", "Same.")] * 4 + [chat("Mine?", "Mine.", id="mine")] * 2
    return [*rows, *twice, chat("One?", "1", id="shared"), chat("Two?", "2", id="shared")]


def mixture(folder: Path, *more: Source) -> Mixture:
    """Declare a mixture of all files in `folder/main` and `folder/side`."""
    main = files(folder / "main", "messages")
    side = files(folder / "side", "messages")
    return Mixture(
        "mix",
        (
            Source("main", main, take=Rows(300)),
            Source("side", side, take=Repeat(3), steps=(shape(max_turns=8),)),
            *more,
        ),
        (cut_refusals(), refusals(), shape(), exact_dedup("prompt", keep="longest", allow_large_drop=True)),
        seed=7,
        test=Fraction(0.1),
    )


def lay(folder: Path, main: list[list[Row]], side: list[list[Row]]) -> Path:
    """Write each list of rows as a file."""
    for name, parts in (("main", main), ("side", side)):
        (folder / name).mkdir(parents=True)
        for i, rows in enumerate(parts):
            write_lines(folder / name / f"{i}.jsonl", rows)
    return folder


def data(folder: Path) -> dict[str, str]:
    return {name: sha for name, sha in hashes(folder).items() if name.startswith("data/")}


MAIN: Final = rows_of(1, 900)
SIDE: Final = rows_of(2, 150)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let every source come in blocks of so many rows, so that a small build has many partitions."""

    def set_size(size: int) -> None:
        def blocks(opened: Opened) -> Iterator[Block]:
            return opened.input.read(opened.parts, (opened.format,), size=size)

        monkeypatch.setattr(Opened, "blocks", blocks)

    return set_size


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of the build on one thread, from one file a source."""
    folder = tmp_path_factory.mktemp("plain")
    mixture(lay(folder, [MAIN], [SIDE])).build(folder / "out")
    found = data(folder / "out")
    assert sorted(found) == ["data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"]
    return found


def shuffled(seed: int, rows: list[Row], parts: int) -> list[list[Row]]:
    chance = random.Random(seed)
    mixed = chance.sample(rows, len(rows))
    cuts = sorted(chance.sample(range(len(rows)), parts - 1))
    return [mixed[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing(tmp_path: Path, plain: dict[str, str], threads: int) -> None:
    lay(tmp_path, [MAIN], [SIDE])
    mixture(tmp_path).build(tmp_path / "one", threads=1)
    mixture(tmp_path).build(tmp_path / "more", threads=threads)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "more")
    assert data(tmp_path / "more") == plain


@pytest.mark.parametrize("size", [2_500, 20_000])
def test_blocks_change_nothing(
    tmp_path: Path, plain: dict[str, str], small_blocks: Callable[[int], None], size: int
) -> None:
    lay(tmp_path, [MAIN], [SIDE])
    small_blocks(size)
    mixture(tmp_path).build(tmp_path / "out", threads=2)
    assert data(tmp_path / "out") == plain


@pytest.mark.parametrize("seed", range(3))
def test_the_order_and_spread_of_rows_change_nothing(tmp_path: Path, plain: dict[str, str], seed: int) -> None:
    lay(tmp_path, shuffled(seed, MAIN, 4), shuffled(seed, SIDE, 3))
    for path in list((tmp_path / "main").iterdir())[::2]:
        (path.parent / f"z{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    (tmp_path / "side" / "1.jsonl").rename(tmp_path / "side" / "deep.json")
    mixture(tmp_path).build(tmp_path / "out", threads=2)
    assert data(tmp_path / "out") == plain


def test_rows_do_not_change_when_a_source_joins(tmp_path: Path) -> None:
    lay(tmp_path, [MAIN], [SIDE])
    alone = mixture(tmp_path).build(tmp_path / "alone")
    joined = mixture(tmp_path, source("new", chats(100, 5000))).build(tmp_path / "joined")
    for name in ("main", "side"):
        assert texts(alone.kept().filter(source=name)) == texts(joined.kept().filter(source=name))
    assert joined.kept().filter(source="new").collect().height == 100


def test_a_failed_build_leaves_nothing_and_the_next_is_the_same(tmp_path: Path, plain: dict[str, str]) -> None:
    lay(tmp_path, [MAIN], [SIDE])
    bad = write_lines(tmp_path / "main" / "9.jsonl", ["not json"] * 20)
    with pytest.raises(QuarantineError, match="are invalid"):
        mixture(tmp_path).build(tmp_path / "out")
    assert left_behind(tmp_path / "out") == []
    bad.unlink()
    mixture(tmp_path).build(tmp_path / "out")
    assert data(tmp_path / "out") == plain


# --- interrupted builds -------------------------------------------------------------------------------------------

SMALL: Final = 5_000
SCRIPT: Final = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.engine.test_same_bytes import mixture
from curate.engine import reading
reading.Opened.blocks = lambda opened: opened.input.read(opened.parts, (opened.format,), size={small})
print("begin", flush=True)
mixture(Path({folder!r})).build(Path({folder!r}) / "out", threads=2)
"""


class Killed:
    """A build in a process of its own."""

    def __init__(self, folder: Path) -> None:
        script = SCRIPT.format(root=str(Path(__file__).parents[2]), folder=str(folder), small=SMALL)
        self.process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begin\n"
        self.began = time.perf_counter()

    def after(self, seconds: float) -> bool:
        """Kill it when it has run so long; return whether it was still running."""
        time.sleep(max(0.0, self.began + seconds - time.perf_counter()))
        self.process.send_signal(signal.SIGKILL)
        with self.process:
            return self.process.wait() == -signal.SIGKILL

    def whole(self) -> float:
        """Let it end; return how long it ran."""
        with self.process:
            assert self.process.wait() == 0
        return time.perf_counter() - self.began


@pytest.mark.thorough
def test_a_killed_build_goes_on_to_the_same_bytes(
    tmp_path: Path, plain: dict[str, str], small_blocks: Callable[[int], None]
) -> None:
    small_blocks(SMALL)
    length = Killed(lay(tmp_path / "full", [MAIN], [SIDE])).whole()  # `plain` has compiled the kernels
    full = hashes(tmp_path / "full" / "out")
    assert data(tmp_path / "full" / "out") == plain
    chance = random.Random(11)
    landed = 0
    for number in range(5):
        folder = lay(tmp_path / str(number), [MAIN], [SIDE])
        moment = (number + chance.random()) / 5 * length
        died = Killed(folder).after(moment)
        left = left_behind(folder / "out")
        assert (folder / "out").exists() or died
        landed += died and left == [".out.partial"]
        if not (folder / "out").exists():
            mixture(folder).build(folder / "out", threads=2)
            assert left_behind(folder / "out") == []
        assert hashes(folder / "out") == full, f"killed after {moment:.2f} of {length:.2f} s"
    assert landed, "no kill landed while the build was at work"


def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Start a build and stop it, as Ctrl-C does, when it has made so many partitions."""
    made: list[RowCount] = []

    def stop(job: SourceJob, block: Block, place: PartitionPaths, chosen: ChosenRows | None) -> RowCount:
        if len(made) == after:
            raise KeyboardInterrupt("stop")
        made.append(make_partition(job, block, place, chosen))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(reading, "make_partition", stop)
        with pytest.raises(KeyboardInterrupt, match="stop"):
            mixture(folder).build(folder / "out", threads=1)
    assert left_behind(folder / "out") == [".out.partial"]


def partitions_made(folder: Path, monkeypatch: pytest.MonkeyPatch, *, resume: bool = True) -> int:
    """Build, and count the partitions that were made anew."""
    made: list[RowCount] = []

    def count(job: SourceJob, block: Block, place: PartitionPaths, chosen: ChosenRows | None) -> RowCount:
        made.append(make_partition(job, block, place, chosen))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(reading, "make_partition", count)
        mixture(folder).build(folder / "out", threads=1, resume=resume)
    assert left_behind(folder / "out") == []
    return len(made)


def test_finished_partitions_are_reused(tmp_path: Path, plain: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    parts = shuffled(5, MAIN, 4), shuffled(5, SIDE, 2)
    for name, resume, anew in (("on", True, 3), ("afresh", False, 6)):
        folder = lay(tmp_path / name, *parts)
        interrupted(folder, monkeypatch, after=3)
        assert partitions_made(folder, monkeypatch, resume=resume) == anew
        assert data(folder / "out") == plain


def test_partitions_of_another_file_or_mixture_are_not_reused(
    tmp_path: Path, plain: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path / "a", shuffled(3, rows_of(3, 800), 2), [SIDE])
    interrupted(folder, monkeypatch, after=2)
    stamp = (folder / "main" / "0.jsonl").stat()
    write_lines(folder / "main" / "0.jsonl", MAIN[:500])
    write_lines(folder / "main" / "1.jsonl", MAIN[500:])
    os.utime(folder / "main" / "0.jsonl", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert partitions_made(folder, monkeypatch) == 3
    assert data(folder / "out") == plain


def test_files_elsewhere_with_the_same_stamps_are_not_taken_for_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, say in (("a", "one"), ("b", "two")):
        lay(tmp_path / name, [[chat("A?", say), *MAIN]], [SIDE])
        for path in (tmp_path / name).glob("*/*"):
            os.utime(path, ns=(0, 0))
    interrupted(tmp_path / "a", monkeypatch, after=1)
    (tmp_path / "a" / ".out.partial").rename(tmp_path / "b" / ".out.partial")
    assert partitions_made(tmp_path / "b", monkeypatch) == 2


def test_two_builds_do_not_share_a_folder(tmp_path: Path) -> None:
    lay(tmp_path, [MAIN], [SIDE])
    found: list[BaseException] = []

    def meddle(folder: Path) -> None:
        before = hashes(folder.parent)
        for other in (mixture(tmp_path), mixture(tmp_path, source("new", chats(3)))):
            with pytest.raises(BuildFolderError, match=r"another build is writing to .*out; wait for it") as caught:
                other.build(tmp_path / "out")
            found.append(caught.value)
        assert hashes(folder.parent) == before

    run.build(
        mixture(tmp_path),
        tmp_path / "out",
        executor=Threads(1),
        resume=True,
        overwrite=False,
        quiet=True,
        finish=meddle,
    )
    assert len(found) == 2
    assert json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))["name"] == "mix"


def test_many_copies_are_moved_in_many_spill_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = source("s", chats(20), take=Repeat(50))
    whole = built(tmp_path / "whole", rows)
    monkeypatch.setattr(shards, "RELOCATED_BYTES", 1_000)
    written: list[str] = []

    def spy(path: Path, *more: Any) -> None:  # noqa: ANN401
        written.append(path.name)
        write_spill(path, *more)

    monkeypatch.setattr(shards, "write_spill", spy)
    assert hashes(built(tmp_path / "cut", rows).path) == hashes(whole.path)
    assert len(written) == len(set(written)) > 10


@pytest.mark.parametrize("rows", [pytest.param(300, marks=pytest.mark.thorough), 2_000])
def test_rows_that_stay_in_their_files_come_out_as_those_that_are_spilled(
    tmp_path: Path, small_blocks: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    small_blocks(rows)
    lay(tmp_path, shuffled(3, MAIN, 4), [SIDE])
    late = chat("Ask first?", "Say first.", "Ask more?", REFUSAL)  # cut_refusals() edits it
    odd = '{"messages": [{"role": "user", "content": "Odd?", "x": 1}]}'
    write_lines(tmp_path / "side" / "more.jsonl", [late, odd, ""])
    spilled: list[str] = []

    def spy(path: Path, *more: Any) -> None:  # noqa: ANN401
        spilled.append(path.name)
        write_spill(path, *more)

    monkeypatch.setattr(partition, "write_spill", spy)
    mixture(tmp_path).build(tmp_path / "stay")
    edited = len(spilled)
    monkeypatch.setattr(reading, "may_stay", lambda _: False)
    mixture(tmp_path).build(tmp_path / "spilled")
    assert hashes(tmp_path / "stay") == hashes(tmp_path / "spilled")
    assert 0 < edited < len(spilled) - edited


def test_files_larger_than_a_part_of_the_memory_are_spilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [files(write_lines(tmp_path / "a.jsonl", chats(100)), "messages").open()]
    size = opened[0].size or 0
    monkeypatch.setattr(source_lines, "memory", lambda: 4 * size)
    assert source_lines.may_stay(opened)
    monkeypatch.setattr(source_lines, "memory", lambda: 4 * size - 1)
    assert not source_lines.may_stay(opened)


@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone"])
def test_a_file_that_changes_during_the_build_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = write_lines(tmp_path / "a.jsonl", chats(100))

    def meddling(*given: Any, **options: Any) -> Any:  # noqa: ANN401
        text = path.read_bytes()
        match change:
            case "longer":
                path.write_bytes(text + b"{}\n")
            case "shorter":
                path.write_bytes(text[:1_000])
            case "other":
                path.write_bytes(text.replace(b"{", b"["))
            case _:
                path.unlink()
        return resolve(*given, **options)

    monkeypatch.setattr(run, "resolve", meddling)
    with pytest.raises(FormatError, match=r"a\.jsonl (changed while|can no longer be read)"):
        built(tmp_path / "out", source("s", files(path, "messages")))
    assert not left_behind(tmp_path / "out")
    assert not (tmp_path / "out").exists()
