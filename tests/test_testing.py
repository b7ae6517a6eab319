"""`curate.testing`: steps that keep the laws pass, and each law is seen to catch a step that breaks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import curate as c
from curate.steps.base import DROP_COLUMNS
from curate.testing import check_step

CALLS: Final = count()


@dataclass(frozen=True, kw_only=True)
class OfBatch(c.Filter):
    """Scores a row by how many rows come with it."""

    name: ClassVar[str] = "of_batch"

    def bounds(self) -> tuple[c.Bound, ...]:
        return (c.Bound("crowded", "rows", at_most=3),)

    def score(self, segments: c.Segments) -> c.Scores:
        return c.Scores({"rows": np.full(segments.rows, float(segments.rows))})


@dataclass(frozen=True, kw_only=True)
class OfCalls(OfBatch):
    """Scores a row by how often it was asked."""

    def score(self, segments: c.Segments) -> c.Scores:
        return c.Scores({"rows": np.full(segments.rows, float(next(CALLS)))})


@dataclass(frozen=True, kw_only=True)
class Outside(OfBatch):
    """Gives evidence behind the end of the text."""

    def score(self, segments: c.Segments) -> c.Scores:
        first = np.unique(np.concatenate([part.row for part in segments.parts] or [np.zeros(0, np.int32)]))
        zero = np.zeros(len(first), np.int32)
        sides = np.full(len(first), segments.body is None, np.uint8)
        match = pa.array(["x"] * len(first), pa.string())
        far = zero + 10**6
        evidence = c.Evidence(first.astype(np.int32), zero.astype(np.int16), sides, zero, zero, far, match)
        return c.Scores({"rows": np.zeros(segments.rows)}, evidence)


@dataclass(frozen=True, kw_only=True)
class OtherScores(OfBatch):
    """Has another score for no rows."""

    def score(self, segments: c.Segments) -> c.Scores:
        return c.Scores({"rows": np.zeros(segments.rows), **({} if segments.rows else {"more": np.zeros(0)})})


@dataclass(frozen=True, kw_only=True)
class FirstWins(c.Group):
    """Drops every row but the first that it is given."""

    name: ClassVar[str] = "first_wins"

    def sign(self, segments: c.Segments) -> c.GroupKeys:
        return c.GroupKeys({"one": np.ones(segments.rows)})

    def resolve(self, keys: pl.DataFrame, lists: c.KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> c.Resolved:
        del lists, totals
        rest = keys.filter(~pl.col("protect")).slice(1)
        columns = {"reason": pl.lit("late"), "score": pl.lit(1.0), "kept": pl.lit(-1), "match": pl.lit("")}
        return c.Resolved(rest.select("row", **columns).cast(dict(DROP_COLUMNS.items())))


@dataclass(frozen=True, kw_only=True)
class DropsProtected(FirstWins):
    """Drops protected rows too."""

    def resolve(self, keys: pl.DataFrame, lists: c.KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> c.Resolved:
        return super().resolve(keys.with_columns(protect=pl.lit(value=False)).reverse(), lists, totals)


@pytest.mark.parametrize(
    "step",
    [
        c.where(pl.col("words") < 7),
        c.keep_if(lambda texts: texts.str.len_chars() < 9, on="prompt"),
        c.keep_if(lambda rows: rows["characters"] * 1.0, takes="rows", at_most=50),
        c.change(lambda texts: texts.str.replace_all(r"\s+", " "), on="all"),
        c.shape(),
        c.exact_dedup(),
        c.binarize(),
    ],
)
def test_a_lawful_step_passes(step: c.Step) -> None:
    check_step(step, batches=5)


@pytest.mark.parametrize(
    ("step", "law"),
    [
        (OfBatch(), "answers differently in smaller batches"),
        (OfCalls(), "answers differently the second time"),
        (Outside(), "points outside the text"),
        (OtherScores(), "has other scores for no rows"),
        (FirstWins(), "decides (differently in batches|by the order of batches)"),
        (DropsProtected(), "drops protected rows"),
        (c.change(lambda texts: texts + "!"), "changes its own result"),
        (
            c.keep_if(lambda texts: pl.Series([i == 0 for i in range(len(texts))])),
            "answers differently in smaller batches",
        ),
    ],
)
def test_a_step_that_breaks_a_law_is_caught(step: c.Step, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_step(step)


CELLS: Final = (
    "import curate as c\nfrom curate.testing import check_step\nLIMIT = 30",
    "def short(texts):\n    return texts.str.len_chars() < LIMIT",
    "def tidy(texts):\n    return texts.str.strip_chars()",
    "def words(texts):\n    return texts.str.count_matches(r'\\w+')",
    "steps = c.keep_if(short), c.change(tidy), c.keep_if(words, at_least=1)\nfor s in steps:\n    check_step(s)",
)


def test_steps_of_a_notebook_cell() -> None:
    """Run in IPython, as a notebook does: they pass, and are known by what they do."""
    shell: Any = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()

    def ran(*cells: str) -> list[c.Step]:
        for cell in cells:
            shell.run_cell(cell).raise_error()
        found: list[c.Step] = shell.user_ns["steps"]
        return found

    before = ran(*CELLS)
    assert ran(CELLS[1] + "  # strictly", CELLS[-1]) == before
    assert ran(CELLS[1].replace("<", "<="), CELLS[-1]) != before
