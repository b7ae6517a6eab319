"""Functions and classes of a user's own module, by name: `package.module:function`."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

import pyarrow as pa

from curate.errors import MixtureError, did_you_mean

NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
"""`package.module:function`."""


class Scorer(Protocol):
    """What gives rows their scores: a reward model, a judge, a rule.

    `rows` has the body columns of one row kind (`curate.rows.schema`), without source and id. Return one number per
    row, in order, as an array, list or series; None or NaN is no score. A row's score must depend on that row alone,
    because batches vary. `score` calls it by one thread at a time, `judge` by as many as it has workers.
    """

    def __call__(self, rows: pa.RecordBatch) -> Any:  # noqa: ANN401  whatever NumPy or Arrow can read
        """Score a batch."""


def name_of(scorer: object, call: str) -> str:
    """Return `module:function` of a module's own function; raises `MixtureError` if the name does not lead to it.

    `call` is how messages call the step, such as `score`.
    """
    module, name = getattr(scorer, "__module__", None), getattr(scorer, "__qualname__", None)
    home = sys.modules.get(str(module))
    if module in {"__main__", "_curate_mixture_file"} or getattr(home, str(name), None) is not scorer:
        raise MixtureError(
            f"{call}({name or scorer!r}): a build finds a function by its name, and another process must find the "
            f"same; put it at the top of a module (judges.py) and name it: {call}('judges:function')"
        )
    return f"{module}:{name}"


def named(what: str, call: str) -> Any:  # noqa: ANN401  a function or a class of the user's
    """Return the function or class; raises `MixtureError` if it is missing."""
    home, name = _module(what, call), what.partition(":")[2]
    function = getattr(home, name, None)
    if function is None:
        known = [each for each, value in vars(home).items() if callable(value) and not each.startswith("_")]
        raise MixtureError(f"{call}({what!r}): {home.__name__} has no function {name!r}; {did_you_mean(name, known)}")
    if not callable(function):
        raise MixtureError(
            f"{call}({what!r}) is {type(function).__name__}, which cannot be called; name a function that takes a "
            "pyarrow.RecordBatch and returns one number a row"
        )
    return function


def source_file(what: str, call: str) -> Path:
    """Return the file of the module; raises `MixtureError` where it has none."""
    home = _module(what, call)
    file = getattr(home, "__file__", None)
    if file is None or not Path(file).is_file():
        raise MixtureError(
            f"{call}({what!r}): {home.__name__} is no module with a file of its own; name one of your own that calls it"
        )
    return Path(file)


def _module(what: str, call: str) -> ModuleType:
    """Import the module of a function; raises `MixtureError` if it cannot be imported."""
    module = what.partition(":")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MixtureError(
            f"{call}({what!r}): {module} cannot be imported ({error}); modules are looked for beside the mixture "
            "file while it is read, in the folder of a notebook, and in what is installed"
        ) from error
