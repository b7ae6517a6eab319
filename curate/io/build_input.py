"""The rows of a finished build as an input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from curate.errors import MixtureError, SourceNotFoundError
from curate.io.inputs import Input, files


@runtime_checkable
class Finished(Protocol):
    """What has a build folder, as `Build` does."""

    path: Path


Stored: TypeAlias = Input | Finished | str | os.PathLike[str]
"""Rows on disk or in memory: an input, a build, or the folder of a build."""


def rows_of(given: Stored, argument: str) -> Input:
    """Return stored rows as an input; `argument` names them in messages, such as `dedup(against=`.

    Raises `MixtureError` for any other type, `SourceNotFoundError` for a folder without a build.
    """
    if isinstance(given, Input):
        return given
    if not isinstance(given, Finished | str | os.PathLike):
        message = (
            f"{argument}...) takes inputs such as files('rows.jsonl'), builds and their folders, not "
            f"{type(given).__name__}"
        )
        raise MixtureError(message)
    folder = given.path if isinstance(given, Finished) else Path(given)
    if not (folder / "manifest.json").is_file():
        message = (
            f"{argument}{str(folder)!r}): no build is there (no manifest.json); give its folder, or an input such as "
            "files('rows.jsonl')"
        )
        raise SourceNotFoundError(message)
    return files(folder / "data" / "*.parquet")
