"""How often a text says the same sentence, paragraph or run of three words, however long the text is."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import strings
from curate.kernels.utf8 import character_places
from curate.rows.segments import Part
from curate.text.ngrams import hash_words, ngrams, word_spans

END: Final = "\0"
"""What ends a unit; no row has it."""
SEPARATORS: Final = {"sentence_times": ("[.!?]", END), "paragraph_times": ("\n\n", f"\n{END}")}
"""What ends a sentence or paragraph, and the same with `END` for its last byte."""
TIMES: Final = (*SEPARATORS, "phrase_times")
"""The scores: of sentences and paragraphs of two words or more, and of runs of `PHRASE` words."""

PHRASE: Final = 3


class Times(NamedTuple):
    """For each segment, how often the most frequent unit occurs (0: it has none), and where it first is."""

    times: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]


def most_times(part: Part, score: str) -> Times:
    """Return how often the most frequent unit of each segment occurs, and the characters of its first one."""
    return _of_phrases(part) if score == "phrase_times" else _of_units(part, *SEPARATORS[score])


def _of_units(part: Part, separator: str, ended: str) -> Times:
    """Count what is between separators, without white space around it."""
    found = Times(*np.zeros((3, len(part.index)), np.int32))
    texts = pl.Series(strings(part.text.data, part.text.offsets).take(pa.array(part.index)), dtype=pl.String)
    texts = texts.str.replace_all(separator, ended)
    before = pl.col("unit").str.len_bytes() + 1
    stripped = pl.col("unit").str.strip_chars()
    units = (
        pl.DataFrame({"place": np.arange(len(texts), dtype=np.int32), "unit": texts.str.split(END)})
        .explode("unit")
        .with_columns(at=before.cum_sum().over("place") - pl.col("unit").str.strip_chars_start().str.len_bytes() - 1)
        .with_columns(stripped)
        .filter(pl.col("unit").str.contains(r"\S\s+\S"))
        .group_by("place", "unit", maintain_order=True)
        .agg(pl.len(), pl.col("at").first())
        .sort("place", "len", "at", descending=[False, True, False])
        .unique("place", keep="first", maintain_order=True)
    )
    place = units["place"].to_numpy()
    start = units["at"].to_numpy().astype(np.int32)
    stop = start + units["unit"].str.len_bytes().to_numpy().astype(np.int32)
    found.times[place] = units["len"].to_numpy()
    found.start[place], found.end[place] = character_places(part.text, part.index[place], start, stop)
    return found


def _of_phrases(part: Part) -> Times:
    """Count runs of `PHRASE` words in normal form."""
    found = Times(*np.zeros((3, len(part.index)), np.int32))
    words = hash_words(part.text, part.index)
    grams, begins = ngrams(words, PHRASE, short=False)
    owner = np.repeat(np.arange(len(part.index)), np.diff(begins))
    order = np.lexsort((grams, owner))
    new = np.diff(owner[order], prepend=-1).astype(np.bool_)
    new[1:] |= grams[order][1:] != grams[order][:-1]
    runs = np.flatnonzero(new)
    times, first = np.diff(np.append(runs, len(order))), order[runs]  # a stable order begins with the first place
    best = np.lexsort((first, -times, owner[first]))
    best = best[np.diff(owner[first][best], prepend=-1) != 0]
    place, at = owner[first[best]], first[best] - begins[owner[first[best]]]
    found.times[place] = times[best]
    spans = word_spans(part.text, part.index[place])
    found.start[place] = spans.start[spans.offsets[:-1] + at]
    found.end[place] = spans.end[spans.offsets[:-1] + at + PHRASE - 1]
    return found
