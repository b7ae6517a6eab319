"""Starts processes that compile beside a build, where a step was never run by this installation."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np

from curate.kernels.buffers import frozen
from curate.kernels.compile import sources
from curate.kernels.kept import find, keep
from curate.steps.base import Group, Step
from curate.steps.filters.truecase import Truecase

OURS: Final = "curate.steps."
"""The package of the steps that are run on rows of ours."""

THEIRS: Final = ("curate.steps.custom.", "curate.steps.filters.score", "curate.steps.judging.")
"""Modules of steps that call code of the user: it may cost money, or do something."""

MOST: Final = 4
"""Processes beside a build: a mixture has few steps that take long to compile."""

DONE: Final = {"done": frozen(np.ones(1, np.uint8))}
"""What is kept to say so."""

_UNDER_WAY: Final[set[str]] = set()
"""The steps for which a block around this one compiles."""

CODE: Final = "from curate.engine.warm_up.process import main; main()"


@contextmanager
def compiling_beside(steps: Sequence[Step], cores: int) -> Iterator[None]:
    """Compile on other cores what steps need while the block runs; a kernel is compiled by one process only.

    That is done where a step was never built with, by this installation, and where what is compiled can be kept; in a
    block within another, only for steps that this one does not name. Nothing depends on it: a process that fails, or is
    ended with the block, leaves the rest to the build.
    """
    new: dict[str, Step] = {}
    for step in steps:
        if _is_new(step):
            new.setdefault(type(step).__name__, step)
    left = [step for name, step in new.items() if name not in _UNDER_WAY]
    useful = bool(left) and keep("ran", b"", sources(), DONE)  # else each build would compile all of it again
    started = [_started(order) for order in _orders(left, min(cores - 1, MOST) if useful else 0)]
    before = set(_UNDER_WAY)
    _UNDER_WAY.update(new)
    try:
        yield
        for step in new.values():
            keep(*_mark(step), DONE)
    finally:
        _UNDER_WAY.intersection_update(before)
        for process in started:
            _end(process)


def _is_new(step: Step) -> bool:
    module = f"{type(step).__module__}."
    known = module.startswith(OURS) and not module.startswith(THEIRS)
    reads_others = isinstance(step, Group) and bool(step.against())
    return known and not reads_others and find(*_mark(step)) is None


def _mark(step: Step) -> tuple[str, bytes, str]:
    """Return what says that a step ran: it is kept beside compiled kernels, and goes with them."""
    return f"ran-{type(step).__name__}", b"", sources()


def _orders(steps: list[Step], processes: int) -> Iterator[list[Step]]:
    """Give each process the steps in another order.

    The build begins with the first step, so they begin with the last; but one comes before all, as it takes longest.
    """
    turned = steps[::-1]
    turned.sort(key=lambda step: not isinstance(step, Truecase))
    for number in range(min(processes, len(steps))):
        yield turned[number::processes] + [step for place, step in enumerate(turned) if place % processes != number]


def _started(steps: list[Step]) -> subprocess.Popen[bytes] | None:
    """Start a process, and give it its steps; None where that is not possible."""
    try:
        given = pickle.dumps(steps)
        package = str(Path(__file__).parents[3])
        paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-P", "-c", CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": paths},
        )
    except (OSError, TypeError, AttributeError, ValueError, pickle.PickleError):
        return None
    with suppress(OSError):
        assert process.stdin is not None  # noqa: S101  a pipe was asked for
        process.stdin.write(given)
        process.stdin.flush()
    return process


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        with suppress(OSError):
            process.communicate()
