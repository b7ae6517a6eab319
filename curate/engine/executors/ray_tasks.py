"""Stages as tasks of Ray, on one machine or many: the only file that knows Ray.

A task reads files and writes files, so every machine sees the inputs, the work folder and the user's modules under the
same paths. What all tasks of a stage share is put into the object store once; a task that was lost with its worker runs
again. Nothing here changes what a build comes to.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from curate.errors import CallError, WorkerError
from curate.io.atomic import use_own_drafts

if TYPE_CHECKING:
    from ray import ObjectRef

T = TypeVar("T")
R = TypeVar("R")

RETRIES: Final = 4
"""How often a task runs again after its worker died; an error that it raises itself is raised at once."""

QUEUED: Final = 2
"""Tasks for each processor that are under way: one runs, and the next has its data there."""

ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"), "1")
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


class Surroundings(NamedTuple):
    """What a worker takes over from the process that builds: its folder, and the folders of its modules."""

    folder: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RayTasks:
    """Runs stages as tasks of the Ray that this process is connected to."""

    threads: int

    def run_all(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """See `Executor.run_all`; two tasks for each processor are under way, and answers may wait for their turn."""
        import ray

        run: Any = ray.remote(max_retries=RETRIES, num_cpus=1, runtime_env={"env_vars": ONE_THREAD})(_run)
        shared, around = [_put(work)], Surroundings(str(Path.cwd()), tuple(_folders()))
        answers: deque[ObjectRef[R]] = deque()
        running: list[ObjectRef[R]] = []
        try:
            for task in tasks:
                answers.append(run.remote(shared, around, task))
                running.append(answers[-1])
                while len(running) >= QUEUED * _processors():
                    _, running = ray.wait(running)
                while answers and answers[0] not in running:
                    yield _answer(answers.popleft())
            while answers:
                yield _answer(answers.popleft())
        finally:
            _stop(list(dict.fromkeys([*running, *answers])))


def _run(shared: list[ObjectRef[Callable[[T], R]]], around: Surroundings, task: T) -> R:
    """Run one task in a worker; `shared` holds a reference, so that modules can be found before it is resolved."""
    _take_over(around)
    return _shared(shared[0])(task)


_AT_HAND: Final[dict[str, Callable[[Any], Any]]] = {}
"""What the last task shared with others of its stage, by reference."""


def _shared(reference: ObjectRef[Callable[[T], R]]) -> Callable[[T], R]:
    import ray

    name = reference.hex()
    if name not in _AT_HAND:
        _AT_HAND.clear()
        _AT_HAND[name] = ray.get(reference)
    return _AT_HAND[name]


def _take_over(around: Surroundings) -> None:
    """Let a worker find relative paths and modules as the process that builds does."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    use_own_drafts()
    if Path(around.folder).is_dir():
        os.chdir(around.folder)
    sys.path.extend(folder for folder in around.path if folder not in sys.path)


def _put(work: Callable[[T], R]) -> ObjectRef[Callable[[T], R]]:
    """Put what all tasks share into the object store; modules that no import finds travel as they are."""
    import ray
    from ray import cloudpickle

    unnamed = [module for name, module in _own_modules() if not _has_its_name(name, module)]
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
        what = str(error).strip().partition("\n")[0]
        raise WorkerError(
            f"Ray lost a part of the build, and {RETRIES} further tries of it ({what}). Workers often end for want of "
            "memory: give each more, or run fewer at once. What was made is kept: build again to go on from there"
        ) from error


def _stop(under_way: list[ObjectRef[R]]) -> None:
    """Drop tasks that have not begun, and let the others end, so that nothing writes when the build has ended."""
    import ray

    left = ray.wait(under_way, num_returns=len(under_way), timeout=0)[1] if ray.is_initialized() else []
    for reference in left:
        ray.cancel(reference, recursive=False)
    if left:
        ray.wait(left, num_returns=len(left), timeout=PATIENCE)


def _own_modules() -> Iterator[tuple[str, ModuleType]]:
    """Give the modules of this process that are neither Python's, nor installed, nor of this package, by name."""
    package = Path(__file__).parents[2]
    homes = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {package}
    for name, module in list(sys.modules.items()):
        known = module.__dict__ if isinstance(module, ModuleType) else {}  # asking a lazy module would load it
        if name == "__main__" or known.get("__name__") != name or not isinstance(known.get("__file__"), str):
            continue
        place = Path(known["__file__"])
        if place.is_absolute() and not homes & set(place.parents) and "site-packages" not in place.parts:
            yield name, module


def _has_its_name(name: str, module: ModuleType) -> bool:
    """Whether the file of a module is called as the module is, so that another process can import it."""
    file = Path(str(module.__file__))
    return name.rsplit(".", maxsplit=1)[-1] == (file.parent.name if file.stem == "__init__" else file.stem)


def _folders() -> Iterator[str]:
    """Give the folders in which modules are found here, those of the user's own modules among them."""
    yield from dict.fromkeys(str(Path(folder).absolute()) for folder in sys.path)
    for name, module in _own_modules():
        file = Path(str(module.__file__))
        above = name.count(".") + (file.stem == "__init__")
        if _has_its_name(name, module) and above < len(file.parents):
            yield str(file.parents[above])


@contextmanager
def ray_tasks(threads: int, address: str | None = None) -> Iterator[RayTasks]:
    """Give an executor of the Ray at `address`; without one, of a Ray on this machine with so many workers.

    A Ray that this process is connected to is used as it is, and stays. Raises `CallError` if Ray is not installed, or
    is not there.
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
        what = str(error).strip().partition("\n")[0]
        where = "on this machine cannot start" if address is None else f"at {address} does not answer"
        raise CallError(f"the Ray {where}: {what}") from error
    try:
        yield RayTasks(threads)
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
