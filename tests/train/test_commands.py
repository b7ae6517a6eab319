"""`curate preflight`, `curate train`, `curate lengths`, and the same over several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from curate.cli.app import app
from tests.support.tool_rows import TOOLS, built, one_call
from tests.support.train_log import logged

if TYPE_CHECKING:
    from pathlib import Path

    from curate.result.build import Build

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers

SET = [part for one in ("max_length=512", "learning_rate=5e-3", "num_train_epochs=1") for part in ("--set", one)]


def said(*line: object, code: int = 0) -> str:
    """Return what a command printed, on one line."""
    result = CliRunner().invoke(app, [str(part) for part in line])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_fit(chats: Build, model: Path) -> None:
    output = said(
        "preflight", chats.path, "--tokenizer", model, "--chat-template", "tulu", "--recipe", "zephyr", "--batch", 8
    )
    assert "203 rows are trained: " in output
    assert "blocks of 2,048 tokens" in output
    assert "steps per epoch, of 8 blocks." in output
    less = ["--tokenizer", model, "--chat-template", "tulu", "--max-length"]
    assert "would be left out at 30 tokens" in said("preflight", chats.path, *less, 30, code=1)
    assert "are left out" in said("preflight", chats.path, *less, 30, "--max-lost", 1)
    assert "give --max-length, or a --recipe" in said("preflight", chats.path, "--tokenizer", model, code=2)


def test_parts_that_the_template_ignores(model: Path, tmp_path: Path) -> None:
    build = built([{"messages": one_call(), "tools": TOOLS}], tmp_path / "build")
    fit = ["preflight", build.path, "--tokenizer", model, "--chat-template", "tulu", "--max-length", 900]
    line = ["train", "sft", build.path, "--model", model, "--recipe", "tulu2", "--chat-template", "tulu", "--dry-run"]
    line += ["--batch", 1, "--set", "max_length=900"]
    more = ["--without", "tools", "--flatten", "calls"]
    for command in (fit, line):
        assert "or train without: --flatten calls --without tools" in said(*command, code=1)
        assert "source without tools calls as text" in said(*command, *more)
        assert "'calls' is no part for it; it takes reasoning" in said(*command, "--without", "calls", code=2)


def test_a_dry_run_shows_everything_and_writes_nothing(chats: Build, model: Path, tmp_path: Path) -> None:
    line = ["train", "sft", chats.path, "--model", model, "--recipe", "tulu2", "--chat-template", "tulu"]
    output = said(*line, "--batch", 16, *SET, "--set", "per_device_train_batch_size=4", "--dry-run")
    for part in ("devices 1 x cpu machine", "rows per step 16 machine", "steps per epoch 13 machine"):
        assert part in output
    for part in ("learning_rate 0.005 you", "warmup_steps 0.03 recipe", "gradient_accumulation_steps 4 curate"):
        assert part in output
    assert "adam_beta2 0.999 trl" in output
    assert "the model's folder is missing: give --out" in said(*line, *SET, code=2)
    assert "--set oops: write NAME=VALUE" in said(*line, "--set", "oops", code=2)
    assert list(tmp_path.iterdir()) == []


def test_train_and_lengths(chats: Build, preferences: Build, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "sft"
    line = ["train", "sft", chats.path, "--model", model, "--recipe", "tulu2", "--chat-template", "tulu", "--batch", 8]
    assert f"The model is in {out}." in said(*line, *SET, "--out", out)
    assert len(logged(out, "loss")) == 26
    asked = tmp_path / "prompts.txt"
    asked.write_text("What is ice?\n\nHi\n")
    output = said("lengths", asked, "--model", out, "--build", preferences.path, "--limit", 5)
    assert "2 " in output.split("sft", 1)[1]
    assert "auc" in output
    (shard,) = (chats.path / "data").glob("test-*.parquet")
    assert " 11 " in said("lengths", shard, "--model", out, "--limit", 2)
    asked.write_text("\n")
    assert "no prompts in" in said("lengths", asked, "--model", out, code=2)


# As `accelerate launch` starts them on GPUs; on processors it would want MPI.
def test_two_processes_share_a_step(chats: Build, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "two"
    here = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "curate.train"]
    line = ["sft", chats.path, "--model", model, "--recipe", "tulu2", "--chat-template", "tulu", "--batch", "8"]
    done = subprocess.run(
        [sys.executable, *launch, *map(str, line), *SET, "--out", str(out)],
        env=here, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    lineage = json.loads((out / "lineage.json").read_text("utf-8"))
    assert lineage["processes"] == 2
    assert lineage["settings"]["gradient_accumulation_steps"] == 4
    assert logged(out, "step") == [*range(1, 27), 26]
    assert not (out / ".data").exists()
