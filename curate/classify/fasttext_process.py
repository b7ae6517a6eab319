"""fastText at work: in a process of its own, so that the same lines always give the same model.

With one thread, fastText sets only the first tenth of its word vectors and takes the rest as the memory was: two runs
differ, and some end in "Encountered NaN". The process is started with memory that the C library clears (glibc's
`MALLOC_PERTURB_`; without glibc, the pages of a new process are zero to begin with). This process keeps its memory
and its lock meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import CallError

SCRIPT: Final = """
import json, sys
import fasttext

order = json.loads(sys.argv[1])
model = fasttext.train_supervised(**order["train"])
if order["quantize"]:
    model.quantize(**order["quantize"])
model.save_model(order["out"])
"""
CLEARED: Final = {"MALLOC_PERTURB_": "255", "OMP_NUM_THREADS": "1"}
"""glibc fills new memory with the complement of this byte: with zeros."""

MEND: Final = "pip uninstall fasttext fasttext-predict; pip install --force-reinstall fasttext-numpy2"
TOGETHER: Final = 50_000
"""Lines that are written at once."""


def check_trainer() -> None:
    """Raise `CallError` where no fastText that can train is installed."""
    try:
        import fasttext  # type: ignore[import-untyped]
    except ImportError as error:
        raise CallError(
            "train_classifier() needs fastText: pip install fasttext-numpy2 (it has wheels for Python 3.11 to 3.13; "
            "a model trained there is read on any)"
        ) from error
    if not hasattr(fasttext, "train_supervised"):
        raise CallError(f"the installed fastText can only predict, another package took its place; to train: {MEND}")


def write_lines(path: Path, texts: pl.Series, label: NDArray[np.int64], names: tuple[str, str]) -> None:
    """Write a line for each text, its label before it, as fastText reads them."""
    heads = pl.Series([f"__label__{name} " for name in names]).gather(label)
    with path.open("wb") as file:
        for start in range(0, len(texts), TOGETHER):
            lines = heads[start : start + TOGETHER] + texts[start : start + TOGETHER] + "\n"
            file.write(lines.str.join("").item().encode())


def train(lines: Path, out: Path, settings: Mapping[str, object], *, quantize: bool) -> None:
    """Train a model on a file of lines and write it to `out`; raises `CallError` with what fastText says against it."""
    order = {
        "train": {"input": str(lines), "thread": 1, "seed": 0, "verbose": 0, **settings},
        "quantize": {"retrain": False, "thread": 1, "verbose": 0} if quantize else None,
        "out": str(out),
    }
    done = subprocess.run(  # noqa: S603  our own script, run by this very Python
        [sys.executable, "-P", "-c", SCRIPT, json.dumps(order)],
        env=os.environ | CLEARED,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode or not out.is_file():
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise CallError(
            f"fastText could not train: {said[-1]}; settings: {dict(settings)}. A lower lr helps against NaN, a lower "
            "min_count against an empty vocabulary"
        )
