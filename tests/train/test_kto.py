"""Answers with a label are trained by KTO: the good ones get likelier, the bad ones less."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from curate.errors import CallError
from curate.mix.amounts import Rows
from curate.train import plan, train
from tests.support.tool_rows import PLAIN, Row, built, judged, said
from tests.support.train_log import FAST, logged

if TYPE_CHECKING:
    from pathlib import Path

    from curate.result.build import Build

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers

ROWS: list[Row] = [
    {"prompt": [said("user", f"Is {i} a number?")], "completion": [said("assistant", text)], "label": label}
    for i in range(16)
    for text, label in (("Yes, it is one.", True), ("No idea, go away.", False))
]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return built(ROWS, tmp_path_factory.mktemp("kto") / "labels")


def test_good_answers_get_likelier_and_bad_ones_less(labels: Build, model: Path, tmp_path: Path) -> None:
    faster = {"learning_rate": 2e-3, "per_device_train_batch_size": 4, "warmup_steps": 0, "num_train_epochs": 3}
    out = train(
        "kto", labels, model=str(model), recipe="kto", out=tmp_path / "kto", chat_template="tulu", batch=8,
        settings=FAST | faster,
    )  # fmt: skip
    assert len(logged(out, "loss")) == 3 * 4
    assert logged(out, "loss")[0] == pytest.approx(0.5, abs=0.01)
    assert logged(out, "rewards/margins")[-1] > 0.2 > abs(logged(out, "rewards/margins")[0])
    assert len(logged(out, "kl")) == 3 * 4
    lineage = json.loads((out / "lineage.json").read_text("utf-8"))
    assert lineage["recipe"]["source"].startswith("KTO, arXiv:2402.01306")
    assert [lineage["rows"][-1][name] for name in ("desirable", "undesirable")] == [16, 16]
    assert lineage["notes"] == []
    assert "KL divergence" in (out / "training.html").read_text("utf-8")
    assert not (out / ".data").exists()


def test_rows_with_tools_and_a_held_out_split(model: Path, tmp_path: Path) -> None:
    rows = [row for row in judged(6) if "chat_template_kwargs" not in row]
    build = built(rows, tmp_path / "rows", test=Rows(6))
    sft = train(
        "sft", built([{"messages": PLAIN}], tmp_path / "chats"), model=str(model), recipe="tulu2",
        out=tmp_path / "sft", chat_template="chatml", batch=1, settings={"max_length": 900},
    )  # fmt: skip
    out = train(
        "kto", build, model=str(sft), recipe="kto", out=tmp_path / "kto", batch=4, settings={"max_length": 900},
    )  # fmt: skip
    assert logged(out, "eval_loss")
    parts = json.loads((out / "lineage.json").read_text("utf-8"))["parts"][-1]
    assert parts["calls"] == parts["tools"] > 0
    assert "undesirable_weight from" in (out / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"per_device_train_batch_size": 1}, "KTO estimates its KL term from the other rows of a device; give 2"),
        ({"train_sampling_strategy": "random"}, "train_sampling_strategy='random': KTO needs 'sequential'"),
    ],
)
def test_rows_need_their_neighbours(labels: Build, model: Path, settings: dict[str, Any], match: str) -> None:
    def planned(**more: Any) -> object:  # noqa: ANN401
        return plan("kto", labels, model=str(model), recipe="kto", chat_template="tulu", settings=FAST | more)

    with pytest.raises(CallError, match=match):
        planned(**settings)
    assert planned(**settings, loss_type="apo_zero_unpaired")  # has no KL term
    with pytest.raises(CallError, match="holds unpaired rows, which dpo does not train on: use kto"):
        plan("dpo", labels, model=str(model), recipe="tulu2", chat_template="tulu")


def test_weights_are_those_of_the_settings(labels: Build, model: Path) -> None:
    settings = FAST | {"desirable_weight": "2"}
    planned = plan("kto", labels, model=str(model), recipe="kto", chat_template="tulu", settings=settings)
    (note,) = planned.preflight.notes()
    assert "16 desirable rows at a weight of 2 and 16 undesirable" in note
