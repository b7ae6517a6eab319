"""What `curate check` prints adds up and is whole."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.report.check import check_parts
from curate.steps.filters.shape import shape
from curate.steps.filters.truecase import truecase
from tests.support.build_data import chat, write_lines


def printed(mixture: Mixture) -> list[str]:
    console = Console(width=200, file=StringIO())
    console.print(*check_parts(check(mixture)))
    assert isinstance(console.file, StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_an_edit_drops_nothing_and_every_reason_is_counted(tmp_path: Path) -> None:
    rows = [chat(f"what is it? {n}", f"Answer {n}.") for n in range(12)]
    rows += [chat(""), chat("What?", "So.", "And?"), chat(*"abcdefgh"), chat("Why?", "Because. " * 9)]
    steps = truecase(), shape(max_turns=4, max_characters=50, allow_large_drop=True)
    path = write_lines(tmp_path / "a.jsonl", rows)
    lines = printed(Mixture("m", (Source("a", files(path, "messages")),), steps))
    assert "truecase 16 · · changes 12 rows" in lines
    assert "shape 16 4 25.0% empty_turn 1, too_many_characters 1, too_many_turns 1, unanswered 1" in lines


def test_a_long_excerpt_ends_in_dots(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [*(chat(f"Ask {n}", "So.") for n in range(9)), {"text": "so " * 90}])
    [line] = [line for line in printed(Mixture("m", (Source("a", files(path, "messages")),))) if "a.jsonl:10" in line]
    assert line.endswith("...'")
    assert line.count("so so") > 10
