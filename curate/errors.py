"""Every error that `curate` raises on purpose.

CurateError
├── CallError (also ValueError)      the call was wrong: exit code 2
│   ├── MixtureError                 a mixture, source or step declared wrongly
│   └── SourceNotFoundError          a file, folder or pattern that matches nothing
└── BuildError                       the data or the build failed: exit code 1
    ├── FormatError                  a layout that cannot be told, or a file that cannot be read at all
    ├── QuarantineError              more unreadable rows in a source than its limit allows
    ├── ShortageError                a source that cannot deliver what its `take` asks for
    ├── LargeDropError               a step that removes a suspicious share of a source
    ├── ConservationError            fates that do not add up to the rows read (a defect of `curate`)
    ├── BuildFolderError             a build folder that is missing, taken, incomplete or cannot be written
    └── FitError                     a build that would be trained wrongly, without a word, as it is

A message says what is wrong, where, what exists, and what to do.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BuildError",
    "BuildFolderError",
    "CallError",
    "ConservationError",
    "CurateError",
    "FitError",
    "FormatError",
    "LargeDropError",
    "MixtureError",
    "QuarantineError",
    "ShortageError",
    "SourceNotFoundError",
    "did_you_mean",
]


class CurateError(Exception):
    """Base of every error raised on purpose."""


class CallError(CurateError, ValueError):
    """The call was wrong; nothing was read or written."""


class MixtureError(CallError):
    """A mixture, source or step was declared wrongly."""


class SourceNotFoundError(CallError):
    """A file, folder or pattern matches nothing."""


class BuildError(CurateError):
    """The data or the build failed."""


class FormatError(BuildError):
    """A layout cannot be told, or a file cannot be read at all."""


class QuarantineError(BuildError):
    """More rows of a source are unreadable than its limit allows."""


class ShortageError(BuildError):
    """A source cannot deliver what its `take` asks for."""


class LargeDropError(BuildError):
    """A step removes a suspicious share of a source."""


class ConservationError(BuildError):
    """The fates of a source's rows do not add up to the rows read."""


class BuildFolderError(BuildError):
    """A build folder is missing, taken, incomplete or cannot be written."""


class FitError(BuildError):
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
