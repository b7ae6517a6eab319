"""What is measured of the rows of a build: what steps cost, refusals of harm, and the lengths of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final, Literal

import polars as pl

from curate.errors import CallError
from curate.result.browser.shown_rows import SeenRows
from curate.result.folder import BuildFolder, table
from curate.result.length_bias import bias, length_cost, measured_files
from curate.result.measures.answers import answer_lengths, stored_answers
from curate.result.measures.costs import costs
from curate.result.measures.groups import GroupCounts
from curate.result.measures.texts import (
    DroppedTexts,
    TextMeasures,
    measured_dropped,
    measured_texts,
    row_field,
    row_topics,
)
from curate.rows.tokens import Tokenizer
from curate.text.topics.word_lists import WordLists, compiled, shipped_lists

OF_ALL_ROWS: Final = ("counted", "dropped_texts", "limit_tables", "seen_rows")
"""What is measured of all rows or of dropped ones, or shown of rows: builds that differ in their takes share it."""


class MeasuredBuild(BuildFolder):
    """A build folder whose rows are measured; `Build` derives from it."""

    @cached_property
    def dropped_texts(self) -> DroppedTexts:
        """What one pass over the texts of dropped rows measures (`curate.result.measures.texts`)."""
        return measured_dropped(self)

    @cached_property
    def text_measures(self) -> TextMeasures:
        """What one pass over the texts of the folder measures (`curate.result.measures.texts`)."""
        return measured_texts(self, self.dropped_texts)

    @cached_property
    def seen_rows(self) -> SeenRows:
        """The rows that its page has shown."""
        return SeenRows.none()

    def costs(
        self,
        topics: Literal["shipped"] | Mapping[str, Iterable[str]] | None = "shipped",
        *,
        field: str | None = None,
    ) -> pl.DataFrame:
        """Return what each step costs: of each group of rows that reached it, the share that it dropped.

        Columns: `step`, `dimension` ("source", "language", "length", "topic"), `group`, `reached` and `dropped` (rows
        of the group), `share` (dropped of reached), `overall` (that share of all rows), `low` (the lower bound of the
        share, Wilson's at three standard errors), and `above`: at least five rows dropped, and even the lower bound is
        1.5 times the overall share, or 1.5 times fewer rows stay. The groups with the highest `low` come first.

        Languages are those that a language() step detected; without one they are left out. Lengths are the tokens of
        whole rows in the ledger. A row is in each topic that its user turns have a phrase of: what a group is called,
        not what is said of it. Rows of protected sources are left out. Topics and fields are read from the texts in the
        folder; those of unsampled rows are not there, and kept rows of their source count for them, which holds for
        rows that were sampled by chance. Rated rows have neither.

        Args:
            topics: "shipped" for the lists of curate/text/topics/lists (groups of people, and domains such as code or
                law), your own as phrases by group, or None for none.
            field: A field of `meta` whose values are groups of the dimension `meta.<field>`, the hundred most frequent.

        Raises:
            CallError: A topic without phrases, or one string in place of a list.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> import curate as c
            >>> rows = [{"instruction": f"Is boat {n} fast?", "output": "It is. " * (n % 2)} for n in range(40)]
            >>> source = c.Source("a", c.frame(pl.DataFrame(rows), "alpaca"))
            >>> with TemporaryDirectory() as folder:
            ...     build = c.Mixture("demo", [source], [c.shape()]).build(f"{folder}/build", quiet=True)
            ...     found = build.costs({"boats": ["boat"]}).filter(dimension="topic")
            >>> found.select("step", "group", "reached", "dropped", "share", "above").row(0)
            ('shape', 'boats', 40, 20, 0.5, False)
        """
        read: list[GroupCounts] = []
        searched = self.text_measures.topics if topics == "shipped" else None
        if searched is not None and searched.every == 1:
            read.append(searched)
        elif topics is not None:
            read.append(row_topics(self, shipped_lists() if topics == "shipped" else _own(topics)))
        read += [] if field is None else [row_field(self, field)]
        return costs(self, read)

    @property
    def refusals_of_harm(self) -> pl.DataFrame:
        """Rows with a refusal that a refusals() step found, and those of them that refuse a plainly harmful request.

        Columns: `step`, `source`, `refusals`, `refusals_kept` (of them in the data files), `of_harm` (the request has a
        phrase of phrases/harmful.txt, or what the step's `keep_safety` says), `of_harm_kept`. Of pairs, those whose
        chosen answer refuses. Lower bounds: on XSTest, 97 % of refusals found to be of harm are, and 42 % of those that
        are of harm are found (prompts that the phrases were not written from). Empty without a refusals() step.
        """
        return self.text_measures.harm

    def answer_lengths(self, *, tokenizer: Tokenizer | None = None) -> pl.DataFrame:
        """Return how long the answers in the data files are, in tokens, by source and by what the prompt asks for.

        Columns: `source` (null: all together), `prompt_type` (null: all), `answers`, `share` (of the source's),
        `shortest`, `p5`, `p25`, `median`, `p75`, `p95`, `longest`, `mean`, and `times`: the median of how many times as
        long each answer is as the middle answer of all sources to prompts of its type (null below ten answers). A
        source may be long for what it asks, or for how it answers; `times` is of the latter.

        An answer is a turn of the assistant that says something, after one of the user; reasoning and calls do not
        count. Types ("code", "maths", "given text", "writing", "question", "chat", "other") are found by rules and
        English words, see `curate.text.topics.prompt_types`: 8 in 10 are those that a person would name. All rows are
        read; `chart.data("answer_lengths")` reads the first 10,000 of each source. Empty for rows of other kinds.

        Args:
            tokenizer: Count tokens with this tokenizer in place of the estimate.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> import curate as c
            >>> rows = [{"instruction": "Why do boats float?", "output": "They do. " * (n + 1)} for n in range(10)]
            >>> source = c.Source("a", c.frame(pl.DataFrame(rows), "alpaca"))
            >>> with TemporaryDirectory() as folder:
            ...     build = c.Mixture("demo", [source]).build(f"{folder}/build", quiet=True)
            ...     build.answer_lengths().filter(source="a").select("prompt_type", "answers", "median").rows()
            [(None, 10, 12), ('question', 10, 12)]
        """
        return answer_lengths(self.sources, stored_answers(self, tokenizer=tokenizer))

    def length_bias(self, *, bands: int = 4, tokenizer: Tokenizer | None = None) -> pl.DataFrame:
        """Measure how much longer chosen answers are than rejected ones, and how well length alone predicts the label.

        Of the pairs in the data files, as often as they are there; a line for all, each source, and each band of
        margins, see `curate.result.length_bias`. Raises `CallError` for a build of other rows.

        Args:
            bands: How many bands of margins the pairs are split into.
            tokenizer: Count tokens with this tokenizer in place of the estimate.
        """
        return bias(self.pair_lengths if tokenizer is None else measured_files(self, tokenizer), bands)

    @cached_property
    def pair_lengths(self) -> pl.DataFrame:
        """The lengths and margin of each pair in the data files, see `curate.result.length_bias.measured`."""
        return measured_files(self)

    def length_cost(self, step: str | None = None) -> pl.DataFrame:
        """Return what a balance_length step dropped of each source: pairs, and margin (`curate.result.length_bias`).

        Args:
            step: The label of a balance_length step; None, the default, for the only one.
        """
        return length_cost(table(self.path, self._with_finding(step, "length_cost"), "lengths"))


def _own(topics: str | Mapping[str, Iterable[str]]) -> WordLists:
    if isinstance(topics, str):
        raise CallError(f'topics={topics!r}: "shipped", or phrases by group, such as {{"boats": ["boat", "ship"]}}')
    return compiled(topics)


def what_drops(build: BuildFolder) -> tuple[object, ...]:
    """Return what decides which rows a build drops: its steps, and what its sources bring to them."""
    sources = [
        (each["name"], each["content"], each["protect"], each["plan"].get("before"))
        for each in build.manifest["sources"]
    ]
    return build.manifest["steps"], sources
