"""Edit texts by a Python function of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curate.kernels.buffers import strings
from curate.rows.edits import Change, Edits
from curate.rows.segments import On, Part, Segments, check_on
from curate.steps.base import Edit
from curate.steps.custom._answers import texts_of
from curate.steps.custom._function import LOCK, identity


@dataclass(frozen=True, kw_only=True)
class ChangeBy(Edit):
    """See `change`. `source` identifies the function: its code, and what of the user's own it uses."""

    name: ClassVar[str] = "change"
    function: Callable[[pl.Series], Any] = field(compare=False, repr=False, metadata={"fingerprint": False})
    source: tuple[str, ...]

    def edit(self, segments: Segments) -> Edits:
        """Return the texts that the function gives back changed."""
        return Edits(tuple(self._changed(part) for part in segments.parts))

    def _changed(self, part: Part) -> Change:
        before = pl.Series(
            "text", strings(part.text.data, part.text.offsets).take(pa.array(part.index)), dtype=pl.String
        )
        with LOCK:
            answer = self.function(before)
        after = texts_of(answer, len(before), f"change({self.function.__qualname__})")
        place = np.flatnonzero((before != after).to_numpy()).astype(np.int32)
        return Change(place, after.gather(place).to_arrow().cast(pa.string()))


def change(
    function: Callable[[pl.Series], Any],
    *,
    on: On | set[str] = "response",
) -> ChangeBy:
    """Change texts by a function of yours. It never drops a row; each change is in the ledger.

    Args:
        function: Takes a `polars.Series` of texts, one for each turn that `on` selects, and returns as many texts. Each
            depends on its own text alone, and a text that it returned is left as it is the second time. It runs one
            batch at a time, with your rights.
        on: Which turns it gets: "response" (the default), "prompt", "all", "chosen", ..., or a set of roles.

    Returns:
        An Edit. Its fingerprint is made of the function's source, without comments, and of the functions and constants
        of yours that it uses.

    Raises:
        MixtureError: A function without a source, or one that uses a value without an identity; when the build runs, an
            answer of the wrong length, or with a null.

    Example:
        >>> step = change(lambda texts: texts.str.strip_chars_end())
        >>> step.source
        ('lambda texts: texts.str.strip_chars_end()',)
    """
    return ChangeBy(function=function, source=identity(function, "change"), on=check_on(on))
