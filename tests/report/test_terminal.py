"""The funnel of a build in a terminal, and rows that show themselves."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console, RenderableType

from curate.errors import CallError
from curate.report.dropped_rows import dropped_rows
from curate.report.notebook import show_dropped
from curate.report.terminal import funnel_table
from curate.result.build import Build
from tests.report.conftest import NASTY, PHRASE


def printed(shown: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [90, 100])
def test_funnel_of_four_sources_and_four_steps_fits(demo: Build, width: int) -> None:
    assert len(demo.sources) == len(demo.steps) == 4
    lines = printed(funnel_table(demo), width)
    for row in demo.funnel.rows():
        cells = [str(row[0]), *(f"{value:,}" if value else "·" for value in row[1:])]
        assert sum(line.split() == cells for line in lines) == 1, "a line for each source, whole"
    assert all(len(line) <= width for line in lines)
    assert len({len(line.rstrip()) for line in lines if line.startswith(("assistant", "forum", "total"))}) == 1


def test_in_a_narrow_terminal_the_funnel_has_a_column_for_each_source(demo: Build) -> None:
    lines = printed(funnel_table(demo), 64)
    names = ("read", *demo.funnel.columns[2:])
    assert lines[0].split() == [*demo.sources, "total"]
    for name in names:
        cells = [name, *(f"{value:,}" if value else "·" for value in demo.funnel[name])]
        assert sum(line.split() == cells for line in lines) == 1, "a line for each step, whole"
    assert all(len(line) <= 64 for line in lines)
    assert all(len(line) <= 30 for line in printed(funnel_table(demo), 30))


def test_numbers_are_aligned_right_with_thousands_separated(demo: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    many = demo.funnel.with_columns(read=demo.funnel["read"].cast(int) * 10_000)
    monkeypatch.setattr(Build, "funnel", property(lambda _: many))
    lines = printed(funnel_table(demo), 100)
    ends = {found.end() for line in lines if (found := re.match(r"\S+ +([\d,]+0,000)", line))}
    assert len(ends) == 1
    assert "1,200,000" in "\n".join(lines)


def test_rows_that_show_themselves_mark_the_phrase_and_hold_no_control_characters(nasty: Build) -> None:
    found = show_dropped(nasty, "refusals", n=10)
    assert repr(found).count(f"»{PHRASE}«") == len(found.rows) == len(NASTY)
    assert "\x1b" not in repr(found)
    assert "\u202e" not in repr(found)
    assert "[U+202E]" in repr(found)


def test_wrong_names_are_reported(nasty: Build) -> None:
    with pytest.raises(CallError, match="no step 'refusal'; did you mean 'refusals'"):
        dropped_rows(nasty, step="refusal")
    with pytest.raises(CallError, match="no source 'third'"):
        show_dropped(nasty, source="third")
