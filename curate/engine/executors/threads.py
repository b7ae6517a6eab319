"""Stages on a pool of threads, with no more work in memory than the threads can take."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final, TypeVar

from curate.steps.costly import StopOnError

T = TypeVar("T")
R = TypeVar("R")

AWAKE: Final = 0.2
"""Seconds between two looks for Ctrl-C: Polars' own handler lets a wait without an end sleep through it."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(work: Callable[[T], R], tasks: Iterable[T], threads: int) -> Iterator[R]:
    """Yield `work(task)` for each task, in order; at most `threads` run at once and one more waits.

    The first error stops the rest: no task starts after it, and it is raised when those running have ended.

    >>> list(run_all(len, ["a", "bc"], threads=2))
    [1, 2]
    """
    if threads == 1:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(threads, "curate") as pool, StopOnError():
        waiting: deque[Future[R]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(copy_context().run, work, task))
                if len(waiting) > threads:
                    yield awaited(waiting.popleft())
            while waiting:
                yield awaited(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()


def awaited(future: Future[R]) -> R:
    """Return what a future comes to, and let Ctrl-C end the wait."""
    while not future.done():
        wait([future], timeout=AWAKE)
    return future.result()


@dataclass(frozen=True, slots=True)
class Threads:
    """Runs stages on threads of this process."""

    threads: int

    def run_all(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """See `Executor.run_all`."""
        return run_all(work, tasks, self.threads)
