"""The gates of the house: what a linter cannot know about this code.

A gate reads one file and yields its faults as `path:line: what is wrong`. Every gate is also shown bad code, to see it
fail.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).parents[1]
TOP: Final = {"curate", "mixtures", "notebooks", "tests"}
MAX_FILE, MAX_FUNCTION, MAX_FILES = 400, 80, 21

ROOMS: Final = (
    "errors",
    "kernels",
    "text",
    "text.phrases",
    "text.casing",
    "text.fasttext",
    "text.secrets",
    "text.embeddings",
    "text.topics",
    "rows",
    "io.stores",
    "io.formats",
    "io.jsonl",
    "io.hub",
    "io",
    "evalsets",
    "steps",
    "steps.custom",
    "steps.filters",
    "steps.judging",
    "steps.refusals",
    "steps.dedup",
    "steps.decontaminate",
    "steps.pairs",
    "classify",
    "mix.takes",
    "mix",
    "engine.executors",
    "engine.reuse",
    "engine.warm_up",
    "engine",
    "export",
    "result.browser",
    "drawing",
    "result.measures",
    "result.charts",
    "result",
    "preview",
    "preflight",
    "report.charts",
    "report",
    "compare",
    "mixture",
    "testing",
    "train",
    "cli",
)
"""The import order. A module imports its own room, the top files of the room around it, and the rooms before it."""

HEAVY: Final[dict[str, tuple[str, ...]]] = {
    "datasets": (),
    "pandas": (),
    "ray": (),
    "safetensors": (),
    "tokenizers": (),
    "torch": (),
    "transformers": (),
    "trl": (),
}
"""Packages that take long to load, and the rooms that may import them at the top of a file."""

ROW_LOOPS: Final = {"iter_rows", "map_elements", "to_pandas", "to_pylist"}
ROW_ROOMS: Final = {"io", "evalsets", "testing"}
"""Rooms that look at rows one by one: raw data is parsed, eval items are read, laws compare rows."""
ROW_LOOPS_ALLOWED: Final = {
    ("curate/rows/tokens.py", "to_pylist"),
    ("curate/text/embeddings/pooling.py", "to_pylist"),
    ("curate/preflight/row_lengths.py", "to_pylist"),
    ("curate/export/json_rows.py", "to_pylist"),
    ("curate/steps/filters/_calls.py", "to_pylist"),
}
"""A tokenizer takes Python strings, a chat template and a JSON Schema Python values; JSON is written value by value."""

VAGUE_NAMES: Final = {"common.py", "helper.py", "helpers.py", "misc.py", "util.py", "utils.py"}
FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


class Code(NamedTuple):
    """One parsed file; `path` is relative to the repository."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The room of a file in `curate/`, dotted; empty for the facade and for files elsewhere."""
        parts = self.path.with_suffix("").parts
        if parts[-1] == "__main__":
            return "cli"  # `python -m` is a command line, wherever it is
        return room_of(".".join(part for part in parts if part != "__init__"))

    @property
    def product(self) -> bool:
        return self.path.parts[0] == "curate"

    def fault(self, node: ast.AST, message: str) -> str:
        return f"{self.path.as_posix()}:{getattr(node, 'lineno', 1)}: {message}"


def read(path: Path, text: str) -> Code:
    return Code(path, text, ast.parse(text))


@cache
def all_code() -> list[Code]:
    paths = (
        path for folder in ("curate", "mixtures", "tests", ".ci") for path in sorted((ROOT / folder).rglob("*.py"))
    )
    return [read(path.relative_to(ROOT), path.read_text("utf-8")) for path in paths]


def functions(code: Code) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(code.tree) if isinstance(node, FUNCTIONS))


def imports(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield every imported module, and for `from a import b` both `a` and `a.b`: `b` may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield node, base
            yield from ((node, f"{base}.{alias.name}") for alias in node.names)


def room_of(module: str) -> str:
    """Return the room of a dotted name below `curate`: the longest that it begins with; empty where there is none.

    The name of a room is also the name of its package, so `curate.text` and `curate.text.words` are both in `text`.
    """
    if not module.startswith("curate."):
        return ""
    inside = module.removeprefix("curate.") + "."
    return max((room for room in ROOMS if inside.startswith(f"{room}.")), key=len, default="")


def within(room: str, other: str) -> bool:
    """Whether `room` is `other` or a room inside it."""
    return f"{room}.".startswith(f"{other}.")


def import_order(code: Code) -> Iterator[str]:
    if not code.room:
        return
    for node, name in imports(code.tree):
        room = room_of(name)
        if name.startswith("."):
            yield code.fault(node, f"relative import {name}: write curate.room.module")
        elif isinstance(node, ast.Import) and name == "curate":
            yield code.fault(node, "a room imports rooms, never the facade `curate`")
        elif name.startswith("curate.") and not room and name.count(".") == 1:
            yield code.fault(node, f"{name} is the facade's or no room; rooms: {', '.join(ROOMS)}")
        elif room and not within(code.room, room) and ROOMS.index(room) > ROOMS.index(code.room):
            yield code.fault(node, f"{code.room} may not import {room}, which comes after it")


def private_files(code: Code) -> Iterator[str]:
    """Yield imports of a file `_name.py` from outside its room."""
    for node, name in imports(code.tree) if code.product else ():
        parts = name.split(".")
        private = next((place for place, part in enumerate(parts) if place and part.startswith("_")), None)
        if private is None or parts[0] != "curate" or parts[private].startswith("__"):
            continue
        home = ".".join(parts[1:private])
        if home in ROOMS and not within(code.room, home):
            yield code.fault(node, f"{name} is private to {home}")


def own_imports_inside(code: Code) -> Iterator[str]:
    for function in functions(code) if code.product else ():
        for node, name in imports(function):
            if name.startswith((".", "curate")):
                yield code.fault(node, f"own import {name} inside {function.name}(): move it to the top")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def heavy_imports(code: Code) -> Iterator[str]:
    late = [node for node in ast.walk(code.tree) if isinstance(node, FUNCTIONS) or is_type_checking(node)]
    inside = {id(node) for block in late for node in ast.walk(block)}
    for node, name in imports(code.tree) if code.product else ():
        package = name.split(".")[0]
        if package in HEAVY and id(node) not in inside and code.room not in HEAVY[package]:
            yield code.fault(node, f"{package} loads slowly: import it inside the function that uses it")


def untyped(code: Code) -> Iterator[str]:
    for function in functions(code):
        spec = function.args
        named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, (spec.vararg, spec.kwarg))]
        bare = [arg.arg for arg in named if arg.annotation is None and arg.arg not in {"self", "cls"}]
        if bare or function.returns is None:
            yield code.fault(function, f"{function.name}() lacks types: {', '.join(bare) or 'what it returns'}")


def broad_except(code: Code) -> Iterator[str]:
    for node in ast.walk(code.tree):
        if isinstance(node, ast.ExceptHandler):
            names = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)} if node.type else {"all"}
            if names & {"all", "Exception", "BaseException"}:
                yield code.fault(node, "broad except: name the errors that you can handle")


def sizes(code: Code) -> Iterator[str]:
    lines = code.text.count("\n")
    if lines > MAX_FILE:
        yield code.fault(code.tree, f"{lines} lines, {MAX_FILE} at most: split the file")
    for function in functions(code):
        lines = (function.end_lineno or 0) - function.lineno + 1
        if lines > MAX_FUNCTION:
            yield code.fault(function, f"{function.name}() has {lines} lines, {MAX_FUNCTION} at most")


def names(code: Code) -> Iterator[str]:
    if code.path.name in VAGUE_NAMES:
        yield code.fault(code.tree, "a file is named after what it holds")


def row_loops(code: Code) -> Iterator[str]:
    for node in ast.walk(code.tree) if code.product and code.room.split(".")[0] not in ROW_ROOMS else ():
        if not isinstance(node, ast.Attribute) or node.attr not in ROW_LOOPS:
            continue
        if (code.path.as_posix(), node.attr) not in ROW_LOOPS_ALLOWED:
            yield code.fault(node, f".{node.attr} walks rows in Python: use Arrow, Polars or a kernel")


def raises_match(code: Code) -> Iterator[str]:
    for node in ast.walk(code.tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in {"pytest.raises", "pytest.warns"}:
            continue
        if "match" not in {keyword.arg for keyword in node.keywords}:
            yield code.fault(node, f"{ast.unparse(node.func)} without match= passes for the wrong error")


def opening(code: Code) -> Iterator[str]:
    if ast.get_docstring(code.tree) is None:
        yield code.fault(code.tree, "a file opens with the sentence that explains it")


GATES: Final[dict[str, Callable[[Code], Iterator[str]]]] = {
    gate.__name__: gate
    for gate in (
        import_order,
        private_files,
        own_imports_inside,
        heavy_imports,
        untyped,
        broad_except,
        sizes,
        names,
        row_loops,
        raises_match,
        opening,
    )
}

BAD: Final[list[tuple[str, str, str, str]]] = [
    (
        "import_order",
        "curate/text/a.py",
        "from curate.rows.schema import ROLES",
        "curate/text/a.py:1: text may not import rows",
    ),
    ("import_order", "curate/rows/a.py", "\nfrom curate import mix", "curate/rows/a.py:2: rows may not import mix"),
    ("import_order", "curate/io/a.py", "if TYPE_CHECKING:\n    import curate.result.build", "io may not import result"),
    ("import_order", "curate/io/a.py", "from ..rows import schema", "relative import"),
    (
        "import_order",
        "curate/steps/dedup/a.py",
        "from curate.steps.pairs import lint_pairs",
        "steps.dedup may not import steps.pairs",
    ),
    ("private_files", "curate/report/a.py", "from curate.steps.dedup._candidates import x", "private to steps.dedup"),
    ("private_files", "curate/mix/a.py", "import curate.steps._settings", "curate.steps._settings is private to steps"),
    ("import_order", "curate/io/a.py", "import curate", "never the facade"),
    ("import_order", "curate/io/a.py", "from curate import __version__", "curate.__version__ is the facade's"),
    (
        "own_imports_inside",
        "curate/io/a.py",
        "def f() -> None:\n    from curate import rows",
        "a.py:2: own import curate",
    ),
    ("heavy_imports", "curate/io/a.py", "import datasets.arrow", "a.py:1: datasets loads slowly"),
    ("heavy_imports", "curate/report/a.py", "from torch import nn", "torch loads slowly"),
    ("untyped", "tests/a.py", "def f(x, *, y: int) -> int: ...", "f() lacks types: x"),
    ("untyped", "tests/a.py", "class A:\n    def f(self): ...", "a.py:2: f() lacks types: what it returns"),
    ("broad_except", "curate/cli/app.py", "try: ...\nexcept (OSError, Exception): ...", "app.py:2: broad except"),
    ("broad_except", "curate/cli/app.py", "try: ...\nexcept: ...", "app.py:2: broad except"),
    ("sizes", "curate/cli/app.py", "\n" * 401, "401 lines"),
    ("sizes", "curate/cli/app.py", "def f() -> None:\n" + "    f()\n" * 80, "f() has 81 lines"),
    ("names", "curate/rows/utils.py", "", "named after what it holds"),
    ("row_loops", "curate/mix/a.py", "\ntable.column(0).to_pylist()", "a.py:2: .to_pylist walks rows"),
    ("row_loops", "curate/steps/a.py", "walk = frame.map_elements", ".map_elements walks rows"),
    ("raises_match", "tests/a.py", "with pytest.raises(ValueError): ...", "a.py:1: pytest.raises without match"),
    ("opening", "curate/rows/a.py", "x = 1", "opens with the sentence"),
]


@pytest.mark.parametrize("gate", GATES)
def test_code_passes_the_gate(gate: str) -> None:
    faults = [fault for code in all_code() for fault in GATES[gate](code)]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(("gate", "path", "snippet", "fault"), BAD)
def test_gate_fails_bad_code(gate: str, path: str, snippet: str, fault: str) -> None:
    assert fault in "\n".join(GATES[gate](read(Path(path), snippet)))


def test_every_gate_was_seen_to_fail() -> None:
    assert {gate for gate, *_ in BAD} == set(GATES)


def test_the_rooms_are_the_folders() -> None:
    """The order names each folder with Python files and each module beside them, and nothing else."""
    paths = [path.relative_to(ROOT / "curate") for path in (ROOT / "curate").rglob("*.py")]
    rooms = {".".join((path.parent if path.parent.parts else path.with_suffix("")).parts) for path in paths}
    assert rooms - {"__init__"} == set(ROOMS)
    inside = [".".join(path.parent.parts) for path in paths if path.name != "__init__.py"]
    crowded = [room for room in rooms if inside.count(room) > MAX_FILES]
    assert not crowded, f"{MAX_FILES} files a room at most: {crowded}"


def test_the_top_level_holds_nothing_else() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout to tell what belongs to the repository")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], check=True, capture_output=True, text=True).stdout
    folders = {line.split("/")[0] for line in listed.splitlines() if "/" in line}
    assert folders - {".ci"} <= TOP, f"folders at the top level: {sorted(TOP)}"


def test_import_curate_loads_nothing_heavy() -> None:
    script = f"import sys, curate; print(*({set(HEAVY)!r} & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == [], f"`import curate` loads {loaded}; find who with: python -X importtime -c 'import curate'"
