"""Which errors of a judge mean "later", and how long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from curate.errors import is_number

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


class Attempt:
    """One call of a judge. An error that means "later" ends in `later`; any other is raised, with a note of whose."""

    def __init__(self, note: str) -> None:
        self.later: BaseException | None = None
        self._note = note

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Take the errors that mean "later"."""
        if error is None:
            return False
        if isinstance(error, Exception) and is_later(error):
            self.later = error
            return True
        error.add_note(self._note)
        return False


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


def seconds_to_wait(error: BaseException, attempt: int, first: float) -> float:
    """Return the seconds before the next attempt: what the server asks for, or `first`, doubled each time.

    >>> [seconds_to_wait(TimeoutError(), attempt, 1.0) for attempt in (1, 2, 3)]
    [1.0, 2.0, 4.0]
    """
    asked = _asked_for(error)
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
    give_up: Callable[[BaseException], BaseException],
) -> T:
    """Return what a call answers, after as many attempts as it takes.

    Args:
        call: The call.
        attempts: How often it is made at most.
        first_wait: Seconds before the second attempt; doubled for each one after it.
        note: Added to errors that are raised at once.
        before: Called before each attempt.
        refused: Called where the server answered that it did nothing: with a state of HTTP.
        wait: Waits for so many seconds.
        give_up: Makes the error to raise when the last attempt failed, from that attempt's.
    """
    attempt = 0
    while True:
        attempt += 1
        before()
        with Attempt(note) as tried:
            return call()
        error = tried.later
        assert error is not None  # noqa: S101  for the type checker: any other error was raised
        if state_of(error) is not None:
            refused()
            _close(error)
        if attempt >= attempts:
            raise give_up(error) from error
        wait(seconds_to_wait(error, attempt, first_wait))
