"""The four kinds of step, and what each returns: all that a step of your own needs.

A step is a frozen dataclass made by a factory function; its fields are its whole configuration. A Filter scores and
never edits, an Edit edits and never drops, a Group needs keys of all rows before it decides, and a Pairing turns rated
rows into preference rows. `curate.testing.check_step` holds a step to the laws of its kind.
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
from curate.rows.segments import CONTENT, On, Segments, TextPart


class Bound(NamedTuple):
    """A limit on a score of a filter.

    Args:
        reason: Why a row outside the limit is dropped, as the ledger and the report say it.
        score: The column of `Scores` that is compared.
        at_least: Rows with a lower score are dropped. None: no lower limit.
        at_most: Rows with a higher score are dropped. None: no upper limit.

    Example:
        >>> Bound("too_long", "words", at_most=500).at_most
        500
    """

    reason: str
    score: str
    at_least: float | None = None
    at_most: float | None = None


class Evidence(NamedTuple):
    """The hits that a filter found in a batch: parallel arrays with one entry per hit, ordered by row.

    Args:
        row: The row in the batch.
        reason: The bound it counts for, as an index into `Filter.bounds()`.
        side: The place: an index into `curate.rows.segments.PLACES`, or what `Part.places` or `call_place` return.
        turn: The turn within that side; of calls, the turn that makes them.
        start: The first character of the hit in its segment, in Unicode code points.
        end: The character after its last.
        match: The phrase or name that matched.

    Example:
        >>> import curate as c
        >>> here = [np.array([number], np.int32) for number in (0, 0, 1, 4, 9)]
        >>> found = c.Evidence(here[0], np.array([0], np.int16), *here[1:], pa.array(["Sorry"]))
        >>> c.Scores({"apologies": np.array([1, 0], np.int32)}, found).evidence.match.to_pylist()
        ['Sorry']
    """

    row: NDArray[np.int32]
    reason: NDArray[np.int16]
    side: NDArray[np.integer]
    turn: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    match: pa.StringArray


FindingView: TypeAlias = Literal[
    "table", "duplicates", "signatures", "contamination", "length_cost", "shared_prompts", "languages", "refusals"
]


@dataclass(frozen=True)
class Finding:
    """Something that a step leaves in the build folder for people to look at.

    Args:
        view: How the report shows it. "table" shows a table as it is; every other view has a section of its own, which
            reads the ledger or the table.
        title: The heading.
        table: The name of the table in `Resolved.tables`, if the view reads one.

    Example:
        >>> Finding("table", "Lengths of answers", table="lengths").view
        'table'
    """

    view: FindingView
    title: str
    table: str = ""


class Scores(NamedTuple):
    """What a filter measured in a batch.

    Args:
        columns: One number per row for each score, by name. NaN: no score, which is outside no bound.
        evidence: The hits behind the scores, if the filter has any to show.
        labels: One word or null per row, by name, such as its language, for the ledger; no bound compares them.
    """

    columns: Mapping[str, NDArray[np.float64] | NDArray[np.int32]]
    evidence: Evidence | None = None
    labels: Mapping[str, pa.StringArray] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One operation of a pipeline; derive from `Filter`, `Edit`, `Group` or `Pairing`.

    A class also sets `name`, which ledger, report and command line show; `version`, raised when its output changes; and
    `findings`, what the report shows of it.

    Args:
        on: The segments that the step reads: a scope such as "response", or a frozenset of roles.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.
    """

    version: ClassVar[int] = 1
    name: ClassVar[str]
    findings: ClassVar[tuple[Finding, ...]] = ()
    on: On = "all"
    allow_large_drop: bool = False

    @property
    def reads(self) -> On:
        """The segments that the step is given: those of `on`, unless it needs more to decide."""
        return self.on

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """The parts of messages that the step is given; content alone, unless a class says otherwise."""
        return CONTENT

    @property
    def eval_sets(self) -> tuple[EvalSet, ...]:
        """The eval sets that the step searches for; `curate check` plants their questions to test that it does."""
        return ()

    def data_hashes(self) -> Mapping[str, str]:
        """Return a content hash for each data file that the step decides by, by name, for the manifest."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Filter(Step):
    """Drops rows whose scores are outside bounds. Never edits.

    Example:
        >>> import curate as c
        >>> import pyarrow.compute as pc
        >>> from curate.rows.joined_text import row_texts
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Shouting(c.Filter):
        ...     name = "shouting"
        ...     most: int = 3
        ...
        ...     def bounds(self):
        ...         return (c.Bound("shouting", "marks", at_most=self.most),)
        ...
        ...     def score(self, segments):
        ...         marks = pc.count_substring(row_texts(segments, "plain"), "!")
        ...         return c.Scores({"marks": marks.to_numpy()})
        >>> from curate.testing import check_step
        >>> check_step(Shouting(on="response"))
    """

    bound_fields: ClassVar[frozenset[str]] = frozenset()  # set limits: no score, nor evidence within them, needs them
    reads_scores: ClassVar[bool] = False  # reads the scores of filters before it

    @abstractmethod
    def bounds(self) -> tuple[Bound, ...]:
        """Return the limits, those that name the reason first coming first. Without a limit a bound drops nothing."""

    @abstractmethod
    def score(self, segments: Segments) -> Scores:
        """Measure every row of a batch.

        Args:
            segments: The selected texts. A row may have none; it needs a score all the same.

        Returns:
            A column for each score that `bounds` names. A row's score depends on that row alone.
        """


@dataclass(frozen=True, kw_only=True)
class Edit(Step):
    """Changes text. Never drops, and changes nothing the second time. `Edits` shows one."""

    @abstractmethod
    def edit(self, segments: Segments) -> Edits:
        """Edit a batch.

        Args:
            segments: The selected texts.

        Returns:
            The new text of the segments that change, and of them only.
        """


class GroupKeys(NamedTuple):
    """What a group needs to know of a batch.

    Args:
        columns: One entry per row, by name. They are held in memory for all rows, so keep them small.
        lists: One list per row, by name. They stay on disk until `Group.resolve` reads them.
        totals: Counts that are summed over all batches, by name.
    """

    columns: dict[str, NDArray[np.generic]]
    lists: dict[str, pa.ListArray] = MappingProxyType({})  # type: ignore[assignment]
    totals: dict[str, NDArray[np.int64]] = MappingProxyType({})  # type: ignore[assignment]


class KeyLists(Protocol):
    """The `lists` of a group's keys, on disk."""

    def read(self, name: str, lines: NDArray[np.int64]) -> pa.ListArray:
        """Read lists.

        Args:
            name: A name in `GroupKeys.lists`.
            lines: Lines of the `keys` that `Group.resolve` got.

        Returns:
            One list for each line, in this order.
        """


DROP_COLUMNS = pl.Schema(
    {"row": pl.Int64, "reason": pl.String, "score": pl.Float64, "kept": pl.Int64, "match": pl.String}
)
"""Rows that a group drops. `kept` is the surviving duplicate; -1 if there is none, and `match` says what matched."""

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
"""Evidence of a group, also of rows that it keeps; `start` and `end` count characters in the segment."""


class Resolved(NamedTuple):
    """What a group decided.

    Args:
        drops: The rows to drop, with the schema `curate.steps.base.DROP_COLUMNS`.
        hits: Evidence, with the schema `curate.steps.base.HIT_COLUMNS`.
        tables: Tables for the build folder, by name. Columns named `row` or `..._row` hold numbers of rows, for which
            the folder has `source` and `id`.
    """

    drops: pl.DataFrame
    hits: pl.DataFrame = pl.DataFrame(schema=HIT_COLUMNS)
    tables: Mapping[str, pl.DataFrame] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Group(Step):
    """Decides over all rows at once, from compact keys, as deduplication does.

    Example:
        >>> import curate as c
        >>> class OneOfEachLength(c.Group):
        ...     name = "one_of_each_length"
        ...
        ...     def sign(self, segments: c.Segments) -> c.GroupKeys:
        ...         turns = np.concatenate([part.row for part in segments.parts] or [np.zeros(0, np.int32)])
        ...         return c.GroupKeys({"length": np.bincount(turns, minlength=segments.rows)})
        ...
        ...     def resolve(self, keys: pl.DataFrame, lists: c.KeyLists, totals) -> c.Resolved:
        ...         first = pl.col("row").sort_by(~pl.col("protect"), "source", "rank").first().over("length")
        ...         later = keys.with_columns(kept=first).filter(~pl.col("protect"), pl.col("row") != pl.col("kept"))
        ...         drops = later.select("row", "kept", reason=pl.lit("same_length"), score=1.0, match=None)
        ...         return c.Resolved(drops.select(DROP_COLUMNS.names()).cast(DROP_COLUMNS))
        >>> from curate.testing import check_step
        >>> check_step(OneOfEachLength(on="all", allow_large_drop=True))
    """

    @property
    def bound(self) -> float:
        """The limit that the ledger shows beside the score of a dropped row: the least similarity, for instance."""
        return 1.0

    @abstractmethod
    def sign(self, segments: Segments) -> GroupKeys:
        """Compute the keys of a batch.

        Args:
            segments: The selected texts of the batch.

        Returns:
            The keys of each row; they depend on that row alone.
        """

    @abstractmethod
    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:
        """Decide which rows to drop. No order of rows, batches or files may change the answer.

        Args:
            keys: One line for each row that reached the step: `row` (its number in the build), `source` (its priority,
                0 first; -1 for rows of `against`), `rank` (a keyed hash of its id, for an order that does not depend on
                the input's), `protect`, and `GroupKeys.columns`. A protected row is never dropped.
            lists: Reads `GroupKeys.lists` for lines of `keys`.
            totals: `GroupKeys.totals`, summed over all rows read.

        Returns:
            The rows to drop, evidence, and tables for the build folder.
        """

    def against(self) -> tuple[Input, ...]:
        """Return inputs whose rows get keys and are resolved with the others, protected, but are not built."""
        return ()


class Paired(NamedTuple):
    """The pairs made of a batch of rated rows.

    Args:
        body: One preference row per pair (`curate.rows.schema.BODIES["preference"]`).
        row: The rated row in the batch that each pair was made of, ascending.
        reason: For each rated row why it gave no pair, as an index into `Pairing.reasons()`; -1 if it gave one.
    """

    body: pa.RecordBatch
    row: NDArray[np.int32]
    reason: NDArray[np.int16]


@dataclass(frozen=True, kw_only=True)
class Pairing(Step):
    """Turns each rated row into preference rows, any number of them. A row that gives none has a reason.

    Example:
        >>> import curate as c
        >>> from curate.rows.schema import BODIES
        >>> step, rows = c.binarize(), pa.RecordBatch.from_pylist([], BODIES["rated"])
        >>> isinstance(step, c.Pairing), isinstance(step.pair(rows), c.Paired)
        (True, True)
    """

    @abstractmethod
    def reasons(self) -> tuple[str, ...]:
        """Return the reasons why a row may give no pair."""

    @abstractmethod
    def pair(self, body: pa.RecordBatch) -> Paired:
        """Pair the completions of each row.

        Args:
            body: Rated rows (`curate.rows.schema.BODIES["rated"]`).

        Returns:
            The pairs. No other row, and no order of rows or completions, changes those of a row.
        """


class Decision(NamedTuple):
    """A filter's decision on each row: the first bound that it is outside of (-1: none), and the score compared."""

    bound: NDArray[np.int16]
    score: NDArray[np.float64]


def decide(scores: Scores, bounds: tuple[Bound, ...], rows: int) -> Decision:
    """Compare scores with bounds; the first bound that a row is outside of names its reason.

    >>> scores = Scores({"turns": np.array([1, 4], np.int32)})
    >>> decide(scores, (Bound("few_turns", "turns", at_least=2),), 2).bound.tolist()
    [0, -1]
    """
    first = np.full(rows, -1, np.int16)
    compared = np.full(rows, np.nan)
    for place, bound in enumerate(bounds):
        score = scores.columns[bound.score]
        outside = np.zeros(rows, np.bool_)
        if bound.at_least is not None:
            outside |= score < bound.at_least
        if bound.at_most is not None:
            outside |= score > bound.at_most
        outside &= first == -1
        first[outside] = place
        compared[outside] = score[outside]
    return Decision(first, compared)
