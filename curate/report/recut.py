"""What would change in a build if bounds moved, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from rich.console import RenderableType
from rich.text import Text

from curate.report.terminal import frame_table
from curate.result.recut import Recut


def recut_parts(found: Recut, n: int = 5) -> Iterator[RenderableType]:
    """Give what moved, what changes and why, up to `n` rows nearest to each bound, and what is unknown."""
    yield Text("moved\n", style="bold underline")
    yield frame_table(found.settings.with_columns(pl.col("before", "after").fill_null("none")))
    yield Text("\nchanges\n", style="bold underline")
    if found.changes.height:
        yield frame_table(found.counts)
    else:
        yield Text("no row changes")
    if found.nearest.height:
        yield Text("\nnearest to the bounds\n", style="bold underline")
        by = ["step", "bound_of", "bound", "side"]
        yield frame_table(found.nearest.filter(pl.int_range(pl.len()).over(by) < n))
    if found.unknown.height:
        yield Text("\nunknown: only a build can decide these rows\n", style="bold underline")
        yield frame_table(found.unknown.group_by("source", "why").agg(rows=pl.len()).sort("source", "why"))
    for note in found.notes:
        yield Text(f"\nnote: {note}")
