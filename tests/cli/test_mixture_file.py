"""A mixture file is found by what the command line says, and what it raises names its line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from curate.cli.mixture_file import run_file, split_place
from curate.errors import CallError, FormatError, MixtureError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("place", "file", "name"),
    [
        ("mix.py", "mix.py", None),
        ("mix.py:sft", "mix.py", "sft"),
        ("mix.py:demo-sft.2", "mix.py", "demo-sft.2"),
        ("a:b.py", "a:b.py", None),
        ("a:b.py:sft", "a:b.py", "sft"),
        ("C:\\mix.py", "C:\\mix.py", None),
        ("C:\\mix.py:sft", "C:\\mix.py", "sft"),
        ("odd.py:sft", "odd.py:sft", None),
    ],
)
def test_a_place_is_a_file_and_perhaps_a_name(here: Path, place: str, file: str, name: str | None) -> None:
    for there in ("mix.py", "a:b.py", "C:\\mix.py", "odd.py", "odd.py:sft"):
        (here / there).touch()
    assert split_place(place) == (Path(file), name)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("mixx.py", r"^mixx\.py does not exist; did you mean 'mix\.py'\?$"),
        ("mixx.py:sft", r"^mixx\.py does not exist; did you mean 'mix\.py'\?$"),
        ("mixx.py:a/b", r"^mixx\.py:a/b does not exist; there is no Python file in mixx\.py:a$"),
        ("C:\\mix.py", r"does not exist; "),
        ("gone/mix.py", r"^gone/mix\.py does not exist; there is no Python file in gone$"),
        ("folder", r"^folder is a folder; name a Python file that declares a mixture$"),
        (":sft", r"^:sft does not exist"),
    ],
)
def test_a_place_that_is_not_there_says_what_is(here: Path, place: str, message: str) -> None:
    (here / "mix.py").touch()
    (here / "folder").mkdir()
    with pytest.raises(CallError, match=message):
        split_place(place)


def test_a_file_runs_under_a_name_of_its_own_with_its_folder_on_the_path(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = here / "inner"
    folder.mkdir()
    (folder / "beside_it.py").write_text("WORD = 'beside'\n", "utf-8")
    (folder / "mix.py").write_text(
        "import sys\nfrom beside_it import WORD\nname, file, seen = __name__, __file__, sys.path[0]\n", "utf-8"
    )
    before = list(sys.path)
    module = run_file(Path("inner/mix.py"))
    assert (module.WORD, module.file, module.seen) == ("beside", str(folder / "mix.py"), str(folder))
    assert module.name not in {"__main__", "mix"}
    assert (sys.path, sys.dont_write_bytecode) == (before, False)
    assert not list(folder.rglob("*.pyc")), "a check writes nothing"
    sys.modules.pop("beside_it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n\ny = x / 0\n", r"^mix\.py, line 3: ZeroDivisionError: division by zero$"),
        ("x = 1\ny = = 2\n", r"^mix\.py, line 2: SyntaxError: invalid syntax$"),
        ("import gone_from_here\n", r"^mix\.py, line 1: ModuleNotFoundError: No module named 'gone_from_here'$"),
        ("\nimport broken_beside\n", r"^mix\.py, line 2: SyntaxError: "),
        ("def f():\n    raise KeyError('k')\n\n\nf()\n", r"^mix\.py, line 2: KeyError: 'k'$"),
        (
            "import curate as c\nc.refusal()\n",
            r"^mix\.py, line 2: AttributeError: module curate has no 'refusal'; did you mean 'refusals'\?$",
        ),
        (
            "import curate as c\n\nsteps = [shape()]\n",
            r"^mix\.py, line 3: NameError: name 'shape' is not defined; write c\.shape$",
        ),
        ("import curate as c\nx = shapes\n", r"^mix\.py, line 2: NameError: name 'shapes' is not defined$"),
        ("raise SystemExit(0)\n", r"^mix\.py, line 1: SystemExit: 0$"),
    ],
)
def test_what_a_file_raises_names_its_line(here: Path, text: str, message: str) -> None:
    (here / "mix.py").write_text(text, "utf-8")
    (here / "broken_beside.py").write_text("x = (\n", "utf-8")
    before = list(sys.path)
    with pytest.raises(CallError, match=message):
        run_file(Path("mix.py"))
    assert sys.path == before


def test_a_declaration_keeps_its_kind_of_error(here: Path) -> None:
    (here / "mix.py").write_text("import curate as c\n\nc.Rows(0.5)\n", "utf-8")
    with pytest.raises(MixtureError, match=r"^mix\.py, line 3: Rows\(0\.5\): a whole number from 1"):
        run_file(Path("mix.py"))
    (here / "mix.py").write_text("from curate.errors import FormatError\nraise FormatError('odd')\n", "utf-8")
    with pytest.raises(FormatError, match=r"^mix\.py, line 2: odd$"):
        run_file(Path("mix.py"))


def test_an_interruption_is_no_error_of_the_file(here: Path) -> None:
    (here / "mix.py").write_text("raise KeyboardInterrupt('stop')\n", "utf-8")
    with pytest.raises(KeyboardInterrupt, match="stop"):
        run_file(Path("mix.py"))


def test_bytes_that_are_no_text_say_so(here: Path) -> None:
    (here / "mix.py").write_bytes(b"x = '\xff'\n")
    with pytest.raises(CallError, match=r"^mix\.py.*SyntaxError: .*utf-8"):
        run_file(Path("mix.py"))


def test_data_is_never_run_as_python(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("raise SystemExit('run')\n")
    with pytest.raises(CallError, match=r"rows\.jsonl is not a Python file \(\.py\); data is declared as a source"):
        split_place(str(data))
