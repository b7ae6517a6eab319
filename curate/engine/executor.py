"""How stage functions are run: on a pool of threads, with no more work in memory than the threads can take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from curate.steps.costly import StopOnError

T = TypeVar("T")
R = TypeVar("R")


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
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
