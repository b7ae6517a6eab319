"""Compiling beside a build: it needs no build to wait, never twice, and nothing depends on it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from curate.engine.build import build
from curate.engine.warm_up import process, samples, start
from curate.engine.warm_up.start import compiling_beside
from curate.steps.base import Step
from curate.steps.custom.functions import keep_if
from curate.steps.custom.where import where
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.score import score
from curate.steps.filters.shape import shape
from curate.steps.filters.truecase import truecase
from curate.steps.judging.judge import judge


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What each process that would be started is given."""
    found: list[list[str]] = []
    monkeypatch.setattr(start, "_started", lambda steps: found.append([step.name for step in steps]))
    return found


@pytest.mark.parametrize("kind", get_args(samples.SampleKind))
def test_rows_are_of_their_kind(kind: samples.SampleKind) -> None:
    opened = samples.sample(kind).open()
    assert opened.kind == kind
    assert opened.parse(next(iter(opened.blocks()))).bad.num_rows == 0


@pytest.mark.usefixtures("folder")
def test_steps_are_run_once_by_an_installation(orders: list[list[str]]) -> None:
    steps = [shape(), truecase(), exact_dedup()]
    with compiling_beside(steps, 3):
        assert orders == [["truecase", "shape", "exact_dedup"], ["exact_dedup", "truecase", "shape"]]
    with compiling_beside([*steps, dedup()], 3):
        assert orders[2:] == [["dedup"]]


@pytest.mark.usefixtures("folder")
def test_a_block_within_another_starts_only_what_that_one_lacks(orders: list[list[str]]) -> None:
    with compiling_beside([shape(), truecase()], 2):
        with compiling_beside([shape()], 2):
            pass
        with compiling_beside([truecase(), dedup()], 2):
            assert orders == [["truecase", "shape"], ["dedup"]]
    with compiling_beside([shape(), truecase(), dedup()], 2):
        assert len(orders) == 2


@pytest.mark.usefixtures("folder")
def test_of_two_steps_of_a_kind_the_first_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[Step]] = []
    monkeypatch.setattr(start, "_started", given.append)
    with compiling_beside([shape(min_words=3), shape()], 2):
        assert given == [[shape(min_words=3)]]


@pytest.mark.usefixtures("folder")
def test_a_build_that_failed_leaves_its_steps_to_the_next(orders: list[list[str]]) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no"), compiling_beside([shape()], 2):
            raise ValueError("no")
    assert len(orders) == 2


def always(texts: pl.Series) -> pl.Series:
    return texts.str.len_chars() >= 0


@pytest.mark.usefixtures("folder")
def test_one_core_code_of_users_and_other_data_start_nothing(orders: list[list[str]]) -> None:
    other = samples.sample("conversation")
    given: list[tuple[Step, int]] = [
        (shape(), 1),
        (score("meta.reward"), 2),
        (judge("tests.support.judges:turns"), 2),
        (keep_if(always), 2),
        (where(pl.col("turns") > 0), 2),
        (dedup(against=[other]), 2),
    ]
    for step, cores in given:
        with compiling_beside([step], cores):
            pass
    assert orders == []


def test_what_cannot_be_kept_is_not_compiled_beside(
    orders: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    with compiling_beside([shape()], 2):
        pass
    assert orders == []


def test_each_step_runs_on_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def noted(*args: object, **kwargs: object) -> None:
        build(*args, **kwargs)  # type: ignore[arg-type]
        seen.append(args[1])  # type: ignore[arg-type]

    monkeypatch.setattr(process, "build", noted)
    process.compile_for([shape(), dedup(), score("meta.reward")])
    assert [path.name for path in seen] == ["0", "1", "2"]
    assert not seen[0].parent.exists()


@pytest.mark.usefixtures("folder")
def test_a_process_ends_with_the_one_that_started_it() -> None:
    code = (
        "import os, time\nfrom curate.engine.warm_up import start\n"
        "from curate.steps.filters.truecase import truecase\n"
        "one = start._started([truecase()])\nprint(one.pid, flush=True)\ntime.sleep(1.5)\nos._exit(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    for _ in range(600):
        if not _runs(pid):
            break
        time.sleep(0.1)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("wrong", ["raise OSError", "import nothing"])
def test_a_process_that_fails_changes_nothing(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "CODE", wrong)
    with compiling_beside([shape()], 2):
        pass
    monkeypatch.setattr(sys, "executable", "/no/python")
    with compiling_beside([dedup()], 2):
        pass
