"""How tests hold rows against eval sets without a build: items in memory, rows signed in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from curate.evalsets.fields import Fields
from curate.evalsets.items import EvalItems, EvalSet
from curate.evalsets.origins import Local
from curate.io.blocks import ReadOptions
from curate.rows.segments import segments
from curate.steps.base import GroupKeys, Resolved
from curate.steps.decontaminate.decontaminate import Decontaminate
from tests.support.group_resolve import Memory


@dataclass(frozen=True, kw_only=True)
class Given(EvalSet):
    """An eval set in memory."""

    questions: tuple[str | None, ...] = ()
    answers: tuple[str | None, ...] = ()

    def load(self, root: str | None = None) -> EvalItems:
        assert root is None
        count = len(self.questions)
        none = pa.nulls(count, pa.string())
        return EvalItems(
            pa.array([f"i{number}" for number in range(count)], pa.string()),
            pa.array(self.questions, pa.string()),
            none,
            pa.nulls(count, pa.list_(pa.string())),
            pa.array(self.answers, pa.string()) if self.answers else none,
        )


def given(*questions: str | None, answers: tuple[str | None, ...] = (), name: str = "quiz") -> Given:
    origin = Local(paths=("nowhere",), how=ReadOptions())
    return Given(name=name, origin=origin, fields=(Fields(question="q"),), questions=questions, answers=answers)


def keys_of(step: Decontaminate, signed: list[GroupKeys], **named: Any) -> pl.DataFrame:  # noqa: ANN401
    """Return what a build hands to `resolve`; `named` are columns besides, else row by place and no row protected."""
    frame = pl.concat([pl.DataFrame(dict(one.columns)) for one in signed])
    rows = np.arange(frame.height)
    columns: dict[str, Any] = {"row": rows, "source": 0 * rows, "rank": rows, "protect": rows < 0} | named
    assert step.name == "decontaminate"
    return frame.with_columns(pl.Series(name, values) for name, values in columns.items())


def searched(step: Decontaminate, batches: list[pa.RecordBatch], **named: Any) -> Resolved:  # noqa: ANN401
    """Sign batches and resolve them."""
    return resolved(step, signed(step, batches), **named)


def signed(step: Decontaminate, batches: list[pa.RecordBatch]) -> list[GroupKeys]:
    return [step.sign(segments(batch, step.reads, step.reads_parts)) for batch in batches]


def resolved(step: Decontaminate, signed: list[GroupKeys], **named: Any) -> Resolved:  # noqa: ANN401
    """Resolve what was signed, which many searches may share."""
    lists = Memory({"hits": pa.concat_arrays([one.lists["hits"] for one in signed])})
    totals = {name: np.sum([one.totals[name] for one in signed], axis=0) for name in signed[0].totals}
    return step.resolve(keys_of(step, signed, **named), lists, totals)


def found(resolved: Resolved) -> dict[tuple[int, str], tuple[str, float]]:
    """Return reason and score by row and item."""
    lines = resolved.tables["hits"].select("row", pl.concat_str("eval", "item", separator="/"), "reason", "score")
    return {(row, item): (reason, score) for row, item, reason, score in lines.rows()}
