"""A mixture file: located by a command-line argument, and run as a module.

An exception in it becomes one error that names the line of the file.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final

from curate.errors import CallError, CurateError, did_you_mean

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""The part after the colon: a variable, or the name of a mixture."""

MODULE: Final = "_curate_mixture_file"
"""The module name of a running mixture file; not `__main__`, so that a guarded build in it does not start."""


def split_place(place: str) -> tuple[Path, str | None]:
    r"""Return the file and the name of a `path.py:name`; the path itself may contain colons.

    Raises `CallError` if there is no such file.
    """
    whole = Path(place)
    head, colon, name = place.rpartition(":")
    if whole.is_file() or not (colon and head and NAME.fullmatch(name)):
        return _file(whole), None
    return _file(Path(head)), name


def _file(path: Path) -> Path:
    if path.is_file() and path.suffix.split(":")[0] == ".py":
        return path
    if path.is_file():
        raise CallError(
            f"{path} is not a Python file (.py); data is declared as a source of a mixture, in a file such as mine.py: "
            f'import curate as c; mixture = c.Mixture("mine", [c.Source("rows", c.files("{path.as_posix()}"))])'
        )
    if path.is_dir():
        raise CallError(f"{path} is a folder; name a Python file that declares a mixture")
    there = [found.name for found in path.parent.glob("*.py")] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, there) if there else f"there is no Python file in {path.parent}"
    raise CallError(f"{path} does not exist; {hint}")


def run_file(path: Path) -> ModuleType:
    """Run a mixture file as a module, its folder on `sys.path`; an error names the line of the file that failed."""
    file = str(path.absolute())
    spec = importlib.util.spec_from_file_location(
        MODULE, file, loader=importlib.machinery.SourceFileLoader(MODULE, file)
    )
    if spec is None or spec.loader is None:
        raise CallError(f"{path} cannot be run as Python")
    module = importlib.util.module_from_spec(spec)
    with Running(path):
        sys.modules[MODULE] = module
        spec.loader.exec_module(module)
    return module


class Running:
    """The context in which a mixture file runs: an exception becomes an error that names its line.

    User code may raise anything, so this is the one place that converts every exception. No bytecode is written:
    `curate check` promises to write nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = str(path.absolute())
        self.writes = sys.dont_write_bytecode

    def __enter__(self) -> None:
        sys.path.insert(0, str(self.path.absolute().parent))
        sys.dont_write_bytecode = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.path.remove(str(self.path.absolute().parent))
        sys.dont_write_bytecode = self.writes
        if kind is None or error is None or isinstance(error, KeyboardInterrupt):
            return
        line = self._line(error, trace)
        where = f"{self.path}, line {line}" if line is not None else str(self.path)
        if isinstance(error, CurateError):
            raise type(error)(f"{where}: {error}") from error
        raise CallError(f"{where}: {kind.__name__}: {_reason(error)}{self._home(error, trace)}") from error

    def _home(self, error: BaseException, trace: TracebackType | None) -> str:
        """Return how to write a name that is not defined and that a module of the file has: `columns`, `c.columns`."""
        if not isinstance(error, NameError):
            return ""
        frames = [frame for frame, _ in traceback.walk_tb(trace) if frame.f_code.co_filename == self.file]
        modules = [(name, one) for name, one in frames[-1].f_globals.items() if isinstance(one, ModuleType)]
        found = next((name for name, one in modules if hasattr(one, error.name)), None) if error.name else None
        return f"; write {found}.{error.name}" if found else ""

    def _line(self, error: BaseException, trace: TracebackType | None) -> int | None:
        """Return the line of the file that failed; for an error in an imported module, the import."""
        if isinstance(error, SyntaxError) and error.filename == self.file:
            return error.lineno
        lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == self.file]
        return lines[-1] if lines else None


def _reason(error: BaseException) -> str:
    """Return what is wrong; for a name that a module does not have, with the nearest one that it has."""
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return f"module {error.obj.__name__} has no {error.name!r}; {did_you_mean(error.name or '', dir(error.obj))}"
    return error.msg if isinstance(error, SyntaxError) else str(error)
