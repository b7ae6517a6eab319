"""From declarations to whole numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError, ShortageError
from curate.io.inputs import Input
from curate.io.tables import frame
from curate.mix.amounts import All, Fraction, Repeat, Rows, Tokens
from curate.mix.plan import Share, Stock, largest_remainder, plan, under_caps
from curate.mix.spec import MixtureSpec, Source, exact
from curate.mix.takes.selection import Take
from curate.steps.base import Paired, Pairing
from curate.steps.filters.shape import shape


def rows_of(take: Take) -> Source:
    return Source("a", nothing(), take=take)


def nothing() -> Input:
    import polars as pl

    return frame(pl.DataFrame({"messages": []}), format="messages")


def share_of(take: Take, stock: Stock, **options: object) -> Share:
    (share,) = plan(MixtureSpec("m", (rows_of(take),), **options), {"a": stock})  # type: ignore[arg-type]
    return share


@pytest.mark.parametrize(
    ("take", "amount"),
    [(All(), 10), (Rows(4), 4), (Fraction(0.25), 3), (Fraction(1), 10), (Repeat(3), 30), (Tokens(55), 55)],
)
def test_a_take_comes_to_whole_numbers(take: Take, amount: int) -> None:
    share = share_of(take, Stock(10, 100))
    assert share.asked == share.amount == amount
    assert share.whole * share.available + share.rest == amount


def test_a_shortage_names_source_stock_and_ask() -> None:
    with pytest.raises(ShortageError, match=r"a has 10 rows after the steps, asked: 11"):
        share_of(Rows(11), Stock(10, 100))


def test_a_shortage_can_shrink_or_repeat() -> None:
    assert share_of(Rows(25), Stock(10, 100), on_shortage="shrink").amount == 10
    repeated = share_of(Rows(25), Stock(10, 100), on_shortage="repeat")
    assert (repeated.whole, repeated.rest) == (2, 5)
    with pytest.raises(ShortageError, match="max_repeat=2"):
        share_of(Rows(25), Stock(10, 100), on_shortage="repeat", max_repeat=2)


def test_an_empty_source_cannot_repeat() -> None:
    with pytest.raises(ShortageError, match="a has 0 rows"):
        share_of(Rows(1), Stock(0, 0), on_shortage="repeat")


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8), st.integers(0, 10_000))
def test_largest_remainder_adds_up_and_is_fair(weights: list[float], total: int) -> None:
    amounts = largest_remainder(weights, total)
    assert sum(amounts) == total
    for weight, amount in zip(weights, amounts, strict=True):
        assert abs(amount - weight / sum(weights) * total) < 1 + 1e-6


def test_weights_become_shares_of_the_total() -> None:
    sources = tuple(Source(name, nothing()) for name in "abc")
    mixture = MixtureSpec("m", sources, weights={"a": 2, "b": 1, "c": 1}, total=Rows(101))
    shares = plan(mixture, dict.fromkeys("abc", Stock(1_000, 9_000)))
    assert [share.amount for share in shares] == [51, 25, 25]


def test_temperature_evens_sizes_out() -> None:
    sources = tuple(Source(name, nothing()) for name in "ab")
    stock = {"a": Stock(900, 1), "b": Stock(100, 1)}
    plain = plan(MixtureSpec("m", sources, weights="size", total=Rows(100)), stock)
    even = plan(MixtureSpec("m", sources, weights="size", total=Rows(100), temperature=2.0), stock)
    assert [share.amount for share in plain] == [90, 10]
    assert [share.amount for share in even] == [75, 25]


@pytest.mark.parametrize("scale", [1e-300, 1, 1e300])
def test_weights_may_have_any_scale(scale: float) -> None:
    sources = tuple(Source(name, nothing()) for name in "ab")
    stock = {name: Stock(100, 1_000) for name in "ab"}
    sharp = MixtureSpec("m", sources, weights={"a": 2 * scale, "b": scale}, total=Rows(90), temperature=0.5)
    assert [share.amount for share in plan(sharp, stock)] == [72, 18]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rows(0), "a whole number from 1"),
        (lambda: Rows(1.0), "for a share use Fraction"),  # type: ignore[arg-type]
        (lambda: Rows(n=True), "a whole number from 1"),
        (lambda: Fraction(1.5), "a number above 0, at most 1"),
        (lambda: Fraction(0), "a number above 0, at most 1"),
        (lambda: Repeat(70_000), "a whole number from 1 to 65,535"),
        (lambda: Source("a b", nothing()), "letters, digits"),
        (lambda: Source("a", "b.jsonl"), "its rows come from files('b.jsonl'), not from a str"),  # type: ignore[arg-type]
        (lambda: Source("a", {}), "files(...), frame(...) or another function that reads, not from a dict"),  # type: ignore[arg-type]
        (lambda: Source("a", nothing(), take=5), "take=5 is none of All"),  # type: ignore[arg-type]
        (lambda: Source("a", nothing(), steps=(len,)), "is not a step; call it"),  # type: ignore[arg-type]
        (lambda: Source("a", nothing(), max_quarantine="1%"), "a number from 0 to 1"),  # type: ignore[arg-type]
        (lambda: Source("a", nothing(), licence=5), "licence=5 is no text"),  # type: ignore[arg-type]
        (lambda: MixtureSpec("m", (rows_of(All()),), shape()), "steps=shape is one step"),  # type: ignore[arg-type]
        (lambda: MixtureSpec("m", ()), "needs sources"),
        (lambda: MixtureSpec("m", (rows_of(All()), rows_of(All()))), "names a twice"),
        (lambda: MixtureSpec("m", (rows_of(All()),), weights={"a": 1}), "weights and total go together"),
        (lambda: MixtureSpec("m", (rows_of(Rows(3)),), weights={"a": 1}, total=Rows(1)), "remove take= from a"),
        (lambda: MixtureSpec("m", (rows_of(All()),), weights={"b": 1}, total=Rows(1)), "not in both: a, b"),
        (lambda: MixtureSpec("m", (rows_of(All()),), weights={"a": 0}, total=Rows(1)), "is no number over 0"),
        (lambda: MixtureSpec("m", (rows_of(All()),), weights={"a": "1"}, total=Rows(1)), "is no number over 0"),  # type: ignore[dict-item]
        (lambda: MixtureSpec("m", (rows_of(All()),), weights=[1], total=Rows(1)), "nor a mapping"),  # type: ignore[arg-type]
        (lambda: MixtureSpec("m", (rows_of(All()),), seed=-1), "seed=-1"),
        (lambda: MixtureSpec("m", (rows_of(All()),), temperature=0), "temperature=0"),
        (lambda: MixtureSpec("m", (rows_of(All()),), temperature="1"), "temperature='1'"),  # type: ignore[arg-type]
        (lambda: MixtureSpec("m", (rows_of(All()),), test=0.1), "neither Rows"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_declaration_says_what_is_wrong(make: Callable[[], object], message: str) -> None:
    with pytest.raises(MixtureError, match=re.escape(message)):
        make()


@dataclass(frozen=True, kw_only=True)
class Best(Pairing):
    """A Pairing; nothing runs it here."""

    name: ClassVar[str] = "best"

    def reasons(self) -> tuple[str, ...]:
        return ()

    def pair(self, body: pa.RecordBatch) -> Paired:
        return Paired(body, np.zeros(0, np.int32), np.zeros(0, np.int16))


def test_rows_are_paired_once() -> None:
    assert MixtureSpec("m", (rows_of(All()),), (Best(),)).steps == (Best(),)
    with pytest.raises(MixtureError, match="source 's': rows are paired once, and these are 2 Pairings: best, best"):
        Source("s", rows_of(All()).input, steps=(Best(), Best()))
    twice = Source("s", rows_of(All()).input, steps=(Best(),))
    with pytest.raises(MixtureError, match="source 's', its steps and the mixture's: rows are paired once"):
        MixtureSpec("m", (twice,), (Best(),))


def brute_force(amounts: list[int], caps: list[float | None]) -> list[int]:
    """Try all amounts; those that keep within the caps have a largest one in every place at once."""
    found = [0] * len(amounts)
    for tried in itertools.product(*(range(amount + 1) for amount in amounts)):
        pairs = zip(tried, caps, strict=True)
        if all(cap is None or 100 * each <= round(100 * cap) * sum(tried) for each, cap in pairs):
            found = [max(pair) for pair in zip(found, tried, strict=True)]
    return found


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
    st.lists(st.sampled_from([None, 0.1, 0.29, 0.35, 0.5, 0.75, 1.0]), min_size=3, max_size=3),
)
def test_caps_take_no_more_than_they_must(amounts: list[int], caps: list[float | None]) -> None:
    held = {str(number): exact(cap) for number, cap in enumerate(caps[: len(amounts)]) if cap is not None}
    found = under_caps({str(number): amount for number, amount in enumerate(amounts)}, held)
    assert list(found.values()) == brute_force(amounts, caps[: len(amounts)])


def capped(stock: dict[str, int], caps: dict[str, float], **options: object) -> dict[str, tuple[int, int]]:
    """Return what each source is asked for, and what its cap took."""
    sources = tuple(Source(name, nothing(), max_share=caps.get(name)) for name in stock)
    shares = plan(MixtureSpec("m", sources, **options), {name: Stock(rows, 10 * rows) for name, rows in stock.items()})  # type: ignore[arg-type]
    return {share.source: (share.amount, share.capped) for share in shares}


def test_a_source_is_at_most_its_share_of_what_goes_in() -> None:
    assert capped({"chat": 900, "maths": 130}, {"chat": 0.35}) == {"chat": (70, 830), "maths": (130, 0)}
    assert capped({"chat": 10, "maths": 130}, {"chat": 0.35}) == {"chat": (10, 0), "maths": (130, 0)}
    two = capped({"chat": 900, "code": 800, "maths": 100}, {"chat": 0.5, "code": 0.25})
    assert two == {"chat": (200, 700), "code": (100, 700), "maths": (100, 0)}


def test_the_sample_under_a_larger_cap_has_that_under_a_smaller_one() -> None:
    sizes = [capped({"chat": 900, "maths": 130}, {"chat": cap / 100})["chat"][0] for cap in range(1, 101)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 900


def test_with_weights_other_sources_make_up_for_a_cap() -> None:
    stock, weights = dict.fromkeys("abc", 1_000), {"a": 8, "b": 1, "c": 1}
    found = capped(stock, {"a": 0.35}, weights=weights, total=Rows(100))
    assert found == {"a": (35, 45), "b": (33, 0), "c": (32, 0)}
    found = capped(stock, {"a": 0.35, "b": 0.3}, weights=weights, total=Rows(100))
    assert found == {"a": (35, 45), "b": (30, 0), "c": (35, 0)}
    size = capped({"a": 900, "b": 100}, {"a": 0.35}, weights="size", total=Rows(100))
    assert size == {"a": (35, 55), "b": (65, 0)}
    with pytest.raises(MixtureError, match=r"leaves 1 of total=Rows\(n=101\) to no source"):
        capped(dict.fromkeys("ab", 1_000), dict.fromkeys("ab", 0.5), weights={"a": 1, "b": 1}, total=Rows(101))


def test_a_cap_counts_what_a_short_source_delivers() -> None:
    sources = (Source("chat", nothing(), take=Rows(50), max_share=0.5), Source("maths", nothing(), take=Rows(50)))
    mixture, stock = MixtureSpec("m", sources, on_shortage="shrink"), {"chat": Stock(50, 0), "maths": Stock(20, 0)}
    assert [(share.asked, share.amount) for share in plan(mixture, stock)] == [(20, 20), (50, 20)]


def test_caps_that_leave_nothing_are_explained() -> None:
    with pytest.raises(MixtureError, match="max_share= of chat leaves no row"):
        capped({"chat": 900, "maths": 0}, {"chat": 0.35})
    with pytest.raises(MixtureError, match=r"all sources add up to 0\.8"):
        capped({"chat": 900, "maths": 10}, {"chat": 0.4, "maths": 0.4})
    sources = (Source("a", nothing(), take=Tokens(9), max_share=0.5), rows_of(All()))
    with pytest.raises(MixtureError, match="needs one unit"):
        MixtureSpec("m", (sources[0], Source("b", nothing())))
    with pytest.raises(MixtureError, match=r"max_share=1\.5: a number above 0, at most 1"):
        Source("a", nothing(), max_share=1.5)
