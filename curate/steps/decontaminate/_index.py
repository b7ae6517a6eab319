"""Eval items made ready for search: their texts as tables of hashes, built once for each set of evals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.kernels.buffers import frozen, view
from curate.kernels.hash_table import bloom_of, table_of
from curate.kernels.load_once import load_once
from curate.steps.decontaminate._ngram_kernel import Grams, Shorts, essential, prefixes
from curate.text.ngrams import Words, hash_words, ngrams

if TYPE_CHECKING:
    from curate.evalsets.items import EvalSet

LABELS: Final = ("q", "question", "user", "human", "prompt", *map(str, range(1, 1000)))
"""Words that may stand before a question on its line: "Q: Who invented the light bulb?"."""


class Items(NamedTuple):
    """Every eval item, in the order of the eval sets; `-1` for an item without a text of that use.

    `eval` is a place in `names`; `question` and `answer` are texts, `asked` is the question as the set has it.
    """

    names: tuple[str, ...]
    eval: NDArray[np.int32]
    ids: pa.StringArray
    question: NDArray[np.int32]
    answer: NDArray[np.int32]
    asked: pa.StringArray


class Texts(NamedTuple):
    """The distinct texts of items, as words in normal form: text `t` has `words[begins[t]:begins[t + 1]]`.

    `item` is the first item that has it, `numbers` tells which words hold a digit.
    """

    words: NDArray[np.uint64]
    begins: NDArray[np.int64]
    numbers: NDArray[np.bool_]
    item: NDArray[np.int32]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Words of each text."""
        return np.diff(self.begins)


class Vocabulary(NamedTuple):
    """The words of short texts: text `t` has the distinct `words[begins[t]:begins[t + 1]]`, places in the vocabulary.

    `share` is the share of all questions that have the word, beside the one at hand.
    """

    words: NDArray[np.int32]
    begins: NDArray[np.int64]
    share: NDArray[np.float64]


class Index(NamedTuple):
    """What the search needs. Texts of questions come first, then those of answers; each has `sizes` words.

    `long` and `short` are the texts that `grams` and `shorts` number from 0. `digests` stand for what each set holds.
    """

    items: Items
    digests: tuple[str, ...]
    questions: Texts
    sizes: NDArray[np.int32]
    long: NDArray[np.int32]
    grams: Grams
    short: NDArray[np.int32]
    shorts: Shorts
    vocabulary: Vocabulary


@load_once(4)
def compiled(evals: tuple[EvalSet, ...], ngram: int, threshold: float, *, numbers: bool = True) -> Index:
    """Return the index of these evals, built by the first thread that asks (2 s for 40,000 items) and kept."""
    loaded = [one.load() for one in evals]
    sizes = [len(items.ids) for items in loaded]
    questions, question = _texts([items.question for items in loaded])
    answers, answer = _texts([items.answer for items in loaded])
    base = len(questions.item)
    items = Items(
        tuple(one.name for one in evals),
        np.repeat(np.arange(len(evals), dtype=np.int32), sizes),
        _joined([items.ids for items in loaded]),
        question,
        np.where(answer < 0, -1, answer + base).astype(np.int32),
        _joined([items.question for items in loaded]),
    )
    every = _texts_of(questions, answers)
    short = np.flatnonzero(questions.sizes < ngram).astype(np.int32)
    long = np.flatnonzero(every.sizes >= ngram).astype(np.int32)
    shorts, vocabulary = _shorts(questions, short)
    grams = grams_of(taken(every, long), long >= base, ngram, threshold, numbers=numbers)
    digests = tuple(one.digest() for one in loaded)
    return Index(items, digests, questions, every.sizes.astype(np.int32), long, grams, short, shorts, vocabulary)


def _texts_of(questions: Texts, answers: Texts) -> Texts:
    """Return the texts of both, one after the other."""
    return Texts(
        np.concatenate([questions.words, answers.words]),
        np.concatenate([questions.begins, questions.begins[-1] + answers.begins[1:]]),
        np.concatenate([questions.numbers, answers.numbers]),
        np.concatenate([questions.item, answers.item]),
    )


def _joined(arrays: list[pa.StringArray]) -> pa.StringArray:
    return pa.concat_arrays([array.cast(pa.string()) for array in arrays])


def _texts(arrays: list[pa.StringArray]) -> tuple[Texts, NDArray[np.int32]]:
    """Return the distinct texts, in the order of the items, and the text of each item; -1 for one without words."""
    strings = pc.fill_null(_joined(arrays), "")
    words = hash_words(view(strings), np.arange(len(strings), dtype=np.int32))
    sizes = np.diff(words.offsets)
    full = np.flatnonzero(sizes)
    whole, _ = ngrams(words, max(int(sizes.max(initial=0)), 1))
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(first)
    text = np.full(len(strings), -1, np.int32)
    text[full] = np.argsort(order)[inverse]
    item = full[first[order]]
    every = Texts(words.hashes, words.offsets, _numbers(strings, words), np.arange(len(strings), dtype=np.int32))
    return taken(every, item.astype(np.int32))._replace(item=item.astype(np.int32)), text


def _numbers(strings: pa.StringArray, words: Words) -> NDArray[np.bool_]:
    """Tell which words hold a digit 0 to 9: those that are another word with letters in the place of digits."""
    lettered = pc.replace_substring_regex(strings, "[0-9]", "q")
    return hash_words(view(lettered), np.arange(len(strings), dtype=np.int32)).hashes != words.hashes


def taken(texts: Texts, which: NDArray[np.int32]) -> Texts:
    """Return some of the texts."""
    begins = np.concatenate([[0], np.cumsum(texts.sizes[which])]).astype(np.int64)
    place = np.arange(begins[-1]) + np.repeat(texts.begins[which] - begins[:-1], texts.sizes[which])
    return Texts(frozen(texts.words[place]), frozen(begins), frozen(texts.numbers[place]), texts.item[which])


def distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct values, sorted: `np.unique`, which hashes and takes 20 times as long on pairs of numbers."""
    values = np.sort(values)
    return values[np.diff(values, prepend=values[:1] - 1) != 0]


def grams_of(texts: Texts, solution: NDArray[np.bool_], n: int, threshold: float, *, numbers: bool) -> Grams:
    """Return the n-grams of `texts`, which have `n` words or more each.

    A text is posted under so many of its n-grams, its rarest, that the others cover too few of its words to contaminate
    it: what hundreds of items have in common leads to none of them. With `numbers`, a row must hold more than that
    share of the text's numbers too.
    """
    words = Words(texts.words, texts.begins, np.zeros(0, np.bool_))
    hashes, begins = ngrams(words, n, short=False)
    keys, inverse = np.unique(hashes, return_inverse=True)
    gram = inverse.astype(np.int32)
    owner = np.repeat(np.arange(len(texts.item), dtype=np.int64), np.diff(begins))
    frequency = np.bincount(distinct(gram.astype(np.int64) << 32 | owner) >> 32, minlength=len(keys))
    sizes = texts.sizes
    needs = more_than(threshold, sizes)
    digits = texts.numbers & numbers
    figures, inverse = np.unique(texts.words[digits], return_inverse=True)
    number = np.full(len(digits), -1, np.int32)
    number[digits] = inverse
    held = np.diff(np.concatenate([[0], np.cumsum(digits)])[texts.begins])
    order = np.argsort(owner << 32 | (1 << 31) - frequency[gram], kind="stable")
    posted = essential(frozen(order), frozen(begins), n, frozen(needs))
    pairs = distinct(gram[posted].astype(np.int64) << 32 | owner[posted])
    counts = np.bincount(pairs >> 32, minlength=len(keys))
    return Grams(
        n,
        table_of(keys),
        bloom_of(keys[counts > 0]),
        frozen(gram),
        frozen(begins),
        texts.words,
        texts.begins,
        frozen(solution),
        frozen(needs),
        table_of(figures),
        frozen(number),
        frozen(more_than(threshold, held)),
        frozen((pairs & 0xFFFFFFFF).astype(np.int32)),
        frozen(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
    )


def more_than(share: float, counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the least numbers above these shares of counts, or the counts; rounded, as 0.29 of 100 is 28.999..."""
    return np.minimum(np.floor(np.round(share * counts, 9)) + 1, counts).astype(np.int32)


def _shorts(questions: Texts, which: NDArray[np.int32]) -> tuple[Shorts, Vocabulary]:
    texts = taken(questions, which)
    keys, inverse = np.unique(texts.words, return_inverse=True)
    single = np.zeros(len(keys), np.bool_)
    single[inverse[texts.begins[:-1][texts.sizes == 1]]] = True
    pairs = np.zeros(1 << max(len(which) // 2, 1).bit_length(), np.uint64)
    beginnings = prefixes(texts.words, texts.begins, pairs)
    labels = hash_words(view(pa.array(LABELS, pa.string())), np.arange(len(LABELS), dtype=np.int32))
    shorts = Shorts(
        len(which),
        int(texts.sizes.max(initial=0)),
        table_of(keys, room=16),
        frozen(single),
        frozen(pairs),
        bloom_of(beginnings),
        table_of(beginnings[texts.begins[1:] - 1]),
        frozen(np.sort(labels.hashes)),
    )
    owner = np.repeat(np.arange(len(which), dtype=np.int64), texts.sizes)
    held = distinct(owner << 32 | inverse)
    begins = np.concatenate([[0], np.cumsum(np.bincount(held >> 32, minlength=len(which)))]).astype(np.int64)
    return shorts, Vocabulary((held & 0xFFFFFFFF).astype(np.int32), begins, _shares(questions, keys))


def _shares(questions: Texts, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return for each of the sorted `keys` the share of questions that have the word, less one."""
    known = np.searchsorted(keys, questions.words)
    known[known == len(keys)] = 0
    held = keys[known] == questions.words if len(keys) else np.zeros(0, np.bool_)
    owner = np.repeat(np.arange(len(questions.item), dtype=np.int64), questions.sizes)
    pairs = distinct(known[held].astype(np.int64) << 32 | owner[held]) if len(keys) else np.zeros(0, np.int64)
    counts = np.bincount(pairs >> 32, minlength=len(keys))
    return np.maximum(counts - 1, 0) / max(len(questions.item), 1)
