"""Filter by a Polars expression over the columns of a row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl

from curate.errors import MixtureError
from curate.rows.frame import check_columns, row_frame
from curate.rows.segments import Segments
from curate.steps._answers import limits, numbers_of
from curate.steps._settings import check_limits
from curate.steps.base import Bound, Filter, Scores

ACROSS: Final = frozenset({"Agg", "Over", "Rolling", "Random", "Len"})
"""Nodes of an expression that read several rows."""


@dataclass(frozen=True, kw_only=True)
class Where(Filter):
    """See `where`. `text` and `content` identify the expression: as Polars prints it, and a hash of all of it."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "where"
    bound_fields: ClassVar[frozenset[str]] = frozenset({"at_least", "at_most", "reason"})
    reads_scores: ClassVar[bool] = True
    expression: pl.Expr = field(compare=False, repr=False, metadata={"fingerprint": False})
    text: str
    content: str
    reason: str = "where"
    at_least: float | None = None
    at_most: float | None = None

    def bounds(self) -> tuple[Bound, ...]:
        """Return the limits; a condition holds where its value is 1."""
        return limits(self.reason, self.at_least, self.at_most)

    def score(self, segments: Segments) -> Scores:
        """Return the value of the expression for each row, NaN where it is null."""
        if segments.rows == 0:
            return Scores({"value": np.zeros(0)})
        try:
            value = row_frame(segments, self.expression.meta.root_names()).select(value=self.expression)["value"]
        except pl.exceptions.PolarsError as error:
            raise MixtureError(
                f"where({self.text}): {error}; fields of meta are text, cast them to compare numbers"
            ) from error
        mask = self.at_least is None and self.at_most is None
        return Scores({"value": numbers_of(value, segments.rows, f"where({self.text})", mask=mask)})


def where(
    condition: pl.Expr,
    *,
    reason: str = "where",
    at_least: float | None = None,
    at_most: float | None = None,
    allow_large_drop: bool = False,
) -> Where:
    """Keep the rows for which a Polars expression is true.

    The expression sees the columns of `curate.rows.frame.row_frame`: `source`, `id`, `kind`, `prompt`, `response`,
    `last_response`, `chosen`, `rejected`, `turns`, `characters`, `words`, `best_score`, `calls`, `reasoning`, `tools`,
    `meta`, `meta.<field>` (as text), and the scores of filters that ran before it as `step.score`. A row for which it
    is null stays, as a row without a score does under every filter. The value is in the ledger as the score `value`.

    Args:
        condition: An expression that is true or false for each row by itself: no aggregate, window, shuffle or Python
            function. With a limit, one that is a number.
        reason: The reason in the ledger for rows that it drops; name it after what is wrong with them.
        at_least: Keep rows whose number is this or more. Default: no limit, the expression is a condition.
        at_most: Keep rows whose number is this or less.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter. Its fingerprint is that of the expression.

    Raises:
        MixtureError: Not an expression, one that looks at other rows or calls Python, an unknown column, limits that
            keep no row; when the build runs, a value that is neither true nor false (or no number, with a limit).

    Example:
        >>> import polars as pl
        >>> step = where(pl.col("response").str.len_chars() < 20_000, reason="long_answer")
        >>> step.bounds()
        (Bound(reason='long_answer', score='value', at_least=1.0, at_most=None),)
    """
    if not isinstance(condition, pl.Expr):
        raise MixtureError(
            f"where({condition!r}) is no Polars expression; write where(pl.col('characters') < 20_000), or give "
            "a function to keep_if()"
        )
    text, form, names = str(condition), condition.meta.serialize(format="json"), condition.meta.root_names()
    if '"AnonymousFunction"' in form:
        raise MixtureError(
            f"where({text}) calls a Python function, which has no identity in an expression; use keep_if(function)"
        )
    one = names and not condition.meta.has_multiple_outputs()
    if not one or _looks_across(json.loads(form)) or _differs(condition, names):
        raise MixtureError(
            f"where({text}) must say something of each row by itself, from columns that it names; what depends "
            "on other rows (a mean, a rank, a sample) would change with the order of files"
        )
    check_columns(names, f"where({text})")
    content = hashlib.sha256(json.dumps(json.loads(form), sort_keys=True).encode()).hexdigest()
    low, high = check_limits("where", at_least, at_most)
    return Where(
        expression=condition,
        text=text,
        content=content,
        reason=reason,
        at_least=low,
        at_most=high,
        allow_large_drop=allow_large_drop,
    )


def _looks_across(form: Any) -> bool:  # noqa: ANN401  a tree of JSON
    """Whether an expression, as Polars serialises it, has a node that reads several rows; inside a list it may."""
    if isinstance(form, list):
        return any(map(_looks_across, form))
    if not isinstance(form, dict):
        return form == "Len"
    return any(name in ACROSS or (name != "Eval" and _looks_across(inner)) for name, inner in form.items())


def _differs(condition: pl.Expr, names: list[str]) -> bool:
    """Whether an expression gives rows that are made up another value together than each gives alone.

    Polars has too many functions over rows (ranks, running sums, duplicates, shifts) to list them all.
    """
    numbers = {"turns", "characters", "words", "calls", "best_score", "chosen_score", "rejected_score"}
    for of_score in (["a", "b", "a", None], [0.5, 3.0, 0.5, None]):
        columns = {
            name: [1, 7, 1, 30] if name in numbers else of_score if "." in name else ["b", "a", "b", "c"]
            for name in names
        }
        frame = pl.DataFrame(columns)
        try:
            whole = frame.select(value=condition)["value"]
            alone = [frame.slice(row, 1).select(value=condition)["value"] for row in range(frame.height)]
        except (pl.exceptions.PolarsError, ValueError):
            continue
        if len(whole) != frame.height or any(len(each) != 1 for each in alone) or not whole.equals(pl.concat(alone)):
            return True
    return False
