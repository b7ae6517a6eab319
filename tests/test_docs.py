"""What the documents say is run: examples in docstrings, Python in the README, the two command lines, the notebooks."""

from __future__ import annotations

import doctest
import importlib
import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

from tests.support.document_code import run_code

ROOT: Final = Path(__file__).parents[1]
MODULES: Final = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "curate").rglob("*.py")
)
README: Final = (ROOT / "README.md").read_text("utf-8")
NOTEBOOKS: Final = sorted((ROOT / "notebooks").glob("*.ipynb"))

MACHINE: Final = re.compile(r"[\"'\s(](?:/(?:tmp|home|root|Users|work|var)/|[A-Z]:\\\\)")
"""A path that only one machine has."""

COMMANDS: Final = (
    "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/curate build mixtures/demo.py",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest",
    "uv run curate build mixtures/demo.py",
    "uv run pytest",
)

CHATS: Final = [
    {
        "messages": [
            {"role": "user", "content": f"What is {n} + {n}?"},
            {"role": "assistant", "content": f"It is {2 * n}."},
        ]
    }
    for n in range(12)
]
PAIRS: Final = [
    {"instruction": "Name a color.", "input": "", "output": "Blue."},
    {"instruction": "Name a color.", "input": "", "output": "Blue."},
    {"instruction": "How do you feel?", "input": "", "output": "As an AI language model, I do not have feelings."},
    *({"instruction": f"Count to {n}.", "input": "", "output": " ".join(map(str, range(n)))} for n in range(2, 12)),
]
"""The files that the README's own mixture reads."""


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert failed == 0, f"{failed} examples of {module} answer otherwise; see the output above"


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CHATS), "utf-8")
    (tmp_path / "pairs.json").write_text(json.dumps(PAIRS), "utf-8")
    monkeypatch.chdir(tmp_path)
    assert run_code(README, "README.md", {"python"}), "the README shows a mixture"


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_shows_the_command(command: str) -> None:
    assert command in README.splitlines()


def test_ci_runs_the_first_line_of_the_readme() -> None:
    """CI looks the line up with a pattern; that pattern must find the line that a reader meets first."""
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    pattern = re.search(r"grep -m1 -x '([^']*)' README.md", ci)
    assert pattern is not None
    found = [line for line in README.splitlines() if re.fullmatch(pattern[1], line)]
    assert found[:1] == [COMMANDS[0]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_committed_executed(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), (
        "run all cells in order, then save"
    )
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert [output for output in outputs if output.get("name") == "stderr"] == [], "warnings, or lines of progress"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_small_and_names_no_machine(path: Path) -> None:
    """Outputs are those of any machine: no folder of the one that ran it, and none that grows without bound."""
    assert path.stat().st_size < 1_000_000
    assert not MACHINE.search(path.read_text("utf-8"))


@pytest.mark.parametrize("text", ["/root/x", "/home/ann/x", "/Users/ann/x", "C:\\\\Users\\\\ann"])
def test_a_path_of_a_machine_is_recognized(text: str) -> None:
    assert MACHINE.search(f'"text": ["{text}"]')


def test_ci_runs_each_notebook_once() -> None:
    """The one that trains needs PyTorch, so it runs in the stage that has it."""
    patterns = re.findall(r"run_notebooks\.py notebooks/(\S+)\)", (ROOT / ".ci" / "run").read_text("utf-8"))
    run = [path for pattern in patterns for path in NOTEBOOKS if fnmatch(path.name, pattern)]
    assert sorted(run) == NOTEBOOKS
