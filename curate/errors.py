"""Every error that `curate` raises on purpose.

CurateError
├── CallError (also ValueError)      the call was wrong: exit code 2
│   ├── MixtureError                 a mixture, source or step declared wrongly
│   └── SourceNotFoundError          a file, folder or pattern that matches nothing
└── BuildError                       the data or the build failed: exit code 1
    ├── FormatError                  the format cannot be detected, or a file is unreadable
    ├── QuarantineError              more unreadable rows in a source than its limit allows
    ├── ShortageError                a source that cannot deliver what its `take` asks for
    ├── LargeDropError               a step that removes a suspicious share of a source
    ├── JudgeError                   a judge that stays out of reach, or has spent its budget; the next build goes on
    ├── EmptyBuildError              a mixture that keeps no row; its folder says why
    ├── ConservationError            fates that do not add up to the rows read (a defect of `curate`)
    ├── BuildFolderError             a build folder that is missing, taken, incomplete or cannot be written
    ├── ExportError                  rows that a trainer cannot take as they are, or a folder that is taken
    ├── WorkerError                  workers of Ray died, or are gone; what they made is kept
    ├── PushError                    the Hub or a store does not take a build, or cannot be reached
    └── PreflightError               training on the build would be silently wrong

A message says what is wrong, where, what exists, and what to do.
"""

from __future__ import annotations

import difflib
from math import inf, isfinite
from numbers import Real
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable


class CurateError(Exception):
    """Base of every error raised on purpose.

    Example:
        >>> import curate as c
        >>> try:
        ...     c.Rows(0)
        ... except c.CurateError as error:
        ...     print(error)
        Rows(0): a whole number from 1 up; for a share use Fraction(f)
    """


class CallError(CurateError, ValueError):
    """The call was wrong; nothing was read or written.

    Example:
        >>> import curate as c
        >>> c.evals("gsm8")
        Traceback (most recent call last):
        ...
        curate.errors.MixtureError: evals('gsm8'): no such eval or suite; did you mean 'gsm8k'?; ...
    """


class MixtureError(CallError):
    """A mixture, source or step was declared wrongly."""


class SourceNotFoundError(CallError):
    """A file, folder or pattern matches nothing."""


class BuildError(CurateError):
    """The data or the build failed.

    Example:
        >>> import curate as c
        >>> c.Build("build/none")
        Traceback (most recent call last):
        ...
        curate.errors.BuildFolderError: no build at build/none: it has no manifest.json
    """


class FormatError(BuildError):
    """The format cannot be detected, or a file is unreadable."""


class QuarantineError(BuildError):
    """More rows of a source are unreadable than its limit allows."""


class ShortageError(BuildError):
    """A source cannot deliver what its `take` asks for."""


class LargeDropError(BuildError):
    """A step removes a suspicious share of a source."""


class JudgeError(BuildError):
    """A judge stays out of reach, or has spent its budget; what it judged is kept, and the next build goes on."""


class EmptyBuildError(BuildError):
    """A mixture keeps no row; the build folder is there and says why."""


class ConservationError(BuildError):
    """The fates of a source's rows do not add up to the rows read."""


class BuildFolderError(BuildError):
    """A build folder is missing, taken, incomplete or cannot be written."""


class WorkerError(BuildError):
    """Workers of Ray died again and again, or cannot be reached; what they made is kept for the next build."""


class ExportError(BuildError):
    """A trainer cannot take rows of a build as they are, or the folder of an export is taken."""


class PushError(BuildError):
    """The Hub or a store does not take a build, or cannot be reached; what was uploaded is kept for the next try."""


class PreflightError(BuildError):
    """Training on a build, as it is, would be silently wrong."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint naming the known word nearest to `word`, or all known words.

    >>> did_you_mean("alpacca", ["alpaca", "sharegpt"])
    "did you mean 'alpaca'?"
    >>> did_you_mean("xyz", ["alpaca", "sharegpt"])
    'known: alpaca, sharegpt'
    """
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"


def is_number(value: object) -> TypeGuard[float]:
    """Whether a setting is a finite number, NumPy's included.

    >>> is_number(7), is_number(True), is_number(float("nan"))
    (True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def check_number(
    setting: str,
    value: object,
    *,
    least: float = -inf,
    above: float = -inf,
    most: float = inf,
    hint: str = "",
    error: type[CurateError] = MixtureError,
) -> float:
    """Return a numeric setting as a float; raises `error` unless it is a finite number within its limits.

    >>> check_number("step(at_least=2)", 2, least=0, most=1, hint=", or None for no limit")
    Traceback (most recent call last):
    ...
    curate.errors.MixtureError: step(at_least=2): a number from 0 to 1, or None for no limit
    """
    if is_number(value) and least <= value <= most and value > above:
        return float(value)
    raise error(f"{setting}: {_expected('number', least, above, most)}{hint}")


def check_whole(
    setting: str,
    value: object,
    *,
    least: int = 0,
    most: float = inf,
    hint: str = "",
    error: type[CurateError] = MixtureError,
) -> int:
    """Return a setting that is a whole number within its limits; raises `error` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise error(f"{setting}: {_expected('whole number', least, -inf, most)}{hint}")


def _expected(kind: str, least: float, above: float, most: float) -> str:
    """Say which numbers are allowed, such as "a number above 0, at most 1"."""
    if above > -inf:
        return f"a {kind} above {above:,}" + (f", at most {most:,}" if most < inf else "")
    if least > -inf:
        return f"a {kind} from {least:,} " + (f"to {most:,}" if most < inf else "up")
    return f"a finite {kind}"
