"""A take of rows like those of a reference: importance resampling over hashed n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.evalsets.items import Evals, EvalSet, flat
from curate.io.inputs import Input, Stored, rows_of
from curate.kernels.buffers import frozen, view
from curate.mix.takes.selection import Budget, Choice, Selection, within
from curate.rows.joined_text import row_texts
from curate.rows.segments import CONTENT, On, Segments, check_on, select
from curate.steps.base import GroupKeys, KeyLists
from curate.text.ngrams import hash_words, ngrams

BUCKETS: Final = 10_000
"""Buckets that n-grams are hashed to, as in DSIR."""

LONGEST: Final = 2
"""Words of the longest n-gram, as in DSIR: single words and pairs."""

PRIOR: Final = 10_000
"""N-grams of the source that are added to those of the reference: as many as these, but no more. Few prompts do not
say which words they lack: with DSIR's 1e-8, an n-gram that they lack costs as much as dozens that they share, and the
shortest rows come first. Of the first 300 rows that 100 prompts of GSM8K choose from 20,000 of T0, FLAN, GSM8K and
others (11 % GSM8K), 12 % are GSM8K's with 1e-8, and 41 %, 89 % and 87 % with 100, 1,000 and 10,000; of the first 1,000,
9 %, 25 %, 63 % and 87 %."""

UNIT: Final = 1_000_000
"""Log ratios are whole millionths: their sums are the same in any order and on any machine."""

READ_AT_ONCE: Final = 1 << 15
"""Rows whose n-grams are read together."""

KNOWN: Final = 200
"""Different words of a row, the first ones, of which the most telling are shown."""

TELLING: Final = 3
"""Words that are shown of each row."""

SHOWN: Final = 40
"""Characters that are shown of a word."""


@dataclass(frozen=True, repr=False)
class Similar(Selection):
    """Rows like those of a reference, such as the prompts that a model is tuned for (query mode): DSIR.

    A row's words and pairs of words are hashed to 10,000 buckets. What an n-gram says is the log of its probability in
    the reference over that in the source, and the importance weight of a row is the sum over its n-grams; it is not
    divided by their number. Rows come in the order of weight plus Gumbel noise, so the first n are a sample without
    replacement in which a row of twice the weight (before the log) is drawn twice as often. Rows without a word come
    last.

    Unlike DSIR, n-grams of the source are added to those of the reference, as many as it has and 10,000 at most, so
    that a word that a few queries lack costs little; with many queries that makes no difference.

    A query must not be an item of a test set, or the eval would measure what it chose. Items of `test_sets`, and of the
    eval sets that a `decontaminate()` of the mixture searches for, are searched for in the queries before any row is
    read, as `decontaminate()` does it; a match stops the build.

    `steps/<source>-take/chosen.parquet` says of each row its `log_ratio`, without noise, its number of `ngrams`, the
    ratio `per_ngram`, and the `words` that say most for it.

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`; left out where weights decide.
        to: The reference: an input such as `files("dev.jsonl")`, a build, or the folder of one.
        on: The text that counts, of both: a scope such as "prompt" or "all", or a set of roles.
        noise: Whether to add noise; False takes the rows with the highest weights. It changes little where weights are
            tens apart, as those of rows of 50 words are.
        test_sets: Eval sets that no row of `to` may be an item of: `evals("gsm8k")`, `evals.files(...)`.

    Raises:
        MixtureError: `n` is no amount, `on` is unknown, or `to` is an eval set or no input; in a build, `to` has no row
            with a word, or one that is a test item.
        SourceNotFoundError: A folder in `to` contains no build.

    Example:
        >>> from curate.io.inputs import files
        >>> from curate.evalsets.evals import evals
        >>> Similar(10_000, to=files("dev.jsonl"), test_sets=evals("gsm8k"))
        Similar(10000, to=..., test_sets=evals('gsm8k'))

    References:
        Xie, Santurkar, Ma and Liang, "Data Selection for Language Models via Importance Resampling" (NeurIPS 2023;
        arXiv:2302.03169; github.com/p-lambda/dsir).
    """

    to: Stored = field(kw_only=True)
    on: On = field(default="prompt", kw_only=True)
    noise: bool = field(default=True, kw_only=True)
    test_sets: Evals = field(default=(), kw_only=True)

    name: ClassVar[str] = "similar"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "to", reference_of(self.to, "Similar"))
        object.__setattr__(self, "on", check_on(self.on))
        object.__setattr__(self, "test_sets", flat([self.test_sets], "Similar(test_sets=...)"))

    def against(self) -> tuple[Input, ...]:
        """Return the reference."""
        return (rows_of(self.to, "Similar(to="),)

    def refused(self, searched: Sequence[EvalSet]) -> tuple[EvalSet, ...]:
        """Return the test sets, and all that the mixture searches for."""
        return (*flat([self.test_sets], "Similar(test_sets=...)"), *searched)

    def check_reference(self, keys: pl.DataFrame, who: str) -> None:
        """Raise `MixtureError` where the reference has no word."""
        if not keys["ngrams"].sum():
            raise MixtureError(f"{who}: no row of the input has a word in on={self.on!r}, so nothing is like it")

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the buckets of the n-grams of each row.

        Columns: `ngrams` (int32), their number. Lists: `buckets` (uint16), one for each, and `words`, the different
        words of the row in normal form, the first 200.
        """
        chosen = select(segments, self.on, CONTENT)
        row, bucket = [np.zeros(0, np.int32)], [np.zeros(0, np.uint16)]
        for part in chosen.parts:
            words = hash_words(part.text, part.index)
            for n in range(1, LONGEST + 1):
                hashes, ends = ngrams(words, n, short=False)
                row.append(np.repeat(part.row, np.diff(ends)))
                bucket.append(_buckets(hashes))
        rows = np.concatenate(row)
        values = np.concatenate(bucket)[np.argsort(rows, kind="stable")]
        size = np.bincount(rows, minlength=segments.rows).astype(np.int32)
        offsets = pa.array(np.concatenate([[0], np.cumsum(size)]).astype(np.int32))
        split = pl.Series(row_texts(chosen), dtype=pl.String).str.split(" ")
        known = split.list.unique(maintain_order=True).list.head(KNOWN).to_arrow().cast(pa.list_(pa.string()))
        return GroupKeys(
            {"ngrams": size}, {"buckets": pa.ListArray.from_arrays(offsets, pa.array(values)), "words": known}
        )

    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:
        """Return the rows by weight and noise, with `log_ratio`, `ngrams`, `per_ngram` and `words` of each."""
        beside = keys["reference"].to_numpy()
        own = np.flatnonzero(~beside)
        given, held = (_counts(lists, lines) for lines in (np.flatnonzero(beside), own))
        says = log_ratios(given, held)
        weight, size = _weights(lists, own, says), keys["ngrams"].to_numpy()[own]
        value = weight / UNIT
        if self.noise:
            value += gumbel(keys["rank"].to_numpy()[own])
        order = np.argsort(np.where(size > 0, -value, np.inf), kind="stable")
        order = within(order, keys["tokens"].to_numpy(), budget)
        ratio = weight[order] / UNIT
        why = {"log_ratio": ratio, "ngrams": size[order], "per_ngram": ratio / np.maximum(size[order], 1)}
        return Choice(order, pl.DataFrame(why).with_columns(words=_telling(lists, order, says)))


def reference_of(given: object, take: str) -> Input:
    """Return what a take is held against as an input; raises `MixtureError` for an eval set, or what is no input."""
    sets = given if isinstance(given, tuple) else (given,)
    if sets and all(isinstance(one, EvalSet) for one in sets):
        names = ", ".join(repr(one.name) for one in sets if isinstance(one, EvalSet))
        raise MixtureError(
            f"{take}(to=evals({names})): rows chosen by the items of an eval would make it look better than the model "
            "is. Choose by dev prompts, from files(...), and name the eval in test_sets=, so that none of its items is "
            "among them"
        )
    return rows_of(given, f"{take}(to=")  # type: ignore[arg-type]  # what is none of them is refused there


def log_ratios(given: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what each bucket says, in millionths: the log of its probability in the reference over the source's.

    `given` counts the n-grams of the reference by bucket, `held` those of the source, of which as many as the reference
    has are added to it, `PRIOR` at most. A bucket that no row of the source has says nothing.

    >>> log_ratios(np.array([10_000, 0, 0]), np.array([1, 3, 0])).tolist()
    [916291, -693147, 0]
    """
    share = held / max(int(held.sum()), 1)
    total = int(given.sum())
    prior = min(PRIOR, max(total, 1))
    times = (np.divide(given, share, out=np.zeros(len(held)), where=held > 0) + prior) / (total + prior)
    return np.where(held > 0, np.rint(np.log(times) * UNIT), 0).astype(np.int64)


def gumbel(rank: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return Gumbel noise from random 64-bit numbers, the more the lower the number, in whole millionths.

    >>> gumbel(np.array([1 << 63], np.uint64)).tolist()
    [0.366513]
    """
    chance = (rank.astype(np.float64) + 0.5) / 2.0**64
    return np.rint(-np.log(-np.log1p(-np.minimum(chance, 1 - 2.0**-53))) * UNIT) / UNIT


def _buckets(hashes: NDArray[np.uint64]) -> NDArray[np.uint16]:
    return (hashes % np.uint64(BUCKETS)).astype(np.uint16)


def _chunks(lines: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (lines[first : first + READ_AT_ONCE] for first in range(0, len(lines), READ_AT_ONCE))


def _counts(lists: KeyLists, lines: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the n-grams of rows by bucket."""
    found = np.zeros(BUCKETS, np.int64)
    for chunk in _chunks(lines):
        found += np.bincount(lists.read("buckets", chunk).values.to_numpy(), minlength=BUCKETS)
    return found


def _weights(lists: KeyLists, lines: NDArray[np.int64], says: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of what the n-grams of each row say."""
    found = [np.zeros(0, np.int64)]
    for chunk in _chunks(lines):
        read = lists.read("buckets", chunk)
        total = np.concatenate([[0], np.cumsum(says[read.values.to_numpy()])])
        found.append(np.diff(total[read.offsets.to_numpy()]))
    return np.concatenate(found)


def _telling(lists: KeyLists, lines: NDArray[np.int64], says: NDArray[np.int64]) -> pl.Series:
    """Return the words of each row that say most for it, the most telling first."""
    found = [pl.Series(dtype=pl.String)]
    for chunk in _chunks(lines):
        words = pl.Series(lists.read("words", chunk), dtype=pl.List(pl.String))
        each = pl.DataFrame({"row": pl.int_range(len(words), eager=True), "word": words}).explode("word")
        each = each.with_columns(says=_says(each["word"], says)).filter(pl.col("says") > 0)
        each = each.sort(["row", "says", "word"], descending=[False, True, False])
        best = each.group_by("row", maintain_order=True).head(TELLING)
        joined = best.group_by("row", maintain_order=True).agg(pl.col("word").str.head(SHOWN).str.join(", "))
        every = pl.DataFrame({"row": pl.int_range(len(words), eager=True)})
        found.append(every.join(joined, on="row", how="left", maintain_order="left")["word"].fill_null(""))
    return pl.concat(found)


def _says(words: pl.Series, says: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what each word says; a text that is no single word says nothing."""
    texts = words.fill_null("").to_arrow().cast(pa.string())
    hashes, ends = ngrams(hash_words(view(texts), frozen(np.arange(len(texts), dtype=np.int32))), 1)
    single = np.diff(ends) == 1
    found = np.zeros(len(texts), np.int64)
    found[single] = says[_buckets(hashes[ends[:-1][single]])]
    return found
