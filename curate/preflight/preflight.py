"""How a build fits a tokenizer and a limit: known before training, counted as training will count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import FitError
from curate.preflight.chat_template import chat_tokenizer
from curate.preflight.recipes import stage_of
from curate.preflight.row_lengths import LENGTHS, measured
from curate.result.build import Build
from curate.rows.schema import Kind

LOST_SHARE: Final = 0.05
"""More rows left out than this share are an error, unless the call names another share."""

CUT_SHARE: Final = 0.05
"""More rows cut than this share are worth a warning: their answers do not end."""

OUTCOMES: Final = ("cut", "lost", "equal")


@dataclass(frozen=True)
class Fit:
    """What training will see of a build under `limit` tokens a row.

    `lengths` has a line a row (`curate.preflight.row_lengths.Length`), in the order of the data files; `packs` is how many blocks
    of `limit` tokens TRL's `"bfd"` packing makes of the rows (None: not packed).
    """

    build: str
    kind: Kind
    limit: int
    lengths: pl.DataFrame = field(repr=False)
    packs: int | None = None

    @cached_property
    def table(self) -> pl.DataFrame:
        """A line a source, then their sum.

        Columns: `source`, `rows`, `tokens`, `trainable` (before the limit), `longest` (tokens of the longest row, of a
        pair of its longer side), `cut`, `lost`, `equal` (rows; `equal` of pairs only), `left` and `trained` (tokens
        and trained tokens under the limit).
        """
        counts = {name: (pl.col("outcome") == name).sum() for name in OUTCOMES if name != "equal" or self.is_pairs}
        sums = [pl.col("tokens", "trainable").cast(pl.Int64).sum(), pl.col("longest").max()]
        more = pl.col("left", "trained").cast(pl.Int64).sum()
        every = [pl.len().alias("rows"), *sums, *(count.alias(name) for name, count in counts.items()), more]
        sources = self.lengths.group_by("source").agg(every).sort("source").cast({"source": pl.String})
        total = self.lengths.select(pl.lit("total").alias("source"), *every)
        return pl.concat([sources, total], how="vertical_relaxed").fill_null(0)

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
        """How many rows are trained."""
        return self.total["rows"] - self.total["lost"] - self.total.get("equal", 0)

    @property
    def trained(self) -> NDArray[np.bool_]:
        """Which rows are trained, in the order of the data files."""
        return self.lengths["outcome"].is_in(["whole", "cut"]).to_numpy()

    @property
    def efficiency(self) -> float | None:
        """The share of packed blocks that holds tokens; None where rows are not packed."""
        return None if not self.packs else self.total["left"] / (self.packs * self.limit)

    def steps(self, batch: int) -> int:
        """Return how many steps an epoch has, at `batch` rows (packed: blocks) a step."""
        return ceil((self.rows if self.packs is None else self.packs) / batch)

    def faults(self, lost: float = LOST_SHARE) -> list[str]:
        """Say where training would be silently wrong; `lost` is the share of rows that may be left out."""
        return list(_faults(self, lost))

    def notes(self) -> list[str]:
        """Say what is worth knowing, and wrong with nothing: rows that are cut or left out."""
        return list(_notes(self))


def fit(
    build: Build | str | Path,
    *,
    tokenizer: str,
    limit: int,
    chat_template: str | None = None,
    packing: bool = False,
) -> Fit:
    """Measure a build with the tokenizer and the chat template that training will use.

    - `tokenizer`: a folder, or an id on the Hub; needs the extra `curate[train]`.
    - `limit`: tokens a row may have (`max_length` of TRL); what is longer is cut at its end.
    - `chat_template`: `"tulu"`, `"zephyr"`, `"chatml"` or a Jinja file; default: the tokenizer's own.
    - `packing`: count the blocks that conversations are packed into.

    Raises `CallError` for a build of rated rows, a tokenizer that cannot be had or a template without marks.
    `FitError` is raised by `check`, not here.
    """
    found = build if isinstance(build, Build) else Build(build)
    stage_of(found.kind)
    chosen = chat_tokenizer(tokenizer, chat_template)
    return counted(found, measured(found, chosen, limit), limit, packing=packing)


def counted(build: Build, batches: Iterable[pa.RecordBatch], limit: int, *, packing: bool = False) -> Fit:
    """Return what `measured` gave, counted."""
    table = pa.Table.from_batches([batch.select(LENGTHS.names) for batch in batches], LENGTHS)
    lengths = pl.DataFrame(table).with_columns(pl.col("source").cast(pl.Enum(build.sources)))
    packs = _packs(lengths["left"].to_numpy(), limit) if packing and build.kind == "conversation" else None
    return Fit(build.name, build.kind, limit, lengths, packs)


def _packs(left: NDArray[np.int32], limit: int) -> int:
    """Return how many blocks TRL packs rows of these lengths into, by its own code on rows without content."""
    from datasets import Dataset
    from trl import pack_dataset

    ends = np.cumsum(left[left > 0], dtype=np.int64)
    if not len(ends):
        return 0
    blank = pa.array(np.zeros(ends[-1], np.int8))
    rows = Dataset(pa.table({"input_ids": pa.LargeListArray.from_arrays(np.append(0, ends), blank)}))
    return len(pack_dataset(rows, limit, "bfd"))


def _faults(fit: Fit, lost: float) -> Iterable[str]:
    rows, gone = fit.total["rows"], fit.total["rows"] - fit.rows
    if not rows:
        yield f"{fit.build} has no rows to train on"
        return
    unsound = fit.lengths.filter(~pl.col("sound"))
    if len(unsound):
        yield (
            f"in {len(unsound):,} of {rows:,} rows the chat template shows another number of answers than the row has, "
            f"such as {_first(unsound)}: it drops or joins turns; choose another with chat_template="
        )
    if gone > lost * rows:
        yield (
            f"{gone:,} of {rows:,} rows ({gone / rows:.1%}) would be left out at {fit.limit:,} tokens: "
            f"{_left_out(fit)}; raise the limit (the longest row has {fit.total['longest']:,} tokens), drop such rows, "
            f"or allow it: max_lost={ceil(100 * gone / rows) / 100}"
        )


def _left_out(fit: Fit) -> str:
    lost, equal = fit.total["lost"], fit.total.get("equal", 0)
    said = [f"{lost:,} have nothing trainable left"] if lost else []
    return " and ".join([*said, *([f"{equal:,} have the same answer on both sides"] if equal else [])])


def _notes(fit: Fit) -> Iterable[str]:
    rows, gone, cut = fit.total["rows"], fit.total["rows"] - fit.rows, fit.total["cut"]
    if gone:
        yield f"{gone:,} of {rows:,} rows are left out: {_left_out(fit)}"
    if cut:
        longest = fit.lengths.filter(pl.col("outcome") == "cut").sort("longest", descending=True)
        grave = "warning: " if cut > CUT_SHARE * rows else ""
        yield (
            f"{grave}{cut:,} of {rows:,} rows ({cut / rows:.1%}) are longer than {fit.limit:,} tokens and are cut: "
            f"their last answer does not end; the longest is {_first(longest)} with {longest['longest'][0]:,} tokens"
        )


def _first(rows: pl.DataFrame) -> str:
    return f"{rows['source'][0]}/{rows['id'][0]}"


def check(found: Fit, lost: float = LOST_SHARE) -> None:
    """Raise `FitError` where training on this would be silently wrong."""
    faults = found.faults(lost)
    if faults:
        raise FitError("; ".join(faults))
