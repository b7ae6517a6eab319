"""What is seen while a model trains: a line a step in a terminal and in a file, and a word where something is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from curate.report.training import LOG, line, trouble


def watching(folder: Path) -> Any:  # noqa: ANN401  of transformers
    """Return a callback that writes what is measured to `training.jsonl`, and stops where the loss is no number."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]  # untyped where transformers is absent
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            """Take out what an interrupted run logged behind its checkpoint."""
            del args, control
            if state.is_world_process_zero and (folder / LOG).is_file():
                lines = (folder / LOG).read_text("utf-8").splitlines(keepends=True)
                early = [one for one in lines if json.loads(one)["step"] <= state.global_step]
                (folder / LOG).write_text("".join(early), "utf-8")

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
            del args
            if not state.is_world_process_zero or "train_runtime" in logs:
                return
            told = {"step": state.global_step, **logs}
            with (folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(told) + "\n")
            sys.stderr.write(line(told, state.max_steps) + "\n")
            wrong = trouble(told)
            if wrong:
                sys.stderr.write(f"warning: {wrong}\n")
                control.should_training_stop = True

    return Watch()
