"""Two builds held against each other tell every row that entered, left or changed, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.compare.diff import Diff, diff, texts
from curate.errors import BuildFolderError, CallError
from curate.io.tables import frame
from curate.mix.amounts import Fraction, Repeat, Rows
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import Row, built, chat, chats, source

REFUSAL = "As an AI language model, I do not have opinions."


def named(rows: list[Row], prefix: str) -> list[Row]:
    return [{"id": f"{prefix}{n}", **row} for n, row in enumerate(rows)]


FIRST = named([*chats(30), chat("Ask 31?", REFUSAL), chat("Ask 5?", "Once more.")], "f")
SECOND = named(chats(12, 100), "s")


def brute(a: Build, b: Build) -> Counter[tuple[str, str, str]]:
    """RowCount the changes by reading every row of both builds into Python."""

    def held(build: Build) -> dict[tuple[str, str], list[Any]]:
        found: dict[tuple[str, str], list[Any]] = {}
        for split in build.manifest["splits"]:
            for row in build.kept(split).collect().to_dicts():
                found.setdefault((row["source"], row["id"]), []).append((split, row))
        return found

    before, after = held(a), held(b)
    counted: Counter[tuple[str, str, str]] = Counter()
    counted.update(("entered", *key) for key in after.keys() - before.keys())
    counted.update(("left", *key) for key in before.keys() - after.keys())
    counted.update(("changed", *key) for key in before.keys() & after.keys() if before[key] != after[key])
    return counted


def changes(found: Diff) -> Counter[tuple[str, str, str]]:
    return Counter(found.rows.select("change", "source", "id").rows())


def whys(found: Diff) -> dict[tuple[str, str], str]:
    return {(change, row_id): why for change, row_id, why in found.rows.select("change", "id", "why").rows()}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"steps": [refusals()]}, {"steps": [shape()]}),
        ({"steps": [exact_dedup(on="prompt")]}, {"steps": []}),
        ({"seed": 1, "test": Fraction(0.3)}, {"seed": 2, "test": Fraction(0.3)}),
        ({"steps": [cut_refusals()]}, {"steps": [refusals()], "test": Rows(5)}),
    ],
)
def test_every_change_is_found(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> None:
    a = built(tmp_path / "a", source("first", FIRST, take=Rows(20)), source("second", SECOND), **before)
    b = built(tmp_path / "b", source("first", FIRST, take=Rows(25)), source("third", SECOND, take=Repeat(2)), **after)
    found = diff(a, b)
    assert changes(found) == brute(a, b)
    assert found.same == sum(1 for _ in set(ids(a)) & set(ids(b))) - found.counts.filter(change="changed")["rows"].sum()
    assert changes(diff(b, a)) == Counter({(SWAP[change], *key): 1 for change, *key in changes(found)})


SWAP = {"entered": "left", "left": "entered", "changed": "changed"}


def ids(build: Build) -> list[tuple[str, str]]:
    return build.kept().select("source", "id").unique().collect().rows()


def test_a_build_is_the_same_as_itself(tmp_path: Path) -> None:
    a = built(tmp_path / "a", source("first", FIRST), steps=[refusals()])
    found = diff(a, a)
    assert (found.rows.height, found.same, found.settings, found.data) == (0, 31, (), ())
    assert found.counts.rows() == []


def test_each_row_says_why(tmp_path: Path) -> None:
    a = built(tmp_path / "a", source("first", FIRST), source("second", SECOND, take=Rows(4)))
    steps = [refusals(), exact_dedup(on="prompt")]
    rows = [row | {"id": "new"} if row["id"] == "f3" else row for row in FIRST]
    b = built(tmp_path / "b", source("first", rows), source("third", named(chats(2, 200), "t")), steps=steps)
    why = whys(diff(a, b))
    assert why["left", "f30"] == "is dropped by refusals: self_reference"
    assert {why.get(("left", "f5")), why.get(("left", "f31"))} == {None, "is dropped by exact_dedup: duplicate"}
    assert why["left", "f3"] == "is not read: no row has its id"
    assert why["entered", "new"] == "was not read: no row had its id"
    assert why["entered", "t0"] == "its source was not in the mixture"
    second = [reason for (change, row_id), reason in why.items() if change == "left" and row_id.startswith("s")]
    assert second == ["its source is not in the mixture any more"] * 4
    back = whys(diff(b, a))
    assert back["entered", "f30"] == "was dropped by refusals: self_reference"


def test_a_row_that_was_not_sampled_says_so(tmp_path: Path) -> None:
    small = built(tmp_path / "small", source("first", FIRST, take=Rows(10)))
    large = built(tmp_path / "large", source("first", FIRST, take=Rows(15)))
    assert Counter(whys(diff(small, large)).values()) == {"was not sampled": 5}
    assert Counter(whys(diff(large, small)).values()) == {"is not sampled": 5}


def test_what_changed_in_a_row_is_reported(tmp_path: Path) -> None:
    cut = chat("So?", "Yes.", "And you?", REFUSAL, id="cut")
    a = built(tmp_path / "a", source("first", [*FIRST[:9], cut]))
    other = [FIRST[0] | {"messages": chat("Ask 0?", "Something else.")["messages"]}, *FIRST[1:9], cut]
    b = built(tmp_path / "b", source("first", other, take=Repeat(2)), steps=[cut_refusals()])
    found = diff(a, b)
    reasons = whys(found)
    assert reasons["changed", "f0"] == "text, copies: 1 to 2"
    assert reasons["changed", "f1"] == "copies: 1 to 2"
    assert reasons["changed", "cut"] == "text: changed by nothing, now by cut_refusals, copies: 1 to 2"
    assert found.rows.filter(id="f1")["text"].to_list() == [False]
    assert found.data == ("first",)
    changed = found.rows.filter(id="f0")
    before, after = texts(a, changed), texts(b, changed)
    assert before["first", "f0"]["messages"][1]["content"].startswith("Answer 0.")
    assert after["first", "f0"]["messages"][1]["content"] == "Something else."
    assert texts(a, changed.clear()) == {}


def test_a_split_that_changed_is_reported(tmp_path: Path) -> None:
    a = built(tmp_path / "a", source("first", SECOND))
    b = built(tmp_path / "b", source("first", SECOND), test=Rows(3))
    assert Counter(whys(diff(a, b)).values()) == {"split: train to test": 3}


def test_settings_that_differ_are_reported(tmp_path: Path) -> None:
    a = built(tmp_path / "a", source("first", FIRST), source("second", SECOND), steps=[refusals(), shape()])
    steps = [shape(), refusals("tulu3")]
    b = built(tmp_path / "b", source("first", FIRST, take=Rows(9), licence="MIT"), steps=steps, seed=5)
    settings = {setting.name: (setting.before, setting.after) for setting in diff(a, b).settings}
    assert settings["seed"] == (0, 5)
    assert settings["order of steps"] == (["refusals", "shape"], ["shape", "refusals"])
    assert settings["order of sources"] == (["first", "second"], ["first"])
    assert settings["source first.take"] == ({"type": "All"}, {"type": "Rows", "n": 9})
    assert settings["source first.licence"] == (None, "MIT")
    assert settings["step refusals.preset"] == ("default", "tulu3")
    assert settings["source second"][1] is None
    assert not [name for name in settings if name.startswith(("step shape", "name"))]


def test_rows_of_two_kinds_cannot_be_compared(tmp_path: Path) -> None:
    a = built(tmp_path / "a", source("first", FIRST))
    pairs = frame(pl.DataFrame({"prompt": ["Q?"], "chosen": ["A."], "rejected": ["B."]}), "preference")
    with pytest.raises(CallError, match=r"a holds conversation rows, .*b holds preference rows; only rows of one kind"):
        diff(a, built(tmp_path / "b", source("pairs", pairs)))


@pytest.mark.parametrize("lost", ["ledger", "data"])
def test_a_build_that_is_not_whole_says_so(tmp_path: Path, lost: str) -> None:
    a, b = (built(tmp_path / name, source("first", FIRST)) for name in "ab")
    for path in (b.path / lost).glob("*.parquet"):
        path.unlink()
    with pytest.raises(BuildFolderError, match=r"the build at .* is not whole"):
        diff(a, b)
