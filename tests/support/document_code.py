"""The code of a document, run as a reader would: Python in one namespace, and the lines that begin with `curate`."""

from __future__ import annotations

import linecache
import re
import shlex
import sys
from collections.abc import Iterable
from typing import Any, Final
from unittest import mock

import pytest

from curate.cli.app import main

BLOCK: Final = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_code(document: str, name: str, kinds: Iterable[str], first: int = 0) -> int:
    """Run the blocks of a document, of these kinds, in the working directory; return how many there are.

    `first` is the line that the document begins with in the file `name`, for tracebacks.
    """
    names: dict[str, Any] = {"__name__": "document"}
    blocks = [block for block in BLOCK.finditer(document) if block[1] in kinds]
    for block in blocks:
        line = first + document.count("\n", 0, block.start(2))
        if block[1] == "python":
            _run_python("\n" * line + block[2], f"<{name}, line {line}>", names)
        else:
            for command in block[2].splitlines():
                _run_command(command)
    return len(blocks)


def _run_python(code: str, file: str, names: dict[str, Any]) -> None:
    # Functions have a source, as in a file.
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), names)  # noqa: S102  our own text


def _run_command(command: str) -> None:
    words = shlex.split(command, comments=True)
    assert words[0] == "curate", f"{command}: a test runs commands of curate only"
    with mock.patch.object(sys, "argv", words), pytest.raises(SystemExit, match=r"^0$"):
        main()
