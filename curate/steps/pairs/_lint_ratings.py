"""What is wrong with the ratings of a row: an overall score that its aspects contradict, ratings that are missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class Scale(NamedTuple):
    """The lowest and the highest rating that can be given."""

    lowest: float
    highest: float


class Ratings(NamedTuple):
    """The ratings of all completions of a batch, one after the other.

    `row` and `turn` say which completion it is. `overall` is its overall score and `aspects` the mean of its aspects,
    NaN where there is none or one is no finite number. `missing` says that it lacks a finite rating of a name that
    another completion of its row has, or that nothing in its row is rated.
    """

    row: NDArray[np.int32]
    turn: NDArray[np.int32]
    overall: NDArray[np.float64]
    aspects: NDArray[np.float64]
    missing: NDArray[np.bool_]


def ratings(body: pa.RecordBatch, overall: str, aspects: tuple[str, ...], scale: Scale) -> Ratings:
    """Read the ratings of rated rows. An aspect is each name in `aspects`, or if it is empty each but `overall`.

    A completion with an aspect outside `scale` has no mean: whatever that number is, it is no such rating.

    >>> from curate.rows.schema import BODIES
    >>> scores = [{"name": "honesty", "value": 4.0}, {"name": "overall_score", "value": 10.0}]
    >>> answers = [{"content": "a", "model": "m", "scores": scores}, {"content": "b", "model": "m", "scores": []}]
    >>> rows = pa.RecordBatch.from_pylist([{"messages": [], "completions": answers, "meta": "{}"}], BODIES["rated"])
    >>> found = ratings(rows, "overall_score", (), Scale(1, 5))
    >>> found.overall.tolist(), found.aspects.tolist(), found.missing.tolist()
    ([10.0, nan], [4.0, nan], [False, True])
    """
    sizes = np.diff(body["completions"].offsets.to_numpy())
    row = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    turn = (np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)).astype(np.int32)
    lists = body["completions"].flatten().field("scores")
    counts = np.diff(lists.offsets.to_numpy())
    of = np.repeat(np.arange(len(counts)), counts)
    scores = lists.flatten()
    value = np.asarray(scores.field("value").fill_null(np.nan))
    name, names = _names(scores.field("name"))
    fine = np.isfinite(value)
    is_overall = np.asarray(pc.equal(names, overall))[name]
    is_aspect = np.asarray(pc.is_in(names, pa.array(aspects, pa.string())))[name] if aspects else ~is_overall
    bad = is_aspect & ~(fine & (value >= scale.lowest) & (value <= scale.highest))
    whole = np.full(len(row), np.nan)
    whole[of[is_overall & fine]] = value[is_overall & fine]
    number = np.bincount(of[is_aspect], minlength=len(row))
    total = np.bincount(of[is_aspect], weights=np.where(bad, 0, value)[is_aspect], minlength=len(row))
    means = np.divide(total, number, out=np.full(len(row), np.nan), where=number > 0)
    means[of[bad]] = np.nan
    given = _distinct(of[fine], name[fine], len(names), len(row))
    known = _distinct(row[of], name, len(names), len(sizes))
    return Ratings(row, turn, whole, means, (given < known[row]) | (known[row] == 0))


def _names(names: pa.StringArray) -> tuple[NDArray[np.int64], pa.StringArray]:
    """Return the place of each name among those there are."""
    found = pc.dictionary_encode(names.fill_null(""))
    return np.asarray(found.indices).astype(np.int64), found.dictionary


def _distinct(group: NDArray[np.integer], name: NDArray[np.int64], names: int, groups: int) -> NDArray[np.int64]:
    """Count the different names of each group."""
    pairs = np.unique(group.astype(np.int64) * max(names, 1) + name)
    return np.bincount(pairs // max(names, 1), minlength=groups)


def disagreement(found: Ratings, scale: Scale, aspect_scale: Scale) -> NDArray[np.float64]:
    """Return how far the overall score is above the mean of the aspects, each as a share of its scale.

    NaN where one of them is missing or outside its scale.
    """
    overall = (found.overall - scale.lowest) / (scale.highest - scale.lowest)
    aspects = (found.aspects - aspect_scale.lowest) / (aspect_scale.highest - aspect_scale.lowest)
    return np.where((overall >= 0) & (overall <= 1), overall - aspects, np.nan)


def pair_scores(body: pa.RecordBatch) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the scores of chosen and rejected (NaN: none), and where one is no finite number though there is one."""
    columns = [body[name] for name in ("chosen_score", "rejected_score")]
    chosen, rejected = (np.asarray(column.fill_null(np.nan)) for column in columns)
    some = np.asarray(columns[0].is_valid()) | np.asarray(columns[1].is_valid())
    return chosen, rejected, some & ~(np.isfinite(chosen) & np.isfinite(rejected))
