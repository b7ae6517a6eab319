"""Checks of limits that several steps take."""

from __future__ import annotations

from math import inf

from curate.errors import MixtureError, check_number


def check_limit(setting: str, limit: float | None, *, least: float = -inf, most: float = inf) -> float | None:
    """Return a limit as a float, or None for no limit; raises `MixtureError` for anything else.

    >>> check_limit("step(at_least=0)", 0), check_limit("step(at_most=None)", None)
    (0.0, None)
    """
    if limit is None:
        return None
    return check_number(setting, limit, least=least, most=most, hint=", or None for no limit")


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
        message = f"{call}({shown}) keeps no row: the lower limit is above the upper one"
        raise MixtureError(message)
