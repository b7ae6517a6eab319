"""What stops a build although every step did its work: results that are more likely a mistake than meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from curate.engine.phases import Half, pairing
from curate.engine.reading import ALWAYS_QUARANTINED, Reading
from curate.engine.resolve import Fate, Standing
from curate.errors import ConservationError, LargeDropError, QuarantineError
from curate.io.inputs import Opened
from curate.io.reread import changed

SUSPICIOUS_SHARE = 0.5
SUSPICIOUS_ROWS = 10
"""A step that drops over half of a source, and at least ten rows of it, needs `allow_large_drop=True`."""


def check_drops(half: Half, standing: Standing) -> None:
    """Raise `LargeDropError` naming the first step and source with a suspicious drop."""
    for message in large_drops(half, standing):
        told = f"{message}; if not, `curate check` shows what it catches"
        raise LargeDropError(told)


def large_drops(half: Half, standing: Standing) -> Iterator[str]:
    """Say of each step and source with a suspicious drop what is wrong, and what to do.

    A step behind a Pairing is held against the pairs that were made.
    """
    for number, (source, pipeline) in enumerate(zip(half.mixture.sources, half.pipelines, strict=True)):
        own = standing.source == number
        rows = int(own.sum())
        what = "pairs" if half.final and pairing(half.mixture, source) is not None else "rows"
        for stage in pipeline:
            fell = int((own & (standing.fate == Fate.DROPPED) & (standing.place == stage.place)).sum())
            if fell < SUSPICIOUS_ROWS or fell <= SUSPICIOUS_SHARE * rows or stage.step.allow_large_drop:
                continue
            yield (
                f"step {stage.label!r} drops {fell:,} of the {rows:,} {what} of source {source.name!r} "
                f"({fell / rows:.0%}). If that is meant, say so: allow_large_drop=True on the step"
            )


def check_clashes(half: Half, standing: Standing, reading: Reading) -> None:
    """Raise `QuarantineError` when too many rows of a source share an id with a row that says something else."""
    for number, (source, count) in enumerate(zip(half.mixture.sources, reading.counts, strict=True)):
        clashes = int(((standing.source == number) & (standing.fate == Fate.QUARANTINED)).sum())
        total = count.quarantined + clashes
        if clashes and total > max(ALWAYS_QUARANTINED, source.max_quarantine * count.rows):
            message = (
                f"source {source.name!r}: {clashes:,} of {count.rows:,} rows have the id of another row that says "
                "something else. If the field is no id, read it with id=None, and ids come from what the rows say; if "
                "it is, mend the file or raise max_quarantine"
            )
            raise QuarantineError(message)


def check_unchanged(opened: Iterable[Opened]) -> None:
    """Raise `FormatError` when a file is no longer what it was when the build began."""
    for file in (file for found in opened for file in found.parts):
        try:
            seen = file.path.stat()
        except OSError as error:
            raise changed(file.path) from error
        if (seen.st_size, seen.st_mtime_ns) != (file.size, file.mtime_ns):
            raise changed(file.path)


def check_delivery(standing: Standing, splits: dict[str, Any]) -> None:
    """Raise `ConservationError` unless the data files, by their own count, hold every copy of every kept row."""
    planned = int(standing.copies.sum())
    written = sum(int(shard["rows"]) for split in splits.values() for shard in split["shards"])
    if planned != written or not np.array_equal(standing.copies > 0, standing.fate == Fate.KEPT):
        message = f"{planned:,} rows were to be written, {written:,} were; this is a defect of curate, please report it"
        raise ConservationError(message)
