"""One step over a batch: over all of its rows, or over those of which an earlier build does not say enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.reuse.known_rows import Column, KnownAtStep
from curate.rows.edits import apply_edits
from curate.rows.segments import Context, Segments, place_names, segments, select
from curate.rows.take import take
from curate.steps.base import Edit, Evidence, Filter, Scores, Step

HIT = pa.struct(
    [
        ("step", pa.string()),
        ("reason", pa.string()),
        ("side", pa.string()),
        ("turn", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("match", pa.string()),
    ]
)
"""One hit: what a step matched, and where. `side` is a side, or one with a part: "dialogue.call2.arguments"."""


class BatchState(NamedTuple):
    """A batch on its way through a pipeline: its rows as they are now, and all of their segments."""

    body: pa.RecordBatch
    whole: Segments
    context: Context

    def seen(self, step: Step) -> Segments:
        """Return the segments that a step reads."""
        return select(self.whole, step.reads, step.reads_parts)

    def with_body(self, body: pa.RecordBatch) -> BatchState:
        """Return the batch after an edit."""
        return self._replace(body=body, whole=segments(body, parts=None)._replace(context=self.context))

    def part(self, rows: NDArray[np.int32]) -> BatchState:
        """Return some of its rows."""
        pick = pa.array(rows)
        scores = {
            name: column[rows] if isinstance(column, np.ndarray) else column.take(pick)
            for name, column in self.context.scores.items()
        }
        context = Context(self.context.source, self.context.ids.take(pick), scores)
        return BatchState(self.body, self.whole, context).with_body(take(self.body, rows))


class Hits(NamedTuple):
    """The row of each hit, ascending, and the hits (`HIT`)."""

    row: NDArray[np.integer]
    hits: pa.StructArray


class Measured(NamedTuple):
    """What a filter measured: a column for each score and label, and its evidence."""

    columns: dict[str, Column]
    hits: list[Hits]


def score_rows(
    label: str, step: Filter, batch: BatchState, visible: NDArray[np.bool_], stored: KnownAtStep | None
) -> Measured:
    """Score the rows of a batch, but for those whose scores are `stored`.

    Hits are kept on rows that are `visible`: their text is shown as the filter saw it.
    """
    if stored is None:
        measured = step.score(batch.seen(step))
        return Measured(every_column(measured), _spelled(label, step, measured.evidence, visible, None))
    again = stored.again(visible)
    known = visible.copy()
    known[again] = False
    hits = [Hits(*stored.hits(known))]
    if not len(again):
        return Measured(stored.merged({}, again), hits)
    measured = step.score(batch.part(again).seen(step))
    return Measured(
        stored.merged(every_column(measured), again),
        hits + _spelled(label, step, measured.evidence, visible[again], again),
    )


def _spelled(
    label: str, step: Filter, found: Evidence | None, visible: NDArray[np.bool_], rows: NDArray[np.int32] | None
) -> list[Hits]:
    """Return the hits on visible rows; `rows` are the places of those that were scored, if not all of a batch."""
    if found is None or not len(found.row):
        return []
    shown = _on_rows(visible, found)
    return [Hits(shown.row if rows is None else rows[shown.row], _spell(label, step, shown))]


def edit_rows(step: Edit, batch: BatchState, stored: KnownAtStep | None) -> tuple[BatchState, NDArray[np.bool_]]:
    """Edit the rows of a batch, but for those that an earlier build has found to stay; return also which changed."""
    if stored is None:
        seen = batch.seen(step)
        body, changed = apply_edits(batch.body, seen, step.edit(seen))
        return batch.with_body(body), changed
    rows = batch.body.num_rows
    changed = np.zeros(rows, np.bool_)
    again = stored.again(np.ones(rows, np.bool_))
    if len(again):
        part = batch.part(again)
        seen = part.seen(step)
        edited, of_part = apply_edits(part.body, seen, step.edit(seen))
        changed[again[of_part]] = True
    if not changed.any():
        return batch, changed
    place = np.arange(rows, dtype=np.int32)
    place[changed] = rows + np.arange(int(changed.sum()), dtype=np.int32)
    both = pa.concat_batches([batch.body, take(edited, np.flatnonzero(of_part).astype(np.int32))])
    return batch.with_body(take(both, place)), changed


def every_column(measured: Scores) -> dict[str, Column]:
    """Return the columns of scores and labels."""
    return {**measured.columns, **measured.labels}


def _on_rows(mask: NDArray[np.bool_], found: Evidence) -> Evidence:
    """Return the hits on the rows of `mask`, whose text is shown as the filter saw it."""
    if mask.all():
        return found
    hits = mask[found.row]
    return Evidence(
        found.row[hits],
        found.reason[hits],
        found.side[hits],
        found.turn[hits],
        found.start[hits],
        found.end[hits],
        found.match.filter(pa.array(hits)),
    )


def _spell(label: str, step: Filter, found: Evidence) -> pa.StructArray:
    reasons = pa.array([bound.reason for bound in step.bounds()], pa.string())
    columns = [
        pa.repeat(pa.scalar(label, pa.string()), len(found.row)),
        reasons.take(pa.array(found.reason)),
        place_names(found.side),
        pa.array(found.turn, pa.int32()),
        pa.array(found.start, pa.int32()),
        pa.array(found.end, pa.int32()),
        found.match,
    ]
    return pa.StructArray.from_arrays(columns, fields=list(HIT))
