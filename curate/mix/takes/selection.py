"""What a take that chooses rows has to say: what it needs of each row, and the order in which it chooses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.evalsets.items import EvalSet
from curate.io.inputs import Input
from curate.mix.amounts import All, Fraction, Repeat, Rows, Tokens
from curate.rows.segments import Segments
from curate.steps.base import GroupKeys, KeyLists

NO_LIMIT: Final = np.iinfo(np.int64).max
"""A budget of rows or tokens that nothing uses up."""

CHOICE: Final = "(take)"
"""The labels of keys of selections begin so: no step's can."""

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
        if isinstance(self.n, Rows):  # one declaration, however it is written
            object.__setattr__(self, "n", self.n.n)
        elif self.n is not None and not isinstance(self.n, Fraction | Tokens):
            Rows(self.n)

    def __repr__(self) -> str:
        """Return the call that makes it, without arguments that are as they are by default, and without paths."""
        given = [repr(self.n)] if self.n is not None else []
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value != one.default and one.metadata.get("fingerprint", True):
                given.append(f"{one.name}={_shown(value)}")
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
                `rank` (the random numbers, from 0 to 2**64 - 1, that the order ascends by), and the columns of
                `GroupKeys`. Where nothing else tells rows apart, the earlier line comes first. If `against` names
                inputs, a line for each of their rows follows, and a column `reference` marks these.
            lists: Reads `GroupKeys.lists` for lines of `keys`.
            budget: How far the order has to go.

        Returns:
            The rows in order, at least as many as the budget takes in.
        """

    def against(self) -> tuple[Input, ...]:
        """Return inputs whose rows get keys and tell which rows to choose, but are no part of the build."""
        return ()

    def refused(self, searched: Sequence[EvalSet]) -> tuple[EvalSet, ...]:  # noqa: ARG002
        """Return eval sets of which no row of `against` may be an item.

        Args:
            searched: The eval sets that steps of the mixture search for.

        Returns:
            The eval sets; none by default.
        """
        return ()

    def check_reference(self, keys: pl.DataFrame, who: str) -> None:  # noqa: B027
        """Raise `MixtureError` if the rows of `against` do not say which rows to choose.

        Args:
            keys: The columns of `GroupKeys` of all of these rows.
            who: Begins the message.
        """


def _shown(value: object) -> str:
    """Return a setting as a call has it: an input as `...`, as its paths are those of one machine, evals by name."""
    if isinstance(value, Input):
        return "..."
    if isinstance(value, tuple) and value and all(isinstance(one, EvalSet) for one in value):
        return f"evals({', '.join(repr(one.name) for one in value)})"
    return repr(value)


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


def choices_of(takes: Iterable[Take]) -> dict[str, Selection]:
    """Return the selections among takes by the label of their keys, which no step can have.

    Those that differ in their amount alone have one label.

    >>> import curate as c
    >>> sorted(choices_of([c.Longest(10), c.Longest(20), c.Rows(10), c.Top(10, by="turns")]))
    ['(take)0', '(take)1']
    """
    found: list[Selection] = []
    for take in takes:
        if isinstance(take, Selection) and _without_amount(take) not in found:
            found.append(_without_amount(take))
    return {f"{CHOICE}{number}": take for number, take in enumerate(found)}


def label_of(take: Selection, choices: Mapping[str, Selection]) -> str:
    """Return the label of the keys of a selection among `choices_of`."""
    return next(label for label, one in choices.items() if one == _without_amount(take))


def _without_amount(take: Selection) -> Selection:
    return replace(take, n=None)


def choice_label(source: str) -> str:
    """Return the label of the table that a source's selection leaves."""
    return f"{source}:{TAKE}"
