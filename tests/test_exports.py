"""The public surface: one table, `curate/__init__.pyi`, and what it names."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Final

import pytest

import curate

STUB: Final = Path(curate.__file__).with_suffix(".pyi")
NAMES: Final = [
    (node.module, name.name, name.asname)
    for node in ast.parse(STUB.read_text("utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for name in node.names
]


def test_the_table_is_all_there_is() -> None:
    assert curate.__all__ == sorted(name for _, name, _ in NAMES)
    assert set(dir(curate)) >= set(curate.__all__)


@pytest.mark.parametrize(("module", "name", "alias"), NAMES)
def test_a_name_is_what_its_module_defines(module: str, name: str, alias: str) -> None:
    found = getattr(curate, name)
    assert alias == name, "write `name as name`: a stub exports nothing else"
    assert found is getattr(importlib.import_module(f"curate.{module}"), name)
    assert getattr(found, "__module__", None) == f"curate.{module}", "name the module that defines it"


def test_every_step_factory_is_public() -> None:
    """A file of `curate/steps` without an underscore that defines a function of its own name is a step."""
    for path in (STUB.parent / "steps").rglob("[!_]*.py"):
        functions = {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}
        if path.stem in functions:
            assert path.stem in curate.__all__, f"{path} defines {path.stem}(): name it in {STUB.name}"


def test_every_public_name_is_in_an_example() -> None:
    """One of its own, or `c.Name` in that of another; all of them run."""
    docstrings = {name: inspect.getdoc(getattr(curate, name)) or "" for name in curate.__all__}
    shown = "\n".join(
        line for text in docstrings.values() for line in re.findall(r"^ *(?:>>>|\.\.\.) .*", text, re.MULTILINE)
    )
    own = {name for name, text in docstrings.items() if ">>> " in text} | {"evals"}  # whose methods have them
    assert {name for name in {*docstrings} - own if not re.search(rf"\bc\.{name}\b", shown)} == set()


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="dedupe"):
        curate.dedupe  # type: ignore[attr-defined]  # noqa: B018
