"""What a training leaves in the model's folder: its lineage before the first step, a log, and a card after the last."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curate.errors import CallError
from curate.io.atomic import write_text
from curate.preflight.hardware import LINEAGE
from curate.report.training import LOG, line, model_card, page, trouble
from curate.train.training_plan import TrainingPlan

PACKAGES = ("curate", "accelerate", "datasets", "tokenizers", "torch", "transformers", "trl")


def lineage(planned: TrainingPlan) -> dict[str, Any]:
    """Return the lineage of a model: build, recipe, settings, rows, versions; no clock, host or path."""
    manifest = planned.build.manifest
    shards = [shard["sha256"] for split in manifest["splits"].values() for shard in split["shards"]]
    return {
        "format": 1,
        "stage": planned.stage,
        "model": {
            "name": planned.model.title,
            "parameters": planned.model.parameters,
            "lineage": planned.model.lineage,
        },
        "build": {"name": planned.build.name, "fingerprint": manifest["fingerprint"], "data": shards},
        "recipe": asdict(planned.recipe),
        "settings": {"batch": planned.settings.batch, **planned.settings.trainer, **planned.settings.model},
        "processes": planned.machine.processes,
        "chat_template": sha256(planned.tokenizer.chat_template.encode()).hexdigest(),
        "rows": planned.preflight.table.to_dicts(),
        "parts": planned.preflight.parts.to_dicts(),
        "changed": planned.preflight.changed.to_dicts(),
        "packs": planned.preflight.packs,
        "notes": planned.preflight.notes(),
        "licences": {source["name"]: source["licence"] for source in manifest["sources"]},
        "versions": {name: version(name) for name in PACKAGES},
    }


def start(planned: TrainingPlan, folder: Path, *, resumed: bool) -> None:
    """Write the lineage; raises `CallError` if a resumed run began with another one."""
    current = json.loads(json.dumps(lineage(planned), default=str))
    path = folder / LINEAGE
    if resumed and path.is_file():
        before = json.loads(path.read_text("utf-8"))
        differing = sorted(name for name in current if current[name] != before.get(name))
        if differing:
            raise CallError(f"{folder} was begun with another {', '.join(differing)} ({LINEAGE}); name another folder")
    if planned.machine.first:
        write_text(path, json.dumps(current, indent=2, ensure_ascii=False) + "\n")


def finish(folder: Path) -> None:
    """Write the chart and the card of a trained model."""
    write_text(folder / "training.html", page(folder))
    write_text(folder / "README.md", model_card(folder))


def log_callback(folder: Path) -> Any:  # noqa: ANN401  of transformers
    """Return a callback that logs to `training.jsonl`, and stops training if the loss is NaN."""
    from transformers import TrainerCallback

    class LogCallback(TrainerCallback):  # type: ignore[misc]  # untyped where transformers is absent
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            """Remove what an interrupted run logged after its checkpoint."""
            del args, control
            if state.is_world_process_zero and (folder / LOG).is_file():
                lines = (folder / LOG).read_text("utf-8").splitlines(keepends=True)
                early = [one for one in lines if json.loads(one)["step"] <= state.global_step]
                (folder / LOG).write_text("".join(early), "utf-8")

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
            del args
            if not state.is_world_process_zero or "train_runtime" in logs:
                return
            entry = {"step": state.global_step, **logs}
            with (folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(entry) + "\n")
            sys.stderr.write(line(entry, state.max_steps) + "\n")
            problem = trouble(entry)
            if problem:
                sys.stderr.write(f"warning: {problem}\n")
                control.should_training_stop = True

    return LogCallback()
