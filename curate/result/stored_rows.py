"""The rows of a finished build as numbers: what the ledger holds of each, and the texts that are in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.io.parquet import parquet_file
from curate.kernels.hashing import Hashes
from curate.result.bounds import RecutStep
from curate.result.folder import BuildFolder, reading
from curate.result.signatures import BATCH
from curate.rows.parts import body_of
from curate.rows.take import take
from curate.steps.base import Bound, Edit, Scores, decide

NEVER = np.int16(1 << 14)
"""The place of a step behind all steps."""


class FilterVerdicts(NamedTuple):
    """For each row the place of the first filter that drops it (-1: none), its reason, score and limit.

    `reason` is a place in `reasons`.
    """

    place: NDArray[np.int16]
    reason: NDArray[np.int32]
    score: NDArray[np.float64]
    bound: NDArray[np.float64]
    reasons: list[str]


@dataclass(frozen=True, eq=False)
class StoredRows:
    """The ledger lines of the last phase of a build, one for each row: `frame`, and arrays in its order.

    `source` is the number of a row's source, and `dropped_at` the place of the step that dropped it (-1: none). `ran`
    marks the rows that went through the steps: they were neither quarantined nor set aside before.
    """

    made: BuildFolder
    steps: tuple[RecutStep, ...]
    frame: pl.DataFrame
    source: NDArray[np.int16]
    dropped_at: NDArray[np.int16]
    ran: NDArray[np.bool_]
    protect: NDArray[np.bool_]

    @classmethod
    def read(cls, made: BuildFolder, steps: tuple[RecutStep, ...]) -> StoredRows:
        """Read what is needed of the ledger."""
        scored = [f"{step.label}.{bound.score}" for step in steps for bound in step.before]
        own = ("source", "id", "fate", "step", "reason", "score", "bound", "match", "copies", "split", "tokens")
        keys = ("key_high", "key_low", "occurrence", "prompt")
        with reading(made.path):
            frame = made.lines_of(made.kind).select(*own, *keys, *dict.fromkeys(scored)).collect()
        numbers = {name: number for number, name in enumerate(made.sources)}
        places = {step.label: step.place for step in steps}
        source = frame["source"].replace_strict(numbers, return_dtype=pl.Int16).to_numpy()
        at = frame["step"].replace_strict(places, default=-1, return_dtype=pl.Int16).fill_null(-1).to_numpy()
        ran = frame["key_low"].is_not_null() & (frame["fate"] != "quarantined")
        protect = np.array([bool(one["protect"]) for one in made.manifest["sources"]])
        return cls(made, steps, frame, source, at, ran.to_numpy(), protect[source])

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def key(self) -> Hashes:
        """What the ranks of rows are made from."""
        return Hashes(*(self.frame[name].fill_null(0).to_numpy() for name in ("key_high", "key_low")))

    @cached_property
    def occurrence(self) -> NDArray[np.uint64]:
        """The number of each row among those of the same content."""
        return self.frame["occurrence"].fill_null(0).to_numpy()

    @cached_property
    def names(self) -> pl.Series:
        """`source/id` of each row."""
        return self.frame.select(pl.format("{}/{}", "source", "id").alias("name")).to_series()

    def of(self, step: RecutStep) -> NDArray[np.bool_]:
        """Return which rows pass a step, if no step before it drops them."""
        own = np.array([step.of(name) for name in self.made.sources])
        return self.ran & own[self.source]

    def filtered(self, bounds: Sequence[tuple[Bound, ...]]) -> FilterVerdicts:
        """Let the filters decide by their stored scores and these bounds, one tuple for each step."""
        rows = len(self)
        place, reason = np.full(rows, -1, np.int16), np.full(rows, -1, np.int32)
        score, limit = np.full(rows, np.nan), np.full(rows, np.nan)
        reasons: list[str] = []
        for step, held in zip(self.steps, bounds, strict=True):
            if not held:
                continue
            columns = {bound.score: self.scores(step, bound.score) for bound in held}
            decision = decide(Scores(columns), held, rows)
            newly = np.flatnonzero((decision.bound >= 0) & (place < 0) & ~self.protect & self.ran)
            place[newly] = step.place
            reason[newly] = decision.bound[newly] + len(reasons)
            score[newly] = decision.score[newly]
            low, high = (
                np.array([np.nan if (one := getattr(bound, side)) is None else one for bound in held], np.float64)
                for side in ("at_least", "at_most")
            )
            which = decision.bound[newly]
            limit[newly] = np.where(score[newly] < low[which], low[which], high[which])
            reasons += [bound.reason for bound in held]
        return FilterVerdicts(place, reason, score, limit, reasons)

    def scores(self, step: RecutStep, name: str) -> NDArray[np.float64]:
        """Return the scores of a filter, NaN where a row has none."""
        return self.frame[f"{step.label}.{name}"].cast(pl.Float64).fill_null(np.nan).to_numpy()

    @cached_property
    def text_at(self) -> NDArray[np.int16]:
        """The place of the step up to which the stored text of each row was edited; -1 where no text is stored."""
        at = self.filtered([step.before for step in self.steps]).place
        stored = self.frame["fate"].is_in(["kept", "dropped"]).to_numpy() & self.ran
        return np.where(stored, np.where(at < 0, NEVER, at), -1).astype(np.int16)

    def text_known(self, place: int) -> NDArray[np.bool_]:
        """Return whether the text that the step at `place` saw, or would see, is stored, or edits can make it."""
        known = self.text_at >= 0
        edits = [step for step in self.steps if step.kind == "edit"]
        if not edits:
            return known
        with reading(self.made.path):
            lines = self.made.lines_of(self.made.kind).select("edited").collect()["edited"]
        for step in edits:
            if step.place > place:
                known &= ~lines.list.contains(step.label).fill_null(value=False).to_numpy()
            elif step.edit is None:
                known &= ~((self.text_at < step.place) & self.of(step))
        return known

    def edits_before(self, row: int, place: int) -> list[Edit]:
        """Return the edits that the stored text of a row lacks before the step at `place`."""
        first, source = self.text_at[row], self.made.sources[self.source[row]]
        here = (step for step in self.steps if first < step.place < place and step.of(source))
        return [step.edit for step in here if step.edit is not None]

    def texts(self, wanted: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Give the wanted rows that the folder holds, batch by batch: their numbers here, and their bodies."""
        rows = np.flatnonzero(wanted)
        left = self.frame[rows].select("source", "id", row=pl.Series(rows))
        paths = [self.made.path / "data", self.made.path / self.made.folder_of(self.made.kind)]
        for path in sorted(file for folder in paths for file in folder.glob("*.parquet")):
            file = parquet_file(path)
            for group in range(file.num_row_groups):
                names = pl.DataFrame(file.read_row_group(group, columns=["source", "id"])).with_row_index("place")
                found = names.join(left, on=["source", "id"]).unique("row", keep="first").sort("place")
                if not found.height:
                    continue
                left = left.join(found, on="row", how="anti")
                batch = pa.concat_batches(file.read_row_group(group).to_batches())
                row, place = found["row"].to_numpy(), found["place"].to_numpy().astype(np.int32)
                for start in range(0, len(row), BATCH):
                    chunk = slice(start, start + BATCH)
                    yield row[chunk], body_of(take(batch, place[chunk]), self.made.kind)
