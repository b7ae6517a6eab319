"""Which rows go in: the lowest ranks of a keyed hash of (seed, source, id), and which side of a test split.

A rank belongs to a row for good, so the order of rows, their spread over files, the number of threads and the other
sources change nothing, and a smaller sample is always part of a larger one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen
from curate.kernels.hashing import Hashes, hash_strings, order_of, ranks
from curate.mix.amounts import Fraction, Rows
from curate.mix.plan import Share

SAMPLE, ORDER, TEST = "sample", "order", "test"
"""What a key is for: picking rows, ordering them in the data files, splitting off the test rows. One key for two of
these would tie them: ordering by the ranks that picked would put the least-taken sources first."""


def key(seed: int, source: str, purpose: str) -> int:
    """Return the 64-bit key of one source's ranks for one purpose.

    >>> key(0, "flan", SAMPLE) == key(0, "flan", ORDER)
    False
    """
    data = f"{purpose}\n{seed}\n{source}".encode()
    text = Text(frozen(np.frombuffer(data, np.uint8)), frozen(np.array([0, len(data)], np.int32)))
    return int(hash_strings(text).high[0])  # a list given to pyarrow would load pandas: 0.9 s


def copies(share: Share, rank: NDArray[np.uint64], tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many times each row of a source goes in, given the ranks and tokens of the rows in stock.

    >>> from curate.mix.plan import Stock
    >>> share = Share("a", Stock(4, 40), "rows", 6, 1, 2)
    >>> copies(share, np.array([5, 1, 9, 3], np.uint64), np.full(4, 10)).tolist()
    [1, 2, 1, 2]
    """
    count = np.full(len(rank), share.whole, np.int64)
    if share.rest:
        order = order_of(rank)
        fits = np.arange(1, len(rank) + 1) if share.unit == "rows" else np.cumsum(tokens[order])
        count[order[: np.searchsorted(fits, share.rest, side="right")]] += 1
    return count


def split_off(
    prompt: NDArray[np.uint64], count: NDArray[np.int64], size: Rows | Fraction | None, seed: int
) -> NDArray[np.bool_]:
    """Return which rows go to the test split: whole prompts, in the order of a keyed hash, while they fit.

    `prompt` is the hash of each row's prompt and `count` how many times the row goes in. It stops at the first
    prompt that does not fit, so the split is never larger than asked, and a smaller split is part of a larger one.

    >>> prompts, once = np.array([7, 8, 7, 9], np.uint64), np.ones(4, np.int64)
    >>> split = split_off(prompts, once, Rows(3), seed=1)
    >>> bool(split[0] == split[2]), int(split.sum()) <= 3
    (True, True)
    """
    chosen = np.zeros(len(prompt), np.bool_)
    if size is None or not len(prompt):
        return chosen
    limit = size.n if isinstance(size, Rows) else int(size.share * count.sum() + 0.5)
    unique, inverse = np.unique(prompt, return_inverse=True)
    rows = np.bincount(inverse, count, minlength=len(unique)).astype(np.int64)
    rank = spread(unique, key(seed, "", TEST))
    order = order_of(rank)
    fits = np.cumsum(rows[order]) <= limit
    picked = np.zeros(len(unique), np.bool_)
    picked[order[fits]] = True
    return picked[inverse]


def spread(words: NDArray[np.uint64], with_key: int) -> NDArray[np.uint64]:
    """Return a keyed rank for each 64-bit word."""
    return ranks(Hashes(words, words), np.zeros(len(words), np.uint64), with_key)
