"""Filter rows, or edit texts, by a Python function of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
import pyarrow as pa

from curate.kernels.buffers import strings
from curate.rows.edits import Change, Edits
from curate.rows.frame import row_frame
from curate.rows.joined_text import row_texts
from curate.rows.segments import CONTENT, On, Part, Segments, TextPart, check_on, check_parts
from curate.steps._answers import limits, numbers_of, texts_of
from curate.steps._settings import check_choice, check_limits
from curate.steps.base import Bound, Edit, Filter, Scores
from curate.steps.custom._function import LOCK, identity

Takes: TypeAlias = Literal["texts", "rows"]


@dataclass(frozen=True, kw_only=True)
class KeepIf(Filter):
    """See `keep_if`. `source` identifies the function: its code, and what of the user's own it uses."""

    name: ClassVar[str] = "keep_if"
    bound_fields: ClassVar[frozenset[str]] = frozenset({"at_least", "at_most", "reason"})
    reads_scores: ClassVar[bool] = True
    function: Callable[[Any], Any] = field(compare=False, repr=False, metadata={"fingerprint": False})
    source: tuple[str, ...]
    takes: Takes = "texts"
    reason: str = "keep_if"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reads(self) -> On:
        """All of the rows where the function takes rows."""
        return "all" if self.takes == "rows" else self.on

    def bounds(self) -> tuple[Bound, ...]:
        """Return the limits; what the function keeps has the value 1."""
        return limits(self.reason, self.at_least, self.at_most)

    def score(self, segments: Segments) -> Scores:
        """Return what the function says of each row, NaN for null."""
        if segments.rows == 0:
            return Scores({"value": np.zeros(0)})
        given: pl.DataFrame | pl.Series
        if self.takes == "rows":
            given = row_frame(segments)
        else:
            given = pl.Series("text", row_texts(segments, "plain"), dtype=pl.String)
        with LOCK:
            answer = self.function(given)
        mask = self.at_least is None and self.at_most is None
        where = f"keep_if({self.function.__qualname__})"
        return Scores({"value": numbers_of(answer, segments.rows, where, mask=mask)})


def keep_if(
    function: Callable[[Any], Any],
    *,
    takes: Takes = "texts",
    on: On | set[str] = "response",
    reason: str = "keep_if",
    at_least: float | None = None,
    at_most: float | None = None,
    allow_large_drop: bool = False,
) -> KeepIf:
    """Keep the rows for which a function of yours says so: a mask, or a number held against a limit.

    The function gets a batch of rows at once and answers for each of them. Its answer for a row must depend on that row
    alone: how many rows come together, and which, may change. It runs one batch at a time, with your rights.

    Args:
        function: Takes a `polars.Series` with one text per row, or with `takes="rows"` a `polars.DataFrame` with the
            columns of `curate.rows.frame.row_frame`. Returns true or false for each row, or with a limit a number; as a
            series, array or list. Null and NaN: the row stays.
        takes: "texts" or "rows".
        on: Which text of a row it gets: "response" (the default), "prompt", "all", "chosen", ..., or a set of roles;
            one space between two turns. Without effect for rows.
        reason: The reason in the ledger for rows that it drops.
        at_least: Keep rows whose number is this or more. Default: no limit, the function gives a mask.
        at_most: Keep rows whose number is this or less.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter. Its fingerprint is made of the function's source, without comments, and of the functions and constants
        of yours that it uses.

    Raises:
        MixtureError: A function without a source, or one that uses a value without an identity, such as a loaded model,
            limits that keep no row; when the build runs, an answer of the wrong length or type.

    Example:
        >>> def no_apology(texts):
        ...     return ~texts.str.starts_with("Sorry")
        >>> step = keep_if(no_apology, reason="apology")
        >>> print(step.source[0])
        def no_apology(texts):
            return ~texts.str.starts_with('Sorry')
    """
    check_choice(f"keep_if(takes={takes!r})", takes, get_args(Takes))
    low, high = check_limits("keep_if", at_least, at_most)
    return KeepIf(
        function=function,
        source=identity(function, "keep_if"),
        takes=takes,
        on=check_on(on),
        reason=reason,
        at_least=low,
        at_most=high,
        allow_large_drop=allow_large_drop,
    )


@dataclass(frozen=True, kw_only=True)
class ChangeBy(Edit):
    """See `change`. `source` identifies the function: its code, and what of the user's own it uses."""

    name: ClassVar[str] = "change"
    function: Callable[[pl.Series], Any] = field(compare=False, repr=False, metadata={"fingerprint": False})
    source: tuple[str, ...]
    parts: frozenset[TextPart] = CONTENT

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """The parts asked for."""
        return self.parts

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
    parts: str | Iterable[str] = "content",
) -> ChangeBy:
    """Change texts by a function of yours. It never drops a row; each change is in the ledger.

    Args:
        function: Takes a `polars.Series` of texts, one for each turn that `on` selects, and returns as many texts. Each
            depends on its own text alone, and a text that it returned is left as it is the second time. It runs one
            batch at a time, with your rights.
        on: Which turns it gets: "response" (the default), "prompt", "all", "chosen", ..., or a set of roles.
        parts: What it gets of them: their "content" (the default), "reasoning", "call" (the name of the tool, and the
            arguments as JSON text, a text each) or "tools" (of the system, as JSON text), some of these, or "all".

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
    scope, read = check_on(on), check_parts(parts, "change")
    return ChangeBy(function=function, source=identity(function, "change"), on=scope, parts=read)
