"""Work comes back in order, never spills up, and stops at the first error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from curate.engine.executors.threads import run_all


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_answers_come_in_the_order_of_the_tasks(threads: int) -> None:
    def slow_first(task: int) -> int:
        time.sleep(0.002 * (task % 3))
        return task * task

    assert list(run_all(slow_first, range(30), threads)) == [task * task for task in range(30)]
    assert list(run_all(slow_first, [], threads)) == []


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_is_read_than_the_threads_can_take(threads: int) -> None:
    read, done = [], []

    def tasks() -> Iterator[int]:
        for task in range(50):
            read.append(task)
            yield task

    for answer in run_all(lambda task: task, tasks(), threads):
        done.append(answer)
        assert len(read) - len(done) <= threads + 1
    assert done == read


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_first_error_stops_the_rest(threads: int) -> None:
    began = []

    def work(task: int) -> int:
        began.append(task)
        if task == 3:
            message = f"task {task}"
            raise ValueError(message)
        return task

    answers: list[int] = []
    with pytest.raises(ValueError, match="task 3"):
        answers.extend(run_all(work, range(1_000), threads))
    assert len(began) <= 4 + 2 * threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("curate")]


def test_it_works_on_several_threads_at_once() -> None:
    together = threading.Barrier(3, timeout=10)
    assert list(run_all(lambda _: together.wait() >= 0, range(9), 3)) == [True] * 9
