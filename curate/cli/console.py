"""How commands run: modules loaded on first use, tables for the terminal, errors as one message.

Exit codes: 0 done, 1 the data or the build failed, 2 the call was wrong, 130 interrupted.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType, TracebackType
from typing import Any, Final, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperGroup

from curate.errors import CallError, CurateError
from curate.text.unseen import coded

DEBUG: Final = "--debug"
INTERRUPTED: Final = 130
"""The exit code after an interrupt: 128 plus the signal number."""

WIDE: Final = 200
"""Columns without a terminal: a table in a log is not folded."""

KEPT_WORK: Final = "interrupted; finished work is kept, run the same command to resume"


class Lazy(ModuleType):
    """A module that loads on first use: `curate --help` takes 0.15 s; polars, pyarrow and numba would add 0.7 s."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  any attribute of the module
        if self.__name__ in sys.modules:
            return getattr(sys.modules[self.__name__], name)
        gc.disable()  # what modules are made of stays: no need to look for cycles in it, now or later
        try:
            module = importlib.import_module(self.__name__)
        finally:
            gc.freeze()
            gc.enable()
        return getattr(module, name)


class Output(Console):
    """Standard output; a closed pipe (`curate show DIR | head`) ends the command silently."""

    def on_broken_pipe(self) -> None:
        """Discard the remaining output."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


class Commands(TyperGroup):
    """Runs a command; an error is one message on standard error, after a traceback only with `--debug`."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002, ARG002  typer's signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002
        **extra: object,
    ) -> Any:  # noqa: ANN401
        """Run the command that `args` (the command line) names, and exit."""
        line = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(line, prog_name or "curate", complete_var, False, windows_expand_args, **extra)  # noqa: FBT003
        except typer.TyperException as error:
            message = error.format_message().rstrip(".")  # empty after the help shown without arguments
            fail(f"{message}; see curate {self._command(line)}--help" if message else "", error.exit_code)
        except (CurateError, OSError) as error:
            if DEBUG in line:
                traceback.print_exception(error)
            fail(message_of(error), 2 if isinstance(error, CallError) else 1)
        if code == INTERRUPTED:
            sys.stderr.write(f"\n{KEPT_WORK if self._command(line) == 'build ' else 'interrupted'}\n")
        sys.exit(code or 0)

    def _command(self, line: Sequence[str]) -> str:
        return f"{line[0]} " if line and line[0] in self.commands else ""


def message_of(error: Exception) -> str:
    """Return the message of an error, and its notes, a line each.

    >>> message_of(PermissionError(13, "Permission denied", "a.py"))
    'a.py: Permission denied'
    """
    said = str(error)
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return "\n".join([said, *_notes(error)])


def _notes(error: BaseException) -> list[str]:
    """Return what was added to an error: whose it is, and what to do."""
    return list(getattr(error, "__notes__", ()))


def fail(message: str, code: int) -> NoReturn:
    """Write the error, if any, and exit with `code`."""
    if not message:
        sys.exit(code)
    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), coded(message)), soft_wrap=True)
    sys.exit(code)


def surprise(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print how to report an unexpected error, without a traceback; one with notes is that of a user's function."""
    del trace
    what = f"{kind.__name__}: {error}" if str(error) else kind.__name__
    hint = f"This is a defect of curate. Run the command again with {DEBUG}, and report the traceback."
    notes = _notes(error)
    if notes:
        hint = "\n".join([*notes, f"For the traceback run the command again with {DEBUG}."])
    sys.stderr.write(f"error: {what}\n{hint}\n")


def show_parts(*parts: RenderableType) -> None:
    """Print to standard output, folded at the width of the terminal, if there is one."""
    console = Output(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text) and not console.is_terminal)
