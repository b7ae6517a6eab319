"""The first rows of all sources, processed as a build would and resolved, with nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.barrier import GroupResults, MemoryKeys
from curate.engine.group_results import between
from curate.engine.pair_input import pair_keys, pair_names, pair_numbers
from curate.engine.partition import ProcessedBlock, SourceJob, keys, lines, process
from curate.engine.pipeline import Phase, Stage, final_phase, pairing_sources, rated_phase
from curate.engine.reading import NOTHING, jobs_of
from curate.engine.resolve import best_scores_of, paired, resolve, resolve_ids
from curate.engine.state import Fate, RowStates
from curate.io.inputs import Opened
from curate.io.row_collector import Collector, Parsed
from curate.kernels.hashing import Hashes
from curate.mix.spec import MixtureSpec
from curate.rows.identity import numbered
from curate.rows.schema import Kind, kind_of
from curate.rows.take import take
from curate.steps.base import Filter, Group

BLOCK: Final = 1 << 18
"""Bytes of a block: small, so that few more rows than asked for are read and parsed."""


class FirstRows(NamedTuple):
    """The first rows of one source, processed.

    `files` names the file of each block. `read` rows were read, all if `whole`; `rows` is its total (an estimate
    unless `whole`; None: not known).
    """

    done: tuple[ProcessedBlock, ...]
    files: tuple[str, ...]
    lines: pa.Table
    read: int
    whole: bool
    rows: int | None


def first_rows(job: SourceJob, rows: int) -> FirstRows:
    """Read and process the first rows of a source."""
    opened = job.opened
    done: list[ProcessedBlock] = []
    files: list[str] = []
    read, taken, whole = 0, 0.0, True
    blocks = opened.input.read(opened.parts, (opened.format,), size=BLOCK)
    for block in chain([next(blocks, NOTHING)], blocks):
        if read >= rows:
            whole = False
            break
        parsed = opened.parse(block)
        held = parsed.body.num_rows + parsed.bad.num_rows
        first = _first(parsed, rows - read)
        kept = first.body.num_rows + first.bad.num_rows
        read += kept
        taken += block.size * (kept / held if held else 1)
        whole = kept == held
        done.append(process(job, first))
        files.append(block.file)
    table = _lines(job, files, done)
    return FirstRows(tuple(done), tuple(files), table, read, whole, read if whole else _rows(opened, read, taken))


def pairs_of(
    job: SourceJob, head: FirstRows, is_paired: NDArray[np.bool_], key: Hashes, occurrence: NDArray[np.uint64]
) -> FirstRows:
    """Process the pairs of the paired rows of `head` as rows of their own."""
    nothing = Collector("preference").parsed()
    made = [(one, one.passed.pairs) for one in head.done if one.passed.pairs is not None]
    done, start = [], 0
    for one, (body, every, _) in made:
        here = slice(start, start + one.parsed.body.num_rows)
        start = here.stop
        place = np.flatnonzero(is_paired[here][every]).astype(np.int32)
        row, number = every[place], pair_numbers(every)[place]
        of_rows = occurrence[here][row]
        ids = pair_names(one.ids.take(pa.array(row)), of_rows, number)
        keys = pair_keys(Hashes(key.high[here][row], key.low[here][row]), of_rows, number)
        done.append(process(job, Parsed(take(body, place), ids, one.parsed.line[row], nothing.bad, key=keys)))
    table = _lines(job, head.files, done)
    return FirstRows(tuple(done), head.files, table, table.num_rows, head.whole, None)


def _lines(job: SourceJob, files: Sequence[str], done: Sequence[ProcessedBlock]) -> pa.Table:
    """Return the ledger lines of blocks: first all valid rows, then all invalid ones."""
    batches = [lines(job, file, one) for file, one in zip(files, done, strict=True)]
    good = [batch.slice(0, one.parsed.body.num_rows) for batch, one in zip(batches, done, strict=True)]
    bad = [batch.slice(one.parsed.body.num_rows) for batch, one in zip(batches, done, strict=True)]
    return pa.Table.from_batches([*good, *bad])


def _first(parsed: Parsed, most: int) -> Parsed:
    """Return the first rows of a block, including invalid ones."""
    line = np.concatenate([parsed.line, np.asarray(parsed.bad["line"])])
    if len(line) <= most:
        return parsed
    last = np.sort(line)[most - 1]
    good = np.flatnonzero(parsed.line <= last).astype(np.int32)
    bad = parsed.bad.filter(pa.array(np.asarray(parsed.bad["line"]) <= last))
    return Parsed(take(parsed.body, good), parsed.ids.take(pa.array(good)), parsed.line[good], bad)


def _rows(opened: Opened, read: int, taken: float) -> int | None:
    """Estimate the rows of a source from the bytes of those read."""
    if opened.size is None or taken <= 0:
        return opened.rows
    return max(read, round(read * opened.size / taken))


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
        bodies = [one.passed.body for one in self.heads[source].done]
        ends = np.cumsum([body.num_rows for body in bodies])
        which = int(np.searchsorted(ends, place, side="right"))
        first = int(ends[which]) - bodies[which].num_rows
        return pa.Table.from_batches([bodies[which].slice(place - first, 1)])

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
    source = np.repeat(np.arange(len(heads), dtype=np.int16), counts)
    states, results = resolve(phase, resolve_ids(frame, source), best_scores_of(frame), batches)
    return PhasePreview(phase, tuple(jobs), tuple(heads), states, results, tuple(np.cumsum([0, *counts]).tolist()))
