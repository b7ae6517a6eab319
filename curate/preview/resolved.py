"""The first rows of all sources, resolved: their fates, names and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from curate.engine.barrier import GroupResults, MemoryKeys
from curate.engine.group_results import between
from curate.engine.partition import SourceJob, keys
from curate.engine.phases import Phase, final_phase, pairing_sources, rated_phase
from curate.engine.pipeline import Stage
from curate.engine.reading import jobs_of
from curate.engine.resolve import paired, resolve
from curate.engine.state import Fate, RowStates
from curate.io.inputs import Opened
from curate.kernels.hashing import Hashes
from curate.mix.spec import MixtureSpec
from curate.preview.first_rows import FirstRows, first_rows, pairs_of
from curate.rows.identity import numbered
from curate.rows.schema import Kind, kind_of
from curate.steps.base import Filter, Group

NO_ROWS = FirstRows((), (), pa.table({}), 0, whole=True, rows=0)
"""The rows of a source that takes no part in a phase."""


class DroppedExample(NamedTuple):
    """A dropped row: its kind, its ledger line, its body, and the body of the surviving duplicate."""

    kind: Kind
    line: dict[str, Any]
    body: dict[str, Any]
    survivor: dict[str, Any] | None


class PhasePreview(NamedTuple):
    """The rows read in one phase: row `n` of the preview is row `n - starts[i]` of source `i`."""

    phase: Phase
    jobs: tuple[SourceJob, ...]
    heads: tuple[FirstRows, ...]
    states: RowStates
    results: GroupResults
    starts: tuple[int, ...]

    def own(self, source: int) -> slice:
        """Return the rows of a source."""
        return slice(self.starts[source], self.starts[source + 1])

    def row(self, number: int) -> tuple[int, int]:
        """Return the source of a row, and its position there."""
        source = int(self.states.source[number])
        return source, number - self.starts[source]

    def name(self, number: int) -> str:
        """Return the id of a row."""
        source, place = self.row(number)
        ids = self.heads[source].lines["id"].combine_chunks().slice(place, 1)
        return str(numbered(ids, self.states.occurrence[number : number + 1])[0].as_py())

    def body(self, number: int) -> pa.Table:
        """Return the body of a row after its steps, as a table of one row."""
        source, place = self.row(number)
        bodies = pa.Table.from_batches([one.passed.body for one in self.heads[source].done])
        return bodies.slice(place, 1)

    def seen(self, number: int, stage: Stage) -> DroppedExample:
        """Return a row that `stage` dropped as the build would show it."""
        sources = self.phase.mixture.sources
        source, place = self.row(number)
        line = self.heads[source].lines.slice(place, 1).to_pydict()
        shown = {name: values[0] for name, values in line.items()}
        shown |= {"source": sources[source].name, "id": self.name(number), "match": None, "fate": "dropped"}
        survivor = None
        match stage.step:
            case Group() as step:
                decision = between(self.results.drops, number, 1).row(0, named=True)
                kept = -1 if decision["kept"] is None else int(decision["kept"])
                shown |= {name: decision[name] for name in ("step", "reason", "score", "match")} | {"bound": step.bound}
                hits = between(self.results.hits, number, 1).select(pl.exclude("row")).to_dicts()
                shown["evidence"] = [*shown["evidence"], *hits]
                if 0 <= kept < self.starts[-1]:
                    shown["match"] = f"{sources[self.row(kept)[0]].name}/{self.name(kept)}"
                    survivor = _one_row(self.body(kept))
                elif kept >= 0:
                    shown["match"] = f"against/{self.results.references[kept - self.starts[-1]].as_py()}"
            case Filter():
                own = (shown["step"], shown["reason"])
                hits = [hit for hit in shown["evidence"] if (hit["step"], hit["reason"]) == own]
                shown["match"] = hits[0]["match"] if hits else None
        body = self.body(number)
        return DroppedExample(kind_of(body.schema), shown, _one_row(body), survivor)


def _one_row(row: pa.Table) -> dict[str, Any]:
    return {name: values[0] for name, values in row.to_pydict().items()}


def preview_phases(mixture: MixtureSpec, opened: tuple[Opened, ...], rows: int) -> tuple[PhasePreview, ...]:
    """Read and resolve the first rows of every source; one preview per phase."""
    final = final_phase(mixture, opened)
    jobs = jobs_of(final)
    pairing = pairing_sources(mixture)
    if not pairing:
        return (_preview(final, jobs, [first_rows(job, rows) for job in jobs]),)
    phase = rated_phase(mixture, opened)
    early = jobs_of(phase)
    heads = [first_rows(job, rows) if number in pairing else NO_ROWS for number, job in enumerate(early)]
    first = _preview(phase, early, heads)
    first = first._replace(states=paired(first.states))
    heads = [
        _pairs(first, job, number) if number in pairing else first_rows(job, rows) for number, job in enumerate(jobs)
    ]
    return first, _preview(final, jobs, heads)


def _pairs(preview: PhasePreview, job: SourceJob, source: int) -> FirstRows:
    own = preview.own(source)
    found, key = preview.states, preview.states.key
    here = Hashes(key.high[own], key.low[own])
    return pairs_of(job, preview.heads[source], found.fate[own] == Fate.PAIRED, here, found.occurrence[own])


def _preview(phase: Phase, jobs: Sequence[SourceJob], heads: Sequence[FirstRows]) -> PhasePreview:
    """Resolve the rows that were read."""
    tables = [pa.Table.from_batches([keys(jobs[i], one) for one in heads[i].done]) for i in phase.sources]
    frame = pl.DataFrame(pa.concat_tables(tables, promote_options="default"))
    counts = [sum(done.parsed.body.num_rows for done in head.done) for head in heads]
    batches = [MemoryKeys(done.parsed.body.num_rows, done.passed.signed) for head in heads for done in head.done]
    states, results = resolve(phase, frame, np.repeat(np.arange(len(heads), dtype=np.int16), counts), batches)
    return PhasePreview(phase, tuple(jobs), tuple(heads), states, results, tuple(np.cumsum([0, *counts]).tolist()))
