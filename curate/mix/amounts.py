"""Amounts: how much of a source goes in, counted after its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from curate.errors import check_number, check_whole

MAX_REPEAT: Final = 65_535
"""Copies of a row are numbered in 16 bits."""

FRACTION: Final = "; for a share use Fraction(f)"


@dataclass(frozen=True)
class All:
    """Every row that the steps leave.

    Example:
        >>> All()
        All()
    """


@dataclass(frozen=True)
class Rows:
    """Exactly `n` of the rows that the steps leave.

    Args:
        n: rows, from 1.

    Example:
        >>> Rows(1_000)
        Rows(n=1000)
    """

    n: int

    def __post_init__(self) -> None:
        check_whole(f"Rows({self.n!r})", self.n, least=1, hint=FRACTION)


@dataclass(frozen=True)
class Fraction:
    """A share of the rows that the steps leave, rounded to the nearest whole row.

    Args:
        share: over 0 and at most 1.

    Example:
        >>> Fraction(0.25)
        Fraction(share=0.25)
    """

    share: float

    def __post_init__(self) -> None:
        check_number(f"Fraction({self.share!r})", self.share, above=0, most=1, hint="; for a count use Rows(n)")


@dataclass(frozen=True)
class Tokens:
    """As many rows, in sampling order, as fit into `n` tokens.

    Args:
        n: tokens, from 1, counted by the mixture's `tokenizer`; without one they are estimated (`curate.rows.tokens`).

    Example:
        >>> Tokens(1_000_000)
        Tokens(n=1000000)
    """

    n: int

    def __post_init__(self) -> None:
        check_whole(f"Tokens({self.n!r})", self.n, least=1, hint=FRACTION)


@dataclass(frozen=True)
class Repeat:
    """Every row that the steps leave, `k` times.

    Args:
        k: copies of each row, 1 to 65,535.

    Example:
        >>> Repeat(3)
        Repeat(k=3)
    """

    k: int

    def __post_init__(self) -> None:
        check_whole(f"Repeat({self.k!r})", self.k, least=1, most=MAX_REPEAT)
