"""What a Python function is: its source, without comments, and that of whatever of the user's own it uses.

A fingerprint must change when the function would decide otherwise, and only then. So it is made of the parsed source
of the function, of the functions of the same author that it calls, and of the constants that it reads.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

from curate.errors import MixtureError

PLAIN: Final = (str, bytes, int, float, bool, complex, type(None), tuple, list, dict, set, frozenset)
LOCK: Final = Lock()
"""Functions of users run one at a time: they need not be safe in threads."""


def identity(function: Callable[..., Any], call: str) -> tuple[str, ...]:
    """Return the sources and constants that a function consists of, its own source first.

    Args:
        function: A function or lambda with a source: of a module, of a mixture file or of a notebook cell.
        call: How messages call the step, such as `keep_if`.

    Returns:
        One text each: parsed and written again, so that comments, docstrings and layout do not count.

    Raises:
        MixtureError: A function without a source, or one that uses a value without an identity.
    """
    if not isinstance(function, FunctionType):
        raise MixtureError(
            f"{call}({function!r}) is no Python function with a source of its own; wrap it in one: "
            "def step(texts): return ..."
        )
    found: dict[str, str] = {}
    _collect(function, call, found, set())
    own = found.pop(_label(function))
    return own, *(f"{name} = {text}" for name, text in sorted(found.items()))


def _label(function: FunctionType) -> str:
    return function.__qualname__.removeprefix(f"{function.__module__}.")


def _collect(function: FunctionType, call: str, found: dict[str, str], seen: set[int]) -> None:
    if id(function) in seen:
        return
    seen.add(id(function))
    found[_label(function)] = _source(function, call)
    for name, value in _used(function):
        if isinstance(value, FunctionType) and not _installed(value):
            _collect(value, call, found, seen)
        elif isinstance(value, ModuleType):
            found[name] = f"module {value.__name__}"
        elif isinstance(value, FunctionType | BuiltinFunctionType | type):
            found[name] = f"{value.__module__}.{value.__qualname__}"
        elif _plain(value) or type(value).__module__ == "re":
            found[name] = _spelled(value)
        else:
            raise MixtureError(
                f"{call}({_label(function)}) uses {name!r}, a {type(value).__name__}, whose content no "
                "fingerprint can hold; make it inside the function, or from constants at the top of its file"
            )


def _source(function: FunctionType, call: str) -> str:
    """Return the source of a function as Python itself writes it, without comments and docstrings."""
    code = function.__code__
    try:
        lines, _ = inspect.findsource(function)
        tree = ast.parse("".join(lines))
    except (OSError, SyntaxError) as error:
        raise MixtureError(
            f"{call}({_label(function)}) has no source to fingerprint ({error}); write it in a file or a notebook cell"
        ) from error
    kinds = (ast.Lambda,) if code.co_name == "<lambda>" else (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds) and _is_of(node, code)]
    if len(nodes) != 1:
        raise MixtureError(
            f"{call}({_label(function)}): the file or cell it is in was changed since it ran; run it again"
        )
    node = nodes[0]
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and len(body) > 1 and ast.get_docstring(inner, clean=False) is not None:  # type: ignore[arg-type]
            del body[0]
    return ast.unparse(node)


def _is_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, code: CodeType) -> bool:
    """Whether `code` was compiled from this node: its instructions are where the node's body is."""
    if not isinstance(node, ast.Lambda):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return node.name == code.co_name and first == code.co_firstlineno
    spots = [(line, column) for line, _, column, _ in code.co_positions() if line is not None and column is not None]
    spots = [spot for spot in spots if spot > (node.lineno, node.col_offset)]
    body = node.body
    inside = [
        (body.lineno, body.col_offset) <= spot <= (body.end_lineno or 0, body.end_col_offset or 0) for spot in spots
    ]
    return bool(inside) and all(inside) and node.lineno == code.co_firstlineno


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield what a function takes from outside itself, by name: globals, enclosing variables and defaults."""
    known: Mapping[str, Any] = function.__globals__
    for name in sorted(_names(function.__code__)):
        if name in known and not hasattr(builtins, name):
            yield name, known[name]
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    yield from ((name, cell.cell_contents) for name, cell in cells if cell.cell_contents is not function)
    for place, value in enumerate(function.__defaults__ or ()):
        yield f"{_label(function)} default {place}", value
    yield from ((f"{_label(function)} default {name}", each) for name, each in (function.__kwdefaults__ or {}).items())


def _names(code: CodeType) -> set[str]:
    """Return the names that code looks up, also in functions and comprehensions inside it."""
    inner = (_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inner)


def _installed(function: FunctionType) -> bool:
    """Whether a function comes with Python or an installed package; its name and module say which it is."""
    file = getattr(sys.modules.get(function.__module__), "__file__", None) or function.__code__.co_filename
    parts = Path(file).parts
    return "site-packages" in parts or function.__module__.split(".")[0] in {*sys.stdlib_module_names, "curate"}


def _plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_plain(key) and _plain(each) for key, each in value.items())
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_plain, value))
    return isinstance(value, PLAIN)


def _spelled(value: object) -> str:
    """Return a constant such that equal ones have equal texts: sets and dicts in order."""
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_spelled, value)))}}}"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{_spelled(key)}: {_spelled(each)}' for key, each in value.items()))}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_spelled, value))}]"
    return repr(value)
