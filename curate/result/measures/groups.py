"""How many rows of a build are in each group of a dimension, such as a topic, by source and by what became of them."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import BuildFolderError
from curate.result.folder import BuildFolder


class GroupCounts(NamedTuple):
    """Rows whose texts were read, counted: `rows[source, place, group]`.

    The place is that of the step which dropped a row, or the number of steps for one that was kept; the last group is
    all rows. A row may be in several groups, or in none.
    """

    groups: tuple[str, ...]
    rows: NDArray[np.int64]
    dimension: str = "topic"
    every: int = 1
    """Of kept rows, one batch in so many was read."""


class GroupReader:
    """Counts rows batch by batch; of a kept row one copy counts.

    Args:
        made: The build.
        groups: The number of groups.
    """

    def __init__(self, made: BuildFolder, groups: int) -> None:
        self._made = made
        self._counts = np.zeros((len(made.sources), len(made.steps) + 1, groups + 1), np.int64)
        self._kept: list[tuple[pl.DataFrame, NDArray[np.bool_]]] = []

    def add(self, folder: str, names: pl.DataFrame, marks: NDArray[np.bool_]) -> None:
        """Count rows of this folder (`source`, `id`), batch by batch in its order; `marks` has the groups of each."""
        if folder == "data":
            self._kept.append((names, marks))
        else:
            self._count(names["source"], self._steps.places(names), marks)

    def counts(self) -> NDArray[np.int64]:
        """Return how many rows were counted, by source, place and group.

        Raises `BuildFolderError` if files of dropped rows were read, and the ledger has more.
        """
        if "_steps" in vars(self):
            self._steps.check_end()
        if self._kept:
            names, marks = zip(*self._kept, strict=True)
            first = pl.concat(names).with_row_index("line").unique(["source", "id"], keep="first", maintain_order=True)
            self._count(first["source"], len(self._made.steps), np.concatenate(marks)[first["line"].to_numpy()])
            self._kept = []
        return self._counts

    @cached_property
    def _steps(self) -> DroppingSteps:
        return DroppingSteps(self._made)

    def _count(self, source: pl.Series, place: NDArray[np.integer] | int, marks: NDArray[np.bool_]) -> None:
        _, places, groups = self._counts.shape
        cell = source_numbers(self._made, source) * places + place
        row, group = np.nonzero(np.column_stack([marks, np.ones(len(marks), np.bool_)]))
        counts = np.bincount(cell[row] * groups + group, minlength=self._counts.size)
        self._counts += counts.reshape(self._counts.shape)


class DroppingSteps:
    """The steps that dropped the rows whose texts are in the folder `dropped`: its files and the ledger have one order.

    A join of both took 300 MB for three million rows.

    Args:
        made: The build.
    """

    def __init__(self, made: BuildFolder) -> None:
        self._path = made.path
        place = pl.col("step").replace_strict(made.steps, range(len(made.steps)), return_dtype=pl.Int32)
        source = pl.col("source").cast(pl.Enum(made.sources))
        dropped = made.lines_of(made.kind).filter(fate="dropped")
        lines = dropped.select(source, pl.col("id").hash(), place.alias("place")).collect()
        self._left = {name: lines.filter(source=name).select("id", "place") for name in lines["source"].unique()}

    def places(self, names: pl.DataFrame) -> NDArray[np.int32]:
        """Return the places of the steps that dropped the next rows of a file (`source`, `id`).

        Raises `BuildFolderError` if these are not the next ones of the ledger.
        """
        source = names["source"][0]
        left = self._left.get(source, pl.DataFrame(schema={"id": pl.UInt64, "place": pl.Int32}))
        here, self._left[source] = left.head(names.height), left.slice(names.height)
        if not here["id"].equals(names["id"].hash()):
            raise self._other_rows(source)
        return here["place"].to_numpy()

    def check_end(self) -> None:
        """Raise `BuildFolderError` if the ledger has rows that no file had."""
        for source, left in self._left.items():
            if left.height:
                raise self._other_rows(source)

    def _other_rows(self, source: str) -> BuildFolderError:
        return BuildFolderError(
            f"the build at {self._path} is not whole: the files in dropped/ have other rows of {source!r} than the "
            "ledger; build it again"
        )


def source_numbers(made: BuildFolder, source: pl.Series) -> NDArray[np.int64]:
    """Return the number of each source by its name."""
    return source.replace_strict(made.sources, range(len(made.sources)), return_dtype=pl.Int64).to_numpy()
