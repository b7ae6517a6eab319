"""The four kinds of step, and what each hands back.

A step is a frozen dataclass made by a factory function; its fields are its whole configuration. A Filter scores and
never edits, an Edit edits and never drops, a Group needs keys of all rows before it decides, and a Pairing turns rated
rows into preference rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.evalsets.items import EvalSet
from curate.io.inputs import Input
from curate.rows.edits import Edits
from curate.rows.segments import On, Segments


class Bound(NamedTuple):
    """A limit on a score. A row falls with `reason` when its score is below `at_least` or above `at_most`."""

    reason: str
    score: str
    at_least: float | None = None
    at_most: float | None = None


class Evidence(NamedTuple):
    """Where a filter met what it looks for: parallel arrays, a hit each, ordered by row.

    `reason` is a place in the filter's `bounds()`, `side` a code in `SIDES`; `start` and `end` count characters
    (Unicode code points) within the segment; `match` is the phrase or name that was met.
    """

    row: NDArray[np.int32]
    reason: NDArray[np.int16]
    side: NDArray[np.uint8]
    turn: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    match: pa.StringArray


FindingView: TypeAlias = Literal[
    "table", "duplicates", "signatures", "contamination", "length_cost", "shared_prompts", "languages"
]


@dataclass(frozen=True)
class Finding:
    """Something that a step leaves in the build folder for people to look at.

    `view` says how the report shows it. A `table` is shown as it is, under `title`; the other views have a section of
    their own, which finds what it needs in the ledger or in the table of that name (`curate.steps.base.Resolved`).
    """

    view: FindingView
    title: str
    table: str = ""


class Scores(NamedTuple):
    """What a filter measured: a column of one number a row for each score, and the evidence, if it gives any.

    `labels` are columns of one word a row, such as its language, or null; they go to the ledger beside the numbers, and
    no bound is held against them.
    """

    columns: Mapping[str, NDArray[np.float64] | NDArray[np.int32]]
    evidence: Evidence | None = None
    labels: Mapping[str, pa.StringArray] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One op of a pipeline.

    `name` is how ledger, report and command line call it; `version` rises when its output changes.
    """

    version: ClassVar[int] = 1
    name: ClassVar[str]
    findings: ClassVar[tuple[Finding, ...]] = ()
    on: On = "all"
    allow_large_drop: bool = False

    @property
    def reads(self) -> On:
        """The segments that the step is handed: those of `on`, or more where it cannot do without."""
        return self.on

    @property
    def eval_sets(self) -> tuple[EvalSet, ...]:
        """The eval sets that the step searches for; `curate check` plants their questions to see whether it does."""
        return ()

    def data_hashes(self) -> Mapping[str, str]:
        """Return the names of what data it brings along itself, each with a hash of its content, for the manifest."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Filter(Step):
    """Drops rows by scores held against bounds. Never edits."""

    @abstractmethod
    def bounds(self) -> tuple[Bound, ...]:
        """Return the limits, in the order in which they name the reason."""

    @abstractmethod
    def score(self, segments: Segments) -> Scores:
        """Measure every row of the batch; rows without a selected segment too."""


@dataclass(frozen=True, kw_only=True)
class Edit(Step):
    """Changes text. Never drops, and changes nothing the second time."""

    @abstractmethod
    def edit(self, segments: Segments) -> Edits:
        """Return the new text of the segments that change."""


class GroupKeys(NamedTuple):
    """What a group takes from a batch.

    `columns` have an entry a row, and meet in memory; `lists` have a list a row, and wait on disk until they are asked
    for; `totals` are summed over all batches.
    """

    columns: dict[str, NDArray[np.generic]]
    lists: dict[str, pa.ListArray] = MappingProxyType({})  # type: ignore[assignment]
    totals: dict[str, NDArray[np.int64]] = MappingProxyType({})  # type: ignore[assignment]


class KeyLists(Protocol):
    """The lists that a group signed rows with, on disk."""

    def read(self, name: str, lines: NDArray[np.int64]) -> pa.ListArray:
        """Return the lists called `name` of these lines of the keys, in this order."""


DROP_COLUMNS = pl.Schema(
    {"row": pl.Int64, "reason": pl.String, "score": pl.Float64, "kept": pl.Int64, "match": pl.String}
)
"""Rows that fall to a group: `kept` is the row that stands for it (-1: none), or else `match` says what it fell to."""

HIT_COLUMNS = pl.Schema(
    {
        "row": pl.Int64,
        "reason": pl.String,
        "side": pl.String,
        "turn": pl.Int32,
        "start": pl.Int32,
        "end": pl.Int32,
        "match": pl.String,
    }
)
"""Evidence of a group, also on rows that do not fall; `start` and `end` count characters in the segment."""


class Resolved(NamedTuple):
    """What a group decided: frames of the schemas `DROP_COLUMNS` and `HIT_COLUMNS`, and tables of its own for the build folder.

    In a table, columns named `row` or `..._row` hold numbers of rows; the folder has `source` and `id` in their place.
    """

    drops: pl.DataFrame
    hits: pl.DataFrame = pl.DataFrame(schema=HIT_COLUMNS)
    tables: Mapping[str, pl.DataFrame] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Group(Step):
    """Decides over all rows at once, from compact keys.

    `bound` is the score from which on a row falls.
    """

    @property
    def bound(self) -> float:
        """Two rows are the same from this similarity on."""
        return 1.0

    @abstractmethod
    def sign(self, segments: Segments) -> GroupKeys:
        """Return what the step needs to know of each row of a batch."""

    @abstractmethod
    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:
        """Decide. No order of rows, batches or files may change the answer.

        `keys` has a line for each row that reached the step: `row` (its number in the build), `source` (its priority, 0
        first; -1 for rows the step is held `against`), `rank` (a keyed hash of its id: an order that no input order can
        change), `protect`, and the columns of `sign`. `lists` reads the lists of `sign` for lines of `keys`, `totals`
        has its totals over all rows read. A protected row never falls.
        """

    def against(self) -> tuple[Input, ...]:
        """Return inputs whose rows are signed and resolved with the others, protected, but are no part of the build."""
        return ()


class Paired(NamedTuple):
    """The pairs that a batch of rated rows gave: `body` has the columns of a preference row, a line a pair.

    `row` is the rated row that each pair came from (its number in the batch, ascending). `reason` has for each of the
    rated rows a place in the pairing's `reasons()`, or -1 where the row gave a pair.
    """

    body: pa.RecordBatch
    row: NDArray[np.int32]
    reason: NDArray[np.int16]


@dataclass(frozen=True, kw_only=True)
class Pairing(Step):
    """Turns rated rows into preference rows, 0 to n each. A row that gives none says why."""

    @abstractmethod
    def reasons(self) -> tuple[str, ...]:
        """Return what keeps a row from giving a pair."""

    @abstractmethod
    def pair(self, body: pa.RecordBatch) -> Paired:
        """Pair the completions of each row; no other row and no order of rows or completions changes the answer."""


class Decision(NamedTuple):
    """A filter's decision on each row: the bound that felled it (-1: none), and the score held against it."""

    bound: NDArray[np.int16]
    score: NDArray[np.float64]


def decide(scores: Scores, bounds: tuple[Bound, ...], rows: int) -> Decision:
    """Hold scores against bounds; the first bound that a row breaks names its reason. A NaN score breaks no bound.

    >>> scores = Scores({"turns": np.array([1, 4], np.int32)})
    >>> decide(scores, (Bound("few_turns", "turns", at_least=2),), 2).bound.tolist()
    [0, -1]
    """
    fell = np.full(rows, -1, np.int16)
    held = np.full(rows, np.nan)
    for place, bound in enumerate(bounds):
        score = scores.columns[bound.score]
        broken = np.zeros(rows, np.bool_)
        if bound.at_least is not None:
            broken |= score < bound.at_least
        if bound.at_most is not None:
            broken |= score > bound.at_most
        broken &= fell == -1
        fell[broken] = place
        held[broken] = score[broken]
    return Decision(fell, held)
