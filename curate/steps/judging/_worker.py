"""A judge as its workers call it: its answers are numbers, and its errors can travel between processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import sleep
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.steps._answers import numbers_of
from curate.steps._named import named
from curate.steps.judging._attempts import Later

T = TypeVar("T")

INTERRUPTS, PAUSE = 200, 0.01
"""How often an answer is read again after an interrupt, and the seconds between."""


class JudgeOfWorker:
    """The judge `what` of one worker; a class is made once for it."""

    def __init__(self, what: str) -> None:
        judge = named(what, "judge")
        self._judge = judge() if isinstance(judge, type) else judge
        self._call = f"judge({what!r})"

    def __call__(self, rows: pa.RecordBatch) -> NDArray[np.float64]:
        """Return a number for each row, NaN for none; raises `LaterError`, `MixtureError` and what the judge does."""
        with Later():
            answer = self._judge(rows)
        return _despite_interrupts(lambda: numbers_of(answer, rows.num_rows, self._call))


def _despite_interrupts(work: Callable[[], T]) -> T:
    """Return what `work` comes to in a thread of its own, though Ctrl-C was pressed: an answer is paid for.

    After it, Polars raises `KeyboardInterrupt` in any thread that calls it, not in the main one alone.
    """
    for _ in range(INTERRUPTS):
        with suppress(KeyboardInterrupt):
            return work()
        sleep(PAUSE)
    return work()
