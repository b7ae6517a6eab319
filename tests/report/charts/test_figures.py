"""The charts of pages and cards of every kind of build: sound, the same on repeat, with the numbers of the frames."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from curate.drawing.flow import LANES
from curate.drawing.svg import DARK, LIGHT, fixed
from curate.report.charts.card_files import card_files
from curate.report.charts.figures import page_charts
from curate.report.overview import overview
from curate.report.page import page
from curate.result.build import Build
from tests.support.chart_builds import HOSTILE, KINDS, LONG_NAME
from tests.support.svg import NAMES, charts_in, sound, texts

Named = Callable[[str], Build]


@pytest.mark.parametrize("kind", KINDS)
def test_every_chart_of_a_page_is_sound_and_the_same_on_repeat(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    text = page(build)
    assert text == page(Build(build.path))
    drawn = charts_in(text)
    assert drawn
    for chart in drawn:
        sound(chart)
    used = set(re.findall(r"var\(--c-(\w+)\)", text))
    assert used <= LIGHT.keys()
    assert LIGHT.keys() == DARK.keys()
    assert "<script>alert(1)" not in text
    cell = build._repr_html_()
    assert "<svg" not in cell  # JupyterLab leaves the words of a chart in one line
    assert cell.count('<img alt="What is left after each step. ') == 1
    for chart in charts_in(cell):
        sound(chart)
        assert "var(" not in ET.tostring(chart, "unicode")


@pytest.mark.parametrize("kind", KINDS)
def test_the_charts_of_a_card_are_files_that_stay_as_they_are(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    files = card_files(build)
    assert files == card_files(Build(build.path))
    assert {path.relative_to(build.path).as_posix() for path in build.path.glob("charts/*")} == set(files)
    card = (build.path / "README.md").read_text("utf-8")
    for path, drawn in files.items():
        assert (build.path / path).read_text("utf-8") == drawn
        sound(ET.fromstring(drawn))  # noqa: S314  our own
        assert "var(" not in drawn
        assert f"]({path})" in card
    assert card.count("](charts/") == len(files)
    assert set(files) == ({"charts/funnel.svg"} if kind == "empty" else {"charts/funnel.svg", "charts/composition.svg"})


def test_long_and_hostile_names_are_shortened_and_whole_in_their_title(build_named: Named) -> None:
    charts = page_charts(build_named("chats"))
    assert charts.flow
    (drawn,) = charts_in(charts.flow.svg)
    assert LONG_NAME not in texts(drawn)
    titles = [one.text for text in drawn.iter(f"{NAMES}text") for one in text]
    assert LONG_NAME in titles
    (wins,) = (one for one in page_charts(build_named("rated")).pairs if one.title == "Wins of each model")
    (models,) = charts_in(wins.svg)
    assert any("[U+202E]" in (one.text or "") for text in models.iter(f"{NAMES}text") for one in text)
    assert HOSTILE not in wins.svg
    assert "\u202e" not in wins.svg


def test_bars_of_scores_say_what_they_count(build_named: Named) -> None:
    build = build_named("chats")
    figures = page_charts(build).scores
    assert list(figures) == ["refusals", "shape", "repetition"]
    for step, own in figures.items():
        for figure in own:
            (drawn,) = charts_in(figure.svg)
            assert drawn.attrib["data-step"] == step
            frame = build.chart.data("scores").filter(step=step, score=drawn.attrib["data-score"])
            bins = [one.attrib for one in drawn.iter() if "bin" in one.attrib.get("class", "").split()]
            assert [int(one["data-count"]) for one in bins] == frame["rows"].to_list()
            assert [float(one["data-low"]) for one in bins] == frame["low"].to_list()
            assert [float(one["data-high"]) for one in bins] == frame["high"].to_list()
            assert ["out" in one["class"] for one in bins] == frame["outside"].to_list()
            limits = [one.attrib for one in drawn.iter() if one.attrib.get("class") == "limit"]
            known = {value for name in ("at_least", "at_most") for value in frame[name].drop_nulls()}
            assert {float(one["data-limit"]) for one in limits} == known


def test_many_sources_share_a_band(build_named: Named) -> None:
    build = build_named("fifty")
    charts = page_charts(build)
    assert charts.flow
    assert charts.composition
    (flow,) = charts_in(charts.flow.svg)
    assert f"{50 - LANES + 1} others" in texts(flow)
    assert "600" in "".join(texts(flow))
    assert "500" in texts(flow)
    assert any(text.endswith("others") for text in texts(charts_in(charts.composition.svg)[0]))


def test_charts_are_there_where_they_have_something_to_show(build_named: Named) -> None:
    plain = page_charts(build_named("plain"))
    assert plain.flow
    assert plain.lengths
    assert (plain.agreement, plain.reasons, plain.languages, plain.pairs) == (None, None, None, ())
    empty = page_charts(build_named("empty"))
    assert (empty.composition, empty.lengths) == (None, None)
    assert [one.title for one in page_charts(build_named("pairs")).pairs] == [
        "Length against label",
        "Margins",
        "Wins of each model",
    ]
    assert [one.title for one in page_charts(build_named("unpaired")).pairs] == ["Lengths of completions by label"]


def test_a_file_has_colours_in_place_of_variables() -> None:
    assert fixed('<rect fill="var(--c-kept)" stroke="var(--c-ink)"/>', LIGHT) == (
        f'<rect fill="{LIGHT["kept"]}" stroke="{LIGHT["ink"]}"/>'
    )


def test_the_overview_says_what_went_in_what_came_out_and_what_is_wrong(build_named: Named) -> None:
    build = build_named("chats")
    found = overview(build)
    assert found.went_in[0][:2] == (f"{build.funnel['read'][-1]:,}", "rows read from 3 sources")
    assert [line.number for line in found.went_in[1:]] == [
        f"{read:,}" for read in sorted(build.funnel["read"][:-1], reverse=True)
    ]
    assert found.came_out[0].number == f"{build.composition['rows'].sum():,}"
    wrong = " ".join(f"{line.number} {line.text}" for line in found.wrong)
    assert "1 row could not be read, or is invalid" in wrong
    assert f"rows of {LONG_NAME} are short of the plan" in wrong
    assert "contaminated" in wrong
    assert f"{LONG_NAME} by quiz<b>" in wrong
    text = page(build)
    anchors = set(re.findall(r'id="([^"]+)"', text))
    assert {line.section for block in found for line in block} <= anchors
    assert not overview(build_named("plain")).wrong
    assert "Nothing that the build can see" in page(build_named("plain"))
    assert "0" in {line.number for line in overview(build_named("empty")).came_out}
    said = [line.text for block in overview(build_named("one")) for line in block if line.number == "1"]
    assert said == ["row read from 1 source", "one", "conversation row in the data files", "row in train"]
