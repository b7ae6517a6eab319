"""A take that covers as much as it can: rows with n-grams and templates that no chosen row has yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import check_number, check_whole
from curate.kernels.buffers import frozen, view
from curate.kernels.hash_table import BITS, empty_bloom, enter_twice
from curate.kernels.hashing import hash_strings
from curate.mix.takes._cover_kernel import RowItems, cover, number_words
from curate.mix.takes.ranked import factors, numbers
from curate.mix.takes.selection import Budget, Choice, Selection
from curate.mix.takes.template import prompt_ends, shared_end
from curate.rows.frame import check_columns
from curate.rows.segments import On, Segments, check_on, select
from curate.rows.shingles import COMPARED, joined, row_sets
from curate.steps.base import GroupKeys, KeyLists

READ_AT_ONCE: Final = 1 << 15
"""Rows whose n-grams are read together."""

FRAME: Final = 60
"""Tokens added to what a row costs, so that the shortest of many rows does not always come first."""

FREQUENT: Final = 1_000
"""An n-gram that one row in so many has belongs to a template, and counts for every row that has it."""

TEMPLATE: Final = 4.0
"""What a template is worth for each row that has it, beside its n-grams."""

FLOOR: Final = 110.0
"""What any template is worth at least."""

LEAST: Final = 3
"""Rows that a template must have to count."""


@dataclass(frozen=True, repr=False)
class Diverse(Selection):
    """The rows that cover most: n-grams and templates that no chosen row has yet, for each token that a row costs.

    A greedy cover. What a row adds are its n-grams that no row before it has, each weighed by the square root of the
    rows that have it (by all of them if one row in 1,000 has it), and its template (`Stratified`), if no row before it
    has that one. What it adds, for its tokens, decides which row comes next. So what many rows share comes early and
    once; after that, rows with much of their own come, and rows that repeat others last.

    Each choice is the best among as many rows as cost `ahead` times the tokens chosen so far, looked at in a random
    order that the seed decides. Few to choose from keep the shares of sources and templates near those of a random
    sample; many cover more.

    `steps/<source>-take/chosen.parquet` says of each row how many of its `ngrams` no row before it had (`adds`).

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`; left out where weights decide.
        on: The text that counts: a scope such as "prompt" or "all", or a set of roles.
        ngram: Words of an n-gram, as `dedup` makes them.
        ahead: How many times the chosen tokens a choice looks at, from 1, which is a random sample.
        quality: A column with numbers, such as a score: what a row adds is multiplied by it. Rows without it, or with 0
            or less, come last.
        exponent: The power to which quality is raised: 0 is coverage alone, a high one nearly quality alone.

    Raises:
        MixtureError: An argument is out of its range; in a build, `quality` is no column with numbers.

    Example:
        >>> Diverse(10_000, quality="meta.rating", exponent=2).amount
        Rows(n=10000)

    References:
        Nemhauser, Wolsey and Fisher, "An analysis of approximations for maximizing submodular set functions" (1978).
    """

    on: On = field(default="all", kw_only=True)
    ngram: int = field(default=5, kw_only=True)
    ahead: float = field(default=27.0, kw_only=True)
    quality: str | None = field(default=None, kw_only=True)
    exponent: float = field(default=1.0, kw_only=True)

    name: ClassVar[str] = "diverse"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "on", check_on(self.on))
        check_whole(f"Diverse(ngram={self.ngram!r})", self.ngram, least=1)
        check_number(f"Diverse(ahead={self.ahead!r})", self.ahead, least=1)
        check_number(f"Diverse(exponent={self.exponent!r})", self.exponent, least=0)
        if self.quality is not None:
            check_columns([self.quality], f"Diverse(quality={self.quality!r})")

    def sign(self, segments: Segments) -> GroupKeys:
        """Return hashes of the ends of the prompt, the set of n-grams, and the quality where one is named.

        Columns: `start` and `end` (uint64), `size` (int32), the number of n-grams, and `quality` (float64). Lists:
        `ngrams`, uint64, ascending and distinct.
        """
        offsets, ngrams = joined(list(row_sets(select(segments, self.on, COMPARED), self.ngram)))
        start, end = (hash_strings(view(found)).high for found in prompt_ends(segments))
        columns: dict[str, NDArray[np.generic]] = {"start": start, "end": end, "size": np.diff(offsets)}
        if self.quality is not None:
            columns["quality"] = numbers(segments, self.quality, "Diverse")
        return GroupKeys(columns, {"ngrams": ngrams})

    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:
        """Return the rows in the order of the cover, with what each `adds`, its `ngrams`, and a new `template`."""
        items, weight = _items(keys, lists)
        rows = RowItems(
            items=frozen(items.items),
            offsets=frozen(items.offsets),
            alone=frozen(items.alone.astype(np.float64)),
            cost=frozen(keys["tokens"].to_numpy().astype(np.int64)),
            factor=frozen(factors(keys, self.exponent)),
        )
        order, added = cover(rows, frozen(weight), FRAME, self.ahead, budget.rows, budget.tokens)
        template = items.template[order]
        first = np.zeros(len(order), np.bool_)
        first[np.unique(template, return_index=True)[1]] = True
        first &= template >= 0
        shared = np.diff(items.offsets)[order] - (template >= 0)
        alone = items.alone[order]
        why = {"adds": added - first + alone, "ngrams": shared + alone, "template": first}
        return Choice(order, pl.DataFrame(why))


class CoverItems(NamedTuple):
    """The n-grams that several rows have, and the template of each row, numbered on from them (-1: none).

    Row `i` has `items[offsets[i]:offsets[i + 1]]`, its template last, and `alone[i]` n-grams that no other row has.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    alone: NDArray[np.int64]
    template: NDArray[np.int64]


def _items(keys: pl.DataFrame, lists: KeyLists) -> tuple[CoverItems, NDArray[np.float64]]:
    """Number all that rows can add; return it, and what each is worth.

    The first reading finds the n-grams that are there twice, so that the second needs memory for these alone.
    """
    chunks = [
        np.arange(first, min(first + READ_AT_ONCE, keys.height), dtype=np.int64)
        for first in range(0, keys.height, READ_AT_ONCE)
    ]
    total = int(keys["size"].sum())
    once, twice = (empty_bloom(total) for _ in range(2))
    shared = sum(enter_twice(frozen(lists.read("ngrams", chunk).values.to_numpy()), once, twice) for chunk in chunks)
    room = 2 * shared + total // BITS  # a filter takes some words that are there once for one that is there twice
    table = np.zeros(1 << max(room, BITS).bit_length(), np.uint64)
    rows_with = np.zeros(len(table), np.int64)
    template, rows_of = _templates(keys)
    number = np.where(template >= 0, len(table) + template, -1)
    found = []
    for chunk in chunks:
        read = lists.read("ngrams", chunk)
        words, offsets = frozen(read.values.to_numpy()), frozen(read.offsets.to_numpy().astype(np.int64))
        found.append(number_words(words, offsets, frozen(number[chunk]), frozen(twice), table, rows_with))
    items = np.concatenate([np.zeros(0, np.int32), *(one.items for one in found)])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *(one.size for one in found)]))])
    alone = np.concatenate([np.zeros(0, np.int64), *(one.alone for one in found)])
    frequent = rows_with * FREQUENT >= keys.height
    worth = np.where(frequent, rows_with, np.sqrt(rows_with))
    return CoverItems(items, offsets, alone, template), np.concatenate([worth, np.maximum(TEMPLATE * rows_of, FLOOR)])


def _templates(keys: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the templates: return that of each row, -1 where it has none, and the rows of each template."""
    ends = keys.select(shared_end("start"), shared_end("end"))
    known = ends["start"].is_not_null() | ends["end"].is_not_null()
    of = ends.select(pl.struct("start", "end").rank("dense")).to_series().cast(pl.Int64) - 1
    rows_of = np.bincount(of.to_numpy(), known.to_numpy()).astype(np.int64) if keys.height else np.zeros(0, np.int64)
    template = of.to_numpy()
    return np.where(known.to_numpy() & (rows_of[template] >= LEAST), template, -1), rows_of
