"""`load_once`: keep what a function returns, and let only one thread compute it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from threading import RLock
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def load_once(keep: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the last `keep` results of a function; a second thread that asks waits for the first and shares its result.

    `lru_cache` alone would let every thread of a build load the same model. All arguments must be hashable.

    >>> @load_once(1)
    ... def loaded(name: str) -> list[str]:
    ...     return [name]
    >>> loaded("a") is loaded("a")
    True
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        cached, lock = lru_cache(keep)(function), RLock()

        @wraps(function)
        def once(*args: P.args, **kwargs: P.kwargs) -> R:
            with lock:
                return cached(*args, **kwargs)  # type: ignore[arg-type]

        return once

    return decorate
