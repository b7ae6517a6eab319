"""The public surface is locked: a name enters or leaves `curate` only together with this list."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import curate

PUBLIC: Final = [
    "All",
    "Build",
    "Fraction",
    "Mixture",
    "Repeat",
    "Rows",
    "Source",
    "Tokenizer",
    "Tokens",
    "columns",
    "cut_refusals",
    "dataset",
    "exact_dedup",
    "files",
    "frame",
    "refusals",
    "shape",
]


def test_exports_are_exact() -> None:
    assert curate.__all__ == PUBLIC


def test_exports_are_sorted_and_there() -> None:
    assert curate.__all__ == sorted(curate.__all__)
    assert [name for name in curate.__all__ if not hasattr(curate, name)] == []


def test_nothing_else_looks_public() -> None:
    rooms = {path.stem for path in Path(curate.__file__).parent.iterdir()}
    names = {name for name in vars(curate) if not name.startswith("_")}
    assert names - rooms - {"annotations"} <= set(curate.__all__), "import it under a private name, or export it"
