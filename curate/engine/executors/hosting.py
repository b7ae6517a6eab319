"""Costly steps where rows are scored by many processes: one hosts the run, and workers of their own do what costs.

The host, on the machine of the process that builds, keeps the answers and spends the budgets. Nothing here knows what
carries the calls: a `Call` has a method of an object called in its process, and returns what that returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle
from typing import Any, Final, Generic, TypeAlias, TypeVar

from curate.engine.executors.surroundings import SayingErrors, Surroundings
from curate.errors import WorkerError
from curate.steps.costly import RUN, Costly, CostlyRun, LaterError, OfEachThread, StopOnError

T = TypeVar("T")
R = TypeVar("R")

Call: TypeAlias = Callable[..., Any]
"""Takes the name of a method and its arguments."""

Hire: TypeAlias = Callable[[Callable[[], Callable[[T], R]], int, float], Iterable[Call]]
"""Gives the calls of `Worker` processes: see `CostlyRun.worker`."""

QUESTIONS: Final = 16
"""Questions that a host answers at once, each about the rows of a partition."""

AT_ONCE: Final = ("stop", "close")
"""Methods of a host that wait for no question."""


class Host:
    """Answers the questions of costly steps, for all processes of a build."""

    def __init__(self, around: Surroundings, hire: Hire[Any, Any]) -> None:
        around.take_over()
        self._run = _RunOfHost(hire)

    def answer(self, step: Costly, question: object) -> Any:  # noqa: ANN401  see `Costly.answer`
        """See `CostlyRun.ask`."""
        with SayingErrors():
            return step.answer(question, self._run)

    def count(self, step: str, what: str, rows: int) -> None:
        """See `CostlyRun.count`."""
        self._run.count(step, what, rows)

    def take_counts(self) -> dict[tuple[str, str], int]:
        """See `CostlyRun.take_counts`."""
        return self._run.take_counts()

    def stop(self) -> None:
        """Have every question answered soon, by an error."""
        self._run.stop()

    def close(self) -> None:
        """End the workers, as soon as they are done with what they are at, and close what the steps shared."""
        self._run.close()


class Worker(Generic[T, R]):
    """Does what costs, in one or more threads, each with a function of its own: a model that takes long to load."""

    def __init__(self, around: Surroundings, make: Callable[[], Callable[[T], R]]) -> None:
        around.take_over()
        self._work = OfEachThread(make)

    def begin(self) -> None:
        """Load what the work needs; raises what that raises."""
        with SayingErrors():
            self._work.get()

    def work(self, argument: T) -> R:
        """Do some of it."""
        with SayingErrors():
            return self._work.get()(argument)


class _RunOfHost(CostlyRun):
    """The run of a host, whose workers are processes."""

    def __init__(self, hire: Hire[Any, Any]) -> None:
        super().__init__()
        self._hire = hire

    def worker(self, make: Callable[[], Callable[[T], R]], workers: int, gpus: float) -> Callable[[], Callable[[T], R]]:
        """See `CostlyRun.worker`; threads of the host take turns at the processes."""
        turns = cycle(self._hire(make, workers, gpus))

        def begin() -> Callable[[T], R]:
            call = next(turns)
            call("begin")
            return partial(_worked, call)

        return begin


def _worked(call: Call, argument: T) -> Any:  # noqa: ANN401
    """Have a worker do some of its work; where it dies, another attempt may succeed."""
    try:
        return call("work", argument)
    except WorkerError as error:
        raise LaterError(f"its worker died: {error.__cause__}".partition("\n")[0]) from error


class RunElsewhere(CostlyRun):
    """The run of a process that scores rows: that of the host."""

    def __init__(self, host: Call) -> None:
        super().__init__()
        self._host = host

    def ask(self, step: Costly, question: object) -> Any:  # noqa: ANN401
        """See `CostlyRun.ask`."""
        return self._host("answer", step, question)

    def count(self, step: str, what: str, rows: int) -> None:
        """See `CostlyRun.count`."""
        self._host("count", step, what, rows)

    def stop(self, error: Exception | None = None) -> None:
        """Stop the run of the host, if there is one by now."""
        del error  # the process that builds raises its own
        with suppress(WorkerError):
            self._host("stop")


@contextmanager
def counting(host: Call | None) -> Iterator[None]:
    """Count in the run of this process what the host counted; stop its run where an error leaves the block."""
    with StopOnError(None if host is None else RunElsewhere(host)):
        yield
    run = RUN.get()
    if host is not None and run is not None:
        for (step, what), rows in host("take_counts").items():
            run.count(step, what, rows)
