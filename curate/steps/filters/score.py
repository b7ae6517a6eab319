"""Filter by a number that the user brings: one in the rows' own data, or what a function of theirs gives each row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.rows.schema import kind_of
from curate.rows.segments import Segments
from curate.steps._answers import numbers_of
from curate.steps._named import NAME, Scorer, name_of, named, source_file
from curate.steps._settings import check_choice, check_limits
from curate.steps.base import Bound, Filter, Scores

Of: TypeAlias = Literal["best", "mean", "worst"]
"""Which score represents a rated row: that of its best or worst completion, or the mean over them."""

PAIR: Final = ("chosen_score", "rejected_score")
COLUMNS: Final = "'meta.<field>', 'completions', 'completions.<score name>', 'chosen_score', 'rejected_score'"


@dataclass(frozen=True, kw_only=True)
class Scoring(Filter):
    """See `score`. `what` names the column, or the function as `module:function`."""

    name: ClassVar[str] = "score"
    bound_fields: ClassVar[frozenset[str]] = frozenset({"at_least", "at_most"})
    what: str
    of: Of = "best"
    at_least: float | None = None
    at_most: float | None = None

    def bounds(self) -> tuple[Bound, ...]:
        """Return the two limits."""
        bounds = Bound("low_score", "value", self.at_least), Bound("high_score", "value", at_most=self.at_most)
        return tuple(bound for bound in bounds if bound[2:] != (None, None))

    def score(self, segments: Segments) -> Scores:
        """Return the number of each row, NaN if there is none; a function is not called for no rows, only found."""
        function = named(self.what, "score") if ":" in self.what else None
        if segments.body is None or segments.rows == 0:
            return Scores({"value": np.full(segments.rows, np.nan)})
        if function is None:
            return Scores({"value": _read(self.what, self.of, segments.body)})
        with _lock(self.what):
            answer = function(segments.body)
        return Scores({"value": numbers_of(answer, segments.rows, f"score({self.what!r})")})

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the module that the function is in; nothing for a column."""
        return {self.what: _source_hash(self.what)} if ":" in self.what else {}


def score(
    what: str | Scorer,
    *,
    of: Of = "best",
    at_least: float | None = None,
    at_most: float | None = None,
    allow_large_drop: bool = False,
) -> Scoring:
    """Drop rows by a number that comes with them, or that a function of yours gives: a reward model, a judge.

    The number is kept as the score `value`, so limits can be moved later. A row without a number has NaN and is kept.

    Args:
        what: One of:
            "meta.reward", a field that the format left in `meta`, or "meta.a.reward" one inside another (or a name with
            the dot). A string that spells a number ("4.5", as in CSV) counts; true, null, a list, "n/a", "1,000" and
            infinity do not.
            "chosen_score", "rejected_score", of preference rows.
            "completions.helpfulness", that score of a rated row's completions; "completions", the mean of all scores.
            "judges:fluency", a function as `package.module:function`, or the function itself if it is at the top of a
            module; see `Scorer` for what it takes and returns. The module is imported here and runs with your rights.
            The fingerprint has the name, the manifest a hash of the source of this one module.
        of: Which completion represents a rated row: the "best", the "worst", or the "mean" over those with a score.
        at_least: Rows with a lower number are dropped as `low_score`. Default: no limit.
        at_most: Rows with a higher number are dropped as `high_score`. Default: no limit.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter.

    Raises:
        MixtureError: None of these names, a missing module or function, limits that no number can keep; when the build
            runs, an answer of the wrong length, not of numbers, or infinite.

    Example:
        >>> from curate.rows.schema import BODIES
        >>> from curate.rows.segments import segments
        >>> turns = [{"role": "user", "content": "Hi"}]
        >>> rows = [{"messages": turns, "meta": meta} for meta in ('{"reward": 0.25}', '{"reward": "4"}', "{}")]
        >>> step = score("meta.reward", at_least=1)
        >>> step.score(segments(pa.RecordBatch.from_pylist(rows, BODIES["conversation"]))).columns["value"].tolist()
        [0.25, 4.0, nan]
    """
    low, high = check_limits("score", at_least, at_most)
    check_choice(f"score(of={of!r})", of, get_args(Of))
    name = _check_column(what) if isinstance(what, str) else name_of(what, "score")
    if ":" in name:
        _source_hash(name)
        named(name, "score")  # now: a module beside a mixture file is found only while that file is read
    return Scoring(what=name, of=of, at_least=low, at_most=high, allow_large_drop=allow_large_drop)


def _check_column(what: str) -> str:
    if NAME.fullmatch(what) or what in {*PAIR, "completions"}:
        return what
    column, _, rest = what.partition(".")
    if column == "meta" and all(_can_be_asked(name) for name in [rest, *rest.split(".")]):
        return what
    if column == "completions" and rest:
        return what
    raise MixtureError(f"score({what!r}) is no number that rows bring: {COLUMNS}; or 'package.module:function'")


def _can_be_asked(name: str) -> bool:
    """Whether a JSON path can spell this name: it cannot write a backslash, or both quotes."""
    return bool(name) and "\\" not in name and not {"'", '"'} <= set(name)


def _read(what: str, of: Of, body: pa.RecordBatch) -> NDArray[np.float64]:
    """Return the numbers of a column of the rows' own data."""
    column, _, rest = what.partition(".")
    if column == "meta":
        return _in_meta(body["meta"], rest)
    kind = kind_of(body.schema)
    if column in PAIR and kind == "preference":
        return _finite(body[column].cast(pa.float64()).fill_null(np.nan))
    if column == "completions" and kind == "rated":
        return _of_completions(body["completions"], rest or None, of)
    return np.full(body.num_rows, np.nan)


def _finite(values: Any) -> NDArray[np.float64]:  # noqa: ANN401
    numbers = np.asarray(values, np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _in_meta(meta: pa.StringArray, name: str) -> NDArray[np.float64]:
    """Return the number that each JSON object holds at `name`: by its parts, or else by a name that has the dots.

    A number of 16 digits or more may be off in its last bit (polars' JSON reader); shorter ones are exact.
    """
    texts = pl.Series(meta, dtype=pl.String)
    parts = "".join(map(_step, name.split(".")))
    found = texts.str.json_path_match("$" + parts)
    if "." in name and found.null_count():
        found = pl.select(pl.coalesce(found, texts.str.json_path_match("$" + _step(name)))).to_series()
    return _finite(found.str.strip_chars().cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy())


def _step(name: str) -> str:
    quote = '"' if "'" in name else "'"
    return f"[{quote}{name}{quote}]"


def _of_completions(rows: pa.ListArray, name: str | None, of: Of) -> NDArray[np.float64]:
    """Return the score of the best or worst completion of each row, or the mean over them."""
    scores = rows.values.field("scores")
    flat = scores.values
    value = _finite(flat.field("value").fill_null(np.nan))
    counted = np.isfinite(value)
    if name is not None:
        counted &= np.asarray(pc.fill_null(pc.equal(flat.field("name"), name), fill_value=False))
    of_completion = _means(np.where(counted, value, np.nan), scores.offsets.to_numpy())
    starts = rows.offsets.to_numpy()
    if of == "mean":
        return _means(of_completion, starts)
    reduce = np.fmax if of == "best" else np.fmin
    full = np.flatnonzero(np.diff(starts))
    found = np.full(len(rows), np.nan)
    if len(full):
        found[full] = reduce.reduceat(of_completion[: starts[-1]], starts[full])
    return found


def _means(values: NDArray[np.float64], starts: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the mean of the numbers in each list of `values`, NaN for a list without.

    Sums are made list by list: from a running total, the rounding of a row would depend on its batch.
    """
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    held = values[starts[0] : starts[-1]]
    known = ~np.isnan(held)
    counts = np.bincount(rows[known], minlength=len(starts) - 1)
    sums = np.bincount(rows[known], weights=held[known], minlength=len(starts) - 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


@lru_cache(maxsize=64)
def _lock(_what: str) -> Lock:
    """Return the lock that runs calls of a function one at a time."""
    return Lock()


def _source_hash(what: str) -> str:
    """Return the sha256 of the file of the function's module."""
    return hashlib.sha256(source_file(what, "score").read_bytes()).hexdigest()
