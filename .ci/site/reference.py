"""The reference: which entry is on which page, and what the code says of commands, recipes and benches."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import griffe
import typer

import curate
from curate import errors
from curate.cli.app import app
from curate.cli.mixture_recipes import recipe_names


class Room(NamedTuple):
    """A page of the reference: its title, what it opens with, and the modules whose names are on it."""

    title: str
    says: str
    modules: tuple[str, ...]


ROOMS: Final = {
    "mixtures": Room("Mixtures and sources", "What is declared.", ("mixture", "mix", "rows.tokens")),
    "inputs": Room("Inputs", "Where rows come from.", ("io.inputs", "io")),
    "formats": Room("Formats", "Layouts of raw data, for `format=` of an input.", ("io.formats",)),
    "filters": Room("Filters and edits", "Steps that drop rows, and steps that change text.", ("steps",)),
    "groups": Room(
        "Duplicates and evals",
        "Steps that need all rows, and the eval sets that rows are held against.",
        ("steps.dedup", "steps.decontaminate", "evalsets"),
    ),
    "pairs": Room("Preference pairs", "Steps that make pairs of ratings, and filter pairs.", ("steps.pairs",)),
    "own-steps": Room(
        "Steps of your own",
        "Three functions, and below them the classes that every step is made of.",
        ("steps.custom", "steps.base", "rows.edits", "rows.segments", "testing"),
    ),
    "builds": Room(
        "Builds", "A finished build, and what its methods return.", ("result.build", "result", "export", "compare")
    ),
    "training": Room(
        "Checks and training", "What runs before a build, before training, and TRL itself.",
        ("preview", "preflight", "classify", "train"),
    ),
    "errors": Room("Errors", "Every error of `curate` is a `CurateError`.", ("errors",)),
}  # fmt: skip
"""The pages of the reference, in their order. A name is on the page with the longest part of its module, and there in
the order of these."""

BESIDE: Final = (
    "curate.evalsets.evals.Evals",
    "curate.testing.check_step",
    "curate.preview.check.check",
    "curate.preflight.preflight.preflight",
    "curate.train.training_plan.plan",
    "curate.train.trainer.train",
    "curate.compare.diff.diff",
)
"""What users import from its own module, and the methods of `curate.evals`."""

RETURNED: Final = ("curate.Build", "curate.Mixture", "curate.Export", "curate.train_classifier")
"""What is asked, beside these, for the classes that it returns."""

OPTIONS: Final = {
    "curate.evalsets.evals.Evals": "\n    options: {filters: [], members: [__call__, files], show_signature: false}",
}
"""Where an entry is shown otherwise than the rest."""

BASES: Final = ("curate.result.folder.BuildFolder", "curate.result.measured_build.MeasuredBuild")
"""Classes whose members are listed under a public class."""


def entries(code: griffe.Module) -> dict[str, list[str]]:
    """Return the dotted names of each page: the public ones in the order of their table, then what they return."""
    public = {f"curate.{name}": getattr(curate, name) for name in _table()}
    homes = {code[name.removeprefix("curate.")].canonical_path: name for name in public}
    raised = [f"curate.errors.{name}" for name, one in vars(errors).items() if _is_error(one)]
    returned = [name for name in _returned(code, [*RETURNED, *BESIDE]) if name not in BASES]
    named = dict.fromkeys([*homes, *BESIDE, *returned, *raised])
    pages: dict[str, list[tuple[int, str]]] = {page: [] for page in ROOMS}
    for home in named:
        place = place_of(home)
        if place is None:
            raise SystemExit(f"{home} has no page of the reference; name its room in .ci/site/reference.py")
        pages[place[0]].append((place[1], homes.get(home, home)))
    return {page: [name for _, name in sorted(held, key=itemgetter(0))] for page, held in pages.items()}


def _is_error(found: object) -> bool:
    return inspect.isclass(found) and issubclass(found, errors.CurateError)


def place_of(path: str) -> tuple[str, int] | None:
    """Return the page of a dotted name and the place of its module there, None for a room that has no page."""
    inside = path.removeprefix("curate.")
    parts = {part: (page, place) for page, room in ROOMS.items() for place, part in enumerate(room.modules)}
    fits = [part for part in parts if inside.startswith(f"{part}.")]
    return parts[max(fits, key=len)] if fits else None


def pages() -> dict[str, str]:
    """Return the pages of the reference by name."""
    code = griffe.load("curate", search_paths=["."], try_relative_path=False)
    assert isinstance(code, griffe.Module)
    found = {}
    for name, names in entries(code).items():
        room = ROOMS[name]
        shown = [f"::: {one}{OPTIONS.get(one, '')}" for one in names]
        found[name] = "\n\n".join([f"# {room.title}", room.says, *shown]) + "\n"
    return found


def links() -> dict[str, str]:
    """Return the entry of each name that prose writes in code: `dedup` and `build.scores`."""
    public = {name: f"curate.{name}" for name in curate.__all__}
    of_build = {f"build.{name}": f"curate.Build.{name}" for name in dir(curate.Build) if not name.startswith("_")}
    return {**public, **of_build}


def commands() -> str:
    """Return every command with its arguments and options."""
    group: Any = typer.main.get_command(app)
    root = typer.Context(group, info_name="curate")
    parts = []
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=name, parent=root)
        used = " ".join(re.sub("Usage:|[{}]", "", command.get_usage(context)).split())
        parts.append(f"## `curate {name}`\n\n{inspect.cleandoc(command.help or '')}\n\n```sh\n{used}\n```")
        shown = [_option(one) for one in command.params if not one.hidden]
        parts.append("\n".join(["| argument or option | | default |", "|---|---|---|", *shown]))
    return "\n\n".join(parts)


def _option(one: Any) -> str:  # noqa: ANN401  of typer
    wanted = one.metavar or ""
    if one.param_type_name == "argument":
        named = f"`{wanted or one.name.upper()}`"
    else:
        value = "" if one.is_flag else f" {wanted or one.name.upper()}"
        named = " ".join(f"`{word}{value}`" for word in [*one.opts, *one.secondary_opts])
    default = "required" if one.required else ""
    if one.default not in {None, False} and one.show_default and not callable(one.default):
        default = f"`{one.default}`" if not one.secondary_opts else f"`{one.opts[0]}`"
    kind = one.type_descriptor.annotation
    choices = ", ".join(f"`{word}`" for word in typing.get_args(kind) if isinstance(word, str))
    said = " ".join([*(one.help or "").split(), *([f"One of {choices}."] if choices else [])]).replace("|", "\\|")
    return f"| {named.replace('|', chr(92) + '|')} | {said} | {default} |"


def recipes(root: Path) -> str:
    """Return what each file of a mixture says of itself, and the file."""
    parts = []
    for name in sorted(recipe_names(), key=lambda one: (one == "demo", one)):
        text = (root / "mixtures" / f"{name}.py").read_text("utf-8")
        code = "\n".join(f"    {line}" if line else "" for line in text.rstrip().split("\n"))
        folded = f'??? note "mixtures/{name}.py"\n\n    ```python\n{code}\n    ```'
        parts.append(f"## `{name}` {{ #{name} }}\n\n{_docstring(text)}\n\n{folded}")
    return "\n\n".join(parts)


def benches(root: Path) -> str:
    """Return what each bench says of itself, with its command."""
    parts = ["# Benchmarks\n\nEach compares with what one would use otherwise, on real data, and none runs by default."]
    for path in sorted((root / "tests" / "bench").glob("bench_*.py")):
        first, _, rest = _docstring(path.read_text("utf-8")).partition("\n\n")
        title = path.stem.removeprefix("bench_").replace("_", " ")
        parts.append(f"## {title.capitalize()}\n\n{first}\n\n{rest}")
    return "\n\n".join(parts) + "\n"


def folder_page(readme: str) -> str:
    """Return the page of the build folder: what is in it, the columns of its tables, the fields of its manifest."""
    tree = re.search(r"^A build is a folder:\n\n```\n.*?^```$", readme, re.DOTALL | re.MULTILINE)
    if tree is None:
        raise SystemExit("README.md no longer shows the build folder; see folder_page in .ci/site/reference.py")
    shown = "\n    options: {show_root_heading: false, show_root_toc_entry: false, show_signature: false}"
    parts = [f"# The build folder\n\n{tree[0]}"]
    for heading, name in (
        ("The rows: `data/`", "curate.rows.schema.BODIES"),
        ("The ledger: `ledger/`, `pairs/`", "curate.engine.ledger.LEDGER"),
        ("The manifest: `manifest.json`", "curate.engine.manifest.FORMAT"),
    ):
        parts.append(f"## {heading}\n\n::: {name}{shown}")
    return "\n\n".join(parts)


def _docstring(code: str) -> str:
    return ast.get_docstring(ast.parse(code)) or ""


def _table() -> list[str]:
    """Return the public names in the order of `curate/__init__.pyi`, in which they belong together."""
    stub = ast.parse(Path(curate.__file__).with_suffix(".pyi").read_text("utf-8"))
    return [one.name for node in stub.body if isinstance(node, ast.ImportFrom) for one in node.names]


def _returned(code: griffe.Module, names: list[str]) -> list[str]:
    """Return the classes of `curate` that functions and public members return, each once, and what those return."""
    found: list[str] = []
    waiting = [code[name.removeprefix("curate.")] for name in names]
    while waiting:
        for path in _classes_of(waiting.pop(0)):
            if path not in found:
                found.append(path)
                waiting.append(code[path.removeprefix("curate.")])
    return found


def _classes_of(one: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Yield the classes in what a function returns, or in the fields, properties and methods of a class."""
    one = one.final_target if isinstance(one, griffe.Alias) else one
    members = [name for name in one.all_members if not name.startswith("_")] if one.is_class else []
    for given in [one[name] for name in members] or [one]:
        member = given.final_target if isinstance(given, griffe.Alias) else given
        hint = getattr(member, "returns", None) or getattr(member, "annotation", None)
        for part in hint.iterate(flat=True) if isinstance(hint, griffe.Expr) else ():
            if isinstance(part, griffe.ExprName) and part.canonical_path.startswith("curate."):
                named = one.modules_collection[part.canonical_path]
                place = place_of(named.canonical_path)
                if named.is_class and place is not None and place[0] in {"builds", "training"}:
                    yield named.canonical_path
