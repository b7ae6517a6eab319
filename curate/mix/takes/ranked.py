"""Takes by one number: the rows with the best scores, and those with the longest answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.mix.takes.selection import Budget, Choice, Selection, within
from curate.rows.frame import check_columns, row_frame
from curate.rows.segments import On, Segments, check_on, select
from curate.rows.visible import row_characters
from curate.steps.base import GroupKeys, KeyLists


@dataclass(frozen=True, repr=False)
class Top(Selection):
    """The rows with the highest score, or the lowest.

    Rows without the score, or with one that is no number, come last.

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`; left out where weights decide.
        by: A column of the row with numbers: a score of a filter that ran before (`"quality.score"`), `"words"`,
            `"best_score"`, a field (`"meta.rating"`), and others (`curate.rows.frame`).
        lowest: Takes those with the lowest.

    Raises:
        MixtureError: `n` is no amount, `by` no column; in a build, the column does not exist or holds no numbers.

    Example:
        >>> Top(1_000, by="meta.rating").amount
        Rows(n=1000)
    """

    by: str = field(kw_only=True)
    lowest: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "top"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_columns([self.by], f"Top(by={self.by!r})")

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the column `score` (float64; NaN where a row has none)."""
        return GroupKeys({"score": numbers(segments, self.by, "Top")})

    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:  # noqa: ARG002
        """Return the rows by score, with the `score` of each."""
        score = keys["score"].to_numpy()
        return _by(np.where(np.isnan(score), -np.inf, -score if self.lowest else score), score, "score", keys, budget)


@dataclass(frozen=True, repr=False)
class Longest(Selection):
    """The rows with the longest answers.

    A strong baseline: a thousand long answers train about as well as many more ("Long is more for alignment", 2024);
    judges of answers prefer long ones, so look at what was answered too.

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`; left out where weights decide.
        on: The text whose visible characters count: a scope such as "response" or "all", or a set of roles.

    Raises:
        MixtureError: `n` is no amount, or `on` is unknown.

    Example:
        >>> Longest(1_000).on
        'response'
    """

    on: On = field(default="response", kw_only=True)

    name: ClassVar[str] = "longest"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "on", check_on(self.on))

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the column `characters` (uint32)."""
        return GroupKeys({"characters": row_characters(select(segments, self.on))})

    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:  # noqa: ARG002
        """Return the rows by length, with the `characters` of each."""
        length = keys["characters"].to_numpy()
        return _by(length.astype(np.float64), length, "characters", keys, budget)


def numbers(segments: Segments, by: str, take: str) -> NDArray[np.float64]:
    """Return a column of the rows as numbers, NaN where there is none; raises `MixtureError` where text is no number.

    Fields of `meta` are text; those that are not numbers count as none.
    """
    column = row_frame(segments, [by])[by]
    if column.dtype == pl.String and not by.startswith("meta."):
        raise MixtureError(f"{take}(by={by!r}): the column holds text; name one with numbers")
    found = column.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(found)


def factors(keys: pl.DataFrame, exponent: float) -> NDArray[np.float64]:
    """Return what the column `quality` of keys multiplies a gain by: 1 without it, 0 where it is none or 0 or less."""
    if "quality" not in keys.columns:
        return np.ones(keys.height)
    quality = np.maximum(np.nan_to_num(keys["quality"].to_numpy(), nan=0.0), 0.0)
    return np.where(quality > 0, quality**exponent, 0.0)


def _by(
    value: NDArray[np.float64], shown: NDArray[np.generic], name: str, keys: pl.DataFrame, budget: Budget
) -> Choice:
    """Choose the rows with the highest value, and show each with what it was chosen for."""
    order = within(np.argsort(-value, kind="stable"), keys["tokens"].to_numpy(), budget)
    return Choice(order, pl.DataFrame({name: shown[order]}))
