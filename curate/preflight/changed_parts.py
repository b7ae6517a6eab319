"""Parts that rows are trained without, or with as text, because the user says so: what an export can do, in a batch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from curate.errors import PreflightError
from curate.export.flat import FlatRows
from curate.export.parts import EMPTIED, FOUND, MEANING, changed, changes, check_choices


class Changes(NamedTuple):
    """The parts that are left out of rows, and those that are written into the text of their message."""

    without: tuple[str, ...] = ()
    flatten: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What is done, in the words of an export's ledger."""
        return (*(f"without {part}" for part in self.without), *(f"{part} as text" for part in self.flatten))


AS_THEY_ARE: Final = Changes()


def changes_of(without: Collection[str], flatten: Collection[str]) -> Changes:
    """Return changes; raises `CallError` for a part that rows cannot do without, or that cannot be text."""
    check_choices({"without": without, "flatten": flatten})
    return Changes(tuple(without), tuple(flatten))


def with_changes(batch: pa.RecordBatch, wanted: Changes) -> tuple[pa.RecordBatch, list[list[str]]]:
    """Return rows with the changes, and what was done to each; raises `PreflightError` for one that would be empty."""
    if wanted == AS_THEY_ARE:
        return batch, [[]] * batch.num_rows
    rows = FlatRows(batch)
    for part, option in EMPTIED:
        if "reasoning" in getattr(wanted, option) and (found := FOUND[part](rows)).any():
            first = int(np.flatnonzero(found)[0])
            name = f"{batch['source'][first]}/{batch['id'][first]}"
            way = f"--{option} reasoning ({option}=['reasoning'])"
            raise PreflightError(f"{name} has {MEANING[part]}, which {way} cannot take: leave such rows out")
    done = changes(rows, *wanted)
    names = [[name for name, mask in done.items() if mask[row]] for row in range(batch.num_rows)]
    return changed(rows, *wanted).batch, names
