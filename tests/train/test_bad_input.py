"""Wrong calls end in one message, before weights are loaded and before the model's folder has anything in it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from curate.errors import BuildFolderError, CallError, EmptyBuildError, PreflightError
from curate.io.tables import frame
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preflight import hardware as machines
from curate.result.build import Build
from curate.train import train
from curate.train import training_plan as planned
from tests.support.train_log import FAST

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def load(*_: object, **__: object) -> None:
        pytest.fail("weights were loaded")

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", load)


def call(build: Build | Path, model: Path | str, out: Path, **more: object) -> None:
    options: dict[str, Any] = {"recipe": "tulu2", "chat_template": "tulu", "batch": 8, "settings": FAST} | more
    try:
        train(options.pop("stage", "sft"), build, model=str(model), out=out, **options)
    finally:
        assert not out.exists()


def wrong(match: str, build: Build | Path, model: Path | str, out: Path, **more: object) -> None:
    with pytest.raises(CallError, match=match):
        call(build, model, out, **more)


def test_builds(chats: Build, preferences: Build, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wrong("holds conversation rows, which dpo does not train on: use sft", chats, model, out, stage="dpo")
    wrong("holds preference rows, which sft does not train on: use dpo", preferences, model, out)
    with pytest.raises(BuildFolderError, match="no build at"):
        call(tmp_path / "nowhere", model, out)


def test_a_build_whose_data_changed(chats: Build, model: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "copy", tmp_path / "out"
    shutil.copytree(chats.path, copy)
    (shard,) = (copy / "data").glob("train-*.parquet")
    pl.read_parquet(shard).head(100).write_parquet(shard)
    with pytest.raises(BuildFolderError, match=r"data/train-00000-of-00001.parquet was changed since; build it again"):
        call(copy, model, out)
    shutil.copy(shard, copy / "data" / "train-more.parquet")
    with pytest.raises(BuildFolderError, match=r"data/train-more.parquet is no file of this build"):
        call(copy, model, out)
    shard.unlink()
    with pytest.raises(BuildFolderError, match=r"data/train-00000-of-00001.parquet is missing"):
        call(copy, model, out)


def test_models(chats: Build, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wrong("no model could be found at 'no/model'", chats, "no/model", out)
    wrong("has no chat template; choose one", chats, model, out, chat_template=None)
    wrong("reads 1,024 tokens, fewer than max_length=8,192; set max_length=1024", chats, model, out, settings={})


def test_weights_that_are_not_there(chats: Build, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # they may be asked for
    bare, out = tmp_path / "bare", tmp_path / "out"
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(OSError, match=r"no file named model.safetensors"):
        call(chats, bare, out)


def test_seven_billion_parameters_without_a_gpu(
    chats: Build, preferences: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaConfig

    LlamaConfig().save_pretrained(tmp_path / "llama")  # its default is Llama 7B
    out = tmp_path / "out"
    match = r"llama has 6.7 billion parameters, and there is no GPU: full training needs about 108 GB"
    wrong(match, chats, tmp_path / "llama", out, settings={"max_length": 512})
    match = "full training needs about 135 GB"  # with the model that it is compared with
    wrong(match, preferences, tmp_path / "llama", out, stage="dpo", settings={"max_length": 512})
    there = machines.Machine(1, "cuda", bf16=True, first=True)
    monkeypatch.setattr(planned, "machine", lambda **_: there)
    wrong("no tokenizer could be loaded", chats, tmp_path / "llama", out, settings={"max_length": 512})


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"learing_rate": 1}, "TRL has no setting 'learing_rate'; did you mean 'learning_rate'"),
        ({"xyzzy": 1}, "TRL has no setting 'xyzzy'; its SFTConfig, DPOConfig, KTOConfig and ModelConfig list them"),
        ({"learning_rate": "fast"}, "learning_rate='fast': expected `float`, got `str`"),
        ({"packing": "maybe"}, "packing='maybe': expected `bool`"),
        ({"output_dir": "x"}, "output_dir cannot be set: use out="),
        ({"assistant_only_loss": False}, "assistant_only_loss cannot be set"),
        ({"beta": 0.1}, "TRL has no setting 'beta'"),
        ({"lora_target_modules": "[oops"}, "lora_target_modules='\\[oops'"),
        ({"per_device_train_batch_size": 3}, "8 rows a step cannot be shared by 1 device"),
        ({"per_device_train_batch_size": 16}, "8 rows a step cannot be shared by 1 device"),
    ],
)
def test_settings(chats: Build, model: Path, tmp_path: Path, settings: dict[str, Any], match: str) -> None:
    wrong(match, chats, model, tmp_path / "out", settings={"max_length": 512} | settings)


def test_four_bits_without_a_gpu(chats: Build, model: Path, tmp_path: Path) -> None:
    wrong("4-bit weights need an NVIDIA GPU", chats, model, tmp_path / "out", adapter="qlora")


def test_names(chats: Build, model: Path, tmp_path: Path) -> None:
    wrong("no recipe 'tulu' for sft; did you mean 'tulu", chats, model, tmp_path / "out", recipe="tulu")
    wrong("no chat template 'tulip', and no such file", chats, model, tmp_path / "out", chat_template="tulip")


def test_rows_that_lose_everything(chats: Build, model: Path, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=r"rows \(\d+\.\d%\) would be left out at 30 tokens"):
        call(chats, model, tmp_path / "out", settings=FAST | {"max_length": 30})


def test_a_build_without_rows(model: Path, tmp_path: Path) -> None:
    rows = pl.DataFrame({"messages": [[{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]]})
    with pytest.raises(EmptyBuildError, match="mixture 'empty' keeps no row"):
        Mixture("empty", [Source("a", frame(rows.clear(), "messages"))]).build(tmp_path / "empty", quiet=True)
    with pytest.raises(PreflightError, match="empty has no rows to train on"):
        call(Build(tmp_path / "empty"), model, tmp_path / "out")
