"""The first rows of a source, and their pairs, processed as a build would, with nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.pair_input import pair_keys, pair_names, pair_numbers
from curate.engine.partition import ProcessedBlock, SourceJob, lines, process
from curate.engine.reading import NOTHING
from curate.io.inputs import Opened
from curate.io.row_collector import Collector, Parsed
from curate.kernels.hashing import Hashes
from curate.rows.take import take

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
    done = [process(job, opened.parse(NOTHING))]
    files = [""]
    read, taken, whole = 0, 0.0, True
    blocks = opened.input.read(opened.parts, (opened.format,), size=BLOCK)
    for block in blocks:
        if read >= rows:
            whole = False
            break
        parsed = opened.parse(block)
        held = parsed.body.num_rows + parsed.bad.num_rows
        first = _first(parsed, rows - read)
        kept = first.body.num_rows + first.bad.num_rows
        read += kept
        taken += block.size * kept / max(held, 1)
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
