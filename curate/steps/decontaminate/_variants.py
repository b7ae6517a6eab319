"""Questions of one template, separated by the words that differ ("Where would you get a pen?", "... a dog?")."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.steps.decontaminate._index import Texts, telling
from curate.steps.decontaminate._search import Batch, characters
from curate.text.ngrams import word_spans

FUNCTION_WORDS: Final = (
    "a about after all also an and answer any are aren't as at be because been before being between both but by can "
    "can't could describe did didn't do does doesn't doing don't done down during each either else ever every "
    "explain following for from get gets getting give given gives had has have having he her here him his how i i'm "
    "if in into is isn't it it's its just like many may me might more most much must my no nor not of off on one "
    "only or other our out over please question shall she should so some such tell than that that's the their them "
    "then there there's these they this those through to too under until up upon us very was wasn't we were what "
    "what's when where whether which while who whom whose why will with won't would you you're your yours"
)
"""English words that every question may have, whatever it asks."""

PRIOR: Final = 100
"""Questions without a word that are added to those of the evals: few questions do not say which words are common."""

SPELT_ALIKE: Final = 0.7
"""Similarity from which two words with the same first letter are one word spelt or inflected in two ways."""


class Asked(NamedTuple):
    """The questions to search for: their words, what each word says, and as strings."""

    texts: Texts
    says: NDArray[np.int64]
    strings: pa.StringArray


def asked_of(texts: Texts, strings: pa.StringArray) -> Asked:
    """Return questions with what their words say: 1 for a function word, else 1 + ln((N + 1) / (n + 1))."""
    return Asked(texts, telling(texts, PRIOR, tuple(FUNCTION_WORDS.split()))[2], strings)


def variants(batch: Batch, found: pl.DataFrame, asked: Asked, number: NDArray[np.int64], fuzzy: float) -> pl.Series:
    """Return which hits are other questions than theirs; `number` is the question of each hit.

    What a question's words say that the span lacks is more than a share of (1 - `fuzzy`) * (2.7 - 2 * `fuzzy`): 0.15 at
    0.85, where one changed word must not be what is asked, and 0.39 at 0.7, where words changed at random may say more.
    """
    return lacking(batch, found, asked, number) > (1 - fuzzy) * (2.7 - 2 * fuzzy) + 1e-9


def lacking(batch: Batch, found: pl.DataFrame, asked: Asked, text: NDArray[np.int64]) -> pl.Series:
    """Return for each hit the share of what its question says that the span lacks: no word there is spelt alike."""
    texts, place = asked.texts, found["place"].to_numpy()
    at, words = found["at"].to_numpy(), found["words"].to_numpy()
    hit = np.arange(len(text))
    mine, theirs = _ranges(texts.begins[text], texts.sizes[text]), _ranges(batch.turns.starts[place] + at, words)
    item = pl.DataFrame(
        {"hit": np.repeat(hit, texts.sizes[text]), "word": texts.words[mine], "says": asked.says[mine], "k": mine}
    )
    span = pl.DataFrame({"hit": np.repeat(hit, words), "word": batch.turns.words[theirs], "j": _ranges(at, words)})
    missing = item.join(span, on=["hit", "word"], how="anti", maintain_order="left")
    new = span.join(item, on=["hit", "word"], how="anti", maintain_order="left").unique(
        ["hit", "word"], keep="first", maintain_order=True
    )
    missing = missing.with_columns(old=_strings_of(missing["k"].to_numpy(), asked))
    new = new.with_columns(new=_strings_in(batch, place[new["hit"].to_numpy()], new["j"].to_numpy()))
    alike = _spelt_alike(missing.join(new.select("hit", "new"), on="hit"))
    missing = missing.join(alike, on=["hit", "k"], how="anti")
    says = [frame.group_by("hit").agg(pl.col("says").sum()) for frame in (item, missing)]
    both = says[0].join(says[1], on="hit", how="left", suffix="_not").sort("hit").fill_null(0)
    return both["says_not"] / both["says"]


def _ranges(starts: NDArray[np.integer], sizes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the numbers from each start on, as many as its size."""
    before = np.cumsum(sizes) - sizes
    return np.arange(int(np.sum(sizes))) + np.repeat(starts - before, sizes)


def _strings_of(which: NDArray[np.int64], asked: Asked) -> pl.Series:
    """Return words of questions as strings in lower case; word `which` is one of `asked.texts.words`."""
    texts = asked.texts
    text = np.searchsorted(texts.begins, which, side="right") - 1
    some, number = np.unique(text, return_inverse=True)
    spans = word_spans(view(asked.strings), some.astype(np.int32))
    k = spans.offsets[number] + which - texts.begins[text]
    start, end = spans.start[k].astype(np.int64), spans.end[k]
    return (
        pl.Series(asked.strings.take(pa.array(text)))
        .str.slice(pl.Series(start), pl.Series(end - start))
        .str.to_lowercase()
    )


def _strings_in(batch: Batch, place: NDArray[np.int32], at: NDArray[np.int64]) -> pl.Series:
    """Return words of turns as strings in lower case."""
    start, end = characters(batch, place, at.astype(np.int32), np.ones(len(at), np.int32))
    return batch.strings(place).str.slice(pl.Series(start), pl.Series(end - start)).str.to_lowercase()


def _spelt_alike(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of an old and a new word that are one word, without those that have a digit."""
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    pairs = pairs.filter(pl.col("old").str.head(1) == pl.col("new").str.head(1), ~pl.col("old").str.contains(r"[0-9]"))
    scores = process.cpdist(
        pairs["old"].to_list(), pairs["new"].to_list(), scorer=OSA.normalized_similarity, dtype=np.float64
    )
    return pairs.filter(pl.Series(scores, dtype=pl.Float64) >= SPELT_ALIKE)
