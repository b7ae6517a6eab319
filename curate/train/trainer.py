"""Training itself: TRL's `SFTTrainer` on conversations, `DPOTrainer` on pairs, `KTOTrainer` on answers with a label."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from curate.errors import CallError, PreflightError
from curate.preflight.hardware import check_extra
from curate.preflight.preflight import LOST_SHARE, counted
from curate.preflight.recipes import Stage
from curate.preflight.row_lengths import TOKENS, measured, schema_of, stored
from curate.result.bucket import local_folder
from curate.result.build import Build, Split
from curate.train.lineage import finish, log_callback, start
from curate.train.training_plan import Adapter, TrainingPlan, config_of, plan

DATA: Final = ".data"
"""The folder of TRL's input rows, in the model's folder during training."""


def train(
    stage: Stage,
    build: Build | str | Path,
    *,
    model: str,
    recipe: str,
    out: str | Path,
    chat_template: str | None = None,
    batch: int | None = None,
    adapter: Adapter | None = None,
    settings: Mapping[str, object] | None = None,
    without: Collection[str] = (),
    flatten: Collection[str] = (),
    max_lost: float = LOST_SHARE,
    resume: bool = False,
) -> Path:
    """Train a model on a build with a published recipe; only answers are trained.

    Everything is checked before weights are loaded.

    Args:
        stage: `"sft"` trains on conversations, `"dpo"` on pairs, `"kto"` on answers with a label.
        build: A build, or its folder.
        model: A folder, or an id on the Hub.
        recipe: The name of one of `curate.preflight.recipes.RECIPES`.
        out: The model's folder; new or empty, unless `resume`.
        chat_template: `"tulu"`, `"zephyr"`, `"chatml"` or a Jinja file. Default: the model's own.
        batch: Rows per step over all devices. Default: the recipe's.
        adapter: `"lora"` trains adapters, `"qlora"` over 4-bit weights (a GPU, and the extra `curate[qlora]`).
        settings: Anything else, by TRL's names (`SFTConfig`, `DPOConfig`, `KTOConfig`, `ModelConfig`).
        without: Parts that rows are trained without, such as `"tools"`, as of `curate.preflight.preflight.preflight`.
        flatten: Parts that are trained as text of their message: `"reasoning"`, `"calls"`.
        max_lost: The share of rows that may be left out because the limit leaves nothing to train on.
        resume: Resume from the last checkpoint in `out`.

    Returns:
        The folder, with the model, its tokenizer and chat template, `lineage.json` (what it was made from),
        `training.jsonl` (the log of each step), `training.html` (the same as charts) and a card.

    Raises:
        CallError: The call is wrong.
        BuildFolderError: The data of the build changed.
        PreflightError: Training would be silently wrong.
    """
    check_extra()
    folder = local_folder(out, "train()")
    new = not folder.exists()
    last = _place(folder, resume=resume)
    try:
        planned = plan(
            stage, build, model=model, recipe=recipe, chat_template=chat_template, batch=batch, adapter=adapter,
            settings=settings, without=without, flatten=flatten, max_lost=max_lost, store=folder / DATA / "train.arrow",
        )  # fmt: skip
        trainer = _trainer(planned, folder)
        start(planned, folder, resumed=last is not None)
        trainer.train(resume_from_checkpoint=last)
        trainer.save_model(str(folder))
        if trainer.is_world_process_zero():
            finish(folder)
    finally:
        shutil.rmtree(folder / DATA, ignore_errors=True)
        if new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return folder


def _place(folder: Path, *, resume: bool) -> str | None:
    """Return the checkpoint to resume from; raises `CallError` if there is none, or the folder is not empty."""
    from transformers.trainer_utils import get_last_checkpoint

    last = get_last_checkpoint(str(folder)) if resume and folder.is_dir() else None
    if resume and last is None:
        raise CallError(f"no checkpoint in {folder} to resume from; leave out --resume")
    if not resume and folder.exists() and any(path.name != DATA for path in folder.iterdir()):
        raise CallError(f"{folder} is not empty: resume from its last checkpoint with --resume, or name another folder")
    return last


def _trainer(planned: TrainingPlan, folder: Path) -> Any:  # noqa: ANN401  of TRL
    """Return TRL's trainer on the rows of the plan; raises `PreflightError` if it counts other rows."""
    from transformers import PrinterCallback
    from trl import ModelConfig, get_peft_config, get_quantization_config

    given, of_model = dict(planned.settings.trainer), ModelConfig(**planned.settings.model)
    names = planned.settings.model.keys() & {"dtype", "attn_implementation"}
    loading = {"dtype": "float32", **{name: planned.settings.model[name] for name in names}}
    loading |= given.pop("model_init_kwargs", None) or {}
    if planned.stage == "sft" and not given.get("packing"):
        given["dataset_kwargs"] = {"skip_prepare_dataset": True}  # already cut at the limit and labelled
    rows, test = _rows(planned, "train", folder), _rows(planned, "test", folder)
    given.setdefault("eval_strategy", "no" if test is None else "epoch")
    adapters, quantization = get_peft_config(of_model), get_quantization_config(of_model)
    model = planned.model.name
    if planned.model.embeddings is not None and len(planned.tokenizer) > planned.model.embeddings:
        model, adapters = _with_new_tokens(planned, {**loading, "quantization_config": quantization}, adapters)
        loading, quantization = {}, None
    trainer = _trainer_of(planned.stage)(
        model,
        args=config_of(planned.stage)(output_dir=str(folder), model_init_kwargs=loading or None, **given),
        train_dataset=rows,
        eval_dataset=test,
        processing_class=planned.tokenizer,
        peft_config=adapters,
        quantization_config=quantization,
        callbacks=[log_callback(folder)],
    )
    trainer.remove_callback(PrinterCallback)
    expected = planned.preflight.rows if planned.preflight.packs is None else planned.preflight.packs
    if len(trainer.train_dataset) != expected:
        raise PreflightError(f"TRL would train on {len(trainer.train_dataset):,} rows where {expected:,} were measured")
    return trainer


def _rows(planned: TrainingPlan, split: Split, folder: Path) -> Any:  # noqa: ANN401  of datasets
    """Return the trained rows of a split as TRL's input; None for an empty split."""
    from datasets import Dataset

    if not planned.build.manifest["splits"].get(split, {"rows": 0})["rows"]:
        return None
    path, found = folder / DATA / f"{split}.arrow", planned.preflight
    if split == "test":
        rows = measured(planned.build, planned.tokenizer, found.limit, split, planned.changes)
        found = counted(planned.build, stored(rows, schema_of(planned.build.kind), path), found.limit)
    rows_of_file = Dataset.from_file(str(path)).select_columns(list(TOKENS[planned.build.kind]))
    return rows_of_file if found.trained.all() else rows_of_file.select(found.trained.nonzero()[0])


def _trainer_of(stage: Stage) -> Any:  # noqa: ANN401  of TRL
    """Return TRL's trainer of a stage, for rows that are in tokens already.

    TRL's own preparation would take each row once more, and read quoted control tokens in keys of arguments as tokens.
    """
    from accelerate import PartialState
    from trl import DPOTrainer, KTOTrainer, SFTTrainer

    class PreparedDPOTrainer(DPOTrainer):  # type: ignore[misc]  # untyped where trl is absent
        def _prepare_dataset(self, dataset: Any, *_: object, **__: object) -> Any:  # noqa: ANN401
            return dataset

    class PreparedKTOTrainer(KTOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, _: object, args: Any, *__: object) -> Any:  # noqa: ANN401
            """Add the answer of a neighbour to each row, which the KL term is estimated from, in TRL's own way."""
            if not self.calculate_KL:
                return dataset
            size = args.per_device_train_batch_size
            with PartialState().main_process_first():
                return dataset.map(_neighbours, batched=True, batch_size=size, input_columns="completion_ids")

    return {"sft": SFTTrainer, "dpo": PreparedDPOTrainer, "kto": PreparedKTOTrainer}[stage]


def _neighbours(answers: list[list[int]]) -> dict[str, list[list[int]]]:
    return {"KL_completion_ids": [answers[-1], *answers[:-1]]}


def _with_new_tokens(planned: TrainingPlan, loading: Mapping[str, Any], adapters: Any) -> tuple[Any, Any]:  # noqa: ANN401  of peft
    """Return the model with embeddings for the chat template's new tokens, and adapters that train them too."""
    from transformers import AutoModelForCausalLM

    if planned.stage != "sft":
        raise CallError(f"{planned.model.name} lacks the tokens of this chat template; train it with sft first")
    model = AutoModelForCausalLM.from_pretrained(planned.model.name, **loading)
    model.resize_token_embeddings(len(planned.tokenizer), pad_to_multiple_of=64)
    if adapters is not None:
        new = list(range(planned.model.embeddings or 0, len(planned.tokenizer)))
        adapters.trainable_token_indices = {"embed_tokens": new}
        adapters.modules_to_save = [*(adapters.modules_to_save or ()), "lm_head"]
    return model, adapters
