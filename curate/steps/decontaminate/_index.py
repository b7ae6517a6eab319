"""The search index of eval items: their texts as tables of hashes, built once per set of evals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.kernels.buffers import frozen, view
from curate.kernels.hash_table import bloom_of, table_of
from curate.kernels.load_once import load_once
from curate.steps.decontaminate._generic import Ignored, generic_ngrams
from curate.steps.decontaminate._ngram_kernel import Grams, Shorts, essential, prefixes
from curate.text.invisible import PATTERN
from curate.text.ngrams import WordHashes, hash_words, ngrams

if TYPE_CHECKING:
    from curate.evalsets.items import EvalSet

LABELS: Final = ("q", "question", "user", "human", "prompt", *map(str, range(1, 1000)))
"""Words that may precede a question on its line: "Q: Who invented the light bulb?"."""

UNFINISHED: Final = (
    r"(?i)^\W*(?:the|an?)\b[^?!.]*$"
    r"|^[^?]*(?::|\b(?:is|are|was|were|that|because|when|if|than|and|or|in|of|on|by|to|for|with|as|from|the|an?))[^\w.!?]*$"
)
"""Questions that are a name or the beginning of a sentence ("The Federal Reserve", "Sound travels in"), as in MMLU."""

UNIT: Final = 1_000_000
"""Content is counted in millionths."""

ENOUGH: Final = 150
"""Shared n-grams of this content are contamination even if the text says more: no template, no common code says as
much."""


class IndexItems(NamedTuple):
    """Every eval item, in the order of the eval sets; `-1` for an item without that text.

    `eval` is an index of `names`; `question` and `answer` are texts, `asked` is the verbatim question.
    """

    names: tuple[str, ...]
    eval: NDArray[np.int32]
    ids: pa.StringArray
    question: NDArray[np.int32]
    answer: NDArray[np.int32]
    asked: pa.StringArray


class Texts(NamedTuple):
    """The distinct texts of items, as words in normal form: text `t` has `words[begins[t]:begins[t + 1]]`.

    `item` is the first item that has it, `numbers` marks the words with a digit.
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

    `share` is the share of the other questions that have the word.
    """

    words: NDArray[np.int32]
    begins: NDArray[np.int64]
    share: NDArray[np.float64]


class Index(NamedTuple):
    """What the search needs. Texts of questions come first, then those of answers; each has `sizes` words.

    `long` and `short` are the texts that `grams` and `shorts` number from 0; `unfinished` marks the short ones that are
    no sentence. `digests` are content hashes of the sets.
    """

    items: IndexItems
    digests: tuple[str, ...]
    questions: Texts
    sizes: NDArray[np.int32]
    long: NDArray[np.int32]
    grams: Grams
    short: NDArray[np.int32]
    unfinished: NDArray[np.bool_]
    shorts: Shorts
    vocabulary: Vocabulary


@load_once(4)
def compiled(
    evals: tuple[EvalSet, ...],
    ngram: int,
    threshold: float,
    *,
    numbers: bool = True,
    content: float = 0.85,
    ignore: Ignored = (),
    symbols: bool = True,
) -> Index:
    """Return the index of these evals, built once (2 s for 40,000 items)."""
    loaded = [one.load() for one in evals]
    sizes = [len(items.ids) for items in loaded]
    questions, question = _texts([items.question for items in loaded])
    answers, answer = _texts([items.answer for items in loaded])
    base = len(questions.item)
    items = IndexItems(
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
    texts = taken(every, long)
    generic = generic_ngrams(texts, ngram, items.eval[texts.item], items.names, ignore, symbols=symbols)
    grams = grams_of(texts, long >= base, ngram, threshold, generic, numbers=numbers, content=content)
    asked = pc.replace_substring_regex(items.asked.take(pa.array(questions.item[short])), PATTERN, "")
    unfinished = pc.match_substring_regex(asked, UNFINISHED)
    return Index(
        items,
        tuple(one.digest() for one in loaded),
        questions,
        every.sizes.astype(np.int32),
        long,
        grams,
        short,
        unfinished.to_numpy(zero_copy_only=False),
        shorts,
        vocabulary,
    )


def _texts_of(questions: Texts, answers: Texts) -> Texts:
    """Concatenate the texts of both."""
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


def _numbers(strings: pa.StringArray, words: WordHashes) -> NDArray[np.bool_]:
    """Mark the words with a digit 0 to 9: those whose hash changes if digits are replaced."""
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


def grams_of(
    texts: Texts,
    solution: NDArray[np.bool_],
    n: int,
    threshold: float,
    generic: NDArray[np.bool_],
    *,
    numbers: bool,
    content: float,
) -> Grams:
    """Return the n-grams of `texts`, which have `n` words or more each.

    A text is listed under its rarest n-grams only, so many that the others cover too few of its words to match it: an
    n-gram that hundreds of items share lists none of them. Those that are `generic` match nothing. With `numbers`, a
    row must contain more than that share of the text's numbers too, and with `content` that share of what its words
    say.
    """
    words = WordHashes(texts.words, texts.begins, np.zeros(0, np.bool_))
    hashes, begins = ngrams(words, n, short=False)
    keys, inverse = np.unique(hashes, return_inverse=True)
    gram = inverse.astype(np.int32)
    owner = np.repeat(np.arange(len(texts.item), dtype=np.int64), np.diff(begins))
    frequency = np.bincount(distinct(gram.astype(np.int64) << 32 | owner) >> 32, minlength=len(keys))
    sizes = texts.sizes
    needs = more_than(threshold, sizes)
    digits = texts.numbers & numbers
    held = np.diff(np.concatenate([[0], np.cumsum(digits)])[texts.begins])
    vocabulary, number, each = telling(texts)
    before = np.concatenate([[0], np.cumsum(each)]).astype(np.int64)
    order = np.argsort(owner << 32 | (1 << 31) - frequency[gram], kind="stable")
    posted = essential(frozen(order), frozen(begins), n, frozen(needs)) & ~generic
    gram[generic] = len(keys)  # the number of no n-gram of a row
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
        table_of(vocabulary),
        frozen(number),
        frozen(before),
        frozen((content * np.diff(before[texts.begins])).astype(np.int64)),
        ENOUGH * UNIT,
        frozen(digits),
        frozen(more_than(threshold, held)),
        frozen((pairs & 0xFFFFFFFF).astype(np.int32)),
        frozen(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
    )


def telling(
    texts: Texts, prior: int = 0, common: tuple[str, ...] = ()
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int64]]:
    """Return the vocabulary of texts, the number of each word in it, and the content of each word.

    The content of a word is 1 + ln((texts + 1) / (texts with the word + 1)): a word that every text has says little. It
    counts once per text, divided among its occurrences. `prior` is added to the texts, as texts without the word, and
    `common` words count as words of every text.
    """
    vocabulary, number = np.unique(texts.words, return_inverse=True)
    owner = np.repeat(np.arange(len(texts.item), dtype=np.int64), texts.sizes)
    pairs, pair, times = np.unique(owner << 32 | number, return_inverse=True, return_counts=True)
    having = np.bincount(pairs & 0xFFFFFFFF, minlength=len(vocabulary))
    says = 1 + np.log((len(texts.item) + prior + 1) / (having + 1))
    says[np.isin(vocabulary, _hashes(common))] = 1
    each = np.round(UNIT * says[number] / times[pair]).astype(np.int64)
    return vocabulary, number.astype(np.int32), each


def _hashes(words: tuple[str, ...]) -> NDArray[np.uint64]:
    """Return the hashes of single words, sorted."""
    strings = pa.array(words, pa.string())
    return frozen(np.sort(hash_words(view(strings), np.arange(len(strings), dtype=np.int32)).hashes))


def more_than(share: float, counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the smallest numbers above these shares of counts, or the counts; rounded, as 0.29 of 100 is 28.999..."""
    return np.minimum(np.floor(np.round(share * counts, 9)) + 1, counts).astype(np.int32)


def _shorts(questions: Texts, which: NDArray[np.int32]) -> tuple[Shorts, Vocabulary]:
    texts = taken(questions, which)
    keys, inverse = np.unique(texts.words, return_inverse=True)
    single = np.zeros(len(keys), np.bool_)
    single[inverse[texts.begins[:-1][texts.sizes == 1]]] = True
    pairs = np.zeros(1 << max(len(which) // 2, 1).bit_length(), np.uint64)
    beginnings = prefixes(texts.words, texts.begins, pairs)
    shorts = Shorts(
        len(which),
        int(texts.sizes.max(initial=0)),
        table_of(keys, room=16),
        frozen(single),
        frozen(pairs),
        bloom_of(beginnings),
        table_of(beginnings[texts.begins[1:] - 1]),
        _hashes(LABELS),
    )
    owner = np.repeat(np.arange(len(which), dtype=np.int64), texts.sizes)
    held = distinct(owner << 32 | inverse)
    begins = np.concatenate([[0], np.cumsum(np.bincount(held >> 32, minlength=len(which)))]).astype(np.int64)
    return shorts, Vocabulary((held & 0xFFFFFFFF).astype(np.int32), begins, _shares(questions, keys))


def _shares(questions: Texts, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return for each of the sorted `keys` the share of other questions that have the word."""
    known = np.searchsorted(keys, questions.words)
    known[known == len(keys)] = 0
    held = keys[known] == questions.words if len(keys) else np.zeros(0, np.bool_)
    owner = np.repeat(np.arange(len(questions.item), dtype=np.int64), questions.sizes)
    pairs = distinct(known[held].astype(np.int64) << 32 | owner[held]) if len(keys) else np.zeros(0, np.int64)
    counts = np.bincount(pairs >> 32, minlength=len(keys))
    return np.maximum(counts - 1, 0) / max(len(questions.item), 1)
