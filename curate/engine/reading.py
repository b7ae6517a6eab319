"""The first part of a build, and of each of its halves: every block of every source becomes a piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from curate.engine.executor import run_all
from curate.engine.partition import Count, Job, Paths, make_piece, piece_paths
from curate.engine.phases import Half, kind_of_rows, pairing
from curate.engine.pipeline import all_stages, score_columns
from curate.engine.progress import Watch
from curate.engine.source_lines import may_stay
from curate.errors import FormatError, QuarantineError, SourceNotFoundError
from curate.io.atomic import read_ipc, write_text
from curate.io.blocks import JsonItems
from curate.io.inputs import Block, Opened
from curate.mix.sample import ORDER, key
from curate.mix.spec import Mixture, Source
from curate.rows.schema import Kind
from curate.steps.base import Group

NOTHING = Block("", 1, JsonItems([], None), 0)
"""Stands for the blocks of a source without rows, so that every source has a piece, and its steps their columns."""

ALWAYS_QUARANTINED = 10
"""So many unreadable rows of a source never stop a build; above, its `max_quarantine` decides."""


class Task(NamedTuple):
    """A block to be made into a piece."""

    source: int
    job: Job
    block: Block
    place: Paths


class Reading(NamedTuple):
    """What was read: how many pieces each source gave, and how many rows, quarantined ones among them."""

    pieces: tuple[int, ...]
    counts: tuple[Count, ...]


def open_sources(mixture: Mixture) -> tuple[Kind, tuple[Opened, ...]]:
    """Open every source, and tell the kind of row that goes into the data files.

    Raises `MixtureError` when they come to rows of different kinds, and for a Pairing of rows that are not rated.
    """
    opened = tuple(_open(source) for source in mixture.sources)
    return kind_of_rows(mixture, opened), opened


def _open(source: Source) -> Opened:
    try:
        return source.input.open()
    except (FormatError, SourceNotFoundError) as error:
        message = f"source {source.name!r}: {error}"
        raise type(error)(message) from error


def read(half: Half, pieces: Path, threads: int, watch: Watch) -> Reading:
    """Make the pieces of every source of one half that are not there yet.

    Raises `QuarantineError` for a source with too many unreadable rows.
    """
    note = pieces / "read.json"
    if note.is_file():
        told = json.loads(note.read_text(encoding="utf-8"))
        return Reading(tuple(told["pieces"]), tuple(Count(*count) for count in told["counts"]))
    jobs = jobs_of(half)
    number = [0] * len(jobs)
    rows, bad = [0] * len(jobs), [0] * len(jobs)
    bars = [_bar(half, source) for source in half.mixture.sources]
    for i in half.sources:
        watch.start(bars[i], half.opened[i].size)
    for task, count in run_all(_make, _tasks(half, jobs, pieces), threads):
        number[task.source] += 1
        rows[task.source] += count.rows
        bad[task.source] += count.quarantined
        watch.advance(bars[task.source], task.block.size, count.rows)
    for i in half.sources:
        watch.done(bars[i])
        check_quarantine(half.mixture.sources[i], Count(rows[i], bad[i]), pieces, i, number[i])
    counts = tuple(Count(*pair) for pair in zip(rows, bad, strict=True))
    write_text(note, json.dumps({"pieces": number, "counts": counts}))
    return Reading(tuple(number), counts)


def _bar(half: Half, source: Source) -> str:
    """Return what the progress of a source is called."""
    paired = half.final and pairing(half.mixture, source) is not None
    return f"{source.name}, pairs" if paired else source.name


def check_quarantine(source: Source, count: Count, pieces: Path, number: int, blocks: int) -> None:
    """Raise `QuarantineError`, showing the first five, when too many rows of a source could not be taken in."""
    if count.quarantined <= max(ALWAYS_QUARANTINED, source.max_quarantine * count.rows):
        return
    shown = list(_first_bad(pieces, number, blocks, 5))
    share = count.quarantined / count.rows
    message = (
        f"source {source.name!r}: {count.quarantined:,} of {count.rows:,} rows ({share:.1%}) could not be taken in, "
        f"more than max_quarantine={source.max_quarantine:g} allows. The first {len(shown)}:\n"
        + "\n".join(f"  {line}" for line in shown)
        + "\nMend the file or its format, or go on without these rows: "
        + f"Source({source.name!r}, ..., max_quarantine={_enough(share)})"
    )
    raise QuarantineError(message)


def _enough(share: float) -> float:
    return min(1.0, float(f"{share + 0.01:.2f}"))


def _first_bad(pieces: Path, number: int, blocks: int, most: int) -> Iterator[str]:
    for block in range(blocks):
        told = bad_rows(read_ipc(piece_paths(pieces, number, block).lines), most)
        yield from told
        most -= len(told)
        if most <= 0:
            return


def bad_rows(lines: pa.Table | pa.RecordBatch, most: int) -> list[str]:
    """Say of the first bad rows in ledger lines where each stands, what was expected there, and what was found."""
    bad = lines.select(["file", "line", "column", "expected", "excerpt"]).filter(lines["expected"].is_valid())
    found = []
    for file, line, column, expected, excerpt in zip(*bad.slice(0, most).to_pydict().values(), strict=True):
        where = f" {column}:" if column else ""
        found.append(f"{file}:{line}:{where} expected {expected}, found {excerpt!r:.120}")
    return found


def jobs_of(half: Half) -> list[Job]:
    """Return what the pieces of each source share."""
    mixture = half.mixture
    types = score_columns(all_stages(mixture))
    groups = any(isinstance(stage.step, Group) for stage in half.stages)
    return [
        Job(
            source=source.name,
            opened=found,
            stages=pipeline,
            score_types=types,
            protect=source.protect,
            order_key=key(mixture.seed, source.name, ORDER),
            tokenizer=mixture.tokenizer,
            test_split=mixture.test is not None and half.final,
            may_stay=may_stay(half.opened),
            again=half.final or groups,
        )
        for source, found, pipeline in zip(mixture.sources, half.opened, half.pipelines, strict=True)
    ]


def _tasks(half: Half, jobs: list[Job], pieces: Path) -> Iterator[Task]:
    for number in half.sources:
        job = jobs[number]
        blocks = job.opened.blocks()
        for i, block in enumerate(chain([next(blocks, NOTHING)], blocks)):
            yield Task(number, job, block, piece_paths(pieces, number, i))


def _make(task: Task) -> tuple[Task, Count]:
    """Make a piece, or count what an interrupted build left of it; the block's data is let go with it."""
    done = task._replace(block=task.block._replace(data=None))
    if task.place.lines.is_file():
        lines = read_ipc(task.place.lines)
        return done, Count(lines.num_rows, lines.num_rows - lines["expected"].null_count)
    return done, make_piece(task.job, task.block, task.place)
