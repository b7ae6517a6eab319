"""Dropped rows in a notebook, with their hits highlighted."""

from __future__ import annotations

from dataclasses import dataclass

from curate.report.dropped_rows import DroppedRow, dropped_rows
from curate.report.templates import templates
from curate.report.terminal_rows import row_text
from curate.result.build import Build


@dataclass(frozen=True, repr=False)
class DroppedRows:
    """Dropped rows: HTML with highlights in a notebook, plain text elsewhere."""

    rows: tuple[DroppedRow, ...]

    def __repr__(self) -> str:
        return "\n".join(row_text(row).plain for row in self.rows)

    def _repr_html_(self) -> str:
        return templates().get_template("notebook.html.j2").render(rows=self.rows)


def show_dropped(
    build: Build, step: str | None = None, *, reason: str | None = None, source: str | None = None, n: int = 3
) -> DroppedRows:
    """Return up to `n` dropped rows for each step and reason, lowest id first, for display in a notebook.

    Raises `CallError` for an unknown step or source.
    """
    return DroppedRows(tuple(dropped_rows(build, step=step, reason=reason, source=source, n=n)))
