"""Importance weights of bags of words and pairs of words, as DSIR has them, with a prior and without hashing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


def weights(rows: Sequence[str], to: Sequence[str], prior: float) -> list[float]:
    """Return the log of how much more probable each row is in the reference than among the rows."""
    held, given = (Counter(item for text in texts for item in grams(text)) for texts in (rows, to))
    own, beside = held.total(), given.total()
    found = []
    for row in rows:
        total = 0.0
        for item in grams(row):
            share = held[item] / own
            total += math.log((given[item] + prior * share) / (beside + prior) / share)
        found.append(total)
    return found


def grams(text: str) -> list[tuple[str, ...]]:
    words = text.lower().split()
    return [(word,) for word in words] + list(pairwise(words))
