"""A process that compiles: it runs steps, one by one, on a few rows, while the process that started it builds."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final

from curate.engine.build import build
from curate.engine.executors.threads import Threads
from curate.engine.warm_up.samples import ANSWER, QUESTION, SampleKind, sample
from curate.evalsets.evals import evals
from curate.mix.spec import MixtureSpec, Source
from curate.steps.base import Pairing, Step
from curate.steps.decontaminate.decontaminate import Decontaminate
from curate.steps.refusals.refusals import Refusals, RefusalShare

PAIRS: Final = "curate.steps.pairs."
"""The package of the steps that look at pairs."""


def compile_for(steps: Sequence[Step]) -> None:
    """Run each step on a few rows, in a build of its own; one that fails there is left to the real build."""
    with TemporaryDirectory() as folder:
        items = Path(folder) / "items.jsonl"
        items.write_text(json.dumps({"question": QUESTION, "answer": ANSWER}), encoding="utf-8")
        for number, step in enumerate(steps):
            given = replace(step, allow_large_drop=True)
            if isinstance(given, (Refusals, RefusalShare)):
                given = replace(given, model=None)  # which the build compiles first
            if isinstance(given, Decontaminate):
                given = replace(given, evals=evals.files(str(items), question="question", answer="answer"))
            with suppress(Exception):
                mixture = MixtureSpec("warm-up", [Source("rows", sample(kind_for(step)))], [given])
                target = Path(folder) / str(number)
                build(
                    mixture, target, executor=Threads(1), resume=False, overwrite=False, quiet=True,
                    finish=lambda _: None,
                )  # fmt: skip


def kind_for(step: Step) -> SampleKind:
    """Return a kind of rows on which a step comes to all that it compiles.

    >>> from curate.steps.filters.shape import shape
    >>> from curate.steps.pairs.binarize import binarize
    >>> from curate.steps.pairs.lint_pairs import lint_pairs
    >>> [kind_for(step) for step in (shape(), lint_pairs(), binarize())]
    ['conversation', 'preference', 'rated']
    """
    if isinstance(step, Pairing):
        return "rated"
    return "preference" if type(step).__module__.startswith(PAIRS) else "conversation"


def main() -> None:
    """Compile for the steps on standard input, and end at once where that is closed."""
    steps = pickle.load(sys.stdin.buffer)  # noqa: S301  from the process that started this one

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    Thread(target=watch, daemon=True).start()
    compile_for(steps)
