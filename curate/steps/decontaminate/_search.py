"""Which texts of eval items a batch of rows contains, and where."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Element, frozen, strings
from curate.rows.schema import ASSISTANT
from curate.rows.segments import Part
from curate.steps.decontaminate._index import Index
from curate.steps.decontaminate._ngram_kernel import TurnWords, covered, runs, touched
from curate.text.invisible import PATTERN
from curate.text.ngrams import hash_words, word_spans

REASONS: Final = ("overlap", "whole", "solution", "fuzzy", "generic")
"""Why a row matches an item, the strongest reason first; the code of a reason is its index."""

OVERLAP, WHOLE, SOLUTION, FUZZY, GENERIC = range(5)

BEGINS_TURN: Final = (
    r"(?i)(?:^|\n|#{2,}|\|>|\[INST\])[ \t]*"
    r"(?:(?:q|question|user|human|prompt|instruction|input)\W{0,3}|\d{1,3}[.)])?[\s\"'*]*$"
)
ENDS_TURN: Final = r"^[^\w\n#<\[]*(?:$|\n|#{2,}|<\||</s>|\[/INST\])"
"""What is before and after a turn in the text of a chat: a line, "### Human:", "<|user|>", "[INST]"."""

BEGINS_QUESTION: Final = r"(?:^|[\n.!?:。！？：؟])[\s\p{Ps}\p{Pi}\"'*-]*$"
ENDS_QUESTION: Final = r"^\s?[?？؟]"
"""What is before and after a question that is a sentence of its own within a text."""

AROUND: Final = 256
"""Characters read before and after a text to see its position: marks and labels are shorter."""

COMMON: Final = 0.01
"""A word in a larger share of rows is not informative about a question."""

PRIOR: Final = 100
"""Weight, in rows, of the evals' questions as a prior for a word's share of rows: few rows alone say little."""

WITHIN, SENTENCE, ALONE = range(3)
"""Positions of a short text in a turn: within longer text, as a question that is a sentence of its own, or as a turn or
line of its own."""

MATCHES: Final = pl.Schema(
    {
        "row": pl.Int32,
        "text": pl.Int32,
        "reason": pl.Int8,
        "score": pl.Float64,
        "place": pl.Int32,
        "at": pl.Int32,
        "words": pl.Int32,
        "item_start": pl.Int32,
        "item_end": pl.Int32,
        "position": pl.Int8,
    }
)
"""A text that a row of a batch contains: from word `at` on, `words` words of the turn at `place` match the text
from `item_start` to `item_end`."""

HIT: Final = pa.struct(
    [
        ("text", pa.int32()),
        ("reason", pa.int8()),
        ("score", pa.float64()),
        ("side", pa.int32()),
        ("turn", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("item_start", pa.int32()),
        ("item_end", pa.int32()),
        ("position", pa.int8()),
    ]
)
"""A hit as the build stores it: `start` and `end` are characters of the turn."""


class Batch(NamedTuple):
    """The searched turns of a batch of `rows` rows, in order of row, side and turn.

    Turn `i` is string `index[i]` of the text of `parts[part[i]]`.
    """

    rows: int
    parts: tuple[Part, ...]
    turns: TurnWords
    part: NDArray[np.int32]
    index: NDArray[np.int32]  # type: ignore[assignment]  # a tuple has a method of this name
    side: NDArray[np.int32]
    turn: NDArray[np.int32]

    def strings(self, places: NDArray[np.int32]) -> pl.Series:
        """Return the texts of the turns at `places`."""
        order = np.argsort(self.part[places], kind="stable")
        part, index = self.part[places][order], self.index[places][order]
        texts = [pa.array([], pa.string())]
        for number, one in enumerate(self.parts):
            texts.append(strings(one.text.data, one.text.offsets).take(pa.array(index[part == number])))
        return pl.Series(pa.concat_arrays(texts)).gather(np.argsort(order))


def batch_of(rows: int, parts: tuple[Part, ...]) -> Batch:
    """Return the turns of `parts` with their words."""
    words = [hash_words(part.text, part.index) for part in parts]
    sizes = [len(one.hashes) for one in words]
    bases = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    row = _joined([part.row for part in parts], np.int32)
    order = np.argsort(row, kind="stable")
    starts = _joined([one.offsets[:-1] + base for one, base in zip(words, bases, strict=False)], np.int64)[order]
    ends = _joined([one.offsets[1:] + base for one, base in zip(words, bases, strict=False)], np.int64)[order]
    turns = TurnWords(
        frozen(_joined([one.hashes for one in words], np.uint64)),
        frozen(_joined([one.opens for one in words], np.bool_)),
        frozen(starts),
        frozen(ends),
        frozen(row[order]),
        frozen(_joined([part.role == ASSISTANT for part in parts], np.bool_)[order]),
    )
    counts = [len(part.index) for part in parts]
    return Batch(
        rows,
        parts,
        turns,
        np.repeat(np.arange(len(parts), dtype=np.int32), counts)[order],
        _joined([part.index for part in parts], np.int32)[order],
        _joined([part.places(np.arange(len(part.index))) for part in parts], np.int32)[order],
        _joined([part.turn for part in parts], np.int32)[order],
    )


def _joined(arrays: list[NDArray[Element]], kind: type[Element]) -> NDArray[Element]:
    return arrays[0].astype(kind, copy=False) if len(arrays) == 1 else np.concatenate([np.zeros(0, kind), *arrays])


def overlaps(batch: Batch, index: Index) -> pl.DataFrame:
    """Return the long texts, questions and solutions, that rows contain by n-grams."""
    turns, grams = batch.turns, index.grams
    table, count = covered(turns, frozen(touched(turns, batch.rows, grams)), grams)
    lines = table[:count]
    text = lines[:, 1]
    score = lines[:, 2] / np.diff(grams.word_begins)[text]
    reason = np.where(grams.solution[text], SOLUTION, OVERLAP)
    return matches(batch, lines[:, 0], index.long[text], reason, score, lines[:, 3], lines[:, 5], lines[:, 4])


def short_runs(batch: Batch, index: Index, informative: int) -> tuple[pl.DataFrame, dict[str, NDArray[np.int64]]]:
    """Return the short texts that rows contain, and counts of rows: with each word, and with each text.

    Beside all rows with a text, there are those that have it only within longer text, and only as a sentence there.

    A text of too few distinct words is generic whatever the data, see `required`: then it is only counted.
    """
    table, count, frequency = runs(batch.turns, index.shorts)
    lines = table[:count]
    position = _positions(batch, lines)
    held, within, sentence = (
        np.bincount(lines[chosen, 1], minlength=index.shorts.count)
        for chosen in (position <= ALONE, position == WITHIN, position == SENTENCE)
    )
    most = np.diff(index.vocabulary.begins).astype(np.int32)
    counts = position >= required(most, most, index, informative)[lines[:, 1]]
    lines, position = lines[counts], position[counts]
    score, begin = np.ones(len(lines)), np.zeros(len(lines), np.int32)
    found = matches(
        batch, lines[:, 0], index.short[lines[:, 1]], WHOLE, score, lines[:, 2], lines[:, 3], begin, position
    )
    totals = {"df": frequency[:-1], "held": held, "within": within, "sentence": sentence}
    return found, {name: total.astype(np.int64) for name, total in totals.items()}


def informative_words(
    index: Index, df: NDArray[np.int64], held: NDArray[np.int64], rows: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return how many informative words each short text has, and how many of these are rare among questions too.

    An informative word is in at most `COMMON` of the rows without the text. Rows with the text do not count, or many
    copies of a question would make its own words common. `PRIOR` rows are added, which have the words as often as the
    questions of the evals do, so that ten rows do not make every word common.
    """
    vocabulary = index.vocabulary
    mine = np.repeat(held, np.diff(vocabulary.begins))
    share = vocabulary.share[vocabulary.words]
    rare = df[vocabulary.words] - mine + PRIOR * share <= COMMON * (rows - mine + PRIOR)
    informative, telling = (
        np.diff(np.concatenate([[0], np.cumsum(words)])[vocabulary.begins]).astype(np.int32)
        for words in (rare, rare & (share <= COMMON))
    )
    return informative, telling


def required(informative: NDArray[np.int32], telling: NDArray[np.int32], index: Index, least: int) -> NDArray[np.int8]:
    """Return the least position at which short texts count: `WITHIN` with the `least` informative words.

    A whole question says more than a phrase, so that a `SENTENCE` needs one word fewer, but of the `telling` ones that
    are rare among questions too: "Which of the following statements is true?" is a part of many questions.
    """
    position = np.where(telling >= max(least - 1, 1), SENTENCE, ALONE)
    position[informative >= least] = WITHIN
    position[index.unfinished] = ALONE
    return position.astype(np.int8)


def _positions(batch: Batch, lines: NDArray[np.int32]) -> NDArray[np.int8]:
    """Return the positions of runs of words; "### Human: Who are you? ### ..." has a turn of its own within it."""
    inside = np.flatnonzero(lines[:, 4] == 0)
    place = lines[inside, 0]
    start, end = characters(batch, place, lines[inside, 2], lines[inside, 3])
    turns = batch.strings(place)
    before = turns.str.head(pl.Series(start)).str.tail(AROUND).str.replace_all(PATTERN, "")
    after = turns.str.slice(pl.Series(end), AROUND).str.replace_all(PATTERN, "")
    turn = (before.str.contains(BEGINS_TURN) & after.str.contains(ENDS_TURN)).fill_null(value=False)
    sentence = (before.str.contains(BEGINS_QUESTION) & after.str.contains(ENDS_QUESTION)).fill_null(value=False)
    position = np.full(len(lines), ALONE, np.int8)
    position[inside] = np.where(turn, ALONE, np.where(sentence, SENTENCE, WITHIN))
    return position


def matches(
    batch: Batch,
    place: NDArray[np.integer],
    text: NDArray[np.int32],
    reason: int | NDArray[np.integer],
    score: NDArray[np.float64],
    at: NDArray[np.int32],
    words: NDArray[np.int32],
    item_start: NDArray[np.int32],
    position: NDArray[np.int8] | None = None,
    item_end: NDArray[np.int32] | None = None,
) -> pl.DataFrame:
    """Return hits as a frame of the schema `MATCHES`; without `item_end`, a hit has as many words in the item."""
    columns = {
        "row": batch.turns.row[place],
        "text": text,
        "reason": np.broadcast_to(reason, text.shape),
        "score": score,
        "place": place,
        "at": at,
        "words": words,
        "item_start": item_start,
        "item_end": item_start + words if item_end is None else item_end,
        "position": np.zeros(len(text), np.int8) if position is None else position,
    }
    return pl.DataFrame({name: pl.Series(np.ascontiguousarray(column)) for name, column in columns.items()}).cast(
        MATCHES
    )


def strongest(hits: pl.DataFrame, index: Index) -> pl.DataFrame:
    """Return each text once per row, by its strongest reason, and the hits of a row in order of strength.

    Of equal matches the longest run comes first: a row that repeats one of a thousand prompts with a shared template
    matches them all, and that one word for word.
    """
    sizes = pl.Series(index.sizes)
    return (
        hits.with_columns(size=sizes.gather(hits["text"]))
        .sort(
            ["row", "reason", "position", "score", "words", "size", "text"],
            descending=[False, False, True, True, True, True, False],
        )
        .unique(["row", "text"], keep="first", maintain_order=True)
        .select(MATCHES.names())
    )


def hit_lists(hits: pl.DataFrame, batch: Batch) -> pa.ListArray:
    """Return the hits, which are in order of rows, as one list per row."""
    start, end = characters(batch, hits["place"].to_numpy(), hits["at"].to_numpy(), hits["words"].to_numpy())
    place = hits["place"].to_numpy()
    columns = hits.with_columns(
        side=pl.Series(batch.side[place]), turn=pl.Series(batch.turn[place]), start=pl.Series(start), end=pl.Series(end)
    )
    arrays = [columns[field.name].rechunk().to_arrow().cast(field.type) for field in HIT]
    counts = np.bincount(hits["row"].to_numpy(), minlength=batch.rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(arrays, fields=list(HIT)))


def characters(
    batch: Batch, place: NDArray[np.int32], at: NDArray[np.int32], words: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the first character, and the one after the last, of runs of words of turns; 0 and 0 for no word."""
    start, end = np.zeros((2, len(place)), np.int32)
    for number, part in enumerate(batch.parts):
        mine = np.flatnonzero((batch.part[place] == number) & (words > 0))
        if not len(mine):
            continue
        strings, which = np.unique(batch.index[place[mine]], return_inverse=True)
        spans = word_spans(part.text, strings)
        first = spans.offsets[which] + at[mine]
        start[mine], end[mine] = spans.start[first], spans.end[first + words[mine] - 1]
    return start, end
