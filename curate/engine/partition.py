"""One unit of work: a block of a source, read, identified, run through its steps and written to a few files.

A partition is a pure function of its block, so partitions can be made in any order, on any thread or machine, and again
after an interruption. Its rows are sorted into buckets of their final order, so that a shard reads only what it needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.engine.barrier import keys_batch
from curate.engine.pipeline import PipelineOutput, Stage, run
from curate.engine.reuse.known_rows import KnownSource
from curate.engine.source_lines import LONGEST
from curate.engine.spill import spill_schema, write_spill
from curate.engine.state import PartitionPaths
from curate.io.atomic import write_ipc
from curate.io.inputs import Block, Opened, Parsed
from curate.io.narrow import with_numbers
from curate.kernels.hashing import ranks
from curate.mix.takes.selection import Selection
from curate.rows.identity import Identities, identities, names, numbered
from curate.rows.parts import parts_used
from curate.rows.rewards import reward_types
from curate.rows.segments import CONTENT, Context, Segments, select
from curate.rows.sides import best_scores, row_hashes
from curate.rows.take import take, text_bytes
from curate.rows.tokens import Tokenizer, tokens
from curate.steps.base import Bound, Filter, Paired, Pairing

ROW = pa.field("row", pa.int32())
"""The number of a row within its partition."""

FILE = b"file"
"""The metadata of a partition's keys with the name of its file."""

REWARD_TYPES = b"rewards"
"""The metadata of a partition's keys with the types of its reward columns, as JSON."""

SIZES = b"sizes"
"""The metadata of a partition's lines with the bytes of its other files, as JSON."""

LOOKED_AT = b"looked_at"
"""The metadata of a partition's lines with the number of rows of its source that go through the steps, if not all."""

CLASH = "an id that no other row of the source has"
"""What was expected of a row that has the id of another row with other content."""


class SourceJob(NamedTuple):
    """What the partitions of one source have in common.

    `score_types` names the score columns of the whole mixture; with `may_stay`, lines of plain files need no copy.
    `again`: rows that no filter drops are needed later, for the data files or a group that may drop them. `known` is
    what an earlier build says of the rows of the source. `choices` are the takes that choose among its rows, by the
    label of their keys.
    """

    source: str
    opened: Opened
    stages: tuple[Stage, ...]
    score_types: dict[str, pa.DataType]
    protect: bool
    order_key: int
    tokenizer: Tokenizer | None
    test_split: bool
    may_stay: bool = False
    again: bool = True
    known: KnownSource | None = None
    choices: Mapping[str, Selection] = MappingProxyType({})


class ProcessedBlock(NamedTuple):
    """The rows of a block, identified and run through their steps.

    `ids` are their names; `span` is the start and end in the block of each row that stays in its file, -1 for others.
    """

    parsed: Parsed
    found: Identities
    passed: PipelineOutput
    ids: pa.StringArray
    span: NDArray[np.int64]


class ChosenRows(NamedTuple):
    """Which valid rows of a block go through the steps, where not all of its source do (`curate.engine.presample`).

    `number` is how many of the source do. `ids` and `line` run over all valid rows of the block, as do `status`
    (`ASIDE`, `THROUGH` or `CLASHING`) and `occurrence`; `bad` has the lines of invalid ones.
    """

    number: int
    ids: pa.StringArray
    line: NDArray[np.int64]
    status: NDArray[np.uint8]
    occurrence: NDArray[np.uint64]
    bad: NDArray[np.int64]


ASIDE, THROUGH, CLASHING = range(3)
"""A row that is unsampled before its steps, one that goes through them, and one that another row's id quarantines."""


class RowCount(NamedTuple):
    """How many rows of a block were read, and how many of them were quarantined."""

    rows: int
    quarantined: int


def partition_paths(folder: Path, source: int, block: int) -> PartitionPaths:
    """Return the files of a block's partition; sorted by name, they are in the order of sources and blocks."""
    stem = f"{source:04d}-{block:08d}"
    return PartitionPaths(*(folder / f"{stem}.{part}.arrow" for part in PartitionPaths._fields))


def make_partition(job: SourceJob, block: Block, place: PartitionPaths, chosen: ChosenRows | None = None) -> RowCount:
    """Make the partition of `block`; of its rows, those that are not `chosen` have nothing but a line in the ledger."""
    read = job.opened.parse(block) if chosen is None else parse_chosen(job.opened, block, chosen)
    stays = job.may_stay and block.start is not None
    done = process(job, read if stays else read._replace(span=None))
    _, found, passed, ids, span = done
    named = with_names(passed.body, ids, np.arange(passed.body.num_rows))
    moving = np.flatnonzero((passed.dropped_by < 0) & (span[:, 0] < 0)).astype(np.int32)
    if len(moving) and job.again:
        rank = ranks(found.key, np.zeros(len(found.own), np.uint64), job.order_key)
        write_spill(place.rows, named, moving, rank[moving])
    write_ipc(place.dropped, [take(named, np.flatnonzero(passed.dropped_by >= 0).astype(np.int32))])
    if passed.signed:
        write_ipc(place.signed, [keys_batch(passed.signed)])
    if passed.pairs is not None:
        write_ipc(place.pairs, [pairs_batch(passed.pairs)])
    rewards = reward_types(passed.body) if "rewards" in passed.body.schema.names else {}
    key_batch = keys(job, done)
    if chosen is not None:
        through = pa.array(chosen.occurrence[chosen.status == THROUGH])
        key_batch = key_batch.append_column("occurrence", through)
    write_ipc(place.keys, [_with_places(key_batch, block, span, rewards)])
    others = {name: path.stat().st_size for name, path in place._asdict().items() if path.is_file()}
    others.pop("lines", None)
    notes = {SIZES: json.dumps(others)} | ({LOOKED_AT: str(chosen.number)} if chosen is not None else {})
    found_lines = lines(job, block.file, done, chosen)
    write_ipc(place.lines, [found_lines.replace_schema_metadata(notes)])
    return RowCount(found_lines.num_rows, found_lines.num_rows - found_lines["expected"].null_count)


def parse_chosen(opened: Opened, block: Block, chosen: ChosenRows) -> Parsed:
    """Return the rows of a block that go through the steps, and its invalid ones; of other lines nothing is read."""
    mask = chosen.status == THROUGH
    wanted = np.union1d(chosen.line[mask], chosen.bad)
    parsed = opened.parse(block if opened.format.whole_file else with_numbers(block, wanted))
    reread = slice(None) if len(parsed.line) == len(mask) else np.isin(chosen.line, wanted)
    return pick(parsed, np.flatnonzero(mask[reread]).astype(np.int32))


def pick(parsed: Parsed, row: NDArray[np.int32]) -> Parsed:
    """Return some of the valid rows, and all invalid ones."""
    return Parsed(take(parsed.body, row), parsed.ids.take(pa.array(row)), parsed.line[row], parsed.bad)


def rows_of_whole(place: PartitionPaths, looked_at: int | None = None) -> RowCount | None:
    """Return the rows of a partition that is on disk; None if it is not, or one of its files was cut short.

    So it is too if it was made when another number of rows of its source went through the steps than `looked_at`.
    """
    try:
        lines = pa.ipc.open_file(pa.memory_map(str(place.lines))).get_batch(0)
        notes = lines.schema.metadata or {}
        sizes = json.loads(notes[SIZES])
        if looked_at is not None and notes.get(LOOKED_AT) != str(looked_at).encode():
            return None
        if any(getattr(place, name).stat().st_size != size for name, size in sizes.items()):
            return None
    except (OSError, KeyError, pa.ArrowException):
        return None
    return RowCount(lines.num_rows, lines.num_rows - lines["expected"].null_count)


def pairs_batch(pairs: Paired) -> pa.RecordBatch:
    """Return pairs as a partition stores them: the number of their row in the partition, then the pair."""
    schema = pa.schema([ROW, *pairs.body.schema])
    return pa.RecordBatch.from_arrays([pa.array(pairs.row), *pairs.body.columns], schema=schema)


def process(job: SourceJob, parsed: Parsed) -> ProcessedBlock:
    """Identify the rows of a block and run them through their steps."""
    found = identities(parsed.body, parsed.ids)
    if parsed.key is not None:
        found = found._replace(key=parsed.key)
    ids = pc.coalesce(parsed.ids, names(found.content))
    known = None if job.known is None else job.known.rows(found.key, found.content.low)
    passed = run(job.stages, parsed.body, protect=job.protect, source=job.source, ids=ids, known=known)
    every = passed.segments._replace(context=Context(job.source, ids, passed.scores))
    passed.signed.update((label, choice.sign(every)) for label, choice in job.choices.items())
    return ProcessedBlock(parsed, found, passed, ids, _unchanged_lines(parsed, passed))


def _unchanged_lines(parsed: Parsed, passed: PipelineOutput) -> NDArray[np.int64]:
    """Return the start and end in the block of lines that stay in their file; -1 for other rows."""
    if parsed.span is None:
        return np.full((parsed.body.num_rows, 2), -1, np.int64)
    changed = np.diff(passed.edited.offsets.to_numpy()) > 0
    stays = ~changed & (parsed.span[:, 1] - parsed.span[:, 0] <= LONGEST)
    return np.where(stays[:, None], parsed.span, -1)


def _with_places(
    batch: pa.RecordBatch, block: Block, span: NDArray[np.int64], rewards: dict[str, list[str]]
) -> pa.RecordBatch:
    """Add to the keys of a partition the file, and the place of each row's line in it (-1: in the spill file).

    `rewards` has the types of the reward columns (`curate.rows.rewards`).
    """
    start = np.where(span[:, 0] >= 0, span[:, 0] + (block.start or 0), -1)
    length = (span[:, 1] - span[:, 0]).astype(np.int32)
    placed = batch.append_column("start", pa.array(start)).append_column("length", pa.array(length))
    return placed.replace_schema_metadata({FILE: block.file, REWARD_TYPES: json.dumps(rewards)})


def with_names(body: pa.RecordBatch, ids: pa.StringArray, row: NDArray[np.int64]) -> pa.RecordBatch:
    """Prepend the id, the number in the partition and the number of the copy to the body."""
    columns = [ids, pa.array(row.astype(np.int32)), pa.array(np.zeros(len(row), np.int32)), *body.columns]
    return pa.RecordBatch.from_arrays(columns, schema=spill_schema(body.schema))


def keys(job: SourceJob, done: ProcessedBlock) -> pa.RecordBatch:
    """Return the keys that the barrier needs: a few numbers per row."""
    found, passed = done.found, done.passed
    columns: dict[str, NDArray[np.generic]] = {
        "key_high": found.key.high,
        "key_low": found.key.low,
        "content_high": found.content.high,
        "content_low": found.content.low,
        "dropped_by": passed.dropped_by,
        "bytes": text_bytes(passed.body),
        "tokens": tokens(passed.segments, job.tokenizer),
        "parts": parts_used(passed.body),
    }
    best = best_scores(passed.body)
    if best is not None:
        columns["best_score"] = best
    if job.test_split:
        columns["prompt"] = _prompts(passed.segments, found)
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns.values()], names=list(columns))


def _prompts(every: Segments, found: Identities) -> NDArray[np.uint64]:
    """Return a key for each row's prompt, equal where its texts are, whatever the tools; an empty one equals none."""
    high = row_hashes(select(every, "prompt", CONTENT)).high
    return np.where(high == 0, found.content.low, high).astype(np.uint64)


def lines(job: SourceJob, file: str, done: ProcessedBlock, chosen: ChosenRows | None = None) -> pa.RecordBatch:
    """Return a block's part of the ledger: rows that went through the steps first, then others, then invalid ones."""
    parsed, passed = done.parsed, done.passed
    rows, bad = parsed.body.num_rows, parsed.bad.num_rows
    step, reason, bound = _drop_columns(job.stages, passed)
    score = pa.array(passed.score, mask=np.isnan(passed.score))
    good: dict[str, pa.Array] = {
        "id": done.ids,
        "line": pa.array(parsed.line),
        "step": step,
        "reason": reason,
        "score": score,
        "bound": bound,
        "edited": passed.edited,
        "evidence": passed.evidence,
    }
    for name, kind in job.score_types.items():
        column = passed.scores.get(name)
        given = column if column is None or isinstance(column, pa.Array) else pa.array(column, kind)
        good[name] = pa.nulls(rows, kind) if given is None else given
    wrong = {"line": parsed.bad["line"], **{name: parsed.bad[name] for name in ("column", "expected", "excerpt")}}
    beside = {} if chosen is None else _set_aside(chosen)
    blocks = [(rows, good), (len(beside["id"]) if beside else 0, beside), (bad, wrong)]
    columns = {"file": pa.repeat(pa.scalar(file, pa.string()), sum(count for count, _ in blocks))}
    for name in dict.fromkeys([*good, *wrong]):
        kind = (good[name] if name in good else wrong[name]).type
        columns[name] = pa.concat_arrays([part.get(name, pa.nulls(count, kind)) for count, part in blocks])
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _set_aside(chosen: ChosenRows) -> dict[str, pa.Array]:
    """Return the ledger's columns of valid rows that do not go through the steps."""
    aside = np.flatnonzero(chosen.status != THROUGH)
    ids = numbered(chosen.ids.take(pa.array(aside)), chosen.occurrence[aside])
    none = pa.array(chosen.status[aside] != CLASHING)
    wrong = {"column": pa.scalar("id"), "expected": pa.scalar(CLASH), "excerpt": ids}
    return {
        "id": ids,
        "line": pa.array(chosen.line[aside]),
        **{name: pc.if_else(none, pa.scalar(None, pa.string()), value) for name, value in wrong.items()},
    }


def _drop_columns(stages: tuple[Stage, ...], passed: PipelineOutput) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return the step, the reason and the bound of dropped rows; null for other rows."""
    labels = pa.array([stage.label for stage in stages], pa.string())
    bounds: list[Bound] = []
    first = np.zeros(len(stages), np.int64)
    for stage in stages:
        first[stage.place] = len(bounds)
        match stage.step:
            case Filter() as step:
                bounds += step.bounds()
            case Pairing() as step:
                bounds += [Bound(reason, "") for reason in step.reasons()]
    dropped = np.flatnonzero(passed.dropped_by >= 0)
    which = np.full(len(passed.dropped_by), -1, np.int64)
    which[dropped] = first[passed.dropped_by[dropped]] + passed.bound[dropped]
    pick = pa.array(which, mask=which < 0)
    at_least = np.array([np.nan if bound.at_least is None else bound.at_least for bound in bounds], np.float64)
    at_most = np.array([np.nan if bound.at_most is None else bound.at_most for bound in bounds], np.float64)
    held = np.full(len(which), np.nan)
    low = passed.score[dropped] < at_least[which[dropped]]
    held[dropped] = np.where(low, at_least[which[dropped]], at_most[which[dropped]])
    reasons = pa.array([bound.reason for bound in bounds], pa.string())
    return (
        labels.take(pa.array(passed.dropped_by, mask=passed.dropped_by < 0)),
        reasons.take(pick),
        pa.array(held, mask=np.isnan(held)),
    )
