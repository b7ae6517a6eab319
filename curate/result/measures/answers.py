"""How long the answers of a build are, by source and by what the prompt asks for.

A source may be long because its prompts ask for much, or because its answers are wordy; a model learns the length with
the rest. So each answer is also held against the answers of all sources to prompts of its type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.kernels.buffers import frozen
from curate.result.folder import BuildFolder, reading
from curate.result.measures.stored_batches import stored_batches
from curate.rows.schema import ASSISTANT, USER
from curate.rows.segments import Part, Segments, segments
from curate.rows.tokens import TOKENS_PER_TURN, Tokenizer, part_tokens
from curate.text.topics.prompt_types import PROMPT_TYPES, prompt_types

ROWS: Final = 10_000
"""Rows of each source that a page measures: the first in the data files, whose order is random. The error of a median
of so many is a hundredth of the answers on either side; all of 300,000 rows would take 4 % of a quick build."""

FEWEST: Final = 10
"""Answers from which on `times` is given: the middle of fewer says little."""

QUANTILES: Final = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}

ANSWER_LENGTHS: Final = pl.Schema(
    [
        ("source", pl.String),
        ("prompt_type", pl.String),
        ("answers", pl.Int64),
        ("share", pl.Float64),
        *((name, pl.Int64) for name in ("shortest", *QUANTILES, "longest")),
        ("mean", pl.Float64),
        ("times", pl.Float64),
    ]
)
READ: Final = pl.Schema({"source": pl.Int32, "type": pl.UInt8, "tokens": pl.Int32})
ANSWERS: Final = pl.Schema([*READ.items(), ("weight", pl.Float64)])
"""A line for each answer that was read: the places of its source and of its prompt's type (in `PROMPT_TYPES`), its
tokens, and for how many of its source it counts: rows of the source for each row that was read."""


@dataclass
class AnswerReader:
    """Collects the answers in conversations, batch by batch.

    Args:
        sources: How many sources there are.
        rows: Rows of each source that are read, the first ones; None: all.
        tokenizer: Counts tokens; without one they are estimated.
    """

    sources: int
    rows: int | None = None
    tokenizer: Tokenizer | None = None
    found: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=READ)])
    seen: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = np.zeros(self.sources, np.int64)

    def add(self, every: Segments, source: NDArray[np.integer]) -> None:
        """Read the texts of a batch; `source` is the place of each row's source."""
        number = pl.Series(source).to_frame("source").select(pl.int_range(pl.len()).over("source")).to_series()
        wanted = self.rows is None or (number.to_numpy() + self.seen[source] < self.rows)
        self.seen += np.bincount(source, minlength=self.sources)
        for part in every.parts if np.any(wanted) else ():
            if (part.side, part.of) == ("dialogue", "content"):
                self.found.append(self._answers(part, source, np.broadcast_to(wanted, len(source))))

    @property
    def answers(self) -> pl.DataFrame:
        """The answers so far (`ANSWERS`)."""
        read = self.seen if self.rows is None else np.minimum(self.seen, self.rows)
        weight = self.seen / np.maximum(read, 1)
        found = pl.concat(self.found)
        return found.with_columns(weight=pl.Series(weight, dtype=pl.Float64).gather(found["source"]))

    def _answers(self, part: Part, source: NDArray[np.integer], wanted: NDArray[np.bool_]) -> pl.DataFrame:
        """Return the assistant's turns that say something and come after one of the user."""
        asked = np.maximum.accumulate(np.where(part.role == USER, np.arange(len(part.role)), -1))
        says = np.diff(part.text.offsets)[part.index] > 0
        at = np.flatnonzero((part.role == ASSISTANT) & says & (asked >= 0) & wanted[part.row])
        at = at[part.row[asked[at]] == part.row[at]]
        prompts, entry = np.unique(asked[at], return_inverse=True)
        own = part._replace(index=frozen(part.index[at]))
        extra = TOKENS_PER_TURN if self.tokenizer is None else self.tokenizer.per_turn
        found = {
            "source": source[part.row[at]],
            "type": prompt_types(part.text, frozen(part.index[prompts]))[entry],
            "tokens": part_tokens(own, self.tokenizer) - extra,
        }
        return pl.DataFrame(found).cast(dict(READ.items()))


def stored_answers(made: BuildFolder, rows: int | None = None, tokenizer: Tokenizer | None = None) -> pl.DataFrame:
    """Return the answers in the data files of a build of conversations (`ANSWERS`), as often as they are there."""
    reader = AnswerReader(len(made.sources), rows, tokenizer)
    place = {name: number for number, name in enumerate(made.sources)}
    with reading(made.path):
        for batch in stored_batches(made, "data") if made.kind == "conversation" else ():
            source = batch.names["source"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
            reader.add(segments(batch.body, "all"), source)
    return reader.answers


def answer_lengths(sources: Sequence[str], answers: pl.DataFrame) -> pl.DataFrame:
    """Return `Build.answer_lengths` of these answers (`ANSWERS`)."""
    usual = _quantile(pl.col("tokens"), 0.5)
    each = answers.sort("tokens").with_columns(ratio=pl.col("tokens") / usual.over("type"))
    null = {"source": pl.lit(None, pl.Int32), "type": pl.lit(None, pl.UInt8)}
    parts = [
        each.with_columns(**{name: null[name] for name in together}).group_by("source", "type").agg(**_measures())
        for together in ((), ("type",), ("source",), ("source", "type"))
    ]
    found = pl.concat(parts).sort("source", "type", nulls_last=False)
    names = {
        "source": pl.col("source").replace_strict(dict(enumerate(sources)), return_dtype=pl.String),
        "prompt_type": pl.col("type").replace_strict(dict(enumerate(PROMPT_TYPES)), return_dtype=pl.String),
    }
    named = found.with_columns(share=pl.col("answers") / pl.col("answers").max().over("source"), **names)
    return named.select(ANSWER_LENGTHS.names()).cast(dict(ANSWER_LENGTHS.items()))


def _measures() -> dict[str, pl.Expr]:
    tokens, weight = pl.col("tokens"), pl.col("weight")
    middle = _quantile(pl.col("ratio").sort_by("ratio"), 0.5, weight.sort_by("ratio"))
    return {
        "answers": weight.sum().round(),
        "shortest": tokens.min(),
        **{name: _quantile(tokens, share) for name, share in QUANTILES.items()},
        "longest": tokens.max(),
        "mean": (tokens * weight).sum() / weight.sum(),
        "times": pl.when(pl.len() >= FEWEST).then(middle),
    }


def _quantile(value: pl.Expr, share: float, weight: pl.Expr | None = None) -> pl.Expr:
    """Return the least of sorted values that, with those before it, has this share of the weight."""
    own = pl.col("weight") if weight is None else weight
    return value.filter(own.cum_sum() >= share * own.sum() * (1 - 1e-12)).first()
