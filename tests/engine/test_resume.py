"""An interrupted build goes on from what is whole of it; a file that was cut short is made again."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from curate.engine import build as run
from curate.engine import output, reading
from curate.engine.partition import make_partition
from curate.io.inputs import Block, Opened, files
from curate.mix.amounts import Repeat
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.pairs.binarize import binarize
from tests.support.build_data import hashes, write_lines
from tests.support.rated_data import asks, pair

pytestmark = pytest.mark.usefixtures("no_page")

BLOCK: Final = 6_000

OFFSETS: Final[dict[str, Callable[[int], int]]] = {
    "empty": lambda _: 0,
    "one byte": lambda _: 1,
    "the magic number": lambda size: min(8, size - 1),
    "a third": lambda size: size // 3,
    "half": lambda size: size // 2,
    "the last batch": lambda size: size - min(size, 600),
    "the footer": lambda size: size - min(size, 9),
    "the last byte": lambda size: size - 1,
}

STAGES: Final[dict[str, tuple[Any, str, int]]] = {
    "reading": (reading, "make_partition", 3),
    "resolving": (run, "resolve", 0),
    "reading pairs": (reading, "make_partition", 6),
    "resolving pairs": (run, "resolve", 1),
    "writing": (output, "_write_shard", 0),
    "checking": (output, "manifest", 0),
}
"""Where a build is interrupted: at the call of this number of a function."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every source have several partitions."""

    def blocks(opened: Opened) -> Iterator[Block]:
        return opened.input.read(opened.parts, (opened.format,), size=BLOCK)

    monkeypatch.setattr(Opened, "blocks", blocks)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    """A mixture that leaves every kind of file: spilled rows, rows written twice, keys of groups, pairs."""
    folder = tmp_path_factory.mktemp("sources")
    ready = [pair(f"Tell {i}?", f"Yes {i}.", "No.") for i in range(150)]
    for name, rows in (("rated", asks(60)), ("ready", [*ready, *ready[:3]])):
        plain = write_lines(folder / f"{name}.jsonl", rows)
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    return Mixture(
        "mix",
        (
            Source(
                "rated",
                files(folder / "rated.jsonl.gz", "rated"),
                steps=(exact_dedup("prompt", allow_large_drop=True), binarize(rejected="all_lower")),
            ),
            Source("ready", files(folder / "ready.jsonl.gz", "preference"), take=Repeat(2)),
        ),
        (shape(on="chosen", max_words=6), exact_dedup("all")),
    )


def interrupted(mixture: Mixture, out: Path, stage: str) -> Path:
    """Build until a stage, and return the folder of the unfinished work."""
    module, name, after = STAGES[stage]
    calls = []
    real = getattr(module, name)

    def stop(*args: object) -> object:
        calls.append(args)
        if len(calls) > after:
            raise KeyboardInterrupt(stage)
        return real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, stop)
        with pytest.raises(KeyboardInterrupt, match=stage):
            mixture.build(out, threads=1)
    return out.with_name(f".{out.name}.partial")


def kinds(partial: Path) -> dict[str, list[Path]]:
    """Return the files of each kind, relative to the folder."""
    found: dict[str, list[Path]] = {}
    for path in sorted(partial.rglob("*.*")):
        if path.is_file() and "out" not in path.relative_to(partial).parts:
            kind = path.parent.relative_to(partial) / path.name.partition(".")[2]
            kind = path.relative_to(partial) if path.suffix == ".json" else kind
            found.setdefault(kind.as_posix(), []).append(path.relative_to(partial))
    return found


def made_again(mixture: Mixture, out: Path) -> int:
    """Resume a build, and count the partitions that are made."""
    made = []

    def count(*args: Any) -> object:  # noqa: ANN401
        made.append(args)
        return make_partition(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "make_partition", count)
        mixture.build(out, threads=1)
    assert not out.with_name(f".{out.name}.partial").exists()
    return len(made)


WORTH = ("resolving pairs", "writing")
"""Stages that leave every kind of file."""


@pytest.mark.parametrize(
    "stage", [stage if stage in WORTH else pytest.param(stage, marks=pytest.mark.thorough) for stage in STAGES]
)
def test_a_file_cut_short_is_made_again(tmp_path: Path, mixture: Mixture, stage: str) -> None:
    mixture.build(tmp_path / "whole", threads=1)
    whole = hashes(tmp_path / "whole")
    partial = interrupted(mixture, tmp_path / "out", stage)
    files_of = kinds(partial)
    if stage in WORTH:
        parts = {f"{kind}.arrow" for kind in ("rows", "dropped", "signed", "keys", "lines")}
        expected = {f"partitions/{part}" for part in parts} | {f"partitions/rated/{part}" for part in parts}
        expected |= {
            "recipe.json",
            "partitions/read.json",
            "partitions/rated/read.json",
            "partitions/rated/pairs.arrow",
        }
        assert files_of.keys() - {"partitions/relocated-0.arrow"} == expected
        assert ("partitions/relocated-0.arrow" in files_of) == (stage == "writing")
    chance = random.Random(stage)
    for kind, paths in files_of.items():
        for offset in chance.sample(list(OFFSETS), 2 if stage == "writing" else 1):
            cut = chance.choice(paths)
            folder = tmp_path / "again"
            shutil.copytree(partial, folder / ".out.partial")
            size = (partial / cut).stat().st_size
            os.truncate(folder / ".out.partial" / cut, OFFSETS[offset](size))
            made_again(mixture, folder / "out")
            assert hashes(folder / "out") == whole, f"{kind}, {offset}: {cut}"
            shutil.rmtree(folder)


def test_what_is_whole_is_not_made_again(tmp_path: Path, mixture: Mixture) -> None:
    partial = interrupted(mixture, tmp_path / "out", "writing")
    lines = kinds(partial)["partitions/lines.arrow"]
    assert len(lines) > 3
    for name in (lines[0], Path(str(lines[-1]).replace(".lines.", ".keys."))):
        os.truncate(partial / name, 100)
    (partial / str(lines[1]).replace(".lines.", ".rows.")).unlink()
    assert made_again(mixture, tmp_path / "out") == 3


def test_a_note_that_is_no_text_starts_the_build_again(tmp_path: Path, mixture: Mixture) -> None:
    mixture.build(tmp_path / "whole", threads=1)
    for name in ("recipe.json", "partitions/read.json", "partitions/rated/read.json"):
        partial = interrupted(mixture, tmp_path / "out", "writing")
        (partial / name).write_bytes(b"\xff\xfe\0")
        made_again(mixture, tmp_path / "out")
        assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")
        shutil.rmtree(tmp_path / "out")
