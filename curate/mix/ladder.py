"""A mixture in several sizes, each part of the next, and with several takes, for ablations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from curate.errors import MixtureError
from curate.mix.amounts import All, Fraction, Rows, Tokens
from curate.mix.spec import MixtureSpec, check_name
from curate.mix.takes.selection import Selection

M = TypeVar("M", bound=MixtureSpec)

RANDOM: Final = "random"
"""The name of the rows that takes are held against."""


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


def variants(
    mixture: M, takes: Mapping[str, Selection], sizes: Sequence[int | Rows | Fraction | Tokens]
) -> dict[str, dict[str, M]]:
    """Return by take, random rows first, the mixture in each size, by a name for its folder.

    Raises `MixtureError` as `rungs` does, for a take that is no selection, that says how much it takes or is called
    `RANDOM`, and for a mixture with a source that stops early.

    >>> import curate as c
    >>> found = variants(MixtureSpec("mine", [c.Source("a", c.files("a.jsonl"))]), {"long": c.Longest()}, [100])
    >>> [(take, size, one.sources[0].take) for take, sizes in found.items() for size, one in sizes.items()]
    [('random', '100', Rows(n=100)), ('long', '100', Longest(100))]
    """
    for name, take in takes.items():
        check_name("take", name)
        if not isinstance(take, Selection) or name == RANDOM:
            raise MixtureError(
                f"compare({{{name!r}: {take!r}}}): give selections such as Diverse() by name, but not {RANDOM!r}"
            )
        if take.n is not None:
            raise MixtureError(f"compare({{{name!r}: {take!r}}}): sizes say how much; leave the amount out")
    each: dict[str, All | Selection] = {RANDOM: All(), **takes}
    return {name: rungs(_with_take(mixture, take), sizes) for name, take in each.items()}


def whole(mixture: M) -> M:
    """Return the mixture with all rows that its steps leave."""
    every = _with_take(mixture, All())
    sources = [dataclasses.replace(source, max_share=None) for source in every.sources]
    return dataclasses.replace(every, sources=sources, weights=None, total=None)


def _with_take(mixture: M, take: All | Selection) -> M:
    """Return the mixture with this take of each source; a selection of the only source gets its amount later."""
    early = [source.name for source in mixture.sources if source.early_stop]
    if early:
        raise MixtureError(f"source {early[0]!r} stops early; takes are compared on all of its rows")
    if isinstance(take, Selection) and mixture.weights is None:
        take = dataclasses.replace(take, n=1)
    sources = [dataclasses.replace(source, take=take) for source in mixture.sources]
    return dataclasses.replace(mixture, sources=sources)


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
