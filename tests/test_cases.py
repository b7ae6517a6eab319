"""Small inputs after public bug reports of neighbouring tools, each with what is expected of it.

They are read from the folder `cases` beside `CURATE_REAL_DATA`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from datasets import Dataset

import curate as c
from curate.errors import CurateError, FormatError
from curate.io.inputs import Input


@pytest.fixture
def case(real_data: Path) -> Any:  # noqa: ANN401
    def find(name: str) -> Path:
        (found,) = (real_data.parent / "cases").glob(f"{name}-*")
        return found

    return find


def contents(source: Input) -> list[list[str]]:
    """Return the texts of each row's turns; every row must be valid."""
    opened = source.open()
    parsed = [opened.parse(block) for block in opened.blocks()]
    assert sum(each.bad.num_rows for each in parsed) == 0
    rows = [row for each in parsed for row in each.body.to_pylist()]
    sides = ("prompt", "messages", "chosen", "rejected", "completions")
    return [[turn["content"] for side in sides for turn in row.get(side, ())] for row in rows]


def metas(source: Input) -> list[dict[str, Any]]:
    opened = source.open()
    return [json.loads(text) for block in opened.blocks() for text in opened.parse(block).body["meta"].to_pylist()]


def built(out: Path, source: Input, *steps: Any, **settings: Any) -> c.Build:  # noqa: ANN401
    return c.Mixture(name="m", sources=[c.Source("s", source, **settings)], steps=list(steps)).build(out)


def kept(build: c.Build) -> list[str]:
    return build.kept().collect()["id"].to_list()


def test_01_nanoseconds(case: Any) -> None:  # noqa: ANN401
    folder = case("01")
    assert metas(c.files(folder / "a.parquet", "question_answer")) == [{"created": "2023-11-14T22:13:20.123456789"}]
    assert metas(c.files(folder / "duration.parquet")) == [{"took": "PT0.123456789S"}]
    assert metas(c.files(folder / "far_date.parquet")) == [{"day": "275760-09-13"}]
    (nested,) = metas(c.files(folder / "nested.parquet", "ultrafeedback"))
    assert nested == {"completions": [{"when": "2023-11-14T22:13:20"}]}
    moment = pl.DataFrame({"question": ["q"], "answer": ["a"], "created": pl.Series([1], dtype=pl.Datetime("ns"))})
    expected = [{"created": "1970-01-01T00:00:00.000000001"}]
    assert metas(c.frame(moment)) == metas(c.dataset(Dataset(moment.to_arrow()))) == expected


def test_02_an_array_named_jsonl(case: Any) -> None:  # noqa: ANN401
    for name in ("alpaca", "auto"):
        assert len(contents(c.files(case("02") / "array.jsonl", name))) == 30


def test_03_an_open_quote(case: Any, tmp_path: Path) -> None:  # noqa: ANN401
    done = built(tmp_path / "out", c.files(case("03") / "quote.csv"))
    assert (len(kept(done)), done.quarantined()["line"].to_list()) == (199, [5])


def test_05_columns_as_pandas_writes_them(case: Any) -> None:  # noqa: ANN401
    for name in ("cols.json", "arrays.json"):
        assert len(contents(c.files(case("05") / name, "alpaca"))) == len(contents(c.files(case("05") / name))) == 40


def test_06_a_short_question_in_many_rows(case: Any, tmp_path: Path) -> None:  # noqa: ANN401
    evals = c.evals.files(case("06") / "ev.jsonl", question="q", id="id", name="own")
    done = built(tmp_path / "out", c.files(case("06") / "rows.jsonl"), c.decontaminate(evals))
    assert done.dropped().height == 8


@pytest.mark.parametrize("form", ["messages", "auto"])
def test_08_calls_of_tools(case: Any, tmp_path: Path, form: str) -> None:  # noqa: ANN401
    for name, rows in (("null", 1), ("absent", 1), ("empty", 1), ("mix", 100)):
        path = case("08") / f"{name}.jsonl"
        raw = [json.loads(line) for line in path.read_text().splitlines()]
        made = built(tmp_path / name, c.files(path, form), c.shape()).kept().collect().to_dicts()
        assert len(made) == len(raw) == rows
        given = [call["function"] for row in raw for turn in row["messages"] for call in turn.get("tool_calls") or ()]
        assert given
        found = [call for row in made for turn in row["messages"] for call in turn["tool_calls"] or ()]
        assert sorted((call["name"], call["arguments"]) for call in found) == sorted(
            (call["name"], call["arguments"]) for call in given
        )


def test_09_invisible_characters(case: Any, tmp_path: Path) -> None:  # noqa: ANN401
    folder = case("09")
    assert len(kept(built(tmp_path / "a", c.files(folder / "a.jsonl"), c.exact_dedup("prompt")))) == 1
    near = c.dedup("prompt", allow_large_drop=True)
    assert len(kept(built(tmp_path / "b", c.files(folder / "a.jsonl"), near))) == 1
    for step in (c.exact_dedup("prompt"), near):
        assert len(kept(built(tmp_path / step.name, c.files(folder / "b.jsonl"), step))) == 1
    question = json.loads((folder / "b.jsonl").read_text().splitlines()[0])["messages"][0]["content"]
    (tmp_path / "ev.jsonl").write_text(json.dumps({"q": question}))
    leaks = c.decontaminate(c.evals.files(tmp_path / "ev.jsonl", question="q", name="own"))
    with pytest.raises(CurateError, match="keeps no row"):
        built(tmp_path / "leaks", c.files(folder / "b.jsonl"), leaks)
    with pytest.raises(CurateError, match="keeps no row"):
        built(tmp_path / "empty", c.files(folder / "c.jsonl"), c.shape())


def test_11_folders_that_datasets_saved(case: Any) -> None:  # noqa: ANN401
    assert len(contents(c.files(case("11") / "small"))) == 2
    with pytest.raises(FormatError, match=r"(?s)train.*test|test.*train"):
        contents(c.files(case("11") / "dict"))
    assert len(contents(c.files(case("11") / "dict/train"))) == 20


def test_12_nan_marks_and_utf_16(case: Any) -> None:  # noqa: ANN401
    folder = case("12")
    for name in ("nan.jsonl", "nan.json", "bom.jsonl"):
        assert len(contents(c.files(folder / name, "messages"))) == 20
    assert len(contents(c.files(folder / "utf16le.jsonl"))) == 1


READ = (
    *("chosen_string.jsonl", "json_string.jsonl", "list_of_lists.json", "orca_pairs.jsonl", "struct_of_lists.parquet"),
    "upper_case.jsonl",
)
OFFERED = ("helpsteer.jsonl", "output_list.jsonl")


@pytest.mark.parametrize("name", [*READ, *OFFERED])
def test_13_layouts_are_read_or_the_call_that_is_offered_reads_them(case: Any, name: str) -> None:  # noqa: ANN401
    path = case("13") / name
    if name in READ:
        assert len(contents(c.files(path))) == 1
        return
    with pytest.raises(FormatError, match="format=") as error:
        contents(c.files(path))
    call = str(error.value).partition("format=")[2]
    offered = eval(call[: call.rindex(")") + 1], vars(c) | {n: getattr(c, n) for n in c.__all__})  # noqa: S307
    assert len(contents(c.files(path, offered))) == 1


def test_14_brackets_padding_scores_and_abbreviations(case: Any, tmp_path: Path) -> None:  # noqa: ANN401
    folder = case("14")
    (tmp_path / "[v1] data").mkdir()
    shutil.copy(folder / "a.jsonl", tmp_path / "[v1] data")
    assert len(contents(c.files(tmp_path / "[v1] data/*.jsonl"))) == 1
    assert len(contents(c.files(folder / "score_text.jsonl", "preference"))) == 1
    assert len(contents(c.files(folder / "padded.jsonl.gz"))) == 1
    done = built(tmp_path / "out", c.files(folder / "truecase.jsonl"), c.truecase("full"))
    assert "e.g. at noon" in str(done.kept().collect()["messages"].to_list())


def test_14_a_source_that_comes_to_nothing_is_said(tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": "a"} for i in range(405)]
    sources = [c.Source("few", c.frame(pl.DataFrame(rows[:5]))), c.Source("many", c.frame(pl.DataFrame(rows[5:])))]
    mixture = c.Mixture(name="m", sources=sources, weights="size", total=c.Rows(40))
    assert any("few" in note for note in mixture.build(tmp_path / "out").notes)


@pytest.mark.parametrize("how", ["leak", "die", "negative"])
def test_15_offsets_that_point_elsewhere(case: Any, how: str) -> None:  # noqa: ANN401
    done = subprocess.run(
        [sys.executable, str(case("15") / "make.py"), how], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "FormatError: " in done.stderr
    assert "column 'answer' is damaged" in done.stderr
    assert "password" not in done.stdout
