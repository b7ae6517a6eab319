"""From the demo to a trained model, on a processor: build, fit, sft, dpo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from curate.errors import PreflightError
from curate.mix.amounts import Rows
from curate.preflight.preflight import preflight
from curate.result.build import Build
from curate.train import plan, train
from tests.support.tool_rows import TOOLS, built, one_call
from tests.support.train_log import FAST, logged

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers


@pytest.fixture(scope="session")
def sft(chats: Build, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("train") / "sft"
    return train(
        "sft", chats, model=str(model), recipe="tulu2", out=out, chat_template="tulu", batch=8,
        settings=FAST | {"num_train_epochs": 4},
    )  # fmt: skip


@pytest.fixture(scope="session")
def dpo(preferences: Build, sft: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("train") / "dpo"
    return train(
        "dpo", preferences, model=str(sft), recipe="tulu2", out=out, batch=5,
        settings={"max_length": 512, "learning_rate": "1e-3", "per_device_train_batch_size": "5"},
    )  # fmt: skip


def test_the_loss_of_sft_decreases(sft: Path) -> None:
    loss = logged(sft, "loss")
    assert sum(loss[-10:]) / 10 < 0.9 * sum(loss[:3]) / 3
    assert logged(sft, "eval_loss")[-1] < logged(sft, "eval_loss")[0]


def test_the_margins_of_dpo_rise(dpo: Path) -> None:
    margins = logged(dpo, "rewards/margins")
    assert margins[-1] > 1 > abs(margins[0])
    assert logged(dpo, "rewards/accuracies")[-1] == 1


def test_steps_are_those_of_the_plan(chats: Build, sft: Path, model: Path) -> None:
    planned = plan("sft", chats, model=str(model), recipe="tulu2", chat_template="tulu", batch=8, settings=FAST)
    assert len(logged(sft, "loss")) == 4 * planned.steps
    settings = {name: (value, origin) for name, value, origin in planned.setting_rows}
    assert settings["rows per step"] == (8, "machine")
    assert settings["devices"] == ("1 x cpu", "machine")
    assert settings["learning_rate"] == (FAST["learning_rate"], "you")
    assert settings["num_train_epochs"] == (2, "recipe")
    assert settings["max_grad_norm"] == (1.0, "trl")


def test_the_folder_tells_what_the_model_was_made_from(sft: Path, dpo: Path, chats: Build) -> None:
    lineage = json.loads((sft / "lineage.json").read_text("utf-8"))
    assert lineage["build"]["fingerprint"] == chats.manifest["fingerprint"]
    assert lineage["recipe"]["source"].startswith("Tulu 2, arXiv:2311.10702")
    assert [row["source"] for row in lineage["rows"]] == [*chats.sources, "total"]
    assert str(sft.parent) not in (sft / "lineage.json").read_text("utf-8")
    again = json.loads((dpo / "lineage.json").read_text("utf-8"))
    assert again["model"]["name"] == "sft"
    assert len(again["model"]["lineage"]) == 64
    card = (dpo / "README.md").read_text("utf-8")
    assert card.startswith('---\nbase_model: "sft"\nlibrary_name: transformers\n')
    assert chats.manifest["fingerprint"] not in card
    assert again["build"]["fingerprint"] in card
    page = (dpo / "training.html").read_text("utf-8")
    assert page.count("<svg") >= 4
    assert "<script" not in page
    assert not (dpo / ".data").exists()


def test_a_run_can_be_done_again(sft: Path, chats: Build, model: Path, tmp_path: Path) -> None:
    again = train(
        "sft", chats.path, model=str(model), recipe="tulu2", out=tmp_path / "sft", chat_template="tulu", batch=8,
        settings=FAST | {"num_train_epochs": 4},
    )  # fmt: skip
    for name in ("training.jsonl", "lineage.json", "model.safetensors", "README.md"):
        first, second = ((folder / name).read_bytes() for folder in (sft, again))
        if name == "training.jsonl":
            assert _without_times(first) == _without_times(second)
        else:
            assert first == second, name


def _without_times(log: bytes) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines()]
    return [{key: line[key] for key in line if "runtime" not in key and "per_second" not in key} for line in lines]


def test_rows_with_tools_are_trained_by_both_stages(model: Path, tmp_path: Path) -> None:
    rows = [{"messages": one_call(city, reasoning_content="Let me see."), "tools": TOOLS} for city in ("Oslo", "Rome")]
    pairs = [
        {"prompt": row["messages"][:1], "chosen": row["messages"][1:], "rejected": row["messages"][3:], "tools": TOOLS}
        for row in rows
    ]
    one = {"per_device_train_batch_size": 2, "max_length": 900}
    sft = train(
        "sft", built(rows, tmp_path / "rows"), model=str(model), recipe="tulu2", out=tmp_path / "sft", batch=2,
        chat_template="chatml", settings=one,
    )  # fmt: skip
    dpo = train(
        "dpo", built(pairs, tmp_path / "pairs"), model=str(sft), recipe="tulu2", out=tmp_path / "dpo", batch=2,
        settings=one,
    )  # fmt: skip
    for folder, results in ((sft, 2), (dpo, 2)):
        parts = json.loads((folder / "lineage.json").read_text("utf-8"))["parts"][-1]
        assert parts == {"source": "total", "calls": 2, "results": results, "reasoning": 2, "tools": 2, "kwargs": 0}
    assert logged(dpo, "loss")[0] == pytest.approx(0.693, abs=1e-3)
    with pytest.raises(PreflightError, match="ignores the tool calls"):
        plan("sft", tmp_path / "rows", model=str(model), recipe="tulu2", chat_template="tulu", settings=FAST)


def test_rows_are_trained_without_what_the_template_ignores(model: Path, tmp_path: Path) -> None:
    rows = [
        {"messages": one_call(city, reasoning_content="Let me see."), "tools": TOOLS}
        for city in ("Oslo", "Rome", "Bern", "Riga")
    ]
    build = built(rows, tmp_path / "rows", test=Rows(1))
    out = train(
        "sft", build, model=str(model), recipe="tulu2", out=tmp_path / "sft", batch=1, chat_template="tulu",
        without=["tools", "reasoning"], flatten=["calls"], settings={"max_length": 900},
    )  # fmt: skip
    assert len(logged(out, "eval_loss")) == 2
    lineage = json.loads((out / "lineage.json").read_text("utf-8"))
    counts = {"without tools": 3, "without reasoning": 3, "calls as text": 3}
    assert lineage["changed"] == [{"source": name, **counts} for name in ("rows", "total")]
    assert "3 of 3 rows are trained with calls as text" in (out / "README.md").read_text("utf-8")


def test_packed_rows_do_not_see_each_other(chats: Build, model: Path) -> None:
    """The loss of a packed block is that of its rows, each alone."""
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from curate.preflight.chat_template import chat_tokenizer
    from curate.preflight.row_lengths import measured

    chatty = chat_tokenizer(str(model), "tulu")
    batch = next(iter(measured(chats, chatty, 200)))
    rows = [{name: batch[name][n].as_py() for name in ("input_ids", "labels")} for n in range(3)]
    packed = {name: [token for row in rows for token in row[name]] for name in rows[0]}
    packed["seq_lengths"] = [len(row["input_ids"]) for row in rows]
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    llama = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        given = collate([packed])
        together = llama(**{name: given[name] for name in given if name != "labels"}, use_cache=False).logits[0]
        apart = torch.cat([llama(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in rows])
    assert torch.allclose(together, apart, atol=1e-4)


def test_sft_packs(chats: Build, model: Path, tmp_path: Path) -> None:
    out = train(
        "sft", chats, model=str(model), recipe="zephyr", out=tmp_path / "packed", chat_template="zephyr", batch=4,
        settings=FAST | {"per_device_train_batch_size": 2},
    )  # fmt: skip
    measured = preflight(chats, tokenizer=str(model), limit=512, chat_template="zephyr", packing=True)
    assert json.loads((out / "lineage.json").read_text("utf-8"))["packs"] == measured.packs
    assert len(logged(out, "loss")) == measured.steps(4)


def test_adapters_train_the_tokens_of_a_template(chats: Build, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from safetensors import safe_open

    out = train(
        "sft", chats, model=str(model), recipe="tulu3", out=tmp_path / "lora", chat_template="chatml", batch=8,
        adapter="lora", settings=FAST | {"lora_r": 4},
    )  # fmt: skip
    with safe_open(out / "adapter_model.safetensors", "pt") as saved:
        names = set(saved.keys())
    assert any("lora_A" in name for name in names)
    assert any("lm_head" in name for name in names)
    assert any("embed_tokens" in name for name in names)
    assert logged(out, "loss")[-1] < logged(out, "loss")[0]


def test_other_rows_than_measured_are_an_error(
    chats: Build, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.train import trainer as run

    rows = run._rows
    monkeypatch.setattr(run, "_rows", lambda *arguments: rows(*arguments) and rows(*arguments).select(range(5)))
    with pytest.raises(PreflightError, match="TRL would train on 5 rows where 203 were measured"):
        train(
            "sft", chats, model=str(model), recipe="tulu2", out=tmp_path / "few", chat_template="tulu", batch=8,
            settings=FAST,
        )  # fmt: skip


def test_a_loss_that_is_no_number_ends_the_run(
    chats: Build, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = train(
        "sft", chats, model=str(model), recipe="tulu2", out=tmp_path / "nan", chat_template="tulu", batch=8,
        settings=FAST | {"learning_rate": 1e30, "max_grad_norm": 0},
    )  # fmt: skip
    assert len(logged(out, "loss")) < 10
    assert "training stops" in capsys.readouterr().err
    assert "Warning.</strong> the loss of step" in (out / "training.html").read_text("utf-8")
