"""What training will see of a build with a tokenizer and a limit, counted as TRL counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import PreflightError
from curate.preflight.changed_parts import AS_THEY_ARE, Changes, changes_of
from curate.preflight.chat_template import chat_tokenizer
from curate.preflight.ignored_parts import EARLIER, PARTS, instead, named
from curate.preflight.recipes import stage_of
from curate.preflight.row_lengths import LENGTHS, measured
from curate.result.build import Build
from curate.rows.schema import Kind

LOST_SHARE: Final = 0.05
"""The share of rows that may be left out by default."""

CUT_SHARE: Final = 0.05
"""From this share of cut rows there is a warning: their answers do not end."""

OUTCOMES: Final = ("cut", "lost", "equal")
STAYS: Final = ("whole", "cut")

LABELS: Final = ("desirable", "undesirable")
BALANCE: Final = (1.0, 4 / 3)
"""Desirable rows times their weight, over undesirable ones times theirs: what TRL's documentation of KTO advises, after
equation 8 of arXiv:2402.01306."""


@dataclass(frozen=True)
class Preflight:
    """What training will see of a build under `limit` tokens a row.

    `lengths` has one line per row (`curate.preflight.row_lengths.Length`), in the order of the data files; `packs` is
    the number of blocks of `limit` tokens that TRL's `"bfd"` packing makes (None: not packed). `weights` are those of
    desirable and undesirable rows in the loss of KTO, `changes` the names of what was done to rows.
    """

    build: str
    kind: Kind
    limit: int
    lengths: pl.DataFrame = field(repr=False)
    packs: int | None = None
    weights: tuple[float, float] = (1.0, 1.0)
    changes: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pl.DataFrame:
        """One line per source, then their sum.

        Columns: `source`, `rows`, `tokens`, `trainable` (before the limit), `longest` (tokens of the longest row, of a
        pair of its longer side), `cut`, `lost`, `equal` (rows; `equal` of pairs only), `desirable` and `undesirable`
        (trained rows with this label; of unpaired rows only), `left` and `trained` (tokens and trained tokens under the
        limit).
        """
        counts = {name: (pl.col("outcome") == name).sum() for name in OUTCOMES if name != "equal" or self.is_pairs}
        if self.kind == "unpaired":
            stays = pl.col("outcome").is_in(STAYS)
            counts |= dict(
                zip(LABELS, ((stays & is_so).sum() for is_so in (pl.col("label"), ~pl.col("label"))), strict=True)
            )
        sums = [pl.col("tokens", "trainable").cast(pl.Int64).sum(), pl.col("longest").max()]
        more = pl.col("left", "trained").cast(pl.Int64).sum()
        every = [pl.len().alias("rows"), *sums, *(count.alias(name) for name, count in counts.items()), more]
        sources = self.lengths.group_by("source").agg(every).sort("source").cast({"source": pl.String})
        total = self.lengths.select(pl.lit("total").alias("source"), *every)
        return pl.concat([sources, total], how="vertical_relaxed").fill_null(0)

    @cached_property
    def parts(self) -> pl.DataFrame:
        """One line per source whose rows have parts beyond plain chat, then their sum; no lines if none has any.

        Columns: `source`, and the rows with `calls`, `results` of tools, `reasoning`, `tools` on offer and `kwargs`
        (`chat_template_kwargs`).
        """
        return self._by_source("parts", PARTS)

    @cached_property
    def changed(self) -> pl.DataFrame:
        """One line per source whose rows were changed as the user said, then their sum; no lines if none was.

        Columns: `source`, and the rows that each of `changes` changed, such as `without tools`.
        """
        return self._by_source("changed", self.changes)

    def _by_source(self, column: str, names: Iterable[str]) -> pl.DataFrame:
        own = self.lengths.filter(pl.col(column).list.len() > 0)
        counts = [pl.col(column).list.contains(name).sum().alias(name) for name in names]
        sources = own.group_by("source").agg(counts).sort("source").cast({"source": pl.String})
        return pl.concat([sources, own.select(pl.lit("total").alias("source"), *counts).head(len(own))])

    @property
    def is_pairs(self) -> bool:
        """Whether the rows are pairs."""
        return self.kind == "preference"

    @cached_property
    def total(self) -> dict[str, int]:
        """The last line of the table."""
        return self.table.row(-1, named=True)

    @property
    def rows(self) -> int:
        """The number of trained rows."""
        return self.total["rows"] - self.total["lost"] - self.total.get("equal", 0)

    @property
    def trained(self) -> NDArray[np.bool_]:
        """Which rows are trained, in the order of the data files."""
        return self.lengths["outcome"].is_in(STAYS).to_numpy()

    @property
    def efficiency(self) -> float | None:
        """The share of packed blocks filled with tokens; None if rows are not packed."""
        return None if not self.packs else self.total["left"] / (self.packs * self.limit)

    def steps(self, batch: int) -> int:
        """Return the steps per epoch, at `batch` rows (packed: blocks) per step."""
        return ceil((self.rows if self.packs is None else self.packs) / batch)

    def faults(self, lost: float = LOST_SHARE) -> list[str]:
        """Return the ways in which training would be silently wrong; `lost`: the share of rows that may be left out."""
        rows, gone = self.total["rows"], self.total["rows"] - self.rows
        if not rows:
            return [f"{self.build} has no rows to train on"]
        found = []
        unsound = self.lengths.filter(~pl.col("sound"))
        if len(unsound):
            found.append(
                f"in {len(unsound):,} of {rows:,} rows the chat template shows another number of answers than the row "
                f"has, such as {_first(unsound)}: it drops or joins turns; choose another with chat_template="
            )
        found += [self._without(part, own) for part, own in self._ignored().items() if part != EARLIER]
        if gone > lost * rows:
            found.append(
                f"{gone:,} of {rows:,} rows ({gone / rows:.1%}) would be left out at {self.limit:,} tokens: "
                f"{self._left_out()}; raise the limit (the longest row has {self.total['longest']:,} tokens), drop "
                f"such rows, or allow it: max_lost={ceil(100 * gone / rows) / 100}"
            )
        return found

    def notes(self) -> list[str]:
        """Return notes on rows that are changed, cut or left out, and on the labels of unpaired rows."""
        rows, gone, cut = self.total["rows"], self.total["rows"] - self.rows, self.total["cut"]
        done = self.changed.row(-1, named=True) if len(self.changed) else {}
        found = [
            f"{done[name]:,} of {rows:,} rows are trained {'' if name.startswith('without') else 'with '}{name}"
            for name in self.changes
            if done.get(name)
        ]
        found += [f"{gone:,} of {rows:,} rows are left out: {self._left_out()}"] if gone else []
        earlier = self._ignored().get(EARLIER)
        if earlier is not None:
            found.append(
                f"in {len(earlier):,} of {rows:,} rows the chat template leaves out the reasoning of earlier turns, "
                f"such as {_first(earlier)}"
            )
        if cut:
            longest = self.lengths.filter(pl.col("outcome") == "cut").sort("longest", descending=True)
            prefix = "warning: " if cut > CUT_SHARE * rows else ""
            found.append(
                f"{prefix}{cut:,} of {rows:,} rows ({cut / rows:.1%}) are longer than {self.limit:,} tokens and are "
                f"cut: their last answer does not end; the longest is {_first(longest)} with "
                f"{longest['longest'][0]:,} tokens"
            )
        return [*found, *self._balance()]

    def _balance(self) -> list[str]:
        """Return a note where desirable and undesirable rows do not balance in the loss of KTO."""
        counts = [self.total.get(name, 0) for name in LABELS]
        if not any(counts):
            return []
        if not all(counts):
            return [
                f"warning: every row is {LABELS[not counts[0]]}, and KTO compares desirable rows with undesirable ones"
            ]
        good, bad = (count * weight for count, weight in zip(counts, self.weights, strict=True))
        least, most = BALANCE
        if least <= round(good / bad, 2) <= round(most, 2):
            return []
        name, weight = (LABELS[0], bad / counts[0]) if good < bad else (LABELS[1], good / counts[1] / most)
        rows = [
            f"{count:,} {label} rows at a weight of {own:g}"
            for count, label, own in zip(counts, LABELS, self.weights, strict=True)
        ]
        advice = f"KTO wants from 1 to {most:.2f}: set {name}_weight from {weight:.2f} to {weight * most:.2f}"
        return [f"warning: {' and '.join(rows)} do not balance, {good / bad:.2f} to 1; {advice}"]

    def _ignored(self) -> dict[str, pl.DataFrame]:
        """Return the rows of which the template ignores a part, by part."""
        every = sorted(self.lengths["ignored"].explode().drop_nulls().unique())
        return {part: self.lengths.filter(pl.col("ignored").list.contains(part)) for part in every}

    def _without(self, part: str, own: pl.DataFrame) -> str:
        sources = ", ".join(own["source"].unique(maintain_order=True))
        return (
            f"the chat template ignores {named([part])} of {len(own):,} of {self.total['rows']:,} rows, such as "
            f"{_first(own)} (sources: {sources}): they would be trained without; {instead([part])}"
        )

    def _left_out(self) -> str:
        lost, equal = self.total["lost"], self.total.get("equal", 0)
        reasons = [f"{lost:,} have nothing trainable left"] if lost else []
        reasons += [f"{equal:,} have the same answer on both sides"] if equal else []
        return " and ".join(reasons)


def preflight(
    build: Build | str | Path,
    *,
    tokenizer: str,
    limit: int,
    chat_template: str | None = None,
    packing: bool = False,
    without: Collection[str] = (),
    flatten: Collection[str] = (),
) -> Preflight:
    """Measure a build with the tokenizer and the chat template that training will use.

    Args:
        build: A build, or its folder.
        tokenizer: A folder, or an id on the Hub. Needs the extra `curate[train]`.
        limit: Tokens per row (TRL's `max_length`); longer rows are cut at the end.
        chat_template: `"tulu"`, `"zephyr"`, `"chatml"` or a Jinja file. Default: the tokenizer's own.
        packing: Count the blocks that conversations are packed into.
        without: Parts that rows are trained without, as in an export: `"reasoning"`, `"tools"`, `"text_with_calls"`,
            `"chat_template_kwargs"`, `"call_ids"`, `"names"`.
        flatten: Parts that are trained as text of their message: `"reasoning"` in <think> tags, `"calls"` in
            <tool_call> tags.

    Returns:
        The lengths of all rows and their totals. `check` raises `PreflightError` for one that would train wrongly.

    Raises:
        CallError: The rows are rated or prompts, the tokenizer cannot be downloaded, or the template has no marks.
        PreflightError: The chat template raises an error for a row.
    """
    found = build if isinstance(build, Build) else Build(build)
    stage_of(found.kind)
    changes = changes_of(without, flatten)
    chosen = chat_tokenizer(tokenizer, chat_template)
    rows = measured(found, chosen, limit, changes=changes)
    return counted(found, rows, limit, packing=packing, changes=changes)


def counted(
    build: Build,
    batches: Iterable[pa.RecordBatch],
    limit: int,
    *,
    packing: bool = False,
    weights: tuple[float, float] = (1.0, 1.0),
    changes: Changes = AS_THEY_ARE,
) -> Preflight:
    """Count the rows of `measured`."""
    schema = LENGTHS.append(pa.field("label", pa.bool_())) if build.kind == "unpaired" else LENGTHS
    table = pa.Table.from_batches([batch.select(schema.names) for batch in batches], schema)
    lengths = pl.DataFrame(table).with_columns(pl.col("source").cast(pl.Enum(build.sources)))
    packs = _packs(lengths["left"].to_numpy(), limit) if packing and build.kind == "conversation" else None
    return Preflight(build.name, build.kind, limit, lengths, packs, weights, changes.names)


def _packs(left: NDArray[np.int32], limit: int) -> int:
    """Return the number of blocks that TRL packs rows of these lengths into, by its own code."""
    from datasets import Dataset
    from trl import pack_dataset

    ends = np.cumsum(left[left > 0], dtype=np.int64)
    if not len(ends):
        return 0
    blank = pa.array(np.zeros(ends[-1], np.int8))
    rows = Dataset(pa.table({"input_ids": pa.LargeListArray.from_arrays(np.append(0, ends), blank)}))
    return len(pack_dataset(rows, limit, "bfd"))


def _first(rows: pl.DataFrame) -> str:
    return f"{rows['source'][0]}/{rows['id'][0]}"


def check(found: Preflight, lost: float = LOST_SHARE) -> None:
    """Raise `PreflightError` if training on this would be silently wrong."""
    faults = found.faults(lost)
    if faults:
        raise PreflightError("; ".join(faults))
