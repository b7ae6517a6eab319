"""The section of a page on how long answers are: by what the prompt asks for, and by source."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import polars as pl

from curate.drawing import bars, grids
from curate.drawing.grids import ROWS as MOST
from curate.drawing.grids import HeatCell
from curate.report.charts.figures import Figure, numbers
from curate.report.formatting import counted
from curate.result.build import Build
from curate.result.measures.answers import ROWS

RULES: Final = (
    "What a prompt asks for is found by rules and English words: of 110 prompts that were labelled one by one and not "
    "used for the rules, 88 have the type of their label."
)
FAR: Final = 2.0
"""A source is marked whose answers are so many times as long as usual, or as short."""

NAMED: Final = 3
"""Sources that a sentence names."""

FULL: Final = 4.0
"""Times as long as usual from which on a cell has its full colour."""


class AnswerSection(NamedTuple):
    """What the section says, and its charts."""

    notes: list[str]
    figures: list[Figure]


def answer_section(build: Build) -> AnswerSection | None:
    """Return the section; None where no conversation has an answer."""
    frame = build.chart.data("answer_lengths")
    if not frame.height:
        return None
    notes = [RULES]
    if build.composition["rows"].max() > ROWS:  # type: ignore[operator]
        notes.append(f"Measured on the first {ROWS:,} rows of each source in the data files, whose order is random.")
    return AnswerSection([*_standing_out(frame), *notes], [_by_type(frame), *_by_source(frame)])


def _standing_out(frame: pl.DataFrame) -> list[str]:
    """Say which sources answer at a length of their own; nothing if none does."""
    whole = frame.filter(pl.col("source").is_not_null(), pl.col("prompt_type").is_null())
    found = whole.filter((pl.col("times") >= FAR) | (pl.col("times") <= 1 / FAR)).sort("times", "source")
    if not found.height:
        return []
    each = [f"{one['source']} {_times(one['times'])}" for one in found.reverse().head(NAMED).to_dicts()]
    more = f", and {counted(found.height - NAMED, 'source')} more" if found.height > NAMED else ""
    held = "Beside the middle answer of all sources to prompts of the same type, the middle answer of a source may be"
    return [f"{held} far longer or shorter: {', '.join(each)}{more}. A model learns how much to say with the rest."]


def _times(value: float) -> str:
    return f"{value:.1f} times as long" if value >= 1 else f"{100 * value:.0f} % as long"


def _by_type(frame: pl.DataFrame) -> Figure:
    own = frame.filter(pl.col("source").is_null(), pl.col("prompt_type").is_not_null())
    shown = own.with_columns(rows=pl.col("answers"))
    title = "Lengths of answers by what the prompt asks for"
    note = "The bar is the middle half of the answers, the line goes from the 5th to the 95th percentile."
    drawn = bars.strips(shown, "prompt_type", "tokens, estimated", title=title)
    named = frame.with_columns(pl.col("source", "prompt_type").fill_null("all"))
    return Figure(title, note, drawn, numbers(named))


def _by_source(frame: pl.DataFrame) -> list[Figure]:
    """Return a map of sources and types; nothing for a single source."""
    named = frame.filter(pl.col("source").is_not_null()).with_columns(pl.col("prompt_type").fill_null("all"))
    whole = named.filter(prompt_type="all")
    if whole.height < 2:
        return []
    largest = set(whole.sort("answers", descending=True, maintain_order=True).head(MOST)["source"])
    sources = [source for source in whole["source"] if source in largest]
    types = [*frame["prompt_type"].drop_nulls().unique(maintain_order=True), "all"]
    cells = {
        (one["source"], one["prompt_type"]): _cell(one)
        for one in named.filter(pl.col("source").is_in(sources)).to_dicts()
    }
    title = "Lengths of answers by source"
    note = (
        "The number is the middle answer in tokens, estimated. The longer it is for its type of prompt, the stronger "
        "its colour; below ten answers it has next to none."
    )
    if whole.height > len(sources):
        note += f" {whole.height - len(sources)} more sources with fewer answers are not shown."
    return [Figure(title, note, grids.heat(cells, sources, types, title=title, left_out="sources"))]


def _cell(one: dict[str, Any]) -> HeatCell:
    about = f"{one['source']}, {one['prompt_type']}: {one['median']:,} tokens in {counted(one['answers'], 'answer')}"
    if one["times"] is not None:
        about += f", {_times(one['times'])} as the middle answer of all sources"
    return HeatCell(one["median"], min(one["times"] or 0.0, FULL) / FULL, about, about)
