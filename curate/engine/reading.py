"""Reads a phase of a build: every block of every source becomes a partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from curate.engine.executors.base import Executor
from curate.engine.pair_input import PairInput
from curate.engine.partition import ChosenRows, RowCount, SourceJob, make_partition, partition_paths, rows_of_whole
from curate.engine.pipeline import Phase, all_stages, kind_of_rows, pairing, score_columns
from curate.engine.presample import Presample, is_presampled, presample
from curate.engine.progress import BuildProgress
from curate.engine.reuse.plan import ReusePlan
from curate.engine.source_lines import may_stay
from curate.engine.state import PartitionPaths
from curate.errors import FormatError, MixtureError, QuarantineError, SourceNotFoundError
from curate.io.atomic import read_ipc, write_text
from curate.io.blocks import JsonItems
from curate.io.detect import CANDIDATES, instead
from curate.io.inputs import Block, Opened
from curate.io.narrow import values_of
from curate.mix.sample import ORDER, key
from curate.mix.spec import MixtureSpec, Source
from curate.rows.schema import Kind
from curate.steps.base import Group

NOTHING = Block("", 1, JsonItems([], None), 0)
"""The block of a source without rows: every source has a partition, with the columns of its steps."""

MOST_VALUES = 8
"""Values of a column that a message names."""

SHOWN = 100
"""Characters of an invalid row that a message quotes."""

ALWAYS_QUARANTINED = 10
"""Up to this many invalid rows of a source, and half of it, never stop a build; above, `max_quarantine` decides."""


class ReadTask(NamedTuple):
    """A block to make a partition of."""

    source: int
    block: Block
    place: PartitionPaths
    chosen: ChosenRows | None


class ReadResult(NamedTuple):
    """The partitions of each source, and its rows, including quarantined ones."""

    partitions: tuple[int, ...]
    counts: tuple[RowCount, ...]


def open_sources(mixture: MixtureSpec) -> tuple[Kind, tuple[Opened, ...]]:
    """Open every source, and return the kind of row of the data files; raises the errors of `kind_of_rows`."""
    opened = tuple(_open(source) for source in mixture.sources)
    return kind_of_rows(mixture, opened), opened


def _open(source: Source) -> Opened:
    try:
        return replace(source.input, where=values_of(source.where)).open()
    except (FormatError, SourceNotFoundError) as error:
        raise type(error)(f"source {source.name!r}: {error}") from error


def read(
    phase: Phase, partitions: Path, executor: Executor, progress: BuildProgress, plan: ReusePlan | None = None
) -> ReadResult:
    """Make the missing partitions of one phase; raises `QuarantineError` for a source with too many invalid rows.

    What a `plan` takes from an earlier build is not made again.
    """
    note = partitions / "read.json"
    noted = _noted(note)
    if noted is not None:
        return noted
    jobs = jobs_of(phase, plan)
    bars = [_bar(phase, source) for source in phase.mixture.sources]
    for i in phase.sources:
        progress.start(bars[i], phase.opened[i].size)
    ahead = {
        i: presample(phase.mixture, i, jobs[i], partitions, executor)
        for i in phase.sources
        if is_presampled(phase.mixture.sources[i]) and not isinstance(phase.opened[i], PairInput)
    }
    number, counts = [0] * len(jobs), [RowCount(0, 0)] * len(jobs)
    left = phase.sources
    while left:
        for i in left:
            number[i], counts[i] = 0, RowCount(0, 0)
        for task, count in executor.run_all(partial(_make, jobs), _tasks(left, jobs, ahead, partitions)):
            number[task.source] += 1
            counts[task.source] = RowCount(*map(sum, zip(counts[task.source], count, strict=True)))
            progress.advance(bars[task.source], task.block.size, count.rows)
        left = tuple(i for i in left if i in ahead and ahead[i].needs_more())
    for i in phase.sources:
        progress.done(bars[i])
        source, opened = phase.mixture.sources[i], phase.opened[i]
        if source.where and counts[i].rows == counts[i].quarantined:
            raise MixtureError(_no_part(source, opened))
        check_quarantine(source, opened, counts[i], partitions, i, number[i])
    result = ReadResult(tuple(number), tuple(counts))
    write_text(note, msgspec.json.encode(result).decode())
    return result


def _no_part(source: Source, opened: Opened) -> str:
    """Say that no row has the values of `where`, and which values the first rows have."""
    where = opened.input.where
    asked = " and ".join(f"{column} = {' or '.join(map(repr, values))}" for column, values in where.items())
    whole = replace(opened, input=replace(opened.input, where={}))
    seen = list(dict.fromkeys(map(repr, whole.values(next(iter(where))))))[:MOST_VALUES]
    hint = f"its first rows have {', '.join(seen)}" if seen else f"its columns are {', '.join(whole.fields())}"
    return f"source {source.name!r}: no row has {asked}; {hint}"


def _noted(note: Path) -> ReadResult | None:
    """Return what an interrupted build noted when all was read; None if it did not, or a partition is not whole."""
    try:
        noted = msgspec.json.decode(note.read_bytes(), type=ReadResult)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return None
    blocks = ((source, block) for source, count in enumerate(noted.partitions) for block in range(count))
    return noted if all(rows_of_whole(partition_paths(note.parent, *block)) for block in blocks) else None


def _bar(phase: Phase, source: Source) -> str:
    """Return the name of a source's progress bar."""
    paired = phase.final and pairing(phase.mixture, source) is not None
    return f"{source.name}, pairs" if paired else source.name


def too_many_invalid(source: Source, count: RowCount, rows: int | None = None) -> str | None:
    """Say that more rows are invalid than a source allows; None if not.

    `rows` is the size of a source of which only `count.rows` were read.
    """
    half = (count.rows if rows is None else rows) / 2
    if count.quarantined <= max(min(ALWAYS_QUARANTINED, half), source.max_quarantine * count.rows):
        return None
    share = count.quarantined / count.rows
    return (
        f"source {source.name!r}: {count.quarantined:,} of {count.rows:,} rows ({share:.1%}) are invalid, "
        f"more than max_quarantine={source.max_quarantine:g} allows"
    )


def check_quarantine(
    source: Source, opened: Opened, count: RowCount, partitions: Path, number: int, blocks: int
) -> None:
    """Raise `QuarantineError`, showing the first five, if too many rows of a source are invalid."""
    problem = too_many_invalid(source, count)
    if problem is None:
        return
    shown = list(_first_bad(partitions, number, blocks, 5))
    share = min(1.0, float(f"{count.quarantined / count.rows + 0.01:.2f}"))
    hint = opened.input.hint(opened.parts) if any(" expected UTF-8;" in line for line in shown) else ""
    remedy = (
        "Correct the file or its format, or build without these rows: "
        f"Source({source.name!r}, ..., max_quarantine={share})"
    )
    if count.quarantined == count.rows and not hint:
        remedy = read_otherwise(opened)
    lines = [*(f"  {line}" for line in shown), *([f"{hint}."] if hint else []), remedy]
    raise QuarantineError(f"{problem}. The first {len(shown)}:\n" + "\n".join(lines))


def read_otherwise(opened: Opened) -> str:
    """Say how to read a source of which its format reads no row."""
    return instead(opened.input.first_rows(opened.parts, CANDIDATES), opened.input.label(opened.parts))


def _first_bad(partitions: Path, number: int, blocks: int, most: int) -> Iterator[str]:
    for block in range(blocks):
        shown = bad_rows(read_ipc(partition_paths(partitions, number, block).lines), most)
        yield from shown
        most -= len(shown)
        if most <= 0:
            return


def bad_rows(lines: pa.Table | pa.RecordBatch, most: int) -> list[str]:
    """Return, for the first invalid rows in ledger lines, the place, what was expected, and what was found."""
    bad = lines.select(["file", "line", "column", "expected", "excerpt"]).filter(lines["expected"].is_valid())
    found = []
    for file, line, column, expected, excerpt in zip(*bad.slice(0, most).to_pydict().values(), strict=True):
        where = f" {column}:" if column else ""
        shown = excerpt if len(excerpt) <= SHOWN else f"{excerpt[:SHOWN]}..."
        found.append(f"{file}:{line}:{where} expected {expected}, found {shown!r}")
    return found


def jobs_of(phase: Phase, plan: ReusePlan | None = None) -> list[SourceJob]:
    """Return the job of each source: what its partitions have in common, and what is known of it."""
    mixture = phase.mixture
    types = score_columns(all_stages(mixture), {} if plan is None else plan.types)
    groups = any(isinstance(stage.step, Group) for stage in phase.stages)
    return [
        SourceJob(
            source=source.name,
            opened=found,
            stages=pipeline,
            score_types=types,
            protect=source.protect,
            order_key=key(mixture.seed, source.name, ORDER),
            tokenizer=mixture.tokenizer,
            test_split=mixture.test is not None and phase.final,
            may_stay=may_stay(phase.opened),
            again=phase.final or groups,
            known=None if plan is None else plan.known[number],
            choices=phase.choices[number],
        )
        for number, (source, found, pipeline) in enumerate(
            zip(mixture.sources, phase.opened, phase.pipelines, strict=True)
        )
    ]


def _tasks(
    sources: Iterable[int], jobs: list[SourceJob], ahead: Mapping[int, Presample], partitions: Path
) -> Iterator[ReadTask]:
    for number in sources:
        blocks = jobs[number].opened.blocks()
        for i, block in enumerate(chain([next(blocks, NOTHING)], blocks)):
            chosen = ahead[number].chosen(i) if number in ahead and block is not NOTHING else None
            yield ReadTask(number, block, partition_paths(partitions, number, i), chosen)


def _make(jobs: Sequence[SourceJob], task: ReadTask) -> tuple[ReadTask, RowCount]:
    """Make a partition, or count its rows if an interrupted build made it; the block's data is released."""
    done = task._replace(block=task.block._replace(data=None), chosen=None)
    looked_at = None if task.chosen is None else task.chosen.number
    made = rows_of_whole(task.place, looked_at)
    return done, made or make_partition(jobs[task.source], task.block, task.place, task.chosen)
