"""The training log: one line per step in the terminal and in a file, with warnings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from curate.report.training import LOG, line, trouble


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
