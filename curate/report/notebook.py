"""Dropped rows in a notebook, with what was found in them marked."""

from __future__ import annotations

from dataclasses import dataclass

from curate.report.dropped_rows import Fallen, fallen
from curate.report.templates import templates
from curate.report.terminal_rows import row_text
from curate.result.build import Build


@dataclass(frozen=True, repr=False)
class Look:
    """Rows that show themselves: marked in a notebook, as plain text elsewhere."""

    rows: tuple[Fallen, ...]

    def __repr__(self) -> str:
        return "\n".join(row_text(row).plain for row in self.rows)

    def _repr_html_(self) -> str:
        return templates().get_template("notebook.html.j2").render(rows=self.rows)


def look(
    build: Build, step: str | None = None, *, reason: str | None = None, source: str | None = None, n: int = 3
) -> Look:
    """Return up to `n` rows for each reason that rows fell with, lowest id first, to be shown.

    Raises `CallError` for a step or source that the build does not have.
    """
    return Look(tuple(fallen(build, step=step, reason=reason, source=source, n=n)))
