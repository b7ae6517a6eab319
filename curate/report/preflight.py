"""A preflight for the terminal: a table with one row per source, totals, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from curate.preflight.preflight import Preflight
from curate.report.formatting import of_all
from curate.report.terminal import frame_table
from curate.text.unseen import coded


def preflight_parts(found: Preflight, batch: int | None = None) -> Iterator[RenderableType]:
    """Give the tables of a preflight, the steps per epoch at `batch` rows per step, and its notes."""
    yield frame_table(found.table, total=True)
    if len(found.parts):
        yield Text("\nRows with parts beyond plain chat:")
        yield frame_table(found.parts, total=True)
    if len(found.changed):
        yield Text("\nRows that are trained with changes:")
        yield frame_table(found.changed, total=True)
    total = found.total
    share = of_all(total["trained"] / total["left"]) if total["left"] else "none"
    lines = [f"{found.rows:,} rows are trained: {total['left']:,} tokens, of which {share} are trained."]
    if found.packs is not None and found.efficiency is not None:
        lines.append(f"Packed into {found.packs:,} blocks of {found.limit:,} tokens, {of_all(found.efficiency)} full.")
    if batch is not None:
        lines.append(
            f"{found.steps(batch):,} steps per epoch, of {batch:,} {'rows' if found.packs is None else 'blocks'}."
        )
    yield Text("\n" + "\n".join(lines))
    for note in found.notes():
        before, warning, rest = note.rpartition("warning: ")
        yield Text.assemble(("warning: ", "bold yellow") if warning else before, coded(rest))


def settings_table(settings: Iterable[tuple[str, object, str]]) -> Table:
    """Return settings as a table: name, value, and origin."""
    rows = [{"setting": name, "value": str(value), "from": origin} for name, value, origin in settings]
    return frame_table(pl.DataFrame(rows))
