"""A mixture in several sizes, each part of the next, for ablations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from curate.errors import MixtureError
from curate.mix.amounts import Fraction, Rows, Tokens
from curate.mix.spec import MixtureSpec
from curate.mix.takes.selection import Selection

M = TypeVar("M", bound=MixtureSpec)


def rungs(mixture: M, sizes: Sequence[int | Rows | Fraction | Tokens]) -> dict[str, M]:
    """Return the mixture in each size, the smallest first, by a name for its folder.

    The size takes the place of the `total` of a mixture with weights, or of the take of its only source. Raises
    `MixtureError` where it has neither, or where sizes are of several kinds or repeated.

    >>> from curate.io.inputs import files
    >>> from curate.mix.spec import Source
    >>> found = rungs(MixtureSpec("mine", [Source("a", files("a.jsonl"))]), [500, 100])
    >>> [(name, rung.sources[0].take) for name, rung in found.items()]
    [('100', Rows(n=100)), ('500', Rows(n=500))]
    """
    amounts = [Rows(size) if isinstance(size, int) else size for size in sizes]
    by_size = {_size(amount): amount for amount in amounts}
    if not amounts or len({type(amount) for amount in amounts}) > 1 or len(by_size) < len(amounts):
        raise MixtureError(f"ladder({list(sizes)!r}): give different sizes of one kind, such as [1_000, 5_000, 25_000]")
    return {_name(by_size[size]): _of_size(mixture, by_size[size]) for size in sorted(by_size)}


def _size(amount: Rows | Fraction | Tokens) -> float:
    return amount.share if isinstance(amount, Fraction) else amount.n


def _name(amount: Rows | Fraction | Tokens) -> str:
    match amount:
        case Rows(n):
            return str(n)
        case Tokens(n):
            return f"{n}-tokens"
        case Fraction(share):
            return f"{share:g}"


def _of_size(mixture: M, amount: Rows | Fraction | Tokens) -> M:
    if mixture.weights is not None and not isinstance(amount, Fraction):
        return dataclasses.replace(mixture, total=amount)
    if mixture.weights is not None:
        raise MixtureError(f"ladder([{amount!r}]): the total of a mixture with weights is in Rows(n) or Tokens(n)")
    if len(mixture.sources) > 1:
        raise MixtureError(
            f"mixture {mixture.name!r} has several sources and no weights, so a size does not say how much of each "
            'goes in; declare weights="size" with a total'
        )
    (source,) = mixture.sources
    take = dataclasses.replace(source.take, n=amount) if isinstance(source.take, Selection) else amount
    return dataclasses.replace(mixture, sources=[dataclasses.replace(source, take=take)])
