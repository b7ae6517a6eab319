"""The drivers of stores: which one a URL needs, what their errors mean, and when to try again."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Event
from typing import Any, Final, NamedTuple, TypeVar

from curate.errors import CurateError, MixtureError, SourceNotFoundError, did_you_mean
from curate.io.stores.urls import below, scheme_of, shown, without_secrets

T = TypeVar("T")
R = TypeVar("R")

WAITS: Final = (0.5, 2.0)
"""Seconds before each further try; drivers try again by themselves, so few are left to this."""

EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra that brings the driver of a scheme."""

_CREDENTIALS: Final = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (and AWS_ENDPOINT_URL for MinIO and others)",
    "gcs": "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
}

NO_BUCKET: Final = "bucket does not exist"
"""What the errors of stores have in common whose bucket is not there."""

AWAKE: Final = 0.2
"""Seconds between two looks for Ctrl-C: Polars' own handler lets a wait without an end sleep through it."""

SAID: Final = 400
"""Characters of what a driver says that a message has: some list every folder in which they looked for a library."""

_FINAL: Final = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
_OF_THE_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

_RAISED: Final = (
    ("botocore.exceptions", ("BotoCoreError", "ClientError")),
    ("aiohttp", ("ClientError",)),
    ("gcsfs.retry", ("HttpError",)),
    ("google.auth.exceptions", ("GoogleAuthError",)),
    ("azure.core.exceptions", ("AzureError",)),
)
"""What drivers raise that is no `OSError`, by the module that has it; one that is not loaded raises nothing."""

_CUT: Final = (
    ("botocore.exceptions", ("HTTPClientError", "IncompleteReadError")),
    ("aiohttp", ("ClientConnectionError", "ClientPayloadError")),
)
"""Of these, what may pass."""


_STOP: ContextVar[Event | None] = ContextVar("_STOP", default=None)
"""What ends the transfers of `at_once`."""


class Place(NamedTuple):
    """A URL, the driver that reaches it, and the path that the driver knows it by."""

    url: str
    driver: Any
    path: str

    def below(self, name: str) -> Place:
        """Return a file or folder below this folder."""
        return Place(below(self.url.partition("?")[0], name), self.driver, below(self.path, name))

    def shared(self) -> Any:  # noqa: ANN401
        """Return the driver if threads may share it, with its connections; otherwise None."""
        return self.driver if self.driver.async_impl else None

    def above(self) -> Place:
        """Return the folder that it is in; itself for a bucket."""
        folder, _, name = self.path.rstrip("/").rpartition("/")
        return Place(self.url.rstrip("/").removesuffix(name).rstrip("/"), self.driver, folder) if folder else self


def place_of(url: str, driver: Any = None) -> Place:  # noqa: ANN401
    """Return the driver of a URL, or the one given; nothing is asked of the store, but by those that connect at once.

    Raises `MixtureError` for a driver that is not installed, and for a scheme that there is not.
    """
    if driver is not None:
        return Place(url, driver, driver._strip_protocol(url))  # noqa: SLF001  what `url_to_fs` calls
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ImportError as error:
        raise MixtureError(f"{shown(url)}: {_missing(scheme_of(url), 'fsspec')}") from error
    try:
        with explained(url):
            driver, path = url_to_fs(url)
    except ImportError as error:
        raise MixtureError(f"{shown(url)}: {_missing(scheme_of(url), str(error))}") from error
    driver.invalidate_cache()
    return Place(url, driver, path)


def _missing(scheme: str, said: str) -> str:
    extra = EXTRAS.get(scheme)
    if extra is not None:
        return f"the driver of {scheme}:// is not installed: pip install 'curate[{extra}]'"
    if said == "fsspec":
        return f"{scheme}:// needs fsspec and a driver for it: pip install fsspec"
    return f"the driver of {scheme}:// is not installed: {' '.join(said.split()).rstrip('.')}"


def failures() -> tuple[type[BaseException], ...]:
    """Return the classes of what drivers raise."""
    return (OSError, ValueError, RuntimeError, *_loaded(_RAISED))


def _loaded(names: tuple[tuple[str, tuple[str, ...]], ...]) -> Iterator[type[BaseException]]:
    for module, classes in names:
        if module in sys.modules:
            yield from (getattr(sys.modules[module], name) for name in classes)


@contextmanager
def explained(url: str, raised: type[CurateError] = SourceNotFoundError, after: str = "") -> Iterator[None]:
    """Turn what a driver raises within it into an error that says what, where, and what to do.

    `after` ends the message where the store failed. What names a secret of the URL is not passed on.
    """
    try:
        yield
    except CurateError:
        raise
    except failures() as error:
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        hidden = without_secrets(text, url)[:SAID]
        cause = error if text.startswith(hidden) else None
        raise raised(_reason(error, hidden, url, after)) from cause


def _reason(error: BaseException, said: str, url: str, after: str) -> str:
    """Say why a store did not do what was asked of it, and what to do."""
    where, scheme = shown(url), scheme_of(url)
    after = f". {after}" if after else ""
    kind = EXTRAS.get(scheme, "")
    credentials = _CREDENTIALS.get(kind, "give them as its driver wants them")
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return f"{where}: no file can be written on this machine ({said}). Free space, or set CURATE_BUCKETS{after}"
    if isinstance(error, ValueError) and "rotocol not known" in said:
        from fsspec import available_protocols  # type: ignore[import-untyped]

        return f"{where}: there is no scheme {scheme!r}; {did_you_mean(scheme, available_protocols())}"
    if isinstance(error, FileNotFoundError):
        if NO_BUCKET in said:
            return f"{where}: there is no such bucket ({said}). Correct its name, or {credentials}"
        return f"{where} is not there. It may have been moved or deleted meanwhile{after}"
    if isinstance(error, PermissionError) or "credential" in f"{type(error).__name__} {said}".lower():
        return f"{where}: no access ({said}). If it is closed, {credentials}{after}"
    if is_cut(error) or isinstance(error, OSError) or "connect" in said.lower():
        return f"{where}: the store fails or cannot be reached ({said}), also when tried again{after or '. Try later'}"
    return f"{where}: {said}{after}"


def is_cut(error: BaseException) -> bool:
    """Return whether an error is of a kind that may pass."""
    if isinstance(error, OSError):
        return not isinstance(error, _FINAL) and error.errno not in _OF_THE_DISK
    return isinstance(error, tuple(_loaded(_CUT)))


def at_once(call: Callable[[T], R], items: Iterable[T], most: int) -> list[R]:
    """Call something for each item, so many at once; the first error, or Ctrl-C, ends all, and what `transfer` does."""
    stop = Event()
    before = _STOP.set(stop)
    with ThreadPoolExecutor(most) as pool:
        futures = [pool.submit(copy_context().run, call, item) for item in items]
        try:
            left = set(futures)
            while left:
                done, left = wait(left, AWAKE, FIRST_EXCEPTION)
                for future in done:
                    future.result()
            return [future.result() for future in futures]
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            _STOP.reset(before)


def transfer(method: Callable[..., object], start: str, end: str) -> None:
    """Fetch or send a file by a method of a driver; it ends in the middle where `at_once` does."""
    from fsspec.callbacks import Callback  # type: ignore[import-untyped]

    stop = _STOP.get()

    class Progress(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:  # noqa: ARG002
            if stop is not None and stop.is_set():
                raise CurateError("interrupted")

    tried(lambda: method(start, end, callback=Progress()))


def tried(call: Callable[[], T]) -> T:
    """Call something of a driver, and call it again after a wait where it failed in a way that may pass."""
    for seconds in WAITS:
        try:
            return call()
        except failures() as error:
            if isinstance(error, CurateError) or not is_cut(error):
                raise
        time.sleep(seconds)
    return call()
