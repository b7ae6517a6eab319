"""What one pass over the texts of a build measures: tokens, topics, lengths of answers, and refusals of harm."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.result.folder import BuildFolder, reading
from curate.result.measures.answers import ROWS, AnswerReader
from curate.result.measures.groups import GroupCounts, GroupReader, source_numbers
from curate.result.measures.harm import HarmReader
from curate.result.measures.stored_batches import StoredBatch, one_ahead, stored_batches
from curate.rows.frame import META, json_path
from curate.rows.schema import Kind, Role
from curate.rows.segments import CONTENT, EVERY_TEXT, Segments, segments, select
from curate.rows.tokens import tokens
from curate.text.topics.word_lists import WordLists, groups_in, shipped_lists

ASKED: Final[frozenset[Role]] = frozenset({"user"})
"""The segments that are searched for topics: all that the user says, in prompts and dialogues."""

FOLDERS: Final = ("data", "dropped")
"""The folders with texts of rows of a build's own kind."""

VALUES: Final = 100
"""Values of a field of `meta` that are groups, the most frequent ones."""

SEARCHED: Final = 30_000
"""Kept rows that are searched for topics for the page, about: all of 280,000 took 4 % of the time of their build. The
data files are in shuffled order, so some of their batches are a sample."""

FEWEST: Final = 5
"""Rows of a group that a step has to drop before its share is called above that of all rows."""


class TextMeasures(NamedTuple):
    """Of the texts in a build folder: tokens by source (all and those of answers), topics of rows, and some answers.

    `topics` is None where no step dropped so many rows (`FEWEST`) that its costs show. `harm` is
    `Build.refusals_of_harm`.
    """

    tokens: NDArray[np.int64]
    topics: GroupCounts | None
    answers: pl.DataFrame
    harm: pl.DataFrame


class DroppedTexts(NamedTuple):
    """Of the texts of dropped rows: `topics` as in `TextMeasures`, and refusals of harm (`step`, `source`, `id`)."""

    topics: GroupCounts | None
    harm: pl.DataFrame


def measured_dropped(made: BuildFolder) -> DroppedTexts:
    """Read the texts of dropped rows once, and measure all that the page shows of them."""
    topics, harm = _topics(made), HarmReader(made)
    with reading(made.path):
        for batch in one_ahead(stored_batches(made, "dropped")):
            harm.add("dropped", batch)
            if topics is not None:
                topics.add("dropped", batch.names, segments(batch.body, ASKED))
    return DroppedTexts(None if topics is None else topics.counts(), harm.of_harm)


class TopicReader:
    """Counts rows by the groups of words that their texts mention; see `GroupReader`."""

    def __init__(self, made: BuildFolder, lists: WordLists) -> None:
        self._lists = lists
        self._reader = GroupReader(made, len(lists.groups))

    def add(self, folder: str, names: pl.DataFrame, texts: Segments) -> None:
        """Count rows of a folder (`source`, `id`), which have these texts."""
        self._reader.add(folder, names, topics_of(texts, self._lists))

    def counts(self) -> GroupCounts:
        """Return how many rows were counted."""
        return GroupCounts(self._lists.groups, self._reader.counts())


def _topics(made: BuildFolder) -> TopicReader | None:
    """Return what counts the topics that the page shows; None where no cost would show."""
    return TopicReader(made, shipped_lists()) if most_dropped(made, made.kind) >= FEWEST else None


def measured_texts(made: BuildFolder, dropped: DroppedTexts) -> TextMeasures:
    """Read the texts of kept rows once, and measure all that the page shows of them and of dropped ones."""
    topics = _topics(made)
    every = -(-sum(split["rows"] for split in made.manifest["splits"].values()) // SEARCHED)
    counts = np.zeros((len(made.sources), 2), np.int64)
    reader, harm = AnswerReader(len(made.sources), ROWS), HarmReader(made)
    with reading(made.path):
        for number, batch in enumerate(one_ahead(stored_batches(made, "data"))):
            texts = segments(batch.body, "all", EVERY_TEXT)
            source = source_numbers(made, batch.names["source"])
            for column, found in enumerate((texts, select(texts, "response"))):
                counts[:, column] += np.bincount(source, tokens(found), len(counts)).astype(np.int64)
            if made.kind == "conversation":
                reader.add(texts, source)
            harm.add("data", batch)
            if topics is not None and number % every == 0:
                topics.add("data", batch.names, texts)
    both = None
    if topics is not None and dropped.topics is not None:
        both = dropped.topics._replace(rows=dropped.topics.rows + topics.counts().rows, every=max(every, 1))
    return TextMeasures(counts, both, reader.answers, harm.counts(dropped.harm))


def most_dropped(made: BuildFolder, kind: Kind) -> int:
    """Return how many rows of a kind the step dropped that dropped most."""
    counts = made.lines_of(kind).filter(fate="dropped").group_by("step").len().collect()["len"]
    return int(np.max(counts.to_numpy(), initial=0))


def topics_of(texts: Segments, lists: WordLists) -> NDArray[np.bool_]:
    """Mark the groups of words that the user's turns of each row have."""
    found = np.zeros((texts.rows, len(lists.groups)), np.bool_)
    for part in select(texts, ASKED, CONTENT).parts:
        place, group = np.nonzero(groups_in(part.text, part.index, lists))
        found[part.row[place], group] = True
    return found


def row_topics(made: BuildFolder, lists: WordLists) -> GroupCounts:
    """Count the rows whose texts are in the build folder by the groups of these lists that they mention."""
    topics = TopicReader(made, lists)
    with reading(made.path):
        for folder in FOLDERS:
            for batch in stored_batches(made, folder):
                topics.add(folder, batch.names, segments(batch.body, ASKED))
    return topics.counts()


def row_field(made: BuildFolder, field: str) -> GroupCounts:
    """Count the rows whose texts are in the build folder by the value of a field of `meta`, the `VALUES` most frequent.

    A kept row counts once, whatever its copies.
    """
    path = json_path(field)
    with reading(made.path):
        data, dropped = (
            [_values(batch, path) for batch in stored_batches(made, folder, meta=True)] for folder in FOLDERS
        )
        schema = {"source": pl.String, "id": pl.String, "value": pl.String}
        copies = pl.concat([pl.DataFrame(schema=schema), *data])
        kept = copies.unique(["source", "id"], keep="first", maintain_order=True)
        every = pl.concat([kept, *dropped])["value"].drop_nulls().value_counts()
        values = every.sort(["count", "value"], descending=[True, False])["value"].head(VALUES)
        reader = GroupReader(made, len(values))
        for folder, batches in zip(FOLDERS, ([kept], dropped), strict=True):
            for batch in batches:
                reader.add(folder, batch, batch["value"].to_numpy()[:, None] == values.to_numpy()[None, :])
    return GroupCounts(tuple(values), reader.counts(), dimension=f"{META}{field}")


def _values(batch: StoredBatch, path: str) -> pl.DataFrame:
    """Return the names of rows, and their `value` at a path in `meta`."""
    return batch.names.with_columns(value=pl.Series(batch.body["meta"], dtype=pl.String).str.json_path_match(path))
