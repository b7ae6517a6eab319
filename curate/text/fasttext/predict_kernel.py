"""What a fastText model says of texts: its best label, and how probable a label is.

Equals the package's `predict` on one line, with line feeds read as spaces (the package refuses them): words are split
at ASCII white space and NUL, each counts as itself and its character n-grams, unknown words for these alone, and
`</s>` ends every text (also where a text spells it out). The package adds 1e-5 to each probability before it takes the
logarithm; here only the branches of hierarchical softmax have it, where it decides between labels.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from curate.errors import MixtureError, did_you_mean
from curate.kernels.buffers import Bytes, Flags, Float32s, Float64s, Int32s, Text, frozen
from curate.kernels.compile import inline, kernel
from curate.text.fasttext.features_kernel import KEY, PICKED, Number, Room, add_text
from curate.text.fasttext.model_file import HIERARCHICAL, LOSS, NGRAMS, SOFTMAX, WORDS, Classifier, Weights

NO_LABEL: Final = -1
"""The label of a text of which the model knows no part."""
KEPT_BYTES: Final = 1 << 22
"""Bytes of the sums of words that a call keeps, 65,536 words of lid.176: 86 % of the words of Alpaca occur again."""
TINY: Final = 1e-5
"""What the package adds to a probability before it takes the logarithm."""


def probability(model: Classifier, text: Text, index: Int32s, label: str) -> Float32s:
    """Return how probable one label is for each string of `text` at `index`; 0 where no part of a text is known.

    Raises `MixtureError` for a label that the model does not know.
    """
    if label not in model.labels:
        raise MixtureError(f"the model has no label {label!r}; {did_you_mean(label, model.labels)}")
    return judge(model, text, index, np.array([model.labels.index(label)], np.int32))[2]


def judge(model: Classifier, text: Text, index: Int32s, wanted: Int32s) -> tuple[Int32s, Float32s, Float32s, Float32s]:
    """Judge each string of `text` at `index`; a null reads as the empty string, which a model takes for no words.

    Returns the best label (a place in `model.labels`) and its probability, that of all `wanted` labels together, and
    that of the best label that is not wanted (0 where there is none). Where no part of a text is known to the model,
    the label is -1 and the probabilities are 0.
    """
    others = np.ones(len(model.labels), np.bool_)
    others[wanted] = False
    return _judge(text.data, text.offsets, frozen(index), frozen(wanted), frozen(others), model.weights)


@kernel
def _judge(
    data: Bytes, offsets: Int32s, index: Int32s, wanted: Int32s, others: Flags, weights: Weights
) -> tuple[Int32s, Float32s, Float32s, Float32s]:
    dim = weights.rows.shape[1]
    labels = len(weights.starts) - 1 - weights.settings[WORDS]
    longest = total = 0
    for place in index:
        longest = max(longest, offsets[place + 1] - offsets[place])
        total += offsets[place + 1] - offsets[place]
    slots = 16
    while slots * dim * 4 < KEPT_BYTES and slots < total:
        slots *= 2
    room = Room(
        np.zeros(slots * KEY, np.uint64),
        np.empty((slots + 1) * dim, np.float32),
        np.empty(longest + 2, np.uint8),
        np.empty(PICKED, np.int32),
        np.zeros(max(1, weights.settings[NGRAMS] - 1), np.uint64),
        np.empty(dim, np.float32),
    )
    scores, stack, shares = np.empty(labels, np.float32), np.empty(2 * labels, np.int32), np.empty(2 * labels)
    answer = np.full(len(index), NO_LABEL, np.int32)
    best = np.zeros(len(index), np.float32)
    sums = np.zeros(len(index), np.float32)
    rival = np.zeros(len(index), np.float32)
    every = np.ones(labels, np.bool_)
    for i in range(len(index)):
        features = add_text(data, offsets[index[i]], offsets[index[i] + 1], weights, room)
        if features == 0:
            continue
        for d in range(dim):
            room.hidden[d] *= np.float32(1.0 / features)
        if weights.settings[LOSS] == HIERARCHICAL:
            answer[i], best[i] = descend(weights, room.hidden, every, stack, shares)
            rival[i] = best[i] if others[answer[i]] else descend(weights, room.hidden, others, stack, shares)[1]
        else:
            weigh(weights, room.hidden, scores)
            answer[i], best[i] = best_of(scores, every)
            rival[i] = best_of(scores, others)[1]
        sums[i] = together(wanted, weights, room.hidden, scores)
    return answer, best, sums, rival


@inline
def together(wanted: Int32s, weights: Weights, hidden: Float32s, scores: Float32s) -> float:
    """Return the probability of the wanted labels together, at most 1."""
    total = 0.0
    for label in wanted:
        if weights.settings[LOSS] == HIERARCHICAL:
            total += climb(weights, hidden, len(scores), label)
        else:
            total += np.float64(scores[label])
    return min(total, 1.0)


@inline
def branch(output: Float32s, row: int, hidden: Float32s) -> float:
    """Return the probability of the right branch of a node."""
    a = b = c = d = np.float32(0)
    k = 0
    while k + 4 <= len(hidden):  # four sums, so that one addition need not wait for the last
        a += output[row, k] * hidden[k]
        b += output[row, k + 1] * hidden[k + 1]
        c += output[row, k + 2] * hidden[k + 2]
        d += output[row, k + 3] * hidden[k + 3]
        k += 4
    while k < len(hidden):
        a += output[row, k] * hidden[k]
        k += 1
    return 1.0 / (1.0 + np.exp(-np.float64((a + b) + (c + d))))


@inline
def descend(weights: Weights, hidden: Float32s, among: Flags, stack: Int32s, shares: Float64s) -> tuple[Number, float]:
    """Return the best leaf of the tree `among` some, and its probability; it looks below no branch that has less."""
    labels = len(among)
    answer, best = 0, 0.0
    stack[0], shares[0] = 2 * labels - 2, 1.0
    depth = 1
    while depth:
        depth -= 1
        node, share = stack[depth], shares[depth]
        if share < best:
            continue
        if node < labels:
            if among[node]:
                answer, best = node, share
            continue
        right = branch(weights.output, node - labels, hidden)
        stack[depth], shares[depth] = weights.tree[node, 1], share * (right + TINY)
        stack[depth + 1], shares[depth + 1] = weights.tree[node, 0], share * (1.0 - right + TINY)
        depth += 2
    return answer, min(best, 1.0)


@inline
def climb(weights: Weights, hidden: Float32s, labels: int, label: int) -> float:
    """Return the probability of one leaf."""
    node = label
    share = 1.0
    parent = weights.tree[node, 2]
    while parent >= 0:
        right = branch(weights.output, parent - labels, hidden)
        share *= TINY + (right if weights.tree[parent, 1] == node else 1.0 - right)
        node = parent
        parent = weights.tree[node, 2]
    return min(share, 1.0)


@inline
def weigh(weights: Weights, hidden: Float32s, scores: Float32s) -> None:
    """Write the probability of every label to `scores`."""
    labels = len(scores)
    soft = weights.settings[LOSS] == SOFTMAX
    for k in range(labels):
        scores[k] = 0
    for d in range(len(hidden)):
        for k in range(labels):
            scores[k] += hidden[d] * weights.output[d, k]
    highest = scores[0]
    for k in range(labels):
        highest = max(highest, scores[k])
    total = np.float32(0)
    for k in range(labels):
        scores[k] = np.exp(scores[k] - highest) if soft else sigmoid(scores[k])
        total += scores[k]
    for k in range(labels):
        scores[k] /= total if soft else np.float32(1)


@inline
def best_of(scores: Float32s, among: Flags) -> tuple[int, np.float32]:
    """Return the last of the best labels `among` some, as the package does, and its probability."""
    answer, best = 0, np.float32(0)
    for k in range(len(scores)):
        if among[k] and scores[k] >= best:
            answer, best = k, scores[k]
    return answer, best


@inline
def sigmoid(value: np.float32) -> np.float32:
    """Return the package's own sigmoid, a table of 512 steps from -8 to 8."""
    if value < -8:
        return np.float32(0)
    if value > 8:
        return np.float32(1)
    step = np.int64((value + np.float32(8)) * np.float32(32))
    return np.float32(1.0 / (1.0 + np.exp(-(step / 32.0 - 8.0))))
