"""A source that is a part of its input: rows with certain values, in every container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from curate.engine.reading import open_sources
from curate.errors import MixtureError
from curate.io.inputs import Input, Opened, files
from curate.io.tables import frame
from curate.mix.amounts import Rows
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.report.check import check_parts
from tests.support.build_data import chat, write_lines

ROWS: Final = [
    chat("a?", "a", part="x", n=1, flag=True),
    chat("b?", "b", part="y", n=2, flag=False),
    chat("c?", "c", part='q"\u2028', n=1, flag=True),
    chat("d?", "d", n=3),
    chat("e?", "e", part="x", n=1.0),
]


def opened(given: Input, where: dict[str, Any]) -> Opened:
    return open_sources(Mixture("mix", (Source("main", given, where=where),)))[1][0]


def lines(given: Input, where: dict[str, Any]) -> list[int]:
    """Return the numbers of the rows of the part."""
    found = opened(given, where)
    return [int(line) for block in found.blocks() for line in found.parse(block).line]


def containers(folder: Path) -> list[Input]:
    write_lines(folder / "a.jsonl", ROWS)
    (folder / "a.json").write_text(json.dumps(ROWS))
    table = pl.DataFrame(ROWS, strict=False)
    table.write_parquet(folder / "a.parquet", row_group_size=2)
    table.write_ipc(folder / "a.arrow")
    return [*(files(folder / f"a.{end}", "messages") for end in ("jsonl", "json", "parquet", "arrow")), frame(table)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"part": "x"}, [1, 5]),
        ({"part": ["y", 'q"\u2028']}, [2, 3]),
        ({"n": 1}, [1, 3, 5]),
        ({"n": [2, 3]}, [2, 4]),
        ({"flag": True}, [1, 3]),
        ({"part": "x", "flag": True}, [1]),
        ({"part": "no"}, []),
        ({"none": "x"}, []),
    ],
)
def test_a_part_has_the_rows_with_its_values_and_their_numbers(
    where: dict[str, Any], expected: list[int], tmp_path: Path
) -> None:
    for given in containers(tmp_path):
        assert lines(given, where) == expected, given


def test_cells_are_compared_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question,answer,n\na?,"two\nlines",1\nb?,b,01\nc?,c,2\n')
    given = files(tmp_path / "a.csv", "question_answer")
    assert lines(given, {"n": 1}) == [2]
    assert lines(given, {"n": ["01", 2]}) == [4, 5]


def test_what_cannot_be_read_is_quarantined_and_other_json_is_no_part(tmp_path: Path) -> None:
    broken = ["{broken", '{"messages": 1, "part": "x"}', "[]", "3", '{"part": "x", "messages": NaN}', '{"part": NaN}']
    write_lines(tmp_path / "a.jsonl", [*ROWS, *broken])
    found = opened(files(tmp_path / "a.jsonl", "messages"), {"part": "x"})
    parsed = [found.parse(block) for block in found.blocks()]
    assert [int(line) for one in parsed for line in one.line] == [1, 5]
    assert [line for one in parsed for line in one.bad["line"].to_pylist()] == [6, 7, 10]


def test_values_that_no_row_has_are_named_with_those_there_are(tmp_path: Path) -> None:
    for given in containers(tmp_path)[:3]:
        source = Source("main", given, where={"part": "z"})
        with pytest.raises(MixtureError, match=r"source 'main': no row has part = 'z'; its first rows have 'x', 'y'"):
            Mixture("mix", (source,)).build(tmp_path / "out")
        source = Source("main", given, where={"parts": ["z", 2]})
        with pytest.raises(MixtureError, match=r"no row has parts = 'z' or 2; its columns are messages, part"):
            Mixture("mix", (source,)).build(tmp_path / "out")


@pytest.mark.parametrize("where", [{"part": None}, {"part": []}, {1: "x"}, "part", {"part": 1.5}])
def test_what_is_no_value_is_an_error(where: Any, tmp_path: Path) -> None:  # noqa: ANN401
    with pytest.raises(MixtureError, match=r"source 'main': where="):
        Source("main", files(tmp_path / "a.jsonl"), where=where)


def test_a_look_ahead_guesses_the_rows_of_the_part(tmp_path: Path) -> None:
    rows = [chat(f"Ask {i}?", "Yes, by all means.", part=f"p{i // 1_000}") for i in range(10_000)]
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet", row_group_size=1_000)
    write_lines(tmp_path / "a.jsonl", rows)
    for name in ("a.parquet", "a.jsonl"):
        source = Source("main", files(tmp_path / name, "messages"), where={"part": "p7"}, before=Rows(20))
        found = check(Mixture("mix", (source,)), rows=500).sources[0]
        assert found.read == 500
        assert 500 <= (found.rows or 0) <= 2_000
        assert found.through == found.expected == 20
        assert "20 rows go through them" in str(next(iter(check_parts(check(Mixture("mix", (source,)), rows=500)))))
