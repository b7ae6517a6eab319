r"""Values and calls as Python spells them; nothing is executed, and nothing warns.

Python warns, or fails where warnings are errors, about an escape that it does not know (`"\d"`) and a word that touches
a number (`1or 2`). What a row says may not depend on that: a backslash that escapes nothing is doubled, which means the
same, and a number with a word is refused, because no value has one.

One thread parses at a time. Python 3.11 counts the depth of the tree that it makes in one place for all threads, and
may switch threads on the way, when it collects garbage: two that parse at once then fail, or refuse sound text.
"""

from __future__ import annotations

import ast
import math
import re
import threading
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"""(?s)\#[^\n]*|([A-Za-z]{1,2})?('''|\"\"\"|'|\")((?:\\.|(?!\2).)*+)(\2|\Z)|[^\W\d]\w*|\d\w*"""
)
_ESCAPE: Final = re.compile(r"(?s)\\([4-7][0-7]{2}|.)")
_MAY_WARN: Final = re.compile(r"\\|0[xX]|[0-9._jJ](?:and|else|for|if|in|is|or|not)")
_WORD: Final = re.compile(r"(?:and|else|for|if|in|is|or|not)$")
_ESCAPES: Final = frozenset("\n\r\\'\"abfnrtv01234567xNuU")

_ONE_PARSES: Final = threading.Lock()

UNREADABLE: Final = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)
"""What text that is no Python, or too deep, raises."""


def lines_of(text: str) -> list[ast.stmt]:
    r"""Return the statements of Python text; raises one of `UNREADABLE`.

    >>> ast.unparse(lines_of(r"find(what='\d')")[0])
    "find(what='\\\\d')"
    """
    text = text.strip()
    calm = _TOKEN.sub(_calm, text) if _MAY_WARN.search(text) else text
    with _ONE_PARSES:
        return ast.parse(calm).body


def _calm(found: re.Match[str]) -> str:
    prefix, quote, inside, end = found.groups()
    if quote is None:
        if found[0][0].isdigit() and _WORD.search(found[0]):
            raise ValueError(f"{found[0]} is no number")
        return found[0]
    if prefix is not None and prefix not in {*"rRuU"}:
        raise ValueError(f"{prefix} begins no text")
    return found[0] if prefix in {"r", "R"} else f"{prefix or ''}{quote}{_ESCAPE.sub(_known, inside)}{end}"


def _known(found: re.Match[str]) -> str:
    if len(found[1]) > 1:
        return f"\\u{int(found[1], 8):04x}"
    return found[0] if found[1] in _ESCAPES else f"\\{found[0]}"


def value_of(text: str) -> Any:  # noqa: ANN401
    """Return the value of a Python literal that JSON has, too; raises one of `UNREADABLE`.

    >>> value_of("{'name': 'search', 'arguments': {'deep': True, 'after': None}}")
    {'name': 'search', 'arguments': {'deep': True, 'after': None}}
    """
    (line,) = lines_of(text)
    if not isinstance(line, ast.Expr):
        raise TypeError("a statement is no value")
    return _value(line.value)


def _value(node: ast.expr) -> Any:  # noqa: ANN401
    """Return what JSON has, too: objects whose names are texts, each once, lists and plain values."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value)):
            return value
    elif isinstance(node, ast.Dict):
        found = {_name(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
        if len(found) == len(node.keys):
            return found
    elif isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    raise ValueError("no value of JSON")


def _name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ValueError("no name")
