"""How much of a source goes into a mixture: typed, so that no bare number has two meanings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from curate.errors import MixtureError

MAX_REPEAT = 65_535
"""Copies of a row are numbered in 16 bits."""


@dataclass(frozen=True)
class All:
    """Every row that the steps leave."""


@dataclass(frozen=True)
class Rows:
    """Exactly `n` rows of those that the steps leave.

    >>> Rows(1_000)
    Rows(n=1000)
    """

    n: int

    def __post_init__(self) -> None:
        _whole("Rows", self.n)


@dataclass(frozen=True)
class Fraction:
    """A share of the rows that the steps leave, over 0 and at most 1, rounded to the nearest whole row.

    >>> Fraction(0.25)
    Fraction(share=0.25)
    """

    share: float

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not isinstance(self.share, int | float) or not 0 < self.share <= 1:
            message = f"Fraction({self.share!r}): a fraction is over 0 and at most 1; for a count use Rows(n)"
            raise MixtureError(message)


@dataclass(frozen=True)
class Tokens:
    """As many rows, in sampling order, as fit in `n` tokens.

    Tokens are counted by the mixture's `tokenizer`; without one they are estimated (`curate.mix.tokens`).
    """

    n: int

    def __post_init__(self) -> None:
        _whole("Tokens", self.n)


@dataclass(frozen=True)
class Repeat:
    """Every row that the steps leave, `k` times."""

    k: int

    def __post_init__(self) -> None:
        _whole("Repeat", self.k)
        if self.k > MAX_REPEAT:
            message = f"Repeat({self.k}): at most {MAX_REPEAT} copies"
            raise MixtureError(message)


Take: TypeAlias = All | Rows | Fraction | Tokens | Repeat


def _whole(name: str, n: object) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        hint = "; for a share use Fraction(f)" if isinstance(n, float) else ""
        message = f"{name}({n!r}): a whole number from 1{hint}"
        raise MixtureError(message)
