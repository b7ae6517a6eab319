"""Runs notebooks and holds their outputs against the committed ones: `python .ci/run_notebooks.py notebooks/01*.ipynb`.

With `--save` the outputs are written in place, for a commit. Texts and tables are compared. Pictures are not, as the
fonts of a machine decide about them; nor is what goes to standard error, such as that kernels are compiled first; nor
the compressed rows of a row browser, whose bytes depend on the version of zlib.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

SECONDS: Final = 600
"""A cell that takes longer is stopped."""
VERSION: Final = "3.11"
"""The version of Python that notebooks are committed with, whichever ran them."""

FRAME: Final = re.compile(r'srcdoc="[^"]*"')


def executed(path: Path) -> Any:  # noqa: ANN401  nbformat has no types
    """Return a notebook with the outputs of this run, in its own folder."""
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=SECONDS, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # the clock
        if cell.cell_type == "code":
            cell.outputs = list(_joined(cell.outputs))
    book.metadata["language_info"]["version"] = VERSION
    return book


def _joined(outputs: Iterable[Any]) -> Iterator[Any]:
    """Yield outputs with what was printed in one; how often the kernel sends it depends on the machine."""
    last: Any = None
    for output in outputs:
        if last is not None and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
            continue
        if last is not None:
            yield last
        last = output
    if last is not None:
        yield last


def texts(book: Any) -> list[str]:  # noqa: ANN401
    """Return the lines of all texts and tables that a notebook shows, each cell under its number."""
    lines: list[str] = []
    for number, cell in enumerate(cell for cell in book.cells if cell.cell_type == "code"):
        lines.append(f"[{number + 1}]")
        for output in _joined(output for output in cell.outputs if output.get("name") != "stderr"):
            held = output.get("data", {})
            found = [output.get("text", ""), held.get("text/plain", ""), FRAME.sub("", held.get("text/html", ""))]
            lines += "\n".join(part for part in found if part).splitlines()
    return lines


def main() -> None:
    """Run the notebooks that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--save", action="store_true", help="write the outputs into the notebooks")
    given = parser.parse_args()
    differ = False
    for path in given.paths:
        print(path, flush=True)
        committed = nbformat.read(path, as_version=4)
        book = executed(path)
        if given.save:
            nbformat.write(book, path)
        else:
            found = list(difflib.unified_diff(texts(committed), texts(book), "committed", "this run", lineterm="", n=1))
            print(*(line[:400] for line in found[:60]), sep="\n")
            differ = differ or bool(found)
    if differ:
        sys.exit("outputs differ from the committed ones: run again with --save, and commit if they are right")


if __name__ == "__main__":
    main()
