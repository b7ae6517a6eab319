"""From what was declared to whole numbers: how many rows, or tokens, of each source, and how often each row.

Everything here is integer arithmetic over what the steps left of each source; `curate.mix.sample` picks the rows.
"""

from __future__ import annotations

import fractions
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from curate.errors import MixtureError, ShortageError
from curate.mix.amounts import All, Fraction, Repeat, Rows, Tokens
from curate.mix.spec import MixtureSpec, Source, exact
from curate.mix.takes.selection import amount_of

Unit: TypeAlias = Literal["rows", "tokens"]


class Stock(NamedTuple):
    """What the steps left of a source."""

    rows: int
    tokens: int


class Share(NamedTuple):
    """`amount` of `unit` of a source: `whole` full copies and `rest` of one more.

    `asked` is it before any shortage, and `capped` what `max_share` took from its take or weight before.
    """

    source: str
    stock: Stock
    unit: Unit
    asked: int
    whole: int
    rest: int
    capped: int = 0

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
        declared = _weighted(mixture, stock)
    else:
        declared = {source.name: _asked(amount_of(source.take), stock[source.name].rows) for source in mixture.sources}
    asked = _within_caps(mixture, declared, stock)
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
        shares.append(Share(source.name, have, unit, amount, whole, rest, max(declared[source.name][1] - amount, 0)))
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
        return f"{source.take!r}{cap_of(source)}"
    weight = "weight by size" if isinstance(mixture.weights, str) else f"weight {mixture.weights[source.name]:g}"
    return weight + cap_of(source)


def cap_of(source: Source) -> str:
    """Return the `max_share` of a source as text after its take; empty if it has none."""
    return "" if source.max_share is None else f", at most {100 * source.max_share:.4g} %"


def _shortage(mixture: MixtureSpec, short: list[str]) -> str:
    lines = "\n".join(f"  {line}" for line in short)
    if mixture.on_shortage == "repeat":
        return f"mixture {mixture.name!r} cannot deliver within max_repeat={mixture.max_repeat}:\n{lines}"
    hint = 'ask for less, or say on_shortage="shrink" (take what there is) or "repeat" (use rows again)'
    return f"mixture {mixture.name!r} cannot deliver:\n{lines}\n{hint}"


def _asked(take: All | Rows | Fraction | Tokens | Repeat, rows: int) -> tuple[Unit, int]:
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


def _weighted(mixture: MixtureSpec, stock: Mapping[str, Stock], *, capped: bool = False) -> dict[str, tuple[Unit, int]]:
    """Split the total by weights. With `capped`, what a `max_share` leaves over goes to the others by their weights."""
    unit: Unit = "rows" if isinstance(mixture.total, Rows) else "tokens"
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
    most = {name: int(cap * total) for name, cap in _caps(mixture).items()} if capped else {}
    full: dict[str, int] = {}
    while True:
        free = [0.0 if name in full else weight for name, weight in zip(names, tempered, strict=True)]
        left = total - sum(full.values())
        if full and left and not any(free):
            raise MixtureError(f"max_share= leaves {left:,} of total={mixture.total} to no source; raise one of them")
        amounts = dict(zip(names, largest_remainder(free, left), strict=True)) | full
        over = {name: limit for name, limit in most.items() if amounts[name] > limit}
        if not over:
            return {name: (unit, amount) for name, amount in amounts.items()}
        full |= over


def _caps(mixture: MixtureSpec) -> dict[str, fractions.Fraction]:
    return {source.name: exact(source.max_share) for source in mixture.sources if source.max_share is not None}


def _within_caps(
    mixture: MixtureSpec, declared: dict[str, tuple[Unit, int]], stock: Mapping[str, Stock]
) -> dict[str, tuple[Unit, int]]:
    """Lower what is asked of sources with a `max_share` until each keeps within it, of what all of them deliver.

    Raises `MixtureError` if that leaves nothing.
    """
    caps = _caps(mixture)
    if not caps:
        return declared
    asked = declared if mixture.weights is None else _weighted(mixture, stock, capped=True)
    amounts = {name: amount for name, (_, amount) in asked.items()}
    if mixture.on_shortage == "shrink":
        have = {name: stock[name].rows if unit == "rows" else stock[name].tokens for name, (unit, _) in asked.items()}
        copies = {source.name: source.take.k for source in mixture.sources if isinstance(source.take, Repeat)}
        amounts = {name: min(amount, have[name] * copies.get(name, 1)) for name, amount in amounts.items()}
    within = under_caps(amounts, caps)
    if any(amounts.values()) and not any(within.values()):
        raise MixtureError(
            f"max_share= of {', '.join(caps)} leaves no row: without rows of other sources no amounts keep within it"
        )
    return asked | {name: (asked[name][0], min(asked[name][1], within[name])) for name in caps}


def under_caps(amounts: dict[str, int], caps: Mapping[str, fractions.Fraction]) -> dict[str, int]:
    """Return the largest amounts, none above those given, of which no capped one is more than its share of the sum.

    >>> under_caps({"chat": 900, "maths": 130}, {"chat": fractions.Fraction("0.35")})
    {'chat': 70, 'maths': 130}
    """
    while True:  # each pass lowers the sum: what it allows shrinks at least by the factor of the shares
        total = sum(amounts.values())
        lower = amounts | {name: min(amounts[name], int(cap * total)) for name, cap in caps.items()}
        if lower == amounts:
            return amounts
        amounts = lower


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
