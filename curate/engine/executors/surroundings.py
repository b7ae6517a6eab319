"""What passes between the process that builds and workers in other ones.

A worker takes over the folder, and where modules are found; its errors go back.
"""

from __future__ import annotations

import os
import pickle
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType
from typing import NamedTuple, Self

import pyarrow as pa

from curate.errors import BuildError
from curate.io.atomic import use_own_drafts


class Surroundings(NamedTuple):
    """The folder of a process, and the folders of its modules."""

    folder: str
    path: tuple[str, ...]

    @classmethod
    def here(cls) -> Self:
        """Return those of this process."""
        return cls(str(Path.cwd()), tuple(_folders()))

    def take_over(self) -> None:
        """Let this process, a worker with one processor, find relative paths and modules as that one does."""
        pa.set_cpu_count(1)
        use_own_drafts()
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        sys.path.extend(folder for folder in self.path if folder not in sys.path)


class SayingErrors:
    """Raises a `BuildError` that says the same in place of an error that cannot travel to another process."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look at what is raised."""
        if not isinstance(error, Exception):
            return
        with suppress(Exception):  # a class of someone's may raise anything
            pickle.loads(pickle.dumps(error))  # noqa: S301  from this process
            return
        said = BuildError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            said.add_note(note)
        raise said from error


def unnamed_modules() -> list[ModuleType]:
    """Return the modules of the user's that no import finds by their name, so that they must travel as they are."""
    return [module for name, module in _own_modules() if not _has_its_name(name, module)]


def _own_modules() -> Iterator[tuple[str, ModuleType]]:
    """Give the modules of this process that are neither Python's, nor installed, nor of this package, by name."""
    package = Path(__file__).parents[2]
    homes = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {package}
    for name, module in list(sys.modules.items()):
        known = module.__dict__ if isinstance(module, ModuleType) else {}  # asking a lazy module would load it
        if name == "__main__" or known.get("__name__") != name or not isinstance(known.get("__file__"), str):
            continue
        place = Path(known["__file__"])
        if place.is_absolute() and not homes & set(place.parents) and "site-packages" not in place.parts:
            yield name, module


def _has_its_name(name: str, module: ModuleType) -> bool:
    """Whether the file of a module is called as the module is, so that another process can import it."""
    file = Path(str(module.__file__))
    return name.rsplit(".", maxsplit=1)[-1] == (file.parent.name if file.stem == "__init__" else file.stem)


def _folders() -> Iterator[str]:
    """Give the folders in which modules are found here, those of the user's own modules among them."""
    yield from dict.fromkeys(str(Path(folder).absolute()) for folder in sys.path)
    for name, module in _own_modules():
        file = Path(str(module.__file__))
        above = name.count(".") + (file.stem == "__init__")
        if _has_its_name(name, module) and above < len(file.parents):
            yield str(file.parents[above])
