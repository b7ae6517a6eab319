"""From what was declared to whole numbers: how many rows, or tokens, of each source, and how often each row.

Everything here is integer arithmetic over what the steps left of each source; `curate.mix.sample` picks the rows.
"""

from __future__ import annotations

import fractions
from collections.abc import Mapping
from typing import Literal, NamedTuple

from curate.errors import MixtureError, ShortageError
from curate.mix.spec import All, Fraction, MixtureSpec, Repeat, Rows, Source, Take, Tokens


class Stock(NamedTuple):
    """What the steps left of a source."""

    rows: int
    tokens: int


class Share(NamedTuple):
    """`amount` of `unit` of a source: `whole` full copies and `rest` of one more; `asked` is it before any shortage."""

    source: str
    stock: Stock
    unit: Literal["rows", "tokens"]
    asked: int
    whole: int
    rest: int

    @property
    def amount(self) -> int:
        """Rows or tokens that the source delivers."""
        return self.whole * self.available + self.rest

    @property
    def available(self) -> int:
        """Rows or tokens that it has."""
        return self.stock.rows if self.unit == "rows" else self.stock.tokens


def plan(mixture: MixtureSpec, stock: Mapping[str, Stock]) -> tuple[Share, ...]:
    """Return the share of each source, in the order of the mixture.

    Raises `ShortageError` naming every source that has less than is asked of it, what it has and what was asked, when
    `on_shortage` is `"error"`, or when `"repeat"` would need more than `max_repeat` copies.
    """
    if mixture.weights is not None:
        asked = _weighted(mixture, stock)
    else:
        asked = {source.name: _asked(source.take, stock[source.name].rows) for source in mixture.sources}
    shares, short = [], []
    for source in mixture.sources:
        unit, amount = asked[source.name]
        have = stock[source.name]
        available = have.rows if unit == "rows" else have.tokens
        copies = source.take.k if isinstance(source.take, Repeat) else 1
        if amount <= available * copies:
            whole, rest = divmod(amount, available) if available else (0, 0)
        elif mixture.on_shortage == "shrink":
            whole, rest = 1, 0
        elif mixture.on_shortage == "repeat" and amount <= available * mixture.max_repeat:
            whole, rest = divmod(amount, available)
        else:
            short.append(f"{source.name} has {available:,} {unit} after the steps, asked: {amount:,}")
            continue
        shares.append(Share(source.name, have, unit, amount, whole, rest))
    if short:
        raise ShortageError(_shortage(mixture, short))
    return tuple(shares)


def nothing_from(
    mixture: MixtureSpec, source: Source, *, read: int, invalid: int, share: Share | None, delivered: int
) -> str | None:
    """Say why a source brings no row, or that less than half of it could be read; None if neither is so.

    `read` rows were read, of which `invalid` could not be; `share` (None: not known) delivers `delivered` rows or
    tokens.
    """
    name = f"source {source.name!r}"
    if not read:
        return f"{name} has no rows"
    if 2 * invalid > read:
        what = f"only {read - invalid:,} of {read:,} rows" if invalid < read else f"none of the {read:,} rows"
        return f"{what} of {name} could be read"
    if share is None or delivered:
        return None
    if not share.stock.rows:
        return f"no row of {name} is left after the steps"
    if share.unit == "tokens" and share.asked:
        why = f"no row fits into {share.asked:,} tokens"
    else:
        why = f"{declared_take(mixture, source)} of {share.stock.rows:,} rows"
        why += " rounds to 0" if mixture.weights is None else f" is too little for total={mixture.total}"
    return f"{name} comes to 0 rows: {why}"


def declared_take(mixture: MixtureSpec, source: Source) -> str:
    """Return how much of a source goes in, as declared: its take, or its weight."""
    if mixture.weights is None:
        return repr(source.take)
    return "weight by size" if isinstance(mixture.weights, str) else f"weight {mixture.weights[source.name]:g}"


def _shortage(mixture: MixtureSpec, short: list[str]) -> str:
    lines = "\n".join(f"  {line}" for line in short)
    if mixture.on_shortage == "repeat":
        return f"mixture {mixture.name!r} cannot deliver within max_repeat={mixture.max_repeat}:\n{lines}"
    hint = 'ask for less, or say on_shortage="shrink" (take what there is) or "repeat" (use rows again)'
    return f"mixture {mixture.name!r} cannot deliver:\n{lines}\n{hint}"


def _asked(take: Take, rows: int) -> tuple[Literal["rows", "tokens"], int]:
    match take:
        case All():
            return "rows", rows
        case Rows(n):
            return "rows", n
        case Fraction(share):
            return "rows", int(share * rows + 0.5)
        case Repeat(k):
            return "rows", k * rows
        case Tokens(n):
            return "tokens", n
    raise MixtureError(f"take={take!r} is unknown")


def _weighted(mixture: MixtureSpec, stock: Mapping[str, Stock]) -> dict[str, tuple[Literal["rows", "tokens"], int]]:
    unit: Literal["rows", "tokens"] = "rows" if isinstance(mixture.total, Rows) else "tokens"
    names = [source.name for source in mixture.sources]
    if isinstance(mixture.weights, Mapping):
        weights = [mixture.weights[name] for name in names]
    else:
        weights = [float(stock[name].rows if unit == "rows" else stock[name].tokens) for name in names]
    top = max(weights) or 1.0  # the powers of shares of the largest neither overflow nor all vanish
    tempered = (
        weights if mixture.temperature == 1 else [(weight / top) ** (1 / mixture.temperature) for weight in weights]
    )
    total = mixture.total.n if mixture.total is not None else 0
    amounts = largest_remainder(tempered, total)
    return {name: (unit, amount) for name, amount in zip(names, amounts, strict=True)}


def largest_remainder(weights: list[float], total: int) -> list[int]:
    """Split `total` in proportion to `weights`, in whole numbers that add up to it; ties go to the earlier.

    Source: Hamilton's method. Raises `MixtureError` when the weights are all zero and there is something to split.

    >>> largest_remainder([1, 1, 1], 100)
    [34, 33, 33]
    >>> largest_remainder([3, 1], 2)
    [2, 0]
    """
    exact_weights = [fractions.Fraction(weight) for weight in weights]
    whole = sum(exact_weights)
    if whole <= 0:
        if total == 0:
            return [0] * len(weights)
        raise MixtureError("no source has anything left to weigh by")
    exact = [weight / whole * total for weight in exact_weights]
    floors = [int(share) for share in exact]
    order = sorted(range(len(weights)), key=lambda i: (floors[i] - exact[i], i))
    for i in order[: total - sum(floors)]:
        floors[i] += 1
    return floors
