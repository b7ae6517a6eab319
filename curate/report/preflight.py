"""How a build fits training, for a terminal: a table a source, what it comes to, and what is worth knowing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from curate.preflight.preflight import Fit
from curate.report.formatting import of_all
from curate.report.highlights import plain
from curate.report.terminal_table import frame_table


def fit_parts(fit: Fit, batch: int | None = None) -> Iterator[RenderableType]:
    """Give the table of a fit, steps an epoch at `batch` rows a step, and its notes."""
    yield frame_table(fit.table, total=True)
    total = fit.total
    share = of_all(total["trained"] / total["left"]) if total["left"] else "none"
    told = [f"{fit.rows:,} rows are trained: {total['left']:,} tokens, of which the loss counts {share}."]
    if fit.packs is not None and fit.efficiency is not None:
        told.append(f"Packed into {fit.packs:,} blocks of {fit.limit:,} tokens, {of_all(fit.efficiency)} full.")
    if batch is not None:
        told.append(f"{fit.steps(batch):,} steps an epoch, of {batch:,} {'rows' if fit.packs is None else 'blocks'}.")
    yield Text("\n" + "\n".join(told))
    for note in fit.notes():
        warning, grave, rest = note.rpartition("warning: ")
        yield Text.assemble(("warning: ", "bold yellow") if grave else warning, plain(rest))


def settings_table(told: Iterable[tuple[str, object, str]]) -> Table:
    """Return settings as a table, a line each: its name, its value, and who decided it."""
    lines = [{"setting": name, "value": str(value), "from": origin} for name, value, origin in told]
    return frame_table(pl.DataFrame(lines))
