"""Near-verbatim copies of questions: found by rare n-grams, aligned word by word, and compared by characters."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.evalsets.items import EvalSet
from curate.kernels.buffers import frozen, grown
from curate.kernels.compile import inline, kernel
from curate.kernels.hash_table import HashTable, bloom_of, find, knows, table_of
from curate.kernels.load_once import load_once
from curate.steps.decontaminate._index import Texts, compiled, more_than, taken
from curate.steps.decontaminate._ngram_kernel import NONE, TurnWords, opening
from curate.steps.decontaminate._search import FUZZY, Batch, characters, matches
from curate.steps.decontaminate._variants import Asked, asked_of, variants
from curate.text.ngrams import WordHashes, gram, ngrams, power, roll
from curate.text.normal import normalise

LEAST: Final = 10
"""Minimum words of a question: in shorter ones, one changed word makes another question ("What is the meaning of
life?"). With 6, 640 of 85,000 rows of LIMA, FLAN CoT and T0 are false alarms; with 10, one."""

LOWEST: Final = 0.6
"""The lowest similarity to search for. Below, half of the words and most pairs of words are gone."""

POSTS: Final = 50
"""Maximum texts listed under an n-gram; the `RAREST` of a text list it however common they are."""

RAREST: Final = {2: 10, 3: 8, 4: 6}
"""By words per n-gram: the smaller they are, the more texts have them."""

SHARE: Final = 0.2
"""Share of a text's n-grams that a turn must contain. Of the pairs of words, 0.36 stay if 0.4 of the words change."""

LEEWAY: Final = 0.15
"""How far similarity by words may be below that by characters: changed words still share characters."""

WORD_BITS: Final = 10
"""Bits of a word's hash that tell it from others before it is aligned."""

MISSED: Final = -(1 << 40)
MOST: Final = 1024
"""Maximum hits of a text in one turn, so that ten megabytes of one sentence stay cheap."""


class RareGrams(NamedTuple):
    """The rare n-grams of `n` words of texts.

    N-gram `g` is at the place `places[k]` of the text `posts[k]`, for k from `post_begins[g]` to `post_begins[g + 1]`.
    Text `t` has the words `words[begins[t]:begins[t + 1]]`, and is aligned to a turn that holds `needs[t]` of its
    n-grams in about its order, and near a stretch that holds `figures_needed[t]` of its `numbers` (words with a digit).
    `longest` is the most words of one.
    """

    n: int
    table: HashTable
    bloom: NDArray[np.uint64]
    posts: NDArray[np.int32]
    places: NDArray[np.int32]
    post_begins: NDArray[np.int64]
    words: NDArray[np.uint64]
    begins: NDArray[np.int64]
    needs: NDArray[np.int32]
    numbers: NDArray[np.bool_]
    figures_needed: NDArray[np.int32]
    longest: int


@kernel
def near(turns: TurnWords, index: RareGrams, least: float) -> tuple[NDArray[np.int32], int]:
    """Return the spans of turns that are similar to a text, and their number: turn, text, start, words, edits.

    Edits are words inserted, deleted or changed: at most a share of 1 - `least` of the words of the longer. A text is
    reported once per turn, where most of its n-grams are.
    """
    texts = len(index.needs)
    head, counts, marks = np.empty(texts, np.int64), np.zeros(texts, np.int32), np.zeros(texts, np.int32)
    hits, asked = np.empty((1024, 4), np.int32), np.empty(texts, np.int32)
    costs, froms = np.empty((2, 2 * index.longest + 16), np.int32), np.empty((2, 2 * index.longest + 16), np.int32)
    out, lines, seen = np.empty((64, 5), np.int32), 0, np.empty(1 << WORD_BITS, np.bool_)
    n, away = index.n, power(index.n)
    for s in range(len(turns.starts)):
        total, at = opening(turns, s, n)
        leaves, count, listed = NONE, 0, 0
        for j in range(at, turns.ends[s]):
            total = roll(total, turns.words[j], leaves, away)
            leaves = turns.words[j - n + 1]
            key = gram(total, n)
            number = find(index.table, key) if knows(index.bloom, key) else -1
            if number < 0:
                continue
            while count + index.post_begins[number + 1] - index.post_begins[number] > len(hits):
                hits = grown(hits)
            count, listed = _note(index, number, j - n + 1, s + 1, hits, count, head, counts, marks, asked, listed)
        for text in asked[:listed]:
            if counts[text] < index.needs[text]:
                continue
            start = _place(index, text, hits, head[text])
            if start == MISSED or not _may_be_near(turns, s, start, index, text, least, seen):
                continue
            first, size, edits = _align(turns, s, start, index, text, costs, froms)
            length = index.begins[text + 1] - index.begins[text]
            if edits > (1.0 - least) * max(length, size) + 1e-9 or not _has_figures(turns, s, first, size, index, text):
                continue
            if lines == len(out):
                out = grown(out)
            out[lines, 0], out[lines, 1], out[lines, 2] = s, text, first
            out[lines, 3], out[lines, 4] = size, edits
            lines += 1
    return out, lines


@inline
def _has_figures(turns: TurnWords, s: int, first: int, size: int, index: RareGrams, text: int) -> bool:
    """Return whether a span of turn `s` contains enough of the numbers of the text."""
    count = 0
    for k in range(index.begins[text], index.begins[text + 1]):
        if not index.numbers[k]:
            continue
        for j in range(turns.starts[s] + first, turns.starts[s] + first + size):
            if turns.words[j] == index.words[k]:
                count += 1
                break
    return count >= index.figures_needed[text]


@inline
def slack(length: int | np.integer) -> int:
    """Return by how many words a span may exceed a text of `length` words, and be off its position."""
    return int(max(3, length // 4))


@inline
def _note(
    index: RareGrams,
    number: int,
    at: int,
    mark: int,
    hits: NDArray[np.int32],
    count: int,
    head: NDArray[np.int64],
    counts: NDArray[np.int32],
    marks: NDArray[np.int32],
    asked: NDArray[np.int32],
    listed: int,
) -> tuple[int, int]:
    """Record an n-gram of a turn for each text that has it: one chain of hits per text, the last one first."""
    for k in range(index.post_begins[number], index.post_begins[number + 1]):
        text = index.posts[k]
        if marks[text] != mark:
            marks[text], counts[text], head[text] = mark, 0, -1
            asked[listed] = text
            listed += 1
        if counts[text] == MOST:
            continue
        hits[count, 0], hits[count, 1], hits[count, 2] = at, index.places[k], head[text]
        counts[text] += 1
        head[text] = count
        count += 1
    return count, listed


@inline
def _place(index: RareGrams, text: int, hits: NDArray[np.int32], head: int) -> int:
    """Return the word of the batch at which the text would begin; `MISSED` if there are too few hits."""
    length = index.begins[text + 1] - index.begins[text]
    room = slack(length)
    most, start = 0, MISSED
    anchor = head
    while anchor >= 0:
        begin = hits[anchor, 0] - hits[anchor, 1]
        votes, k = 0, anchor
        while k >= 0 and hits[k, 0] >= hits[anchor, 0] - length - room:
            votes += abs(hits[k, 0] - hits[k, 1] - begin) <= room
            k = hits[k, 2]
        if votes > most:
            most, start = votes, begin
        anchor = hits[anchor, 2]
    return start if most >= index.needs[text] else MISSED


@inline
def _may_be_near(
    turns: TurnWords, s: int, start: int, index: RareGrams, text: int, least: float, seen: NDArray[np.bool_]
) -> bool:
    """Return whether enough words of the text are near `start`, in any order: each of the others is an edit."""
    begin, end = index.begins[text], index.begins[text + 1]
    room = slack(end - begin)
    seen[:] = False
    for j in range(max(start - room, turns.starts[s]), min(start + (end - begin) + room, turns.ends[s])):
        seen[turns.words[j] >> np.uint64(64 - WORD_BITS)] = True
    missing = 0
    for i in range(begin, end):
        missing += not seen[index.words[i] >> np.uint64(64 - WORD_BITS)]
    return missing <= (1.0 - least) * (end - begin) + 1e-9


@inline
def _align(
    turns: TurnWords,
    s: int,
    start: int,
    index: RareGrams,
    text: int,
    costs: NDArray[np.int32],
    froms: NDArray[np.int32],
) -> tuple[int, int, int]:
    """Align the text to the words around `start`; return the start of the best span in the turn, its words, the edits.

    `costs[_, j]` is the fewest edits from the text so far to a span that ends before word j of the window, and
    `froms[_, j]` is where that span begins.
    """
    begin, end = index.begins[text], index.begins[text + 1]
    room = slack(end - begin)
    low = max(start - room, turns.starts[s])
    width = min(start + (end - begin) + room, turns.ends[s]) - low
    for j in range(width + 1):
        costs[0, j], froms[0, j] = 0, j
    for i in range(begin, end):
        now = (i - begin + 1) & 1
        costs[now, 0], froms[now, 0] = i - begin + 1, 0
        for j in range(1, width + 1):
            changed = index.words[i] != turns.words[low + j - 1]
            cost, origin = costs[1 - now, j - 1] + changed, froms[1 - now, j - 1]
            if costs[1 - now, j] + 1 < cost:
                cost, origin = costs[1 - now, j] + 1, froms[1 - now, j]
            if costs[now, j - 1] + 1 < cost:
                cost, origin = costs[now, j - 1] + 1, froms[now, j - 1]
            costs[now, j], froms[now, j] = cost, origin
    last, best = (end - begin) & 1, 0
    for j in range(1, width + 1):
        # Edits over the words of the longer, compared without division; of equal ones the last, which has most words.
        mine = costs[last, j] * max(end - begin, best - froms[last, best])
        if mine <= costs[last, best] * max(end - begin, j - froms[last, j]):
            best = j
    return low + froms[last, best] - turns.starts[s], best - froms[last, best], costs[last, best]


class Rephrased(NamedTuple):
    """The questions to search for: texts of the index, their rare n-grams, what they say, and their words."""

    texts: NDArray[np.int32]
    grams: RareGrams
    asked: Asked
    strings: pl.Series


@load_once(4)
def sought(
    evals: tuple[EvalSet, ...], ngram: int, threshold: float, fuzzy: float, content: float, *, numbers: bool
) -> Rephrased:
    """Return the questions to search for, built once (`load_once`)."""
    index = compiled(evals, ngram, threshold, numbers=numbers, content=content)
    texts = np.flatnonzero(index.questions.sizes >= LEAST).astype(np.int32)
    strings = index.items.asked.take(pa.array(index.questions.item[texts]))
    words = taken(index.questions, texts)
    grams = _rare_grams(words, words_per_gram(fuzzy), threshold, numbers=numbers)
    return Rephrased(texts, grams, asked_of(words, strings), plain(strings))


def words_per_gram(fuzzy: float) -> int:
    """Return how many words are left in a row if a share of 1 - `fuzzy` of all is changed, evenly: 2 to 4.

    >>> [words_per_gram(fuzzy) for fuzzy in (0.9, 0.8, 0.75, 0.7, 0.6)]
    [4, 4, 3, 2, 2]
    """
    return 4 if fuzzy == 1 else int(np.clip(fuzzy / (1 - fuzzy) + 1e-9, 2, 4))


def _rare_grams(texts: Texts, n: int, threshold: float, *, numbers: bool) -> RareGrams:
    hashes, begins = ngrams(WordHashes(texts.words, texts.begins, np.zeros(0, np.bool_)), n, short=False)
    keys, inverse = np.unique(hashes, return_inverse=True)
    counts = np.diff(begins)
    owner = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    place = np.arange(len(hashes)) - np.repeat(begins[:-1], counts)
    first = np.unique(inverse.astype(np.int64) << 32 | owner, return_index=True)[1]
    owner, place, number = owner[first], place[first], inverse[first]
    frequency = np.bincount(number, minlength=len(keys))[number]
    order = np.lexsort((place, frequency, owner))
    kept = (frequency <= POSTS)[order] | (_ranks(owner[order]) < RAREST[n])
    order = order[kept]
    order = order[np.lexsort((owner[order], number[order]))]
    digits = texts.numbers & numbers
    held = np.diff(np.concatenate([[0], np.cumsum(digits)])[texts.begins])
    posts = np.bincount(number[order], minlength=len(keys))
    each = np.bincount(owner[order], minlength=len(counts))
    return RareGrams(
        n,
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


def _ranks(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of each entry among those of its owner; entries of an owner are neighbours."""
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    return np.arange(len(owner)) - np.repeat(begins, np.diff(begins, append=len(owner)))


def plain(texts: pa.StringArray) -> pl.Series:
    """Return the words of texts in normal form, separated by spaces: the input of similarity by characters.

    >>> plain(pa.array(["Isn't 1,000 enough?!"])).to_list()
    ["isn't 1 000 enough"]
    """
    return pl.Series(normalise(texts)).str.replace_all(r"[^\p{L}\p{N}\p{M}']+", " ").str.strip_chars(" ")


def rephrased(batch: Batch, index: Rephrased, known: pl.DataFrame, fuzzy: float) -> pl.DataFrame:
    """Return the questions with a similarity of `fuzzy` or more to a span of a row, without the `known` hits.

    The similarity is the greater of that by words and that by characters: 1 minus the Levenshtein distance over the
    length of the longer. A span that lacks what the question asks is none (see `variants`).
    """
    least = max(fuzzy - LEEWAY, 0.0)
    lines, count = near(batch.turns, index.grams, least)
    lines = lines[:count]
    lines = lines[np.lexsort((lines[:, 1], lines[:, 0]))]
    text = index.texts[lines[:, 1]]
    sizes = np.diff(index.grams.begins)[lines[:, 1]].astype(np.int32)
    zero = np.zeros(len(lines), np.int32)
    score = 1 - lines[:, 4] / np.maximum(lines[:, 3], sizes)
    found = matches(batch, lines[:, 0], text, FUZZY, score, lines[:, 2], lines[:, 3], zero, item_end=sizes)
    found = found.join(known, on=["row", "text"], how="anti", maintain_order="left")
    alike = _alike(index.strings.gather(_place_of(found, index)), _stretches(batch, found), fuzzy)
    found = found.with_columns(score=pl.max_horizontal("score", alike)).filter(pl.col("score") >= fuzzy - 1e-9)
    return found.filter(~variants(batch, found, index.asked, _place_of(found, index), fuzzy))


def _place_of(found: pl.DataFrame, index: Rephrased) -> NDArray[np.int64]:
    """Return the number of each hit's question among those that are searched for."""
    return np.searchsorted(index.texts, found["text"].to_numpy())


def _stretches(batch: Batch, found: pl.DataFrame) -> pl.Series:
    """Return the words of the spans that were found."""
    place = found["place"].to_numpy()
    start, end = characters(batch, place, found["at"].to_numpy(), found["words"].to_numpy())
    turns = batch.strings(place)
    return plain(turns.str.slice(pl.Series(start), pl.Series(end - start)).to_arrow().cast(pa.string()))


def _alike(asked: pl.Series, found: pl.Series, fuzzy: float) -> pl.Series:
    """Return the similarity of each pair by characters; 0 if it is below `fuzzy`."""
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    scores = process.cpdist(
        asked.to_list(), found.to_list(), scorer=Levenshtein.normalized_similarity, score_cutoff=fuzzy, dtype=np.float64
    )
    return pl.Series(scores)
