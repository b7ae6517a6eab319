"""Rows chosen ahead of the steps: those that `before` asks for, or as many as `early_stop` needs.

A source is then read twice. The survey identifies every row, so that its place in the sampling order is known; after
that, the rows that come first go through the steps, and of the others only a line in the ledger is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.engine.executors.base import Executor
from curate.engine.partition import ASIDE, CLASHING, THROUGH, ChosenRows, SourceJob, partition_paths, pick, process
from curate.engine.resolve import numbered_ids
from curate.errors import ShortageError
from curate.io.atomic import read_ipc, write_ipc
from curate.io.inputs import Block
from curate.kernels.hashing import Hashes, order_of, ranks
from curate.mix.amounts import Rows, Tokens
from curate.mix.sample import SAMPLE, key
from curate.mix.spec import MixtureSpec, Source
from curate.rows.identity import identities, names
from curate.rows.tokens import tokens

TRIED: Final = 32
"""Rows of each block that the survey puts through the steps for `early_stop`, to tell how many the steps leave."""

KEYS: Final = ("key_high", "key_low", "content_high", "content_low")
NOTES: Final = b"notes"


class Notes(NamedTuple):
    """What the survey of a block notes beside its rows: lines of invalid rows, and what became of those tried."""

    bad: list[int]
    tried: int
    left: int
    tokens: int


class Survey(NamedTuple):
    """The rows of a source in sampling order.

    `order` are the valid rows without those whose id another row keeps, the first sampled first; `occurrence` and
    `clash` run over all valid rows, `ends` has the end of each block in them. Of the rows that were `tried`, the steps
    left `left` with so many `tokens`.
    """

    order: NDArray[np.int64]
    occurrence: NDArray[np.uint64]
    clash: NDArray[np.bool_]
    ends: NDArray[np.int64]
    tried: int
    left: int
    tokens: int


@dataclass(slots=True)
class Presample:
    """How many rows of a source go through the steps, and which: the first `number` of its survey.

    `limit` is the most that may; `needed` are the rows or tokens that must be left (None: all `limit` rows go).
    """

    folder: Path
    place: int
    survey: Survey
    limit: int
    needed: Rows | Tokens | None
    number: int

    def chosen(self, block: int) -> ChosenRows:
        """Return which rows of a block go through the steps."""
        found = read_ipc(survey_path(self.folder, self.place, block))
        start = int(self.survey.ends[block - 1]) if block else 0
        here = slice(start, int(self.survey.ends[block]))
        status = np.where(self.survey.clash[here], CLASHING, ASIDE).astype(np.uint8)
        first = self.survey.order[: self.number]
        status[first[(first >= here.start) & (first < here.stop)] - start] = THROUGH
        bad = np.array(_notes(found).bad, np.int64)
        line = found["line"].to_numpy()
        return ChosenRows(self.number, found["id"], line, status, self.survey.occurrence[here], bad)

    def needs_more(self) -> bool:
        """Take more rows if the steps left fewer than are needed; return whether there were any to take."""
        if self.needed is None or self.number >= self.limit:
            return False
        left, of_tokens = _left(self.folder, self.place, len(self.survey.ends))
        found, wanted = (left, self.needed.n) if isinstance(self.needed, Rows) else (of_tokens, self.needed.n + 1)
        if found >= wanted:
            return False
        rate = found / self.number
        more = math.ceil(1.1 * wanted / rate) if rate else 4 * self.number
        self.number = min(self.limit, max(more, 2 * self.number))
        return True


def is_presampled(source: Source) -> bool:
    """Return whether not all rows of a source go through the steps."""
    return source.before is not None or source.early_stop


def presample(mixture: MixtureSpec, place: int, job: SourceJob, folder: Path, executor: Executor) -> Presample:
    """Survey a source, and choose; raises `ShortageError` where it has fewer rows than `before` asks for."""
    source = mixture.sources[place]
    with_key = key(mixture.seed, source.name, SAMPLE)
    blocks = enumerate(job.opened.blocks())
    work = partial(_survey_block, job, folder, place, with_key, TRIED if source.early_stop else 0)
    survey = _joined([_with_keys(path) for path in executor.run_all(work, blocks)], with_key)
    limit = _limit(mixture, source, len(survey.order))
    needed = source.take if source.early_stop and isinstance(source.take, Rows | Tokens) else None
    return Presample(folder, place, survey, limit, needed, limit if needed is None else _first(survey, limit, needed))


def survey_path(folder: Path, source: int, block: int) -> Path:
    """Return the file with the survey of a block."""
    lines = partition_paths(folder, source, block).lines
    return lines.with_name(lines.name.replace(".lines.", ".survey."))


def _survey_block(
    job: SourceJob, folder: Path, source: int, with_key: int, trying: int, numbered: tuple[int, Block]
) -> Path:
    """Identify the rows of a block, and write down what choosing needs; nothing is read if that is there."""
    number, block = numbered
    path = survey_path(folder, source, number)
    if path.is_file():
        return path
    parsed = job.opened.parse(block)
    found = identities(parsed.body, parsed.ids)
    tried = left = of_tokens = 0
    if trying:
        rank = ranks(found.key, np.zeros(len(found.own), np.uint64), with_key)
        done = process(job, pick(parsed, np.sort(order_of(rank)[:trying]).astype(np.int32)))
        stays = (done.passed.dropped_by < 0) | job.protect
        tried, left = len(stays), int(stays.sum())
        of_tokens = int(tokens(done.passed.segments, job.tokenizer)[stays].sum())
    columns = {
        "id": pc.coalesce(parsed.ids, names(found.content)),
        "line": pa.array(parsed.line),
        **dict(zip(KEYS, map(pa.array, (*found.key, *found.content)), strict=True)),
    }
    notes = msgspec.json.encode(Notes(parsed.bad["line"].to_numpy().tolist(), tried, left, of_tokens))
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    write_ipc(path, [batch.replace_schema_metadata({NOTES: notes})])
    return path


def _notes(batch: pa.RecordBatch) -> Notes:
    return msgspec.json.decode(batch.schema.metadata[NOTES], type=Notes)


def _with_keys(path: Path) -> pa.RecordBatch:
    """Return the keys of a surveyed block, without the rest of it."""
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).select(KEYS)


def _joined(blocks: Iterable[pa.RecordBatch], with_key: int) -> Survey:
    """Put the surveys of all blocks of a source together."""
    found = list(blocks)
    notes = [_notes(block) for block in found]
    schema = pa.schema([(name, pa.uint64()) for name in KEYS])
    frame = pl.DataFrame(pa.Table.from_batches([block.replace_schema_metadata(None) for block in found], schema))
    occurrence, kept = numbered_ids(frame, np.zeros(frame.height, np.int16))
    clash = kept >= 0
    valid = np.flatnonzero(~clash)
    rank = ranks(Hashes(frame["key_high"].to_numpy(), frame["key_low"].to_numpy()), occurrence, with_key)
    return Survey(
        order=valid[order_of(rank[valid])],
        occurrence=occurrence,
        clash=clash,
        ends=np.cumsum([block.num_rows for block in found], dtype=np.int64),
        tried=sum(note.tried for note in notes),
        left=sum(note.left for note in notes),
        tokens=sum(note.tokens for note in notes),
    )


def _limit(mixture: MixtureSpec, source: Source, rows: int) -> int:
    """Return how many rows `before` lets through."""
    if source.before is None:
        return rows
    if not isinstance(source.before, Rows):
        return int(source.before.share * rows + 0.5)
    if source.before.n > rows and mixture.on_shortage == "error":
        raise ShortageError(
            f"source {source.name!r} has {rows:,} rows, before={source.before!r} asks for more; ask for less, or say "
            'on_shortage="shrink" to the mixture'
        )
    return min(source.before.n, rows)


def _first(survey: Survey, limit: int, needed: Rows | Tokens) -> int:
    """Return how many rows are to be looked at first, a little more than are likely to do."""
    left = survey.left if isinstance(needed, Rows) else survey.tokens
    if not left:
        return limit
    margin = 1.02 + 2 / math.sqrt(survey.tried)
    return min(limit, math.ceil(margin * needed.n * survey.tried / left))


def _left(folder: Path, source: int, blocks: int) -> tuple[int, int]:
    """Return the rows of a source's partitions that the steps left, and their tokens."""
    rows = of_tokens = 0
    for block in range(blocks):
        keys = pa.ipc.open_file(pa.memory_map(str(partition_paths(folder, source, block).keys))).get_batch(0)
        stays = keys["dropped_by"].to_numpy() < 0
        rows += int(stays.sum())
        of_tokens += int(keys["tokens"].to_numpy()[stays].sum())
    return rows, of_tokens
