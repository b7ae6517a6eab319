"""The checks that stop a build: lost rows, clashing ids, suspicious drops, and files that changed meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from curate.engine.pair_input import PairCount
from curate.engine.partition import RowCount
from curate.engine.pipeline import Phase, pairing
from curate.engine.reading import ReadResult, too_many_invalid
from curate.engine.state import Fate, RowStates
from curate.errors import ConservationError, LargeDropError, QuarantineError
from curate.io.inputs import Opened
from curate.io.reread import changed

SUSPICIOUS_SHARE = 0.5
SUSPICIOUS_ROWS = 10
"""A step that drops over half of a source, and at least ten rows of it, needs `allow_large_drop=True`."""


def check_conservation(source: str, read: int, fates: Mapping[str, int]) -> None:
    """Raise `ConservationError` unless the fates of a source add up to the rows read.

    >>> check_conservation("lima", 3, {"kept": 2, "dropped": 1})
    """
    if sum(fates.values()) != read:
        _lost(f"source {source!r}: {read:,} rows were read, but the ledger has {sum(fates.values()):,}: {fates}")


def check_pairs(source: str, made: PairCount, paired: int, fates: Mapping[str, int]) -> None:
    """Raise `ConservationError` unless each paired row gave a pair, and the fates of pairs add up to those made.

    >>> check_pairs("uf", PairCount(2, 3), 2, {"kept": 1, "dropped": 2})
    """
    if made.rows != paired or made.pairs != sum(fates.values()):
        _lost(
            f"source {source!r}: {paired:,} rows were paired, {made.rows:,} of them gave {made.pairs:,} pairs, but "
            f"of pairs the ledger has {sum(fates.values()):,}: {fates}"
        )


def check_delivery(states: RowStates, splits: Mapping[str, Any]) -> None:
    """Raise `ConservationError` unless the data files, by their own count, hold every copy of every kept row."""
    planned = int(states.copies.sum())
    written = sum(int(shard["rows"]) for split in splits.values() for shard in split["shards"])
    if planned != written or not np.array_equal(states.copies > 0, states.fate == Fate.KEPT):
        _lost(f"{planned:,} rows were to be written, {written:,} were")


def _lost(message: str) -> NoReturn:
    raise ConservationError(f"{message}; this is a defect of curate, please report it")


def check_drops(phase: Phase, states: RowStates) -> None:
    """Raise `LargeDropError` naming the first step and source with a suspicious drop."""
    for drop in large_drops(phase, states):
        raise LargeDropError(f"{drop}; if not, `curate check` shows what it catches")


def large_drops(phase: Phase, states: RowStates) -> Iterator[str]:
    """Yield what is wrong with each suspicious drop, and what to do; behind a Pairing, drops are held against pairs."""
    for number, (source, pipeline) in enumerate(zip(phase.mixture.sources, phase.pipelines, strict=True)):
        own = states.source == number
        rows = int(own.sum())
        what = "pairs" if phase.final and pairing(phase.mixture, source) is not None else "rows"
        for stage in pipeline:
            dropped = int((own & (states.fate == Fate.DROPPED) & (states.place == stage.place)).sum())
            if dropped < SUSPICIOUS_ROWS or dropped <= SUSPICIOUS_SHARE * rows or stage.step.allow_large_drop:
                continue
            yield (
                f"step {stage.label!r} drops {dropped:,} of the {rows:,} {what} of source {source.name!r} "
                f"({dropped / rows:.0%}). If that is meant, say so: allow_large_drop=True on the step"
            )


def check_clashes(phase: Phase, states: RowStates, reading: ReadResult) -> None:
    """Raise `QuarantineError` when too many rows of a source share an id with a row of other content."""
    for number, (source, count) in enumerate(zip(phase.mixture.sources, reading.counts, strict=True)):
        clashes = int(((states.source == number) & (states.fate == Fate.QUARANTINED)).sum())
        if clashes and too_many_invalid(source, RowCount(count.rows, count.quarantined + clashes)):
            raise QuarantineError(
                f"source {source.name!r}: {clashes:,} of {count.rows:,} rows have the id of another row with different "
                "content. If the field is no id, read it with id=None, and ids come from the content; if it is, "
                "correct the file or raise max_quarantine"
            )


def check_unchanged(opened: Iterable[Opened]) -> None:
    """Raise `FormatError` when a file changed since the build began; the copy of one of a store is what it was."""
    for file in (file for found in opened for file in found.parts if file.remote is None):
        try:
            now = file.path.stat()
        except OSError as error:
            raise changed(file.path) from error
        if (now.st_size, now.st_mtime_ns) != (file.size, file.mtime_ns):
            raise changed(file.path)
