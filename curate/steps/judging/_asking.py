"""Rows brought to a judge: each content once, in batches of like length, by workers that run side by side."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Final, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import JudgeError
from curate.rows.take import take
from curate.steps.costly import CostlyRun, LaterError, OfEachThread
from curate.steps.judging._attempts import insist
from curate.steps.judging._kept_scores import KeptScores

T = TypeVar("T")
Judge = Callable[[pa.RecordBatch], NDArray[np.float64]]
"""What a worker calls: see `JudgeOfWorker`."""

POLL: Final = 0.1
"""Seconds between two looks at whether the run was stopped, or another build is done with a row."""


class JudgeSettings(NamedTuple):
    """How rows are brought to a judge; `call` is how messages call the step."""

    call: str
    workers: int
    batch: int
    attempts: int
    wait: float
    budget: int | None


class RowsToJudge(NamedTuple):
    """Rows of different content, shortest first: their keys and bodies, and what messages name them by, if known."""

    keys: Sequence[bytes]
    body: pa.RecordBatch
    ids: pa.StringArray | None = None
    source: str = ""

    def name(self, place: int) -> str:
        """Return how messages call a row."""
        own = None if self.ids is None else self.ids[place].as_py()
        return f"row {own or self.keys[place].hex()}" + (f" of source {self.source!r}" if self.source else "")


class Workers:
    """Threads that judge, each with a judge of its own, made when it has its first rows."""

    def __init__(self, threads: int, make: Callable[[], Judge]) -> None:
        self._pool = ThreadPoolExecutor(threads, "curate-judge")
        self._judges = OfEachThread(make)

    def submit(self, work: Callable[[Judge], T]) -> Future[T]:
        """Have `work` done with the judge of a thread."""
        return self._pool.submit(self._work, work)

    def _work(self, work: Callable[[Judge], T]) -> T:
        return work(self._judges.get())

    def close(self) -> None:
        """End the threads, as soon as the calls that are under way have been answered."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def working(threads: int, make: Callable[[], Judge]) -> Iterator[Workers]:
    """Yield workers, and end them."""
    workers = Workers(threads, make)
    try:
        yield workers
    finally:
        workers.close()


class Asking:
    """One round of questions: the rows of a batch that have no score yet."""

    def __init__(
        self, rows: RowsToJudge, settings: JudgeSettings, kept: KeptScores, workers: Workers, run: CostlyRun
    ) -> None:
        self.rows, self.settings, self.kept, self.workers, self.run = rows, settings, kept, workers, run
        self.scores: dict[bytes, float] = {}
        self._place = {key: place for place, key in enumerate(rows.keys)}
        self._ended = Event()

    def judge_all(self) -> dict[bytes, float]:
        """Return the score of each row; raises `JudgeError`, and what the judge raises, when all calls have ended."""
        waiting = deque(self._cut(self.rows.keys))
        running: set[Future[dict[bytes, float]]] = set()
        elsewhere: list[bytes] = []
        with self.kept.owner() as owner:
            try:
                while waiting or running or elsewhere:
                    self.run.check()
                    while waiting and len(running) < 2 * self.settings.workers:
                        elsewhere += self._start(waiting.popleft(), owner, running)
                    done, running = wait(running, timeout=POLL, return_when=FIRST_COMPLETED) if running else ((), set())
                    for future in done:
                        self.scores |= future.result()
                    if not waiting and not running and elsewhere:
                        self.run.wait(POLL)
                        waiting.extend(self._cut(sorted(elsewhere, key=self._place.__getitem__)))
                        elsewhere = []
            finally:
                self._ended.set()
                for future in running:
                    future.cancel()
                wait(running)
        return self.scores

    def _cut(self, keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        return (keys[start : start + self.settings.batch] for start in range(0, len(keys), self.settings.batch))

    def _start(self, keys: Sequence[bytes], owner: str, running: set[Future[dict[bytes, float]]]) -> list[bytes]:
        """Have rows judged that no one judges yet; return those that someone else does."""
        claimed = self.kept.claim(keys, owner)
        self.scores |= claimed.known
        if claimed.mine:
            running.add(self.workers.submit(partial(self._judge, claimed.mine)))
        return claimed.others

    def _judge(self, keys: Sequence[bytes], judge: Judge) -> dict[bytes, float]:
        """Judge rows and keep their scores."""
        places = [self._place[key] for key in keys]
        body = take(self.rows.body, np.array(places, np.int32))
        call, budget, rows = self.settings.call, self.settings.budget, len(keys)
        named = self.rows.name(places[0]) + (f" and {rows - 1:,} more" if rows > 1 else "")

        def give_up(error: LaterError) -> JudgeError:
            return JudgeError(
                f"{call}: no answer for {named} after {self.settings.attempts} attempts: {error.said}. {self._go_on()}"
            )

        def spend() -> None:
            if budget is not None and not self.kept.spend(rows, budget):
                left = len(self.rows.keys) - len(self.kept.known(self.rows.keys))
                raise JudgeError(
                    f"{call}: its budget of {budget:,} rows is spent, over all builds that keep scores in "
                    f"{self.kept.path}; {left:,} rows of this part of the data have no score, {named} first. "
                    f"Raise budget=. {self._go_on()}"
                )

        numbers = insist(
            partial(judge, body),
            attempts=self.settings.attempts,
            first_wait=self.settings.wait,
            note=f"raised by {call} for {named}. {self._go_on()}",
            before=spend,
            refused=lambda: self.kept.give_back(rows) if budget is not None else None,
            wait=self._wait,
            give_up=give_up,
        )
        scores = dict(zip(keys, numbers.tolist(), strict=True))
        self.kept.keep(scores)
        self.run.count(call, "judged now", rows)
        return scores

    def _go_on(self) -> str:
        return f"What was judged is kept in {self.kept.path.parent}; the same build goes on from there"

    def _wait(self, seconds: float) -> None:
        """Wait before another attempt, unless the round has ended."""
        for _ in range(math.ceil(seconds / POLL)):
            if self._ended.wait(min(seconds, POLL)):
                raise JudgeError(f"{self.settings.call}: stopped")
            self.run.check()


def distinct(keys: NDArray[np.void], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each key, the shortest first, and for each row the place of its key among these."""
    words = keys.view(np.uint64).reshape(-1, 2)
    _, first, which = np.unique(words, axis=0, return_index=True, return_inverse=True)
    order = np.lexsort((first, sizes[first]))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[which.reshape(-1)]
