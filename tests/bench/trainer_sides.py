"""What trainers make of an export by their own code, as a process in an environment of theirs.

`python side.py axolotl|llama-factory KIND FOLDER TOKENIZER RESULT` writes for each row the text that would be trained.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

STAGES = {"conversation": "sft", "preference": "rm", "unpaired": "kto"}


def axolotl(kind: str, folder: Path, tokenizer: Any) -> list[Any]:  # noqa: ANN401
    """Load with `load_dataset_with_config`, and tokenize or transform as its configuration says."""
    import yaml  # type: ignore[import-untyped]
    from axolotl.prompt_strategies import chat_template
    from axolotl.prompt_strategies.dpo import load as load_dpo
    from axolotl.prompt_strategies.kto import load as load_kto
    from axolotl.utils.data.shared import load_dataset_with_config
    from axolotl.utils.dict import DictDefault

    os.chdir(folder)
    cfg = DictDefault(yaml.safe_load((folder / "axolotl.yaml").read_text()) | {"sequence_len": 8192})
    (one,) = cfg.datasets
    rows = load_dataset_with_config(one, None, streaming=False)
    if kind == "conversation":
        strategy = chat_template.load(tokenizer, cfg, dict(one))
        made = [strategy.tokenize_prompt(dict(row)) for row in rows]
        return [tokenizer.decode(row["input_ids"]) for row in made]
    transform = (load_dpo if kind == "preference" else load_kto)(one["type"], cfg, dataset_idx=0)
    function, _ = transform if isinstance(transform, tuple) else (transform, {})
    more = {"tokenizer": tokenizer} if kind == "preference" else {}
    names = ("prompt", "chosen", "rejected") if kind == "preference" else ("prompt", "completion", "label")
    return [[function(dict(row), **more)[name] for name in names] for row in rows]


def llama_factory(kind: str, folder: Path, tokenizer: Any) -> list[Any]:  # noqa: ANN401
    """Load by `dataset_info.json`, align, and tokenize with the template of Qwen3."""
    from llamafactory.data.loader import _get_dataset_processor, _get_merged_dataset
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    data = DataArguments(dataset="curate_train", dataset_dir=str(folder), template="qwen3", cutoff_len=8192)
    model = ModelArguments(model_name_or_path="none", cache_dir=str(folder / "cache"))
    training = Seq2SeqTrainingArguments(output_dir=str(folder / "out"), use_cpu=True, report_to=[])
    stage: Any = STAGES[kind]
    rows = _get_merged_dataset(["curate_train"], model, data, training, stage)
    processor = _get_dataset_processor(data, stage, get_template_and_fix_tokenizer(tokenizer, data), tokenizer, None)
    made = processor.preprocess_dataset(rows[:])
    names = {
        "sft": ("input_ids",), "rm": ("chosen_input_ids", "rejected_input_ids"), "kto": ("input_ids", "kto_tags"),
    }[stage]  # fmt: skip
    columns = [[tokenizer.decode(ids) if isinstance(ids, list) else ids for ids in made[name]] for name in names]
    return [list(row) for row in zip(*columns, strict=True)]


def without_media() -> None:
    """Hide the packages for sound and images, which fail beside PyTorch without CUDA; before transformers looks."""
    audio = types.ModuleType("torchaudio")
    audio.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules |= {"torchaudio": audio, "torchvision": None}  # type: ignore[dict-item]


def main() -> None:
    """Run one trainer's side."""
    trainer, kind, folder, words, result = sys.argv[1:]
    if trainer == "llama-factory":
        without_media()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(words)
    start = time.perf_counter()
    side = axolotl if trainer == "axolotl" else llama_factory
    made = side(kind, Path(folder), tokenizer)
    figures = {"work": time.perf_counter() - start, "cpu": time.process_time(), "rows": made}
    Path(result).write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
