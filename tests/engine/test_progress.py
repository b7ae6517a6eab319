"""Bars move in a terminal, and there are none elsewhere."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from curate.engine.progress import COMPILING, showing_progress
from curate.mixture import Mixture
from tests.support.build_data import chats, source


@pytest.mark.parametrize(("terminal", "quiet", "shown"), [("1", False, True), ("1", True, False), ("0", False, False)])
def test_bars_are_for_terminals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: str,
    quiet: bool,  # noqa: FBT001
    shown: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    mixture = Mixture("mix", (source("first", chats(20)), source("none", [])))
    mixture.build(tmp_path / "out", quiet=quiet)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert ("20 rows" in printed.err and "first" in printed.err and "writing" in printed.err) == shown
    assert shown or printed.err == ""


def test_a_stage_of_unknown_length_ends_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with showing_progress() as progress:
        progress.start("known", 10)
        progress.start("unknown", None)
        progress.start("nothing", 0)
        progress.advance("known", 4, rows=3)
        progress.advance("unknown", 7)
        for stage in ("known", "unknown", "nothing"):
            progress.done(stage)
        assert progress.bars is not None
        assert [task.percentage for task in progress.bars.tasks] == [100.0] * 3


KERNELS = """
from curate.kernels.compile import kernel

@kernel
def one(numbers):
    return numbers[0] + 1

@kernel
def two(numbers):
    return numbers[0] + 2
"""


@pytest.mark.parametrize(
    ("terminal", "notebook", "quiet", "shown"),
    [("1", False, False, 1), ("0", True, False, 1), ("0", False, False, 0), ("1", False, True, 0)],
)
def test_a_line_says_once_that_kernels_are_compiled(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    terminal: str,
    notebook: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    shown: int,
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: notebook)
    (tmp_path / "fresh.py").write_text(KERNELS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fresh", raising=False)
    fresh = importlib.import_module("fresh")
    with showing_progress(quiet=quiet):
        assert fresh.one(np.array([3])) + fresh.two(np.array([3])) == 4 + 5
    assert capsys.readouterr().err.count(COMPILING) == shown


def test_a_notebook_has_no_bars_though_its_output_calls_itself_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with showing_progress() as progress:
        assert progress.bars is None
