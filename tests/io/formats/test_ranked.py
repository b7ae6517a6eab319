"""Tests of `nectar` and `stepwise`: ranks and step labels become scores."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.io.formats.base import Format
from curate.io.formats.ranked import nectar, stepwise
from curate.io.parse import parse_lines, parse_objects


def both(form: Format, row: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:  # noqa: ANN401
    """Parse one row as JSON and as Python values; both must agree."""
    json_rows, values = parse_lines([json.dumps(row).encode()], [1], form, None), parse_objects([row], [1], form, None)
    assert json_rows.body.to_pylist() == values.body.to_pylist()
    return json_rows.body.to_pylist(), json_rows.bad.to_pylist()


def answer(text: str, rank: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"answer": text, "model": "m", "rank": rank, **more}


def test_a_rank_becomes_a_score_that_is_higher_for_a_better_answer() -> None:
    answers = [answer("best", 1.0), answer("worst", 3), answer("fair", 2, note="x")]
    (row,), _ = both(nectar(), {"prompt": "\n\nHuman: Hi\n\nAssistant: ", "answers": answers, "turns": 1})
    assert row["messages"] == [{"role": "user", "content": "Hi"}]
    scores = [{one["name"]: one["value"] for one in each["scores"]} for each in row["completions"]]
    assert scores == [{"rank": 1, "overall": 3}, {"rank": 3, "overall": 1}, {"rank": 2, "overall": 2}]
    assert json.loads(row["meta"]) == {"turns": 1, "answers": [{}, {}, {"note": "x"}]}


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"prompt": "\n\nHuman: Hi", "answers": []}, "answers"),
        ({"prompt": "Hi", "answers": [answer("a", 1)]}, "prompt"),
        ({"prompt": "\n\nHuman: Hi\n\nAssistant: Yes", "answers": [answer("a", 1)]}, "prompt"),
        ({"prompt": "\n\nHuman: Hi", "answers": [answer("a", "first")]}, "answers[0].rank"),
    ],
)
def test_rows_that_are_no_nectar_are_quarantined(row: dict[str, Any], column: str) -> None:
    made, (bad,) = both(nectar(), row)
    assert (made, bad["column"]) == ([], column)


def test_each_step_has_its_label() -> None:
    row = {"prompt": "2+2*3?", "completions": ["2*3=6", "2+6=9"], "labels": [True, False], "id": 7}
    (made,), _ = both(stepwise(), row)
    assert [(one["content"], one["scores"][0]["value"]) for one in made["completions"]] == [("2*3=6", 1), ("2+6=9", 0)]
    for labels in ([True], [], [True, False, True]):
        assert both(stepwise(), {**row, "labels": labels})[1][0]["column"] == "labels"
