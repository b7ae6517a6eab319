"""What a step that takes long or costs money asks of the run that it is part of: whether to stop, and whether to pay.

A build is a run that pays, a look before it one that does not. What such a step loads it keeps until its run ends.
Where rows are scored by several processes, one of them holds the run, and the others ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from threading import Event, Lock, local
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Costly:
    """A step that shares what it asks and spends among all rows of a build, so that one process answers for it."""

    def answer(self, question: Any, run: CostlyRun) -> Any:  # noqa: ANN401  each step has its own
        """Answer a question of this step, in the process that holds the run; both may travel."""
        raise NotImplementedError


class LaterError(Exception):
    """An error that means "later": what it says, its state of HTTP, and the seconds that the server asks for.

    It travels between processes, which the errors of many clients cannot.
    """

    def __init__(self, said: str, status: int | None = None, seconds: float | None = None) -> None:
        super().__init__(said, status, seconds)
        self.said, self.status, self.seconds = said, status, seconds


class OfEachThread(Generic[T]):
    """Something that each thread makes for itself, when it first needs it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._own = local()

    def get(self) -> T:
        """Return that of this thread."""
        if not hasattr(self._own, "made"):
            self._own.made = self._make()
        made: T = self._own.made
        return made


class CostlyRun:
    """One run: what its steps share, and what they have counted; safe in threads."""

    def __init__(self, *, pays: bool = True) -> None:
        self.pays = pays
        self._stopped = Event()
        self._error: Exception | None = None
        self._lock = Lock()
        self._shared: dict[Any, Any] = {}
        self._open = ExitStack()
        self._counts: dict[tuple[str, str], int] = {}

    def ask(self, step: Costly, question: object) -> Any:  # noqa: ANN401  see `Costly.answer`
        """Have a step answer a question in the process that holds the run: this one."""
        return step.answer(question, self)

    def worker(self, make: Callable[[], Callable[[T], R]], workers: int, gpus: float) -> Callable[[], Callable[[T], R]]:
        """Return what makes one of so many workers: `make`, on a machine that has so many GPUs for each of them."""
        del workers, gpus  # all workers are threads of this process, which sees the GPUs that there are
        return make

    def stop(self, error: Exception | None = None) -> None:
        """Have every costly step of the run stop soon; the first error is what each of them raises."""
        with self._lock:
            self._error = self._error or error
        self._stopped.set()

    def check(self) -> None:
        """Raise the error that stopped the run, or `CancelledError` where something else did."""
        if self._stopped.is_set():
            raise self._error or CancelledError("the run was stopped")

    def wait(self, seconds: float) -> None:
        """Wait; raises as soon as the run is stopped."""
        self._stopped.wait(seconds)
        self.check()

    def shared(self, key: object, make: Callable[[], AbstractContextManager[T]]) -> T:
        """Return what is made once for a key, and closed when the run ends."""
        with self._lock:
            if key not in self._shared:
                self._shared[key] = self._open.enter_context(make())
            found: T = self._shared[key]
            return found

    def count(self, step: str, what: str, rows: int) -> None:
        """Add to the rows of which a step says something."""
        if rows:
            with self._lock:
                self._counts[step, what] = self._counts.get((step, what), 0) + rows

    def take_counts(self) -> dict[tuple[str, str], int]:
        """Return the rows counted since the last call, by step and what it says of them."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return counts

    def notes(self) -> tuple[str, ...]:
        """Say what was counted, one line for each step."""
        steps = dict.fromkeys(step for step, _ in sorted(self._counts))
        return tuple(
            f"{step}: "
            + ", ".join(f"{rows:,} rows {what}" for (of, what), rows in sorted(self._counts.items()) if of == step)
            for step in steps
        )

    def close(self) -> None:
        """Close what the steps shared."""
        self._open.close()


RUN: Final[ContextVar[CostlyRun | None]] = ContextVar("curate_costly_run", default=None)


@contextmanager
def part_of(run: CostlyRun) -> Iterator[CostlyRun]:
    """Let the steps that are called inside, in this thread and in those that copy its context, be part of a run."""
    token = RUN.set(run)
    try:
        yield run
    finally:
        RUN.reset(token)
        run.close()


@contextmanager
def costly_run(*, pays: bool = True) -> Iterator[CostlyRun]:
    """Begin a run for the steps that are called inside; see `part_of`."""
    with part_of(CostlyRun(pays=pays)) as run:
        yield run


@contextmanager
def joined_run() -> Iterator[CostlyRun]:
    """Yield the run that a step is called in; one of its own where it is called by itself."""
    here = RUN.get()
    if here is not None:
        yield here
        return
    with costly_run() as own:
        yield own


class StopOnError:
    """Stops a run, else that of the caller, where the block is left by an error, Ctrl-C included."""

    def __init__(self, run: CostlyRun | None = None) -> None:
        self._run = run

    def __enter__(self) -> None:
        """Find the run."""
        self._run = self._run or RUN.get()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it on an error."""
        if error is not None and self._run is not None:
            self._run.stop(error if isinstance(error, Exception) else None)
