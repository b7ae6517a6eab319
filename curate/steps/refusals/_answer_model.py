"""The model that comes with `refusals`: how probable it is that an answer moralises, and the sentences that say so.

A logistic regression over the features of `_answer_features`. `model/moralising.weights` has its weights, a byte each,
made by `tests/support/refusal_model.py`; `model/README.md` is its card, and `model/words.txt` the classes of words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.kernels.buffers import Int32s, Int64s, Text, frozen, grown
from curate.kernels.compile import inline, kernel
from curate.kernels.load_once import load_once
from curate.rows.segments import Part, Segments
from curate.steps.refusals._answer_features import (
    COUNT,
    MOST_SENTENCES,
    NUMBER,
    SLOTS,
    WORDS,
    HiddenSpans,
    Scratch,
    longest,
    read_answer,
    scratch,
)
from curate.steps.refusals._answer_words import DUTY, HARM, NEGATION, PEOPLE, PLAIN, WordBook, book_of
from curate.steps.refusals._classifier import requests

WEIGHTS: Final = "moralising.weights"
MAGIC: Final = b"curate model of moralising answers 1\n"
MORALISES: Final = 0.5
"""Probability from which an answer moralises: more probable than not. It is not tuned."""

SHOWN: Final = 3
"""Sentences that the evidence of an answer names: those that weigh most."""

DIGITS: Final = 4
"""Decimals of a probability, so that no machine's exponential function shows in a score."""

CLASSES: Final = {"plain": PLAIN, "people": PEOPLE, "harm": HARM, "negation": NEGATION, "duty": DUTY}
"""The headings of `model/words.txt`."""

WORDLESS: Final = -(1 << 40)


class AnswerWeights(NamedTuple):
    """The weights of the slots, `scale` to a unit of log odds, and what the log odds begin with."""

    table: NDArray[np.int8]
    scale: float
    bias: float


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """The model that comes with the package; `digest` is the sha256 of its weights and words."""

    digest: str


class Loaded(NamedTuple):
    """The model as it is read from its files."""

    model: ShippedModel
    weights: AnswerWeights
    book: WordBook


class Sentences(NamedTuple):
    """Sentences of answers, in characters; `answer` is an index into the places that were asked for."""

    answer: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]


@load_once(1)
def shipped() -> Loaded:
    """Return the model that comes with the package. Raises `FormatError` where its files are damaged.

    >>> loaded = shipped()
    >>> len(loaded.weights.table), len(loaded.model.digest)
    (65536, 64)
    """
    folder = files("curate.steps.refusals").joinpath("model")
    words = folder.joinpath("words.txt").read_bytes()
    return read_model(folder.joinpath(WEIGHTS).read_bytes(), words)


def write_model(weights: AnswerWeights, words: bytes) -> bytes:
    """Return the bytes of a model's file: a line that names the layout, one of JSON, and a byte for each weight."""
    head = {"bias": weights.bias, "scale": weights.scale, "slots": len(weights.table), "words": _sha256(words)}
    return MAGIC + json.dumps(head, sort_keys=True).encode() + b"\n" + weights.table.tobytes()


def read_model(file: bytes, words: bytes) -> Loaded:
    """Read a model from the bytes of its file and of its words; raises `FormatError` where they are none.

    >>> read_model(b"?", b"")
    Traceback (most recent call last):
        ...
    curate.errors.FormatError: the model of refusals is damaged (its first line); install curate again
    """
    if not file.startswith(MAGIC):
        raise _damaged("its first line")
    line, _, table = file.removeprefix(MAGIC).partition(b"\n")
    try:
        head = json.loads(line)
        numbers = [float(head[name]) for name in ("scale", "bias")]
    except (ValueError, KeyError, TypeError):
        raise _damaged("its settings") from None
    if not np.isfinite(numbers).all():
        raise _damaged("its numbers")
    if len(table) != SLOTS or head.get("slots") != SLOTS:
        raise _damaged("its weights")
    if head.get("words") != _sha256(words):
        raise _damaged("its words")
    weights = AnswerWeights(frozen(np.frombuffer(table, np.int8)), numbers[0], numbers[1])
    return Loaded(ShippedModel(digest=_sha256(file + words)), weights, word_book(words))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _damaged(what: str) -> FormatError:
    return FormatError(f"the model of refusals is damaged ({what}); install curate again")


def word_book(words: bytes) -> WordBook:
    """Return the classes of the words of a file with a heading for each class."""
    classes: dict[str, int] = {}
    heading = 0
    for line in words.decode().splitlines():
        if line.startswith("["):
            heading = CLASSES[line[1:-1]]
        elif not line.startswith("#"):
            classes.update((word, classes.get(word, 0) | heading) for word in line.split())
    return book_of(classes)


def spans_of(count: int, number: NDArray[np.integer], start: NDArray[np.int32], end: NDArray[np.int32]) -> HiddenSpans:
    """Return spans of so many texts; `number` is the text of each."""
    order = np.lexsort((end, start, number))
    first = np.searchsorted(number[order], np.arange(count + 1))
    return HiddenSpans(
        frozen(first.astype(np.int64)), frozen(start[order].astype(np.int32)), frozen(end[order].astype(np.int32))
    )


def no_spans(count: int) -> HiddenSpans:
    """Return no spans of so many texts."""
    none = np.zeros(0, np.int32)
    return spans_of(count, none, none, none)


def probabilities(segments: Segments, part: Part, places: NDArray[np.int32], loaded: Loaded) -> NDArray[np.float64]:
    """Return how probable it is that each segment of `part` at `places` moralises.

    0 for one without a word. `segments` are those of whole rows, in which its request is found.
    """
    total = np.zeros(len(places), np.int64)
    for answers, sums, _ in _weighed(segments, part, places, loaded, 0):
        total[answers] = sums
    odds = loaded.weights.bias + loaded.weights.scale * total
    return np.where(total == WORDLESS, 0.0, np.round(1 / (1 + np.exp(-np.maximum(odds, -99))), DIGITS))


def heavy_sentences(segments: Segments, part: Part, places: NDArray[np.int32], loaded: Loaded) -> Sentences:
    """Return the sentences that weigh most in each answer: up to three that speak for it, or else the first one."""
    chunks = [np.zeros((0, 3), np.int32)]
    for answers, _, found in _weighed(segments, part, places, loaded, SHOWN):
        found[:, 0] = answers[found[:, 0]]
        chunks.append(found)
    return Sentences(*np.concatenate(chunks).T.copy())


def _weighed(
    segments: Segments, part: Part, places: NDArray[np.int32], loaded: Loaded, shown: int
) -> Iterator[tuple[Int64s, Int64s, Int32s]]:
    """Give the numbers of answers, their sums of weights, and the sentences of each that weigh most."""
    spans = no_spans(len(places))
    for answers, asked, request in _with_requests(segments, part, places):
        index, number = frozen(part.index[places[answers]]), frozen(answers)
        table = loaded.weights.table
        yield answers, *_weigh(part.text, index, asked, request, spans, number, loaded.book, table, shown)


def answer_slots(answers: Text, asked: Text, spans: HiddenSpans, book: WordBook) -> tuple[Int64s, Int32s]:
    """Return the features of answers after their requests, as a model is trained on them.

    Answer `i` has the slots `first[i]:first[i + 1]`.
    """
    every = frozen(np.arange(len(answers), dtype=np.int64))
    return _slots(answers, frozen(every.astype(np.int32)), asked, frozen(every.astype(np.int32)), spans, every, book)


def _with_requests(segments: Segments, part: Part, places: NDArray[np.int32]) -> Iterator[tuple[Int64s, Text, Int32s]]:
    """Give the numbers of answers, the texts of their requests, and which of these is that of each, -1 for none."""
    unasked = np.ones(len(places), np.bool_)
    for asked in requests(segments, part, places):
        unasked[asked.answers] = False
        index = asked.part.index[asked.places][asked.entry].astype(np.int32)
        yield asked.answers.astype(np.int64), asked.part.text, frozen(index)
    rest = np.flatnonzero(unasked)
    if len(rest):
        yield rest, part.text, frozen(np.full(len(rest), -1, np.int32))


@kernel
def _weigh(
    answers: Text,
    index: Int32s,
    asked: Text,
    request: Int32s,
    spans: HiddenSpans,
    number: Int64s,
    book: WordBook,
    weights: NDArray[np.int8],
    shown: int,
) -> tuple[Int64s, Int32s]:
    """Return the sum of the weights of each answer, `WORDLESS` for one that has no word, and its `shown` sentences.

    Those are as many as weigh most: (number in `index`, start, end). One kernel does both, as it takes 3 s to compile.
    """
    space = scratch(longest(answers, index, spans))
    total, sums = np.zeros(len(index), np.int64), np.zeros(MOST_SENTENCES, np.int64)
    found, count = np.empty((len(index) * shown, 3), np.int32), 0
    for k in range(len(index)):
        read_answer(answers, index[k], asked, request[k], spans, number[k], book, space)
        for i in range(space.counts[COUNT]):
            total[k] += weights[space.slots[i]]
        if space.counts[WORDS] == 0:
            total[k] = WORDLESS
        if shown > 0:
            count = _heaviest(space, weights, k, shown, sums, found, count)
    return total, found[:count]


@inline
def _heaviest(
    space: Scratch, weights: NDArray[np.int8], k: int, shown: int, sums: Int64s, found: Int32s, count: int
) -> int:
    """Put the sentences of answer `k` with the greatest sums after the `count` found before; return their new count."""
    sentences = min(space.counts[NUMBER], MOST_SENTENCES)
    sums[:sentences] = 0
    for i in range(space.counts[COUNT]):
        if space.of[i] >= 0:
            sums[min(space.of[i], MOST_SENTENCES - 1)] += weights[space.slots[i]]
    for number in range(min(shown, sentences)):
        best = 0
        for i in range(1, sentences):
            if sums[i] > sums[best]:
                best = i
        if number and sums[best] <= 0:
            break
        found[count, 0], found[count, 1], found[count, 2] = k, space.start[best], space.end[best]
        sums[best], count = -(1 << 40), count + 1
    return count


@kernel
def _slots(
    answers: Text,
    index: Int32s,
    asked: Text,
    request: Int32s,
    spans: HiddenSpans,
    number: Int64s,
    book: WordBook,
) -> tuple[Int64s, Int32s]:
    space = scratch(longest(answers, index, spans))
    first, slots = np.zeros(len(index) + 1, np.int64), np.empty(1 << 16, np.int32)
    for k in range(len(index)):
        read_answer(answers, index[k], asked, request[k], spans, number[k], book, space)
        first[k + 1] = first[k] + space.counts[COUNT]
        while first[k + 1] > len(slots):
            slots = grown(slots)
        for i in range(space.counts[COUNT]):
            slots[first[k] + i] = space.slots[i]
    return first, slots[: first[-1]]
