"""What a trained model's folder tells, and settings that make a tiny model learn fast."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

FAST: Final[dict[str, Any]] = {"max_length": 512, "learning_rate": 5e-3, "per_device_train_batch_size": 8}


def logged(folder: Path, name: str) -> list[float]:
    """Return what was measured at each step."""
    lines = [json.loads(line) for line in (folder / "training.jsonl").read_text("utf-8").splitlines()]
    return [line[name] for line in lines if name in line]
