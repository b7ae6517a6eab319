"""Arrays kept on disk: they are those that were made, and a folder that cannot be used changes nothing."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2 import Environment

from curate.kernels import kept as module
from curate.kernels.kept import Arrays, code_of, kept
from curate.result.tables import environment
from curate.steps.refusals import phrase_files
from curate.text.phrases import automaton
from curate.text.phrases.automaton import Phrase, compile_phrases


class Maker:
    """Makes two arrays, and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Arrays:
        self.made += 1
        return {"numbers": np.arange(3), "flag": np.asarray(True)}  # noqa: FBT003


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kept"


def same(found: Arrays) -> bool:
    return (
        found.keys() == {"numbers", "flag"} and found["numbers"].tolist() == [0, 1, 2] and found["flag"].item() is True
    )


def test_what_is_kept_is_not_made_again(folder: Path) -> None:
    make = Maker()
    assert all(same(kept("some", b"key", "code", make)) for _ in range(3))
    assert make.made == 1
    assert [path.suffix for path in folder.iterdir()] == [".arrow"]
    kept("some", b"other key", "code", make)
    kept("some", b"key", "other code", make)
    kept("other", b"key", "code", make)
    assert make.made == 4


@pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps("code")])
def test_a_broken_file_is_made_again(folder: Path, content: bytes) -> None:
    make = Maker()
    kept("some", b"key", "code", make)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    place = whole.index(np.arange(3).tobytes())
    altered = whole[: place + 8] + b"\x07" + whole[place + 9 :]
    for wrong in (content, whole[:-30], whole[: len(whole) // 2], altered):
        path.write_bytes(wrong)
        assert same(kept("some", b"key", "code", make))
        assert same(kept("some", b"key", "code", make))
    assert make.made == 5


class Harm:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:  # noqa: ANN401
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(folder: Path, tmp_path: Path) -> None:
    make = Maker()
    kept("some", b"key", "code", make)
    (path,) = folder.iterdir()
    path.write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    assert same(kept("some", b"key", "code", make))
    assert make.made == 2
    assert not (tmp_path / "harm").exists()


def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    make = Maker()
    assert all(same(kept("some", b"key", "code", make)) for _ in range(2))
    assert make.made == 2


def test_the_users_folder_is_next_to_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    (tmp_path / "__pycache__").write_text("")  # no folder
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    make = Maker()
    assert all(same(kept("some", b"key", "code", make)) for _ in range(2))
    assert make.made == 1
    assert len(list((tmp_path / "own" / "curate" / "kept").iterdir())) == 1


def test_what_fails_is_not_kept(folder: Path) -> None:
    def fail() -> Arrays:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept("some", b"key", "code", fail)
    assert not folder.exists()


def test_the_oldest_are_forgotten(folder: Path) -> None:
    make = Maker()
    for number in range(module.MOST + 5):
        kept("some", b"%d" % number, "code", make)
    kept("other", b"key", "code", make)
    assert len(list(folder.glob("some-*"))) == module.MOST
    assert len(list(folder.glob("other-*"))) == 1


def test_a_name_that_begins_with_another_one_is_not_forgotten_with_it(folder: Path) -> None:
    """Marks of steps that ran were lost from the ninth step on, and each build compiled beside itself again."""
    for number in range(module.MOST + 5):
        kept(f"ran-{number}", b"", "code", Maker())
    kept("ran", b"", "code", Maker())
    assert len(list(folder.glob("ran-*-*"))) == module.MOST + 5


def test_processes_at_once_do_not_disturb_each_other(folder: Path) -> None:
    code = (
        "import numpy as np\nfrom curate.kernels.kept import kept\n"
        "for n in range(200):\n"
        "    found = kept('some', b'%d' % (n % 3), 'code', lambda: {'a': np.full(20_000, n % 3)})\n"
        "    assert (found['a'] == n % 3).all() and len(found['a']) == 20_000\n"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert len(list(folder.iterdir())) == 3


def test_the_code_decides() -> None:
    assert code_of("kernels/kept.py") != code_of("kernels/compile.py")


def test_an_automaton_from_disk_is_the_one_that_was_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phrases = tuple(Phrase(f"I cannot say {n}") for n in range(automaton.MANY))
    compile_phrases.cache_clear()
    first = compile_phrases(phrases, loose=True)
    compile_phrases.cache_clear()
    monkeypatch.setattr(automaton, "compile_now", None)
    second = compile_phrases(phrases, loose=True)
    assert len(list(folder.glob("phrases-*"))) == 1
    pairs: list[tuple[str, Any, Any]] = list(zip(first._fields, first, second, strict=True))
    for name, one, other in pairs:
        assert type(one) is type(other), name
        assert np.array_equal(one, other), name
        if isinstance(one, np.ndarray):
            assert (one.dtype, one.flags.writeable) == (other.dtype, other.flags.writeable), name
    compile_phrases.cache_clear()


@pytest.mark.usefixtures("folder")
def test_what_is_kept_is_read_only() -> None:
    for _ in range(2):
        assert not any(array.flags.writeable for array in kept("some", b"key", "code", Maker()).values())


@pytest.mark.parametrize(
    ("given", "moralising"),
    [({0: "no_feelings.txt", 1: ("I would rather not",)}, -1), ({0: "zephyr.txt"}, 1), ({0: "harmful.txt"}, -1)],
)
def test_phrases_from_disk_are_those_of_the_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: dict[int, phrase_files.Given], moralising: int
) -> None:
    first = phrase_files.search_for(given, 2, moralising)
    monkeypatch.setattr(phrase_files, "compile_rules", None)
    second = phrase_files.search_for(given, 2, moralising)
    assert len(list(folder.glob("refusals-*"))) == 1
    for name, one, other in zip(first._fields, first, second, strict=True):
        if name == "automaton":
            assert all(map(np.array_equal, one, other))
        else:
            assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other, name


@pytest.mark.usefixtures("folder")
def test_a_template_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = environment().get_template("tables.html.j2").module
    monkeypatch.setattr(Environment, "_generate", None)
    second = environment().get_template("tables.html.j2").module
    assert vars(first).keys() == vars(second).keys()
