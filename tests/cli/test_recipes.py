"""Recipes by name, and their settings on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.cli.mixture_recipes import mixtures_in, recipe_names, recipes, recipes_folder
from curate.errors import CallError
from curate.mix.amounts import Rows

FILE = """
from __future__ import annotations
from typing import TYPE_CHECKING, Literal
import polars as pl
import curate as c
if TYPE_CHECKING:
    from curate.io.inputs import Input

def made(*, rows: int = 5, share: float = 1.0, how: Literal["a", "b"] = "a", clean: bool = False,
         most: int | None = 3, name: str = "made", data: Input | None = None) -> c.Mixture:
    frame = c.frame(pl.DataFrame({"question": ["q"], "answer": ["a"]}))
    return c.Mixture(f"{name}-{how}-{clean}-{most}-{share}", [c.Source("s", frame, take=c.Rows(rows))])

def needs(rows: int) -> c.Mixture:
    return made(rows=rows)

def other() -> int:
    return 3
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "made.py").write_text(FILE)
    return str(tmp_path / "made.py")


def test_a_function_of_the_files_name_takes_settings(file: str) -> None:
    assert [one.name for one in mixtures_in(file)] == ["made-a-False-3-1.0"]
    given = {"rows": "1_0", "share": "0.5", "how": "b", "clean": "yes", "most": "none", "name": "x"}
    (mixture,) = mixtures_in(file, given)
    assert mixture.name == "x-b-True-None-0.5"
    assert mixture.sources[0].take == Rows(10)
    assert mixtures_in(f"{file}:needs", {"rows": "7"})[0].sources[0].take == Rows(7)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("", {"row": "3"}, r"made has no setting 'row'; did you mean 'rows'\?"),
        ("", {"rows": "x"}, r"--set rows=x: a whole number"),
        ("", {"share": "x"}, r"--set share=x: a number"),
        ("", {"how": "c"}, r"--set how=c: "),
        ("", {"clean": "maybe"}, r"--set clean=maybe: clean is true or false"),
        ("", {"data": "x"}, r"--set data=x: data is no text or number"),
        ("", {"rows": "-1"}, r"made\.py, line 12: Rows\(-1\)"),
        (":needs", {}, r"made needs --set rows=\.\.\."),
        (":other", {}, r"other\(\) returns no mixture"),
        (":none", {"rows": "1"}, r"has none named 'none'"),
    ],
)
def test_wrong_settings_are_named(file: str, name: str, given: dict[str, str], message: str) -> None:
    with pytest.raises(Exception, match=message):
        mixtures_in(f"{file}{name}", given)


def test_a_recipe_is_known_by_its_name_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [one.name for one in mixtures_in("demo:ratings")] == ["demo-ratings"]
    with pytest.raises(CallError, match=r"there is no recipe 'dem'; did you mean 'demo'\?"):
        mixtures_in("dem")


def test_every_recipe_is_listed_with_its_mixture() -> None:
    listed = recipes()
    assert {one.name.partition(":")[0] for one in listed} == set(recipe_names())
    for one in listed:
        assert one.says.endswith(".")
        assert one.mixture.sources
        assert all(
            name in {source.name for source in one.mixture.sources} or said.gone
            for name, said in one.mixture.published.items()
        )


def test_a_recipe_is_read_in_one_sitting() -> None:
    lines = {file.name: len(file.read_text().splitlines()) for file in recipes_folder().glob("*.py")}
    assert {name: count for name, count in lines.items() if count > 80} == {}
