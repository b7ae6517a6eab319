"""Near-verbatim copies of questions: led to by rare n-grams, aligned word by word, compared by characters too."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.evalsets.items import EvalSet
from curate.kernels.buffers import frozen
from curate.kernels.hash_table import bloom_of, table_of
from curate.kernels.load_once import load_once
from curate.steps.decontaminate._fuzzy_kernel import N, RareGrams, near
from curate.steps.decontaminate._index import Texts, compiled, more_than, taken
from curate.steps.decontaminate._search import FUZZY, Batch, characters, found_frame
from curate.text.ngrams import Words, ngrams
from curate.text.normal import normalise

LEAST: Final = 10
"""Words of a question that is looked for: of fewer, one changed word makes another question ("What is the meaning of
life?"). With 6, 640 of 85,000 rows of LIMA, FLAN CoT and T0 are false alarms; with 10, one."""

POSTS: Final = 50
"""Texts that an n-gram leads to, at most; the `RAREST` of a text lead to it however common they are."""

RAREST: Final = 6

SHARE: Final = 0.25
"""Share of the n-grams of a text that a turn must hold. One changed word leaves 5 of the 9 of a text of twelve."""

LEEWAY: Final = 0.25
"""How much lower the share of words in common may be than that of characters: words that changed have letters left."""


class Rephrased(NamedTuple):
    """The questions to look for: the texts of the index, their rare n-grams, and as strings of words."""

    texts: NDArray[np.int32]
    grams: RareGrams
    strings: pl.Series


@load_once(4)
def searched(evals: tuple[EvalSet, ...], ngram: int, threshold: float, *, numbers: bool = True) -> Rephrased:
    """Return what to search for besides the index of these arguments, built by the first thread that asks and kept."""
    index = compiled(evals, ngram, threshold, numbers=numbers)
    texts = np.flatnonzero(index.questions.sizes >= LEAST).astype(np.int32)
    strings = index.items.asked.take(pa.array(index.questions.item[texts]))
    grams = _rare_grams(taken(index.questions, texts), threshold, numbers=numbers)
    return Rephrased(texts, grams, plain(strings))


def _rare_grams(texts: Texts, threshold: float, *, numbers: bool) -> RareGrams:
    hashes, begins = ngrams(Words(texts.words, texts.begins, np.zeros(0, np.bool_)), N, short=False)
    keys, inverse = np.unique(hashes, return_inverse=True)
    counts = np.diff(begins)
    owner = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    place = np.arange(len(hashes)) - np.repeat(begins[:-1], counts)
    first = _first(inverse.astype(np.int64) << 32 | owner)
    owner, place, number = owner[first], place[first], inverse[first]
    frequency = np.bincount(number, minlength=len(keys))[number]
    order = np.lexsort((place, frequency, owner))
    kept = (frequency <= POSTS)[order] | (_ranks(owner[order]) < RAREST)
    order = order[kept]
    order = order[np.lexsort((owner[order], number[order]))]
    digits = texts.numbers & numbers
    held = np.diff(np.concatenate([[0], np.cumsum(digits)])[texts.begins])
    posts = np.bincount(number[order], minlength=len(keys))
    each = np.bincount(owner[order], minlength=len(counts))
    return RareGrams(
        table_of(keys),
        bloom_of(keys[posts > 0]),
        frozen(owner[order].astype(np.int32)),
        frozen(place[order].astype(np.int32)),
        frozen(np.concatenate([[0], np.cumsum(posts)]).astype(np.int64)),
        texts.words,
        texts.begins,
        frozen(np.maximum(np.ceil(SHARE * each), 1).astype(np.int32)),
        frozen(digits),
        frozen(more_than(threshold, held)),
        int(texts.sizes.max(initial=0)),
    )


def _first(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each distinct value comes first."""
    order = np.argsort(pairs, kind="stable")
    return order[np.diff(pairs[order], prepend=-1) != 0]


def _ranks(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many entries of its owner come before each; owners stand together."""
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    return np.arange(len(owner)) - np.repeat(begins, np.diff(begins, append=len(owner)))


def plain(texts: pa.StringArray) -> pl.Series:
    """Return the words of texts in normal form, with a space between: what similarity of characters is taken of.

    >>> plain(pa.array(["Isn't 1,000 enough?!"])).to_list()
    ["isn't 1 000 enough"]
    """
    return pl.Series(normalise(texts)).str.replace_all(r"[^\p{L}\p{N}\p{M}']+", " ").str.strip_chars(" ")


def rephrased(batch: Batch, index: Rephrased, known: pl.DataFrame, fuzzy: float) -> pl.DataFrame:
    """Return the questions that rows hold with a similarity of `fuzzy` or more, besides the `known` hits.

    A stretch of a turn and a question have the greater of two similarities, of their words and of their characters: 1
    less the share of the longer that is put in, left out or changed (Levenshtein).
    """
    least = max(fuzzy - LEEWAY, 0.0)
    lines, count = near(batch.turns, index.grams, least)
    lines = lines[:count]
    lines = lines[np.lexsort((lines[:, 1], lines[:, 0]))]
    text = index.texts[lines[:, 1]]
    sizes = np.diff(index.grams.begins)[lines[:, 1]].astype(np.int32)
    zero = np.zeros(len(lines), np.int32)
    score = 1 - lines[:, 4] / np.maximum(lines[:, 3], sizes)
    found = found_frame(batch, lines[:, 0], text, FUZZY, score, lines[:, 2], lines[:, 3], zero, item_end=sizes)
    found = found.join(known, on=["row", "text"], how="anti", maintain_order="left")
    asked = np.searchsorted(index.texts, found["text"].to_numpy())
    alike = _alike(index.strings.gather(asked), _stretches(batch, found), fuzzy)
    return found.with_columns(score=pl.max_horizontal("score", alike)).filter(pl.col("score") >= fuzzy - 1e-9)


def _stretches(batch: Batch, found: pl.DataFrame) -> pl.Series:
    """Return the words of the stretches that were found."""
    place = found["place"].to_numpy()
    start, end = characters(batch, place, found["at"].to_numpy(), found["words"].to_numpy())
    turns = batch.strings(place)
    return plain(turns.str.slice(pl.Series(start), pl.Series(end - start)).to_arrow().cast(pa.string()))


def _alike(asked: pl.Series, found: pl.Series, fuzzy: float) -> pl.Series:
    """Return the similarity of each pair by characters; 0 where it is below `fuzzy`."""
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    scores = process.cpdist(
        asked.to_list(), found.to_list(), scorer=Levenshtein.normalized_similarity, score_cutoff=fuzzy, dtype=np.float64
    )
    return pl.Series(scores)
