"""Stages as tasks of Ray, on one machine or many: the only file that knows Ray.

A task reads files and writes files, so every machine sees the inputs, the work folder and the user's modules under the
same paths. What all tasks of a stage share is put into the object store once; a task that was lost with its worker runs
again. The host of costly steps and their workers (`hosting.py`) are actors. Nothing here changes what a build comes to.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from logging import ERROR
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from curate.engine.executors.hosting import AT_ONCE, QUESTIONS, Call, Host, RunElsewhere, Worker, counting
from curate.engine.executors.surroundings import SayingErrors, Surroundings, unnamed_modules
from curate.errors import CallError, WorkerError
from curate.steps.costly import part_of

if TYPE_CHECKING:
    from ray import ObjectRef

T = TypeVar("T")
R = TypeVar("R")

RETRIES: Final = 4
"""How often a task runs again after its worker died; an error that it raises itself is raised at once."""

QUEUED: Final = 2
"""Tasks for each processor that are under way: one runs, and the next has its data there."""

ONE_THREAD: Final = {"env_vars": dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"), "1")}
"""The environment of a worker: a task has one processor."""

SETTINGS: Final = {
    "RAY_task_oom_retries": str(RETRIES),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed|the task will be retried",
}
"""Ray gives up where memory is too small, sends no statistics, hides no GPU, and says nothing of a further try."""

_OWN_CALLS: Final[dict[str, str]] = {}
"""What lets a Ray of this process take only its own calls."""

PATIENCE, ANSWERS_WITHIN = 60.0, 10.0
"""Seconds that tasks under way have to end after an error, and that the machine at an address has to answer."""


@dataclass(frozen=True, slots=True)
class RayTasks:
    """Runs stages as tasks of the Ray that this process is connected to; `host` answers for steps that cost."""

    threads: int
    host: Call | None = None

    def run_all(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """See `Executor.run_all`; two tasks for each processor are under way, and answers may wait for their turn."""
        import ray

        run: Any = ray.remote(max_retries=RETRIES, num_cpus=1, runtime_env=ONE_THREAD)(_run)
        shared, around = [_put(work)], Surroundings.here()
        answers: deque[ObjectRef[R]] = deque()
        running: list[ObjectRef[R]] = []
        try:
            with counting(self.host):
                for task in tasks:
                    answers.append(run.remote(shared, around, self.host, task))
                    running.append(answers[-1])
                    while len(running) >= QUEUED * _processors():
                        _, running = ray.wait(running)
                    while answers and answers[0] not in running:
                        yield _answer(answers.popleft())
                while answers:
                    yield _answer(answers.popleft())
        finally:
            _stop(list(dict.fromkeys([*running, *answers])))


def _run(shared: list[ObjectRef[Callable[[T], R]]], around: Surroundings, host: Call | None, task: T) -> R:
    """Run one task in a worker; `shared` holds a reference, so that modules can be found before it is resolved."""
    around.take_over()
    with SayingErrors(), nullcontext() if host is None else part_of(RunElsewhere(host)):
        return _shared(shared[0])(task)


@lru_cache(maxsize=1)
def _shared(reference: ObjectRef[Callable[[T], R]]) -> Callable[[T], R]:
    """Return what the tasks of a stage share; a worker has that of the last stage at hand."""
    import ray

    return ray.get(reference)


def _put(work: Callable[[T], R]) -> ObjectRef[Callable[[T], R]]:
    """Put what all tasks share into the object store; modules that no import finds travel as they are."""
    import ray
    from ray import cloudpickle

    unnamed = unnamed_modules()
    for module in unnamed:
        cloudpickle.register_pickle_by_value(module)
    try:
        return ray.put(work)
    finally:
        for module in unnamed:
            cloudpickle.unregister_pickle_by_value(module)


def _processors() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _answer(reference: ObjectRef[R]) -> R:
    """Return the answer of a task, or raise its error as if it had run here."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise WorkerError(
            f"Ray lost a part of the build, and {RETRIES} further tries of it ({_first_line(error)}). Workers often end"
            " for want of memory: give each more, or run fewer at once. What was made is kept: build again to go on "
            "from there"
        ) from error


def _called(actor: Any, name: str, *arguments: object) -> Any:  # noqa: ANN401
    """Have a method of an actor called; see `hosting.Call`."""
    group = {"concurrency_group": "control"} if name in AT_ONCE else {}
    return _answer(getattr(actor, name).options(**group).remote(*arguments))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _stop(under_way: list[ObjectRef[R]]) -> None:
    """Drop tasks that have not begun, and let the others end, so that nothing writes when the build has ended."""
    import ray

    left = ray.wait(under_way, num_returns=len(under_way), timeout=0)[1] if ray.is_initialized() else []
    for reference in left:
        ray.cancel(reference, recursive=False)
    if left:
        ray.wait(left, num_returns=len(left), timeout=PATIENCE)


def _actor(kind: type[Any], **how: object) -> Any:  # noqa: ANN401  see `_called`
    import ray

    return cast("Any", ray.remote)(num_cpus=0, runtime_env=ONE_THREAD, **how)(kind)


@contextmanager
def _hosting() -> Iterator[Call]:
    """Give a host for costly steps, on this machine; answers that are under way at the end are still kept."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    around = Surroundings.here()
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = _actor(
        Host, max_restarts=RETRIES, max_task_retries=RETRIES, max_concurrency=QUESTIONS,
        concurrency_groups={"control": 1}, scheduling_strategy=here,
    ).remote(around, partial(_hire, around))  # fmt: skip
    try:
        yield partial(_called, actor)
    finally:
        with suppress(WorkerError):
            _called(actor, "close")
        ray.kill(actor)


def _hire(around: Surroundings, make: Callable[[], Callable[[T], R]], workers: int, gpus: float) -> list[Call]:
    """Start processes for workers, on all machines: one for each with GPUs, else no more than there are processors."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = sum(int(node.get("GPU", 0) // gpus) for node in nodes) if gpus else _processors()
    if not most:
        raise CallError(f"a worker is to have {gpus:g} GPUs, and no machine of this Ray has so many")
    count = min(workers, most)
    threads = 1 if gpus else -(-workers // count)
    kind = _actor(Worker, num_gpus=gpus, max_restarts=-1, max_concurrency=threads, scheduling_strategy="SPREAD")
    return [partial(_called, kind.remote(around, make)) for _ in range(count)]


@contextmanager
def ray_tasks(threads: int, address: str | None = None, *, costly: bool = False) -> Iterator[RayTasks]:
    """Give an executor of the Ray at `address`; without one, of a Ray on this machine with so many workers.

    With `costly` it has a host for steps that cost. A Ray that this process is connected to is used as it is, and
    stays. Raises `CallError` if Ray is not installed, or is not there.
    """
    _prepare(alone=address is None)
    try:
        import ray
    except ImportError as error:
        raise CallError("engine='ray' needs the extra: pip install 'curate[ray]'") from error
    started = not ray.is_initialized()
    try:
        if address is not None:
            _knock(address)
        if started and address is None:
            ray.init("local", num_cpus=threads, include_dashboard=False, log_to_driver=False, logging_level=ERROR)
        elif started:
            ray.init(address, log_to_driver=False, logging_level=ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        where = "on this machine cannot start" if address is None else f"at {address} does not answer"
        raise CallError(f"the Ray {where}: {_first_line(error)}") from error
    try:
        with _hosting() if costly else nullcontext() as host:
            yield RayTasks(threads, host)
    finally:
        if started:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise `OSError` if no one is at `HOST:PORT`: Ray itself would ask for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_WITHIN).close()


def _prepare(*, alone: bool) -> None:
    """Let Ray be quiet; one that is started here takes only the calls of this process, as its ports are open to all.

    Ray reads this once a process, so a process that has used it before stays as it is, whatever its environment lost.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if alone and "RAY_AUTH_MODE" not in os.environ:
        if "ray" not in sys.modules:
            _OWN_CALLS.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        os.environ.update(_OWN_CALLS)
