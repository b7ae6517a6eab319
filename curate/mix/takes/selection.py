"""What a take that chooses rows has to say: what it needs of each row, and the order in which it chooses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.mix.amounts import All, Fraction, Repeat, Rows, Tokens
from curate.rows.segments import Segments
from curate.steps.base import GroupKeys, KeyLists

NO_LIMIT: Final = np.iinfo(np.int64).max
"""A budget of rows or tokens that nothing uses up."""

CHOICE: Final = "(take)"
"""The label of a selection's keys: no step can have it."""

TAKE: Final = "take"
"""The name, beside that of its source, under which a selection leaves its table."""

CHOSEN: Final = "chosen"
"""The name of the table with the rows that a selection chose."""


class Budget(NamedTuple):
    """How far a choice has to go: until so many rows, or so many tokens, are reached.

    Args:
        rows: Rows to choose, `NO_LIMIT` if tokens are counted.
        tokens: Tokens that the chosen rows may have, `NO_LIMIT` if rows are counted.

    Example:
        >>> Budget(rows=10).tokens == NO_LIMIT
        True
    """

    rows: int = NO_LIMIT
    tokens: int = NO_LIMIT


class Choice(NamedTuple):
    """Rows in the order of choice.

    Args:
        lines: Lines of the keys, the first chosen first. It may end where the budget does; more do no harm.
        why: A line for each of `lines` that says why the row was chosen, in columns of its own.
    """

    lines: NDArray[np.int64]
    why: pl.DataFrame


@dataclass(frozen=True, repr=False)
class Selection(ABC):
    """A take that says which of the rows that the steps leave go in, and not only how many.

    It puts rows in an order of choice, and as many as were asked for go in from its start: a smaller amount is part of
    a larger one. The order depends on the rows and the seed alone. `steps/<source>-take/chosen.parquet` in the build
    folder has the rows that went in, in this order, and why.

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`. Leave it out in a mixture with weights,
            which then decide.

    Example:
        >>> import curate as c
        >>> class Shortest(c.Longest):
        ...     def choose(self, keys, lists, budget: c.Budget) -> c.Choice:
        ...         found = super().choose(keys, lists, c.Budget())
        ...         return c.Choice(found.lines[::-1], found.why.reverse())
        >>> isinstance(Shortest(100), c.Selection)
        True
    """

    n: int | Rows | Fraction | Tokens | None = None

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when its choice changes."""

    def __post_init__(self) -> None:
        if self.n is not None and not isinstance(self.n, Rows | Fraction | Tokens):
            Rows(self.n)

    def __repr__(self) -> str:
        """Return the call that makes it, without arguments that are as they are by default, and without paths."""
        given = [repr(self.n)] if self.n is not None else []
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value != one.default and one.metadata.get("fingerprint", True):
                given.append(f"{one.name}={value!r}")
        return f"{type(self).__name__}({', '.join(given)})"

    @property
    def amount(self) -> All | Rows | Fraction | Tokens:
        """How much it takes; `All()` where the weights of the mixture decide."""
        if self.n is None:
            return All()
        return Rows(self.n) if isinstance(self.n, int) else self.n

    def data_hashes(self) -> Mapping[str, str]:
        """Return a content hash for each data file that the choice depends on, by name, for the manifest."""
        return {}

    @abstractmethod
    def sign(self, segments: Segments) -> GroupKeys:
        """Return what choosing needs to know of each row of a batch.

        Args:
            segments: All texts of the batch, as the steps left them, with the scores of the filters.

        Returns:
            The keys of each row; they depend on that row alone.
        """

    @abstractmethod
    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:
        """Return rows in the order of choice.

        Args:
            keys: One line for each row that the steps left, in a random order that the seed decides: `row`, `tokens`,
                and the columns of `GroupKeys`. Where nothing else tells rows apart, the earlier line comes first.
            lists: Reads `GroupKeys.lists` for lines of `keys`.
            budget: How far the order has to go.

        Returns:
            The rows in order, at least as many as the budget takes in.
        """


Take: TypeAlias = All | Rows | Fraction | Tokens | Repeat | Selection


def amount_of(take: Take) -> All | Rows | Fraction | Tokens | Repeat:
    """Return how much a take takes.

    >>> import curate as c
    >>> amount_of(c.Longest(10)), amount_of(c.Repeat(2))
    (Rows(n=10), Repeat(k=2))
    """
    return take.amount if isinstance(take, Selection) else take


def within(order: NDArray[np.int64], tokens: NDArray[np.int64], budget: Budget) -> NDArray[np.int64]:
    """Return the start of an order of choice, up to the row with which the budget is used up.

    >>> within(np.array([2, 0, 1]), np.array([10, 10, 10]), Budget(tokens=15)).tolist()
    [2, 0]
    """
    if budget.tokens == NO_LIMIT:
        return order[: budget.rows]
    return order[: int(np.searchsorted(np.cumsum(tokens[order]), budget.tokens)) + 1]


def check_selection(take: Selection, source: str, steps: Collection[str], *, weighted: bool) -> None:
    """Raise `MixtureError` where a selection does not say how much it takes, or weights say it too.

    So it does where one of the source's own `steps` has the name under which the selection leaves its table.
    """
    if weighted and take.n is not None:
        raise MixtureError(f"weights decide how much of source {source!r} goes in; leave the amount out of {take!r}")
    if not weighted and take.n is None:
        raise MixtureError(f"source {source!r}: take={take!r} does not say how much; for instance n=1_000")
    if TAKE in steps:
        raise MixtureError(
            f"source {source!r} has a step called {TAKE!r} beside {take!r}, whose table has that name; give the step "
            "another name"
        )


def choice_label(source: str) -> str:
    """Return the label of the table that a source's selection leaves."""
    return f"{source}:{TAKE}"
