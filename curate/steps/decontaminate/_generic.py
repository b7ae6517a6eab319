"""N-grams of eval items that say nothing of the item: mostly a phrase that is to be ignored, or mostly symbols.

Source: Olmo 3, arXiv:2512.13961, section 4.2.1, its two rules against false positives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.text.ngrams import hash_words

if TYPE_CHECKING:
    from curate.steps.decontaminate._index import Texts

Ignored: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""The phrases to ignore, by the name of their eval set."""

SPACED: Final = 0x2E80
"""Characters below it are of scripts with spaces between words; in the others one character is a word that tells."""


def generic_ngrams(
    texts: Texts, n: int, eval_of: NDArray[np.int32], names: tuple[str, ...], ignore: Ignored, *, symbols: bool
) -> NDArray[np.bool_]:
    """Mark the n-grams of `texts`, text by text, of which most words are within one of the phrases to ignore.

    Without `symbols`, also those of which most words are one letter or digit. `eval_of` has the eval set of each text.
    """
    owner = np.repeat(np.arange(len(texts.item)), texts.sizes)
    marks = [] if symbols else [np.isin(texts.words, _words([chr(i) for i in range(SPACED) if chr(i).isalnum()]))]
    phrases = np.zeros(len(texts.words), np.bool_)
    for name, listed in ignore:
        own = eval_of[owner] == names.index(name)
        for phrase in listed:
            words = _words([phrase])
            at = np.flatnonzero(own[: len(own) - len(words) + 1])
            for place, word in enumerate(words):
                at = at[(texts.words[at + place] == word) & (owner[at + place] == owner[at])]
            phrases[(at[:, None] + np.arange(len(words))).ravel()] = True
    ends = np.arange(len(owner)) + n <= np.repeat(texts.begins[1:], texts.sizes)
    starts = np.flatnonzero(ends)
    found = np.zeros(len(starts), np.bool_)
    for mark in (*marks, phrases):
        before = np.concatenate([[0], np.cumsum(mark)])
        found |= 2 * (before[starts + n] - before[starts]) > n
    return found


def _words(texts: list[str]) -> NDArray[np.uint64]:
    return hash_words(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32)).hashes
