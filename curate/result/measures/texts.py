"""What one pass over the texts of a build measures: tokens, topics, lengths of answers, and refusals of harm."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.result.folder import BuildFolder, reading
from curate.result.measures.answers import ROWS, AnswerReader
from curate.result.measures.harm import HarmReader
from curate.result.measures.stored_batches import one_ahead, stored_batches
from curate.rows.frame import META, json_path
from curate.rows.schema import Kind, Role
from curate.rows.segments import CONTENT, EVERY_TEXT, Segments, segments, select
from curate.rows.tokens import tokens
from curate.text.topics.word_lists import WordLists, groups_in, shipped_lists

ASKED: Final[frozenset[Role]] = frozenset({"user"})
"""The segments that are searched for topics: all that the user says, in prompts and dialogues."""

VALUES: Final = 100
"""Values of a field of `meta` that are groups, the most frequent ones."""

SEARCHED: Final = 30_000
"""Kept rows that are searched for topics for the page, about: all of 280,000 took 4 % of the time of their build. The
data files are in shuffled order, so some of their batches are a sample."""

FEWEST: Final = 5
"""Rows of a group that a step has to drop before its share is called above that of all rows."""

NAMES: Final = pl.Schema({"source": pl.String, "id": pl.String})


class RowTopics(NamedTuple):
    """The groups of a dimension that each row is in: a line of `marks` for each of `rows` (`source`, `id`)."""

    rows: pl.DataFrame
    groups: tuple[str, ...]
    marks: NDArray[np.bool_]
    dimension: str = "topic"
    every: int = 1
    """Of kept rows, one batch in so many was searched."""


class TextMeasures(NamedTuple):
    """Of the texts in a build folder: tokens by source (all and those of answers), topics of rows, and some answers.

    `topics` is None where no step dropped so many rows (`FEWEST`) that its costs show. `harm` is
    `Build.refusals_of_harm`.
    """

    tokens: NDArray[np.int64]
    topics: RowTopics | None
    answers: pl.DataFrame
    harm: pl.DataFrame


class DroppedTexts(NamedTuple):
    """Of the texts of dropped rows: `topics` as in `TextMeasures`, and refusals of harm (`step`, `source`, `id`)."""

    topics: RowTopics | None
    harm: pl.DataFrame


def measured_dropped(made: BuildFolder) -> DroppedTexts:
    """Read the texts of dropped rows once, and measure all that the page shows of them."""
    lists = _lists(made)
    names: list[pl.DataFrame] = []
    marks: list[NDArray[np.bool_]] = []
    harm = HarmReader(made)
    with reading(made.path):
        for batch in one_ahead(stored_batches(made, "dropped")):
            harm.add("dropped", batch)
            if lists is not None:
                names.append(batch.names)
                marks.append(topics_of(segments(batch.body, ASKED), lists))
    return DroppedTexts(None if lists is None else _together(names, lists.groups, marks), harm.of_harm)


def _lists(made: BuildFolder) -> WordLists | None:
    """Return the lists of words that rows are searched for; None where no cost would show."""
    return shipped_lists() if most_dropped(made, made.kind) >= FEWEST else None


def measured_texts(made: BuildFolder, dropped: DroppedTexts) -> TextMeasures:
    """Read the texts of kept rows once, and measure all that the page shows of them and of dropped ones."""
    lists = _lists(made)
    every = -(-sum(split["rows"] for split in made.manifest["splits"].values()) // SEARCHED)
    counts = np.zeros((len(made.sources), 2), np.int64)
    place = {name: number for number, name in enumerate(made.sources)}
    names: list[pl.DataFrame] = []
    marks: list[NDArray[np.bool_]] = []
    reader, harm = AnswerReader(len(made.sources), ROWS), HarmReader(made)
    with reading(made.path):
        for number, batch in enumerate(one_ahead(stored_batches(made, "data"))):
            texts = segments(batch.body, "all", EVERY_TEXT)
            source = batch.names["source"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
            for column, found in enumerate((texts, select(texts, "response"))):
                counts[:, column] += np.bincount(source, tokens(found), len(counts)).astype(np.int64)
            if made.kind == "conversation":
                reader.add(texts, source)
            harm.add("data", batch)
            if lists is not None and number % every == 0:
                names.append(batch.names)
                marks.append(topics_of(texts, lists))
    if lists is None or dropped.topics is None:
        return TextMeasures(counts, None, reader.answers, harm.counts(dropped.harm))
    kept = _once(names, lists.groups, marks)
    both = _together([kept.rows, dropped.topics.rows], lists.groups, [kept.marks, dropped.topics.marks])
    topics = both._replace(every=max(every, 1))
    return TextMeasures(counts, topics, reader.answers, harm.counts(dropped.harm))


def most_dropped(made: BuildFolder, kind: Kind) -> int:
    """Return how many rows of a kind the step dropped that dropped most."""
    steps = made.lines_of(kind).filter(fate="dropped").select("step").collect()["step"]
    return int(np.max(steps.value_counts()["count"].to_numpy(), initial=0))


def topics_of(texts: Segments, lists: WordLists) -> NDArray[np.bool_]:
    """Mark the groups of words that the user's turns of each row have."""
    found = np.zeros((texts.rows, len(lists.groups)), np.bool_)
    for part in select(texts, ASKED, CONTENT).parts:
        place, group = np.nonzero(groups_in(part.text, part.index, lists))
        found[part.row[place], group] = True
    return found


def row_topics(made: BuildFolder, lists: WordLists) -> RowTopics:
    """Return which groups of these lists each row mentions whose text is in the build folder."""
    names: list[pl.DataFrame] = []
    marks: list[NDArray[np.bool_]] = []
    with reading(made.path):
        for folder in ("data", "dropped"):
            for batch in stored_batches(made, folder):
                names.append(batch.names)
                marks.append(topics_of(segments(batch.body, ASKED), lists))
    return _once(names, lists.groups, marks)


def row_field(made: BuildFolder, field: str) -> RowTopics:
    """Return which of its `VALUES` a field of `meta` has in each row whose text is in the build folder."""
    path = json_path(field)
    with reading(made.path):
        batches = (batch for folder in ("data", "dropped") for batch in stored_batches(made, folder, meta=True))
        found = [
            batch.names.with_columns(value=pl.Series(batch.body["meta"], dtype=pl.String).str.json_path_match(path))
            for batch in batches
        ]
    rows = pl.concat([pl.DataFrame(schema={**NAMES, "value": pl.String}), *found])
    counted = rows["value"].drop_nulls().value_counts().sort(["count", "value"], descending=[True, False])
    values = counted["value"].head(VALUES)
    marks = rows["value"].to_numpy()[:, None] == values.to_numpy()[None, :]
    return _once([rows.select(NAMES.names())], tuple(values), [marks])._replace(dimension=f"{META}{field}")


def _once(names: list[pl.DataFrame], groups: tuple[str, ...], marks: list[NDArray[np.bool_]]) -> RowTopics:
    """Join batches; a row counts once, whatever its copies."""
    every = _together(names, groups, marks)
    numbered = every.rows.with_row_index("line")
    first = numbered.unique(["source", "id"], keep="first", maintain_order=True)["line"].to_numpy()
    return RowTopics(every.rows[first], groups, every.marks[first])


def _together(names: list[pl.DataFrame], groups: tuple[str, ...], marks: list[NDArray[np.bool_]]) -> RowTopics:
    """Join batches without copies of a row."""
    rows = pl.concat([pl.DataFrame(schema=NAMES), *names])
    return RowTopics(rows, groups, np.concatenate([np.zeros((0, len(groups)), np.bool_), *marks]))
