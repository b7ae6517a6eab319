"""What a run shows is said; what is wrong is a warning; text of others is escaped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from curate.errors import BuildFolderError
from curate.report.training import LOG, line, model_card, notes, page, read_log, trouble

if TYPE_CHECKING:
    from pathlib import Path

LINEAGE: dict[str, Any] = {
    "stage": "dpo",
    "model": {"name": "<script>|x", "parameters": 1_000, "lineage": None},
    "build": {"name": "mine", "fingerprint": "f" * 64, "data": []},
    "recipe": {"name": "tulu2", "source": "arXiv:1 [x](y)"},
    "settings": {"batch": 8, "learning_rate": 1e-3, "loss_type": ["sigmoid"]},
    "rows": [{"source": "a|b", "rows": 3, "lost": 1}, {"source": "total", "rows": 3, "lost": 1}],
    "notes": ["1 of 3 rows are left out", "warning: 1 of 3 rows are cut"],
    "licences": {"a|b": None, "c": "mit"},
    "versions": {"curate": "0", "trl": "1"},
}


def rewards(chosen: list[float], margins: list[float], accuracy: list[float] | None = None) -> list[dict[str, Any]]:
    steps = zip(chosen, margins, accuracy or [1.0] * len(chosen), strict=True)
    return [
        {"step": n, "loss": 0.5, "rewards/chosen": a, "rewards/margins": b, "rewards/accuracies": c}
        for n, (a, b, c) in enumerate(steps, 1)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lineage.json").write_text(json.dumps(LINEAGE))
    log = rewards([0.1, -0.2, -0.5], [0.0, 0.4, 0.9])
    (tmp_path / LOG).write_text("".join(json.dumps(one) + "\n" for one in log))
    return tmp_path


def test_chosen_rewards_that_fall_while_margins_rise_are_usual() -> None:
    (note,) = notes(rewards([0.1, -0.2, -0.5], [0.0, 0.4, 0.9]))
    assert note.startswith("the rewards of chosen answers decreased while the margins rose: usual for DPO")
    assert notes(rewards([0.1, 0.2, 0.5], [0.0, 0.4, 0.9])) == []
    assert notes(rewards([0.1, -0.2, -0.5], [0.9, 0.4, 0.1])) == []
    assert notes([]) == []


def test_an_accuracy_of_one_half_to_the_end_is_trouble() -> None:
    half = [0.5, 0.45, 0.55] * 10
    (note,) = notes(rewards([0.0] * 30, [0.0] * 30, half))
    assert note.startswith("warning: the accuracy of rewards stays at one half")
    assert notes(rewards([0.0] * 30, [0.0] * 30, half[:20] + [0.8] * 10)) == []
    assert notes(rewards([0.0] * 6, [0.0] * 6, half[:6])) == []  # too few to tell


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0])
def test_no_number_and_nothing_to_train_are_trouble(loss: float) -> None:
    logs = {"step": 7, "loss": loss}
    assert "training stops" in str(trouble(logs))
    assert notes([logs]) == [f"warning: {trouble(logs)}"]


def test_what_is_no_trouble() -> None:
    assert trouble({"step": 1, "loss": 1.0}) is None
    assert trouble({"step": 1, "eval_loss": 1.0}) is None
    assert trouble({"step": 1, "loss": 0.0, "rewards/chosen": 9.0}) is None  # pairs that are learnt by heart


def test_a_line_has_what_there_is() -> None:
    logs = {"step": 2, "loss": 0.25, "rewards/chosen": 0.1, "rewards/rejected": -0.1, "rewards/margins": 0.2, "x": 9}
    assert line(logs, 9) == "step 2/9  loss 0.250  chosen 0.100  rejected -0.100  margin 0.200"


def test_the_page_escapes_and_warns(folder: Path) -> None:
    html = page(folder)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<strong>Warning.</strong> 1 of 3 rows are cut" in html
    assert html.count("<svg") == 3
    assert html == page(folder)


def test_the_card_escapes(folder: Path) -> None:
    card = model_card(folder)
    assert 'base_model: "<script>|x"' in card
    assert "`<script>|x`, trained on the build **mine**" in card
    assert "| a\\|b | 3 | 1 |" in card
    assert "| a\\|b | not named |" in card
    assert "\\[x\\](y)" in card


@pytest.mark.parametrize("text", [None, "{broken"])
def test_a_folder_without_a_log(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / LOG).write_text(text)
    with pytest.raises(BuildFolderError, match="no training log in"):
        read_log(tmp_path)
