"""Training itself: TRL's `SFTTrainer` on conversations, its `DPOTrainer` on pairs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import CallError, FitError
from curate.preflight.hardware import check_extra
from curate.preflight.preflight import LOST_SHARE, counted
from curate.preflight.recipes import Stage
from curate.preflight.row_lengths import LABELLED, data_files, measured, schema_of, stored
from curate.result.build import Build, Split
from curate.train.callbacks import watching
from curate.train.lineage import finish, start
from curate.train.settings import Adapter, config_of
from curate.train.training_plan import Plan, plan

DATA: Final = ".data"
"""The rows as TRL takes them, in the model's folder while it is trained."""


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
    max_lost: float = LOST_SHARE,
    resume: bool = False,
) -> Path:
    """Train a model on a build, and return its folder.

    - `stage`: `"sft"` takes builds of conversations, `"dpo"` builds of pairs.
    - `model`: a folder, or an id on the Hub. `recipe`: one of `curate.preflight.recipes.RECIPES`.
    - `chat_template`: `"tulu"`, `"zephyr"`, `"chatml"` or a Jinja file; default: the model's own.
    - `batch`: rows a step over all devices, in place of the recipe's.
    - `adapter`: `"lora"` trains adapters, `"qlora"` over weights in four bits (a GPU, and the extra `curate[qlora]`).
    - `settings`: anything else, by TRL's own names (`SFTConfig`, `DPOConfig`, `ModelConfig`).
    - `max_lost`: the share of rows that may be left out because the limit leaves nothing to train on.
    - `resume`: go on from the last checkpoint in `out`.

    The folder holds the model, its tokenizer and chat template, `lineage.json` (what it was made from),
    `training.jsonl` (what was measured at each step), `training.html` (the same as charts) and a card. Only answers
    are trained.

    Raises `CallError` for a wrong call, `BuildFolderError` for a build whose data changed, and `FitError` where
    training would be silently wrong, all before weights are loaded.
    """
    check_extra()
    folder = Path(out)
    new = not folder.exists()
    last = _place(folder, resume=resume)
    try:
        planned = plan(
            stage, build, model=model, recipe=recipe, chat_template=chat_template, batch=batch, adapter=adapter,
            settings=settings, max_lost=max_lost, store=folder / DATA / "train.arrow",
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
    """Return the last checkpoint of a folder to go on from; raises `CallError` where there is none, or a model is."""
    from transformers.trainer_utils import get_last_checkpoint

    last = get_last_checkpoint(str(folder)) if resume and folder.is_dir() else None
    if resume and last is None:
        message = f"no checkpoint in {folder} to go on from; leave out --resume"
        raise CallError(message)
    if not resume and folder.exists() and any(path.name != DATA for path in folder.iterdir()):
        message = f"{folder} is not empty: go on from its last checkpoint with --resume, or name another folder"
        raise CallError(message)
    return last


def _trainer(planned: Plan, folder: Path) -> Any:  # noqa: ANN401  of TRL
    """Return TRL's trainer on the rows of the plan; raises `FitError` where it sees other rows than were measured."""
    from transformers import PrinterCallback
    from trl import DPOTrainer, ModelConfig, SFTTrainer, get_peft_config, get_quantization_config

    told, of_model = dict(planned.settings.trainer), ModelConfig(**planned.settings.model)
    names = planned.settings.model.keys() & {"dtype", "attn_implementation"}
    loading = {"dtype": "float32", **{name: planned.settings.model[name] for name in names}}
    loading |= told.pop("model_init_kwargs", None) or {}
    if planned.stage == "sft" and not told.get("packing"):
        told["dataset_kwargs"] = {"skip_prepare_dataset": True}  # cut at the limit and labelled as it is
    rows, test = _rows(planned, "train", folder), _rows(planned, "test", folder)
    told.setdefault("eval_strategy", "no" if test is None else "epoch")
    adapters, quantization = get_peft_config(of_model), get_quantization_config(of_model)
    model = planned.model.name
    if planned.model.embeddings is not None and len(planned.tokenizer) > planned.model.embeddings:
        model, adapters = _with_room(planned, {**loading, "quantization_config": quantization}, adapters)
        loading, quantization = {}, None
    trainer = (SFTTrainer if planned.stage == "sft" else DPOTrainer)(
        model,
        args=config_of(planned.stage)(output_dir=str(folder), model_init_kwargs=loading or None, **told),
        train_dataset=rows,
        eval_dataset=test,
        processing_class=planned.tokenizer,
        peft_config=adapters,
        quantization_config=quantization,
        callbacks=[watching(folder)],
    )
    trainer.remove_callback(PrinterCallback)
    expected = planned.fit.rows if planned.fit.packs is None else planned.fit.packs
    if len(trainer.train_dataset) != expected:
        message = f"TRL would train on {len(trainer.train_dataset):,} rows where {expected:,} were measured"
        raise FitError(message)
    return trainer


def _rows(planned: Plan, split: Split, folder: Path) -> Any:  # noqa: ANN401  of datasets
    """Return the rows of a split that are trained, as TRL takes them; None for a split that is not there."""
    from datasets import Dataset

    if not planned.build.manifest["splits"].get(split, {"rows": 0})["rows"]:
        return None
    path, fit = folder / DATA / f"{split}.arrow", planned.fit
    if split == "test":
        rows = measured(planned.build, planned.tokenizer, fit.limit, split)
        fit = counted(planned.build, stored(rows, schema_of(planned.build.kind), path), fit.limit)
    if planned.stage == "sft":
        found = Dataset.from_file(str(path)).select_columns(list(LABELLED))
        return found if fit.trained.all() else found.select(fit.trained.nonzero()[0])
    columns = ["prompt", "chosen", "rejected"]
    table = pa.concat_tables(pq.read_table(file, columns=columns) for file in data_files(planned.build, split))
    safe = pa.array([{"sanitize_control_tokens": True}] * int(fit.trained.sum()))
    return Dataset(table.filter(pa.array(fit.trained)).append_column("chat_template_kwargs", safe))


def _with_room(planned: Plan, loading: Mapping[str, Any], adapters: Any) -> tuple[Any, Any]:  # noqa: ANN401  of peft
    """Return the model with room for tokens that the chat template brought, and adapters that train them too."""
    from transformers import AutoModelForCausalLM

    if planned.stage == "dpo":
        message = f"{planned.model.name} does not know the tokens of this chat template; train it with sft first"
        raise CallError(message)
    model = AutoModelForCausalLM.from_pretrained(planned.model.name, **loading)
    model.resize_token_embeddings(len(planned.tokenizer), pad_to_multiple_of=64)
    if adapters is not None:
        new = list(range(planned.model.embeddings or 0, len(planned.tokenizer)))
        adapters.trainable_token_indices = {"embed_tokens": new}
        adapters.modules_to_save = [*(adapters.modules_to_save or ()), "lm_head"]
    return model, adapters
