"""A take that is even over groups of rows: sources, languages, lengths, templates, or any label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.kernels.buffers import view
from curate.kernels.hashing import hash_strings
from curate.mix.takes.selection import Budget, Choice, Selection, within
from curate.mix.takes.template import prompt_ends, shared_end
from curate.rows.frame import check_columns, row_frame
from curate.rows.segments import Segments
from curate.rows.tokens import tokens
from curate.steps.base import GroupKeys, KeyLists

LANGUAGE: Final = ".language"
ENDS: Final = ("template start", "template end")


@dataclass(frozen=True, repr=False)
class Stratified(Selection):
    """The same number of rows from each group, as far as they go.

    The order of choice goes round: a random row of each group, then a second of each, and so on. So small groups are in
    whole before large ones get more, and a smaller amount is part of a larger one.

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`; left out where weights decide.
        by: What makes a group, one name or several, which are then combined:

            - `"language"`: the language that a `language()` step before found.
            - `"length"`: the tokens of the row, estimated, in powers of two: 64 to 127, 128 to 255.
            - `"template"`: how a prompt begins and ends: its first four and last four words, an end counting only where
              five rows have it. Rows without either are one group.
            - any column of the row with text or whole numbers: `"turns"`, `"meta.task"`, a label of a filter that ran
              before, and others (`curate.rows.frame`).

    Raises:
        MixtureError: `n` is no amount, `by` no column; in a build, the column does not exist, or holds fractions.

    Example:
        >>> Stratified(1_000, by=["meta.task", "length"]).by
        ('meta.task', 'length')
    """

    by: str | Sequence[str] = field(kw_only=True)

    name: ClassVar[str] = "stratified"

    def __post_init__(self) -> None:
        super().__post_init__()
        by = (self.by,) if isinstance(self.by, str) else tuple(self.by)
        if not by:
            raise MixtureError("Stratified(by=[]): name what makes a group")
        check_columns([name for name in by if name not in {"language", "length", "template"}], f"Stratified(by={by})")
        object.__setattr__(self, "by", by)

    def sign(self, segments: Segments) -> GroupKeys:
        """Return a hash of each value (uint64), in a column of its name; the list `values` has them as text."""
        texts = dict(_values(segments, self.by))
        columns: dict[str, NDArray[np.generic]] = {
            name: hash_strings(view(column)).high for name, column in texts.items()
        }
        flat = pa.concat_arrays(list(texts.values()))
        place = np.arange(segments.rows * len(texts)).reshape(len(texts), -1).T.ravel()
        offsets = pa.array(np.arange(segments.rows + 1, dtype=np.int32) * len(texts))
        return GroupKeys(columns, {"values": pa.ListArray.from_arrays(offsets, flat.take(pa.array(place)))})

    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:
        """Return the rows round by round, each with its `group`, the `round`, and the `rows_of_group`."""
        names = [name for name in keys.columns if name not in {"row", "tokens", "rank"}]
        found = keys.select(shared_end(name) if name in ENDS else pl.col(name) for name in names)
        group = found.select(group=pl.struct(names).rank("dense"))["group"]
        counted = pl.DataFrame({"group": group}).with_columns(
            turn=pl.int_range(pl.len()).over("group"), rows=pl.len().over("group")
        )
        order = np.argsort(counted["turn"].to_numpy(), kind="stable")
        order = within(order, keys["tokens"].to_numpy(), budget)
        known = found.select(pl.all().is_not_null())[order].to_numpy()
        shown = counted[order].select(
            pl.Series("group", _shown(lists.read("values", order), known)),
            round=pl.col("turn") + 1,
            rows_of_group="rows",
        )
        return Choice(order, shown)


def _values(segments: Segments, by: Sequence[str]) -> Iterator[tuple[str, pa.StringArray]]:
    """Give each column that makes a group as text, by name; a template is two."""
    for name in by:
        if name == "length":
            size = tokens(segments)
            power = np.int64(1) << np.floor(np.log2(np.maximum(size, 1))).astype(np.int64)
            yield name, _text(pl.Series(power).cast(pl.String) + "-" + pl.Series(2 * power - 1).cast(pl.String))
        elif name == "template":
            yield from zip(ENDS, prompt_ends(segments), strict=True)
        else:
            column = row_frame(segments, [_language(segments) if name == "language" else name]).to_series()
            if column.dtype.is_float():
                raise MixtureError(
                    f"Stratified(by={name!r}): a group needs a label or a whole number; Top takes scores"
                )
            yield name, _text(column.cast(pl.String).fill_null(""))


def _language(segments: Segments) -> str:
    """Return the label in which a step says the language."""
    scores = segments.context.scores if segments.context is not None else {}
    found = [name for name in scores if name.endswith(LANGUAGE)]
    if not found:
        raise MixtureError("Stratified(by='language'): no step says the language; add language() to the steps")
    return found[-1]


def _text(column: pl.Series) -> pa.StringArray:
    return column.to_arrow().cast(pa.string())


def _shown(values: pa.ListArray, known: NDArray[np.bool_]) -> pl.Series:
    """Return the values of each row as one text; ends of prompts that too few rows share are left open."""
    flat = pl.Series(values.values, dtype=pl.String).to_frame("value")
    each = flat.select(pl.when(pl.Series(known.ravel())).then("value").otherwise(pl.lit("...")))
    width = known.shape[1]
    joined = each.with_columns(row=pl.Series(np.arange(len(flat)) // width)).group_by("row", maintain_order=True)
    return joined.agg(pl.col("value").str.join(" | "))["value"]
