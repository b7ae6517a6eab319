"""A test of a search before anybody trusts what it does not find: eval items planted into copies of the data's rows.

An item that is planted and not found would slip through the build as well. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.barrier import MemoryKeys, StoredLists
from curate.evalsets.items import EvalSet
from curate.kernels.buffers import view
from curate.kernels.hashing import hash_strings
from curate.preview.planting import CASED, THIRD, VERBATIM, WAYS, WITHIN, Planted, plant
from curate.result.group_reports import GENERIC
from curate.rows.segments import segments
from curate.steps.base import Group

ITEMS: Final = 300
"""Items planted for each step, as many of each eval."""

LEAST: Final = 12
"""Items planted of each eval, however many evals there are."""

NAMED: Final = 10
"""Items named of those that were missed."""

SURE: Final = (VERBATIM, CASED, WITHIN, THIRD)
"""Ways in which no item may be missed."""


class Way(NamedTuple):
    """How many items were planted in one way, and how many of them found; `missed` names the first that were not."""

    name: str
    planted: int
    found: int
    missed: tuple[str, ...]

    @property
    def sure(self) -> bool:
        """Whether no item may be missed in this way."""
        return self.name in SURE

    @property
    def failed(self) -> bool:
        """Whether an item was missed that must not be."""
        return self.sure and self.found < self.planted


class LeakTest(NamedTuple):
    """What became of the items planted for one step.

    `items` is the step's table of them. `ways` leaves out those that the step's `on` does not read, and generic
    items: `generic` tells how many of them were found as a turn of their own. No way: no row could carry an item.
    """

    label: str
    fuzzy: float | None
    items: pl.DataFrame
    ways: tuple[Way, ...]
    generic: Way

    @property
    def failed(self) -> bool:
        """Whether an item was missed that must not be."""
        return any(way.failed for way in self.ways)


def leak_test(
    step: Group, label: str, bodies: Iterable[pa.RecordBatch], totals: Mapping[str, NDArray[np.int64]]
) -> LeakTest:
    """Plant items of the evals of `step` into copies of rows of `bodies`, and run the step over the copies.

    `totals` are those of the rows read: what is generic follows from the data, not from what is planted.
    """
    fuzzy = getattr(step, "fuzzy", None)  # the similarity of a rephrased hit, if the step looks for those
    items = _chosen(step.eval_sets)
    planted = plant(bodies, step.on, items["question"].to_arrow().cast(pa.string()), items["seed"].to_numpy())
    if planted is None:
        return LeakTest(label, fuzzy, pl.DataFrame(), (), Way(GENERIC, 0, 0, ()))
    tables = _search(step, label, planted.body, totals)
    found = _found_items(items, planted, tables)
    plain = found.filter(pl.col("kind") != GENERIC)
    ways = (_way(name, plain.filter(way=name)) for name in WAYS)
    return LeakTest(
        label,
        fuzzy,
        tables["items"],
        tuple(way for way in ways if way.planted),
        _way(GENERIC, found.filter(way=VERBATIM, kind=GENERIC)),
    )


def _chosen(sets: Sequence[EvalSet]) -> pl.DataFrame:
    """Return some items of each eval, by the hash of their ids: `eval`, `item`, `question`, and the hash, `seed`."""
    most = max(ITEMS // len(sets), LEAST)
    found = []
    for one in sets:
        items = one.load()
        seed = hash_strings(view(items.ids)).high
        first = np.sort(np.argsort(seed, kind="stable")[:most])
        columns = {"item": items.ids, "question": items.question}
        frame = pl.DataFrame({name: pl.Series(column.take(pa.array(first))) for name, column in columns.items()})
        found.append(frame.select(pl.lit(one.name).alias("eval"), "item", "question", pl.Series("seed", seed[first])))
    return pl.concat(found)


def _search(
    step: Group, label: str, body: pa.RecordBatch, totals: Mapping[str, NDArray[np.int64]]
) -> Mapping[str, pl.DataFrame]:
    """Run a step over rows, and return its tables."""
    signed = step.sign(segments(body, step.reads))
    row = np.arange(body.num_rows)
    keys = pl.DataFrame(
        {
            "row": row,
            "source": np.zeros(len(row), np.int16),
            "rank": row.astype(np.uint64),
            "protect": np.zeros(len(row), np.bool_),
            **signed.columns,
        }
    )
    lists = StoredLists([MemoryKeys(len(row), {label: signed})], label, row)
    return step.resolve(keys, lists, totals).tables


def _found_items(items: pl.DataFrame, planted: Planted, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return a line for each planted item that can be found: `way`, `eval`, `item`, `kind` and `found`."""
    rows = items.select("eval", "item")[planted.text].with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64), way=pl.Series(WAYS, dtype=pl.String).gather(planted.way)
    )
    hits = tables["hits"].select("row", "eval", "item", found=True).unique()
    kinds = tables["items"].select("eval", "item", "kind").filter(pl.col("kind") != "unmatchable")
    return (
        rows.join(kinds, on=["eval", "item"], how="inner", maintain_order="left")
        .join(hits, on=["row", "eval", "item"], how="left", maintain_order="left")
        .with_columns(pl.col("found").fill_null(value=False))
    )


def _way(name: str, lines: pl.DataFrame) -> Way:
    found = int(lines["found"].sum())
    missed = lines.filter(~pl.col("found")).head(NAMED) if found < lines.height else lines.clear()
    names = missed.select(pl.format("{}/{}", "eval", "item")).to_series().to_list() if missed.height else []
    return Way(name, lines.height, found, tuple(names))
