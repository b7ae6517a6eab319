"""The progress bars of a build, on a terminal only; and a line where kernels are compiled first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from curate.kernels.compile import on_compile

COMPILING: Final = "Compiling for this machine: up to a minute, and only before the first build."


class RowsPerSecond(ProgressColumn):
    """Rows so far, and how many a second."""

    def render(self, task: Task) -> Text:
        """Show the task's `rows` field, which advances beside its bar."""
        rows = int(task.fields.get("rows", 0))
        speed = rows / task.elapsed if task.elapsed else 0
        return Text(f"{rows:,} rows, {speed:,.0f}/s" if rows else "", style="progress.data.speed")


class BuildProgress:
    """Shows stages as bars, or nothing if it has no bars."""

    def __init__(self, bars: Progress | None) -> None:
        self.bars = bars
        self._tasks: dict[str, int] = {}
        self._rows: dict[str, int] = {}

    def start(self, stage: str, total: int | None) -> None:
        """Show a stage of `total` units of work; None: unknown."""
        if self.bars is not None:
            self._tasks[stage] = self.bars.add_task(stage, total=total, rows=0)
            self._rows[stage] = 0

    def advance(self, stage: str, amount: int, rows: int = 0) -> None:
        """Advance a stage's bar."""
        if self.bars is not None:
            self._rows[stage] += rows
            self.bars.update(self._tasks[stage], advance=amount, rows=self._rows[stage])  # type: ignore[arg-type]

    def note(self, text: str) -> None:
        """Show a line above the bars."""
        if self.bars is not None:
            self.bars.console.print(Text(text))

    def done(self, stage: str) -> None:
        """Fill a stage's bar."""
        if self.bars is not None:
            task = self._tasks[stage]
            total = self.bars.tasks[task].total or max(self.bars.tasks[task].completed, 1)
            self.bars.update(task, total=total, completed=total)  # type: ignore[arg-type]


@contextmanager
def showing_progress(*, quiet: bool = False) -> Iterator[BuildProgress]:
    """Yield the progress on standard error; it has no bars if that is no terminal, or `quiet` is set.

    Where kernels have to be compiled, a line says so once, in a terminal or a notebook.
    """
    console = Console(stderr=True, force_jupyter=False)
    notebook = Console(stderr=True).is_jupyter  # where standard error calls itself a terminal, too
    if quiet or not (console.is_terminal or notebook):
        yield BuildProgress(None)
        return
    said: list[str] = []

    def notice() -> None:
        if not said:
            said.append(COMPILING)
            console.print(COMPILING)

    with on_compile(notice):
        if notebook:
            yield BuildProgress(None)
            return
        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), RowsPerSecond(), TimeRemainingColumn()
        with Progress(*columns, console=console) as bars:
            yield BuildProgress(bars)
