"""The object a user declares and builds: a mixture with its verbs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from curate.engine import build as run
from curate.errors import CallError
from curate.io.atomic import write_text
from curate.mix import spec
from curate.report.page import page
from curate.report.run_card import card
from curate.result.build import Build


@dataclass(frozen=True)
class Mixture(spec.Mixture):  # noqa: D101  the declaration's docstring is its own
    __doc__ = spec.Mixture.__doc__

    def build(
        self,
        out: str | Path | None = None,
        *,
        threads: int | None = None,
        resume: bool = True,
        overwrite: bool = False,
        quiet: bool = False,
    ) -> Build:
        """Make the build folder `out` (default: `build/` and the mixture's name) and return it.

        - `threads`: how many work at once; default: one for each core. The bytes written do not depend on it.
        - `resume`: take up what an interrupted build of the same mixture and files left.
        - `overwrite`: replace a build that lies there.
        - `quiet`: no progress bars; there are none either where standard error is no terminal.

        Raises `MixtureError` and `SourceNotFoundError` for a wrong declaration, and the kinds of `BuildError` for data
        that cannot be built; then nothing is left at `out`.
        """
        count = _cores() if threads is None else threads
        if count < 1:
            message = f"threads={threads!r}: a whole number from 1"
            raise CallError(message)
        target = Path(out) if out is not None else Path("build") / self.name
        run.build(self, target, threads=count, resume=resume, overwrite=overwrite, quiet=quiet, finish=write_first_look)
        return Build(target)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write_first_look(folder: Path) -> None:
    """Write the page and the card of a build into its folder."""
    found = Build(folder)
    write_text(folder / "report.html", page(found))
    write_text(folder / "README.md", card(found))
