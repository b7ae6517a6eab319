"""A run that was interrupted goes on as if it had not been."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from curate.errors import CallError
from curate.report import training
from curate.train import lineage, train
from tests.support.train_log import FAST, logged

if TYPE_CHECKING:
    from pathlib import Path

    from curate.result.build import Build

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers

SETTINGS = FAST | {"num_train_epochs": 2, "save_steps": 10, "eval_strategy": "no"}


def run(build: Build, model: Path, out: Path, own: dict[str, Any] | None = None, *, resume: bool = False) -> Path:
    return train(
        "sft", build, model=str(model), recipe="tulu2", out=out, chat_template="tulu", batch=8,
        settings=SETTINGS | (own or {}), resume=resume,
    )  # fmt: skip


class PowerCut(Exception):  # noqa: N818  an outage is no error of the program
    """The machine went away."""


@pytest.mark.parametrize("own", [{}, {"packing": True, "per_device_train_batch_size": 2, "save_steps": 5}])
def test_a_resumed_run_has_the_same_curve(
    chats: Build, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, Any]
) -> None:
    whole = run(chats, model, tmp_path / "whole", own)
    steps = len(logged(whole, "loss"))
    original = training.line

    def cut(logs: dict[str, Any], of: int) -> str:
        if logs["step"] == steps // 2 + 3:
            message = f"at step {logs['step']}"
            raise PowerCut(message)
        return original(logs, of)

    monkeypatch.setattr(lineage, "line", cut)
    with pytest.raises(PowerCut, match="step"):
        run(chats, model, tmp_path / "cut", own)
    monkeypatch.undo()
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    again = run(chats, model, tmp_path / "cut", own, resume=True)
    assert logged(again, "step") == logged(whole, "step") == list(range(1, steps + 1))
    assert logged(again, "loss") == logged(whole, "loss")
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (again / "lineage.json").read_bytes() == (whole / "lineage.json").read_bytes()


def test_what_cannot_be_resumed(chats: Build, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(CallError, match=r"no checkpoint in .*out to resume from"):
        run(chats, model, out, resume=True)
    assert not out.exists()
    run(chats, model, out)
    with pytest.raises(CallError, match="is not empty: resume from its last checkpoint with --resume"):
        run(chats, model, out)
    with pytest.raises(CallError, match="was begun with another settings"):
        run(chats, model, out, {"learning_rate": 1e-3}, resume=True)
    assert json.loads((out / "lineage.json").read_text("utf-8"))["settings"]["learning_rate"] == FAST["learning_rate"]
