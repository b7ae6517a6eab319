"""Which errors of a judge mean "later", and how long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Any, Final, TypeVar

from curate.errors import is_number
from curate.steps.costly import LaterError

T = TypeVar("T")

BUSY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""States of HTTP that another attempt may not meet."""

OUT_OF_REACH: Final = frozenset(
    {
        "TimeoutError",
        "ConnectionError",
        "URLError",  # urllib
        "IncompleteRead",  # http.client
        "Timeout",  # requests
        "TransportError",  # httpx
        "APIConnectionError",  # openai, anthropic
        "ClientConnectionError",  # aiohttp
    }
)
"""Classes of errors, by name, that say that no answer came; so no client has to be installed."""

LONGEST: Final = 300.0
"""Seconds that one wait takes at most, whatever the server asks for."""


class Later:
    """Raises `LaterError` in place of an error that means "later", and closes its connection.

    >>> with Later():
    ...     raise TimeoutError("60 s")
    Traceback (most recent call last):
    ...
    curate.steps.costly.LaterError: ('TimeoutError: 60 s', None, None)
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look at what is raised."""
        if not isinstance(error, Exception) or not is_later(error):
            return
        later = LaterError(f"{type(error).__name__}: {error}", state_of(error), _asked_for(error))
        if later.status is not None:
            _close(error)
        raise later from error


class _Noted:
    """Adds a note to errors that are raised at once."""

    def __init__(self, note: str) -> None:
        self._note = note

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Add it."""
        if error is not None and not isinstance(error, LaterError):
            error.add_note(self._note)


def is_later(error: BaseException) -> bool:
    """Whether another attempt may succeed: by the state of HTTP that the error has, or else by its class.

    >>> is_later(TimeoutError("60 s")), is_later(ValueError("no number"))
    (True, False)
    """
    state = state_of(error)
    if state is not None:
        return state in BUSY
    return not OUT_OF_REACH.isdisjoint(each.__name__ for each in type(error).__mro__)


def state_of(error: BaseException) -> int | None:
    """Return the state of HTTP that an error has, as the usual clients name it; None where it has none."""
    holders = error, getattr(error, "response", None)
    named = [getattr(holder, name, None) for holder in holders for name in ("status_code", "code", "status")]
    return next((value for value in named if isinstance(value, int) and not isinstance(value, bool)), None)


def seconds_to_wait(asked: float | None, attempt: int, first: float) -> float:
    """Return the seconds before the next attempt: what the server asks for, or `first`, doubled each time.

    >>> [seconds_to_wait(None, attempt, 1.0) for attempt in (1, 2, 3)]
    [1.0, 2.0, 4.0]
    """
    return min(LONGEST, max(0.0, asked) if asked is not None else first * 2.0 ** (attempt - 1))


def _asked_for(error: BaseException) -> float | None:
    """Return the seconds that `retry_after` of the error says, or the header Retry-After of its response."""
    own = getattr(error, "retry_after", None)
    if is_number(own):
        return float(own)
    for holder in (error, getattr(error, "response", None)):
        headers: Any = getattr(holder, "headers", None)
        value = headers.get("Retry-After") if hasattr(headers, "get") else None
        if isinstance(value, str) and value.strip().replace(".", "", 1).isdigit():
            return float(value)
    return None


def _close(error: BaseException) -> None:
    """Close the response that an error of `urllib` is, and its connection; what it says stays."""
    close = getattr(error, "close", None)
    if callable(close):
        close()


def insist(
    call: Callable[[], T],
    *,
    attempts: int,
    first_wait: float,
    note: str,
    before: Callable[[], None],
    refused: Callable[[], None],
    wait: Callable[[float], None],
    give_up: Callable[[LaterError], Exception],
) -> T:
    """Return what a call answers, after as many attempts as it takes.

    Args:
        call: The call; raises `LaterError` where another attempt may succeed.
        attempts: How often it is made at most.
        first_wait: Seconds before the second attempt; doubled for each one after it.
        note: Added to errors that are raised at once.
        before: Called before each attempt.
        refused: Called where the server answered that it did nothing: with a state of HTTP.
        wait: Waits for so many seconds.
        give_up: Makes the error to raise when the last attempt failed, from that attempt's.
    """
    for attempt in count(1):
        before()
        try:
            with _Noted(note):
                return call()
        except LaterError as error:
            if error.status is not None:
                refused()
            if attempt >= attempts:
                raise give_up(error) from error
            seconds = seconds_to_wait(error.seconds, attempt, first_wait)
        wait(seconds)
    raise AssertionError
