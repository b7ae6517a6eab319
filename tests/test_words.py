"""The gates of language: words that need two readings, class names with two meanings, arguments without explanation."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Final

import pytest

import curate

ROOT: Final = Path(__file__).parents[1]

BANNED: Final[dict[str, str]] = {
    "told": "reported, detected, given",
    "fell": "was dropped",
    "fallen": "dropped",
    "felled": "dropped",
    "met": "matched, hit, found",
    "stands": "is",
    "lies": "is at, is stored in",
    "lying": "stored",
    "piece": "partition, part",
    "pieces": "partitions, parts",
    "pile": "spill file",
    "piles": "spill files",
    "stockroom": "row store",
    "twin": "surviving duplicate",
    "twins": "surviving duplicates",
    "lecture": "moralising",
    "lectures": "moralising",
    "settle": "resolve",
    "settled": "resolved",
    "nobody": "no one, or name the subject",
    "astray": "wrong",
    "at the least": "at least",
    "at the most": "at most",
    "of this sort": "such",
    "a line a row": "one line per row",
    "an entry a row": "one entry per row",
    "a number a row": "one number per row",
    "put right": "corrected",
    "turned round": "swapped",
    "taken up": "resumed",
    "gone through": "consumed",
    "whose rows stand": "kept",
}
"""Words of a private idiom (or good words in a private sense), with what to write."""

WORDS: Final = re.compile(rf"\b({'|'.join(map(re.escape, BANNED))})\b", re.IGNORECASE)
PARTS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""The words of an identifier."""

ALLOWED: Final[dict[str, set[str]]] = {
    "curate/text/casing/lexicon.py": {"met", "told"},
    "tests/cli/test_findings.py": {"nobody"},
    "tests/report/test_duplicates.py": {"nobody"},
    "tests/steps/decontaminate/test_decontaminate.py": {"nobody"},
    "tests/steps/filters/test_truecase.py": {"met"},
    "tests/steps/refusals/test_refusals.py": {"told"},
    "tests/text/casing/test_restore.py": {"met"},
}
"""Words that a file's strings need, because they are data; its comments and identifiers do without them."""


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the docstrings, comments and sentences of Python code, with their lines; a sentence has a space."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type in {tokenize.STRING, FSTRING} and " " in token.string):
            yield token.start[0], token.string


FSTRING: Final = getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)


def identifiers(text: str) -> Iterator[tuple[int, str]]:
    """Yield every name that code defines or uses, once, with its first line."""
    seen: set[str] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string not in seen:
            seen.add(token.string)
            yield token.start[0], token.string


def faults(path: str, text: str, *, code: bool) -> Iterator[str]:
    """Yield the banned words of one file as `path:line: what is wrong`."""
    allowed = ALLOWED.get(path, set())
    lines = prose(text) if code else enumerate(text.splitlines(), 1)
    for line, sentence in lines:
        for found in WORDS.finditer(re.sub(r"`[^`]*`", "", sentence) if not code else sentence):
            word = found[1].lower()
            if word not in allowed or sentence.startswith("#"):
                yield f"{path}:{line + sentence[: found.start()].count(chr(10))}: {word!r}: write {BANNED[word]}"
    for line, name in identifiers(text) if code else ():
        for word in {part.lower() for part in PARTS.findall(name)} & BANNED.keys():
            yield f"{path}:{line}: {name}: not {word!r} but {BANNED[word]}"


def documents() -> Iterator[tuple[str, str]]:
    """Yield what people read beside code: Markdown, templates, the cells of notebooks, settings."""
    paths = [*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / ".ci" / "run", *(ROOT / "mixtures").rglob("*.md")]
    for path in [*paths, *(ROOT / "curate").rglob("*.j2")]:
        yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        yield path.relative_to(ROOT).as_posix(), "\n".join("".join(cell["source"]) for cell in cells)


@pytest.mark.parametrize("folder", ["curate", "mixtures", "tests", ".ci"])
def test_code_is_written_in_words_that_everyone_knows(folder: str) -> None:
    found = [
        fault
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__)  # which lists the words
        for fault in faults(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"), code=True)
    ]
    assert not found, "\n" + "\n".join(found)


def test_documents_are_written_in_words_that_everyone_knows() -> None:
    found = [fault for path, text in documents() for fault in faults(path, text, code=False)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "code", "fault"),
    [
        ('"""A row that fell."""\n', True, "a.py:1: 'fell': write was dropped"),
        ("x = 1  # where it lies\n", True, "a.py:1: 'lies'"),
        ('\nmessage = f"{x} rows were told apart"\n', True, "a.py:2: 'told'"),
        ("def met(told_apart: int) -> None: ...\n", True, "a.py:1: told_apart: not 'told'"),
        ("class RowPile: ...\n", True, "a.py:1: RowPile: not 'pile'"),
        ("one\nThe twin of a row.\n", False, "a.py:2: 'twin'"),
    ],
)
def test_the_gate_finds_them(text: str, code: bool, fault: str) -> None:  # noqa: FBT001
    assert fault in "\n".join(faults("a.py", text, code=code))


def class_names(sources: dict[str, str]) -> Iterator[str]:
    """Yield class names that two modules define."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    names = [
        (node.name, path) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    for name, count in Counter(name for name, _ in names).items():
        if count > 1:
            yield f"class {name} is in {', '.join(path for other, path in names if other == name)}"


def test_a_class_name_means_one_thing() -> None:
    sources = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in (ROOT / "curate").rglob("*.py")}
    assert not list(class_names(sources))
    assert list(class_names({"a.py": "class Found: ...", "b.py": "class Found: ..."}))


SECTION: Final = re.compile(r"^ *(Args|Attributes):\n((?:(?: .*)?\n)+)", re.MULTILINE)
ENTRY: Final = re.compile(r"^ +\*{0,2}([a-z_]\w*)(?: \([^)]*\))?:", re.MULTILINE)


def documented(docstring: str) -> set[str]:
    """Return the parameters that a Google docstring explains."""
    return {name for section in SECTION.finditer(docstring + "\n") for name in ENTRY.findall(section[2])}


def parameters(found: object) -> set[str]:
    """Return the parameters of a function, or of what a class is made with."""
    names = set(inspect.signature(found).parameters)  # type: ignore[arg-type]
    return names - {"self", "cls", "_"}


def undocumented(name: str, found: object) -> Iterator[str]:
    """Yield the public functions and methods below `name` that leave a parameter unexplained."""
    if isinstance(found, FunctionType):
        missing = parameters(found) - documented(inspect.getdoc(found) or "")
        if missing:
            yield f"{name}() does not explain {', '.join(sorted(missing))}"
    elif isinstance(found, type):
        own = dataclasses.is_dataclass(found) or hasattr(found, "_fields")
        fields = (
            {field.name for field in dataclasses.fields(found) if field.init}
            if dataclasses.is_dataclass(found)
            else set()
        )
        fields |= set(getattr(found, "_fields", ()))
        explained = {word for base in found.__mro__ for word in documented(base.__doc__ or "")}
        missing = {each for each in fields if not each.startswith("_")} - explained
        if own and missing:
            yield f"{name} does not explain {', '.join(sorted(missing))}"
        for method, inner in vars(found).items():
            plain = inner.__func__ if isinstance(inner, classmethod | staticmethod) else inner
            if not method.startswith("_") and isinstance(plain, FunctionType) and not _inherited(found, method):
                yield from undocumented(f"{name}.{method}", plain)


def _inherited(found: type, method: str) -> bool:
    """Whether a base class explains the method already."""
    return any(hasattr(base, method) for base in found.__bases__)


def test_every_public_parameter_is_explained() -> None:
    public = {name: getattr(curate, name) for name in curate.__all__}
    missing = [
        fault
        for name, found in public.items()
        for fault in undocumented(name, found if isinstance(found, FunctionType | type) else type(found))
    ]
    assert not missing, "\n" + "\n".join(missing)


def test_the_gate_finds_an_unexplained_parameter() -> None:
    def public(a: int, *, b: int) -> int:  # noqa: D417  that is the fault
        """Add.

        Args:
            a: A number.
        """
        return a + b

    assert list(undocumented("public", public)) == ["public() does not explain b"]
