"""What a judge is: the code of its module, without comments, its name, and what it says of its model and prompt."""

from __future__ import annotations

import hashlib
import io
import json
import tokenize
from threading import Lock
from typing import Any, Final
from weakref import WeakKeyDictionary

from curate.errors import MixtureError
from curate.steps._named import named, source_file

SAYS: Final = ("model", "prompt")
"""Attributes of a judge that count beside its code, where they are texts."""

LAYOUT: Final = "1"
"""Another one forgets all scores."""

SEEN: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()
LOCK: Final = Lock()


def judge_key(what: str) -> str:
    """Return the key of a judge, 64 hexadecimal digits: it changes where the judge may answer otherwise.

    That is where the code of its module changes, but for comments and blank lines; where `model` or `prompt` of the
    function or class does; and where the text does that its `cache_key` is or returns.

    Raises:
        MixtureError: No such judge, a `cache_key` that is no text, or a module that was edited after it was imported:
            the code that would run is no longer the code of the file.
    """
    judge = named(what, "judge")
    code = hashlib.sha256(without_comments(source_file(what, "judge").read_text("utf-8")).encode()).hexdigest()
    try:
        with LOCK:
            first = SEEN.setdefault(judge, code)
    except TypeError:  # an object that no weak reference can be made to
        first = code
    if first != code:
        raise MixtureError(
            f"judge({what!r}): its module was edited after it was imported, so scores would be kept under the wrong "
            "code; start Python again"
        )
    says = {name: value for name in SAYS if isinstance(value := getattr(judge, name, None), str)}
    own = getattr(judge, "cache_key", None)
    own = own() if callable(own) else own
    if not isinstance(own, str | None):
        raise MixtureError(
            f"judge({what!r}): its cache_key must be a text, or a static or class method that returns one"
        )
    return hashlib.sha256(json.dumps([LAYOUT, code, what, says, own]).encode()).hexdigest()


def without_comments(source: str) -> str:
    r"""Return Python source without its comments, blank lines and white space at line ends; texts in it stay.

    >>> without_comments("# why\nPROMPT = '# 1'  # how\n\nx = 2\n")
    "PROMPT = '# 1'\nx = 2\n"
    """
    lines = source.splitlines(keepends=True)
    bare = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        row, column = token.start
        if token.type == tokenize.COMMENT:
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
        if token.type in {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE}:
            bare.add(row - 1)
    kept = ((line.rstrip() + "\n" if row in bare else line) for row, line in enumerate(lines))
    return "".join(line for row, line in enumerate(kept) if row not in bare or line != "\n")
