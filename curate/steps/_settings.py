"""Checks of settings that several steps take."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from curate.errors import MixtureError, check_number, did_you_mean


def check_limit(setting: str, limit: float | None, *, least: float = -inf, most: float = inf) -> float | None:
    """Return a limit as a float, or None for no limit; raises `MixtureError` for anything else.

    >>> check_limit("step(at_least=0)", 0), check_limit("step(at_most=None)", None)
    (0.0, None)
    """
    if limit is None:
        return None
    return check_number(setting, limit, least=least, most=most, hint=", or None for no limit")


def check_limits(call: str, at_least: float | None, at_most: float | None) -> tuple[float | None, float | None]:
    """Return the two limits of a step; raises `MixtureError` for limits that are no numbers, or that keep no row."""
    low = check_limit(f"{call}(at_least={at_least!r})", at_least)
    high = check_limit(f"{call}(at_most={at_most!r})", at_most)
    check_order(call, at_least=low, at_most=high)
    return low, high


def check_choice(setting: str, choice: object, known: Sequence[str]) -> None:
    """Raise `MixtureError` for a word that is none of those known."""
    if choice not in known:
        raise MixtureError(f"{setting}: {did_you_mean(str(choice), known)}")


def check_order(call: str, **limits: float | None) -> None:
    """Raise `MixtureError` where a lower limit is above its upper one.

    >>> check_order("step", at_least=2, at_most=1)
    Traceback (most recent call last):
    ...
    curate.errors.MixtureError: step(at_least=2, at_most=1) keeps no row: the lower limit is above the upper one
    """
    low, high = limits.values()
    if low is not None and high is not None and low > high:
        shown = ", ".join(f"{name}={limit}" for name, limit in limits.items())
        raise MixtureError(f"{call}({shown}) keeps no row: the lower limit is above the upper one")
