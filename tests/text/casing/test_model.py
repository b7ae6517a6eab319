"""The table and the kernels decide as the `truecase` package does, and the table survives what befalls a cache."""

from __future__ import annotations

import importlib.util
import inspect
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.kernels.buffers import strings
from curate.text.casing import compile_table as casing_table
from curate.text.casing import model as casing
from curate.text.casing.scoring_kernel import CasingTable
from tests.support.true_case import OutOfVocabulary, true_case

TOKEN: Final = re.compile(r"\w+(?:['’.-]\w+)*|[^\w\s]+")
SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+")
GOLDEN: Final = 200_000
CASES: Final[tuple[Callable[[str], str], ...]] = (str, str.lower, str.upper)
OPTIONS: Final[tuple[OutOfVocabulary, ...]] = ("title", "capitalize", "lower", "as-is")
ODD: Final = [
    "ﬁRST",
    "İx",
    "ǆ",
    "Straße",
    "ΟΔΥΣΣΕΥΣ",
    "\u212a",
    "²",
    "١٢",
    "manąśs",
    "“",
    "…",
    "é",
    "ŉ",
    "中文",
    "\u0301",
]
PLAIN: Final = [
    "",
    "a\0b",
    "don'T",
    "#$",
    "$#",
    "'()",
    "9:",
    "/:",
    "@[",
    "1a",
    "12",
    "x" * 300,
    "a_b",
    "GROP_J9CULD",
    "\n",
]


def sentences(texts: list[str]) -> Iterator[list[str]]:
    """Texts cut into tokens; every third text in small letters, every third in capitals."""
    for number, text in enumerate(texts):
        for line in SENTENCE.split(CASES[number % 3](text)):
            tokens = TOKEN.findall(line)
            if tokens:
                yield tokens


@pytest.fixture(scope="module")
def package() -> Any:  # noqa: ANN401
    """The package's own TrueCaser; loading it takes 5 s and 800 MB."""
    return pytest.importorskip("truecase.TrueCaser").TrueCaser()


def ties(caser: Any, sentence: list[str], mine: list[str], theirs: list[str]) -> bool:  # noqa: ANN401
    """Tell whether two answers differ only where the package has forms of the same score, going on from `mine`."""
    for i, (own, other) in enumerate(zip(mine, theirs, strict=True)):
        if own == other:
            continue
        before = mine[i - 1] if i else None
        if i and before != theirs[i - 1]:
            continue  # decided on a different form before
        after = sentence[i + 1] if i + 1 < len(sentence) else None
        forms = caser.word_casing_lookup[sentence[i].lower()]
        scores = {caser.get_score(before, form, after) for form in forms if form in {own, other}}
        if len(scores) > 1:
            return False
    return True


def test_golden(package: Any, real_file: Callable[[str], Path]) -> None:  # noqa: ANN401
    texts = [row["output"] for row in json.loads(real_file("sft/lima.json").read_bytes())]
    tokens: list[list[str]] = []
    count = 0
    for sentence in sentences(random.Random(0).sample(texts, len(texts))):
        tokens.append(sentence)
        count += len(sentence)
        if count > GOLDEN:
            break
    theirs = [package.get_true_case_from_tokens(sentence) for sentence in tokens]
    mine = true_case(tokens)
    differ = [k for k in range(len(tokens)) if mine[k] != theirs[k]]
    assert count > GOLDEN
    assert len(differ) < len(tokens) / 100
    assert all(ties(package, tokens[k], mine[k], theirs[k]) for k in differ)


@pytest.mark.parametrize("option", OPTIONS)
def test_odd_tokens(package: Any, option: OutOfVocabulary) -> None:  # noqa: ANN401
    pick = random.Random(1)
    words = ["the", "US", "new", "york", ".", "xyzzy", "first", "I", "apple", "_", "-"]
    tokens = [pick.choices(ODD + PLAIN + words, k=1 + k % 9) for k in range(3000)]
    theirs = [package.get_true_case_from_tokens(sentence, option) for sentence in tokens]
    mine = true_case(tokens, option)
    assert all(
        own == other or ties(package, sentence, own, other)
        for sentence, own, other in zip(tokens, mine, theirs, strict=True)
    )


def test_ties_go_to_the_form_that_sorts_last(package: Any) -> None:  # noqa: ANN401
    sentence = ["xyzzy", "BLITZ", "desktop"]
    for word in ("blitz", "desktop"):
        assert len({package.uni_dist[form] for form in package.word_casing_lookup[word]}) == 1
    assert true_case([sentence]) == [["Xyzzy", "blitz", "desktop"]]


def test_scores_of_all_words(package: Any) -> None:  # noqa: ANN401
    table = casing.load()
    words = strings(table.word_data, table.word_offsets).to_pylist()
    forms = strings(table.form_data, table.form_offsets).to_pylist()
    first = table.first_form.tolist()
    found = {word: set(forms[low:high]) for word, low, high in zip(words, first[:-1], first[1:], strict=True)}
    assert found == package.word_casing_lookup
    assert forms[: len(table.capital)] == sorted(
        forms[: len(table.capital)],
        key=lambda form: (
            len(found[form.lower()]) == 1,
            form.lower(),
            -package.uni_dist[form],
            [-ord(c) for c in form],
        ),
    )
    assert [forms[k] for k in table.capital] == [form.capitalize() for form in forms[: len(table.capital)]]


@given(st.lists(st.lists(st.sampled_from(["the", "A", ".", "1", "new", "YORK", "é", ""]), max_size=4), max_size=5))
def test_sentences_are_independent(tokens: list[list[str]]) -> None:
    assert true_case(tokens) == [true_case([sentence])[0] for sentence in tokens]


def load() -> CasingTable:
    """Load the table as a new process would."""
    return inspect.unwrap(casing.load)()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "curate"


def equal(one: CasingTable, other: CasingTable) -> bool:
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, other, strict=True))


@pytest.mark.thorough
def test_cache(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = load()
    path = casing.cache_file()
    assert path is not None
    assert [file.name for file in fresh.iterdir()] == [path.name]
    assert path.stat().st_size < 75_000_000
    whole = path.read_bytes()
    compiled: list[Path] = []

    def compile_again(source: Path) -> CasingTable:
        compiled.append(source)
        return table

    monkeypatch.setattr(casing, "compile_table", compile_again)
    for damaged in (b"", whole[:100], whole[:-1], whole[:5000] + b"\1" + whole[5001:], b"x" + whole[1:]):
        path.unlink()  # the mapped file stays whole
        path.write_bytes(damaged)
        assert equal(load(), table)
        assert path.read_bytes() == whole
    assert len(compiled) == 5
    monkeypatch.setattr(casing, "source_file", lambda: pytest.fail("a whole table needs no package"))
    assert equal(load(), table)


@pytest.mark.thorough
def test_cache_that_cannot_be_written(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = casing_table.compile_table(casing.source_file())
    monkeypatch.setattr(casing, "compile_table", lambda _: table)
    fresh.write_text("a file where the folder should be")
    assert load() is table
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert casing.cache_file() is None
    assert load() is table


def test_source_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "truecase/data").mkdir(parents=True)
    origin = str(tmp_path / "truecase/__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(origin=origin))
    with pytest.raises(SourceNotFoundError, match=r"english.dist is missing: install truecase again"):
        casing.source_file()
    (tmp_path / casing.SOURCE).write_bytes(b"cos\nsystem\n(S'echo owned'\ntR.")
    with pytest.raises(FormatError, match=r"not what truecase 0.0.14 brings \(SHA-256 [0-9a-f]{16}"):
        casing.source_file()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MixtureError, match="pip install truecase"):
        casing.source_file()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read: Ran out of input"),
        (b"\x80\x03}.", "lack uni_dist, backward_bi_dist"),
        (b"cos\nsystem\n(S'echo owned'\ntR.", r"name the class os\.system; expected counts only"),
        (b"X\xff\xff\xff\x7fabc" * 9, "cannot be read"),
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "other.dist"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message):
        casing_table.compile_table(path)
