"""What the engine asks of whatever runs its stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs one function over many tasks.

    The function reads files, is pure, and writes files, each whole or not at all; what it returns is small. So tasks
    may run in any order, anywhere, and twice.
    """

    @property
    def threads(self) -> int:
        """How many threads the process that builds may use, for work that stays in it."""

    def run_all(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Yield `work(task)` for each task, in order, with few tasks in memory; the first error stops the rest."""
