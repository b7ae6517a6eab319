"""Altair's own schema accepts every chart of every kind of build; without Altair an error says what to install."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import polars as pl
import pytest

from curate.result.build import Build
from curate.result.charts import altair_charts
from tests.support.chart_builds import HOSTILE, KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_chart_is_a_valid_specification(build_named: Callable[[str], Build], kind: str) -> None:
    build = build_named(kind)
    for name in build.chart.names:
        drawn = getattr(build.chart, name)().to_dict()
        assert drawn["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
        assert sum(len(rows) for rows in drawn["datasets"].values()) <= 6_000
    assert set(build.chart.names) <= set(dir(build.chart))


def test_one_step_is_drawn_by_itself(build_named: Callable[[str], Build]) -> None:
    charts = build_named("chats").chart
    shape = json.dumps(charts.scores("shape").to_dict())
    assert shape == json.dumps(Build(build_named("chats").path).chart.scores("shape").to_dict())
    assert "shape: words" in shape
    assert "refusals: " not in shape
    assert "empty_side" not in json.dumps(charts.reasons("refusals").to_dict())


def test_a_limit_of_whole_numbers_is_between_the_bars_of_its_sides() -> None:
    low = [0.0, 1.0, 2.0]
    frame = pl.DataFrame(
        {
            "step": ["shape"] * 6,
            "score": ["turns"] * 3 + ["share"] * 3,
            "low": [*low, 0.0, 0.5, 1.0],
            "high": [1.0, 2.0, 3.0, 0.5, 1.0, 1.5],
            "rows": [3, 2, 1] * 2,
            "outside": [True, False, True] * 2,
            "at_least": [0.5] * 6,
            "at_most": [1.0] * 6,
        }
    )
    shown = [row for rows in altair_charts.scores(frame).to_dict()["datasets"].values() for row in rows]
    places = [tuple(row[name] for name in ("score", "low", "high", "at_least", "at_most")) for row in shown]
    assert places[:3] == [(0.0, -0.5, 0.5, 0.5, 1.5), (1.0, 0.5, 1.5, 0.5, 1.5), (2.0, 1.5, 2.5, 0.5, 1.5)]
    assert places[3:] == [(0.0, 0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 0.5, 1.0), (1.0, 1.0, 1.5, 0.5, 1.0)]


def test_counts_on_dark_cells_are_white() -> None:
    reasons = pl.DataFrame(
        {
            "step": ["shape"] * 3,
            "reason": ["a", "b", "c"],
            "source": ["s"] * 3,
            "rows": [1, 2, 9],
            "share": [0.01, 0.02, 0.5],
        }
    )
    for frame, dark in ((reasons, [False, False, True]), (reasons.head(1), [False])):
        drawn = altair_charts.reasons(frame, ["s"]).to_dict()
        assert [row["dark"] for rows in drawn["datasets"].values() for row in rows] == dark
        assert drawn["layer"][1]["encoding"]["color"]["condition"] == {"test": "datum.dark", "value": "white"}


def test_names_of_models_are_data_and_nothing_else(build_named: Callable[[str], Build]) -> None:
    drawn = build_named("rated").chart.win_rate().to_dict()
    named = {row.get("model") for rows in drawn["datasets"].values() for row in rows}
    assert HOSTILE in named


def test_without_altair_an_error_says_what_to_install(build_named: Callable[[str], Build]) -> None:
    path = build_named("plain").path
    code = (
        "import sys\nimport curate as c\n"
        f"build = c.Build({str(path)!r})\n"
        "print(build.chart.data('funnel').height, 'altair' in sys.modules)\n"
        "sys.modules['altair'] = None\n"
        "try:\n    build.chart.funnel()\nexcept c.CurateError as error:\n    print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    rows, message = found.splitlines()
    assert rows.endswith(" False"), "only a chart loads Altair"
    assert message.startswith("charts in a notebook need Altair: pip install 'curate[notebook]'")
