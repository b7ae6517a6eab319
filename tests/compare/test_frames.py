"""The frames of a difference hold what a count in Python finds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from curate.compare import frames
from curate.compare.diff import Diff, diff
from curate.result.build import Build
from curate.steps.filters.shape import shape
from tests.support.build_data import built, chats, source
from tests.support.chart_builds import KINDS, build_of


@pytest.fixture(scope="module", params=["chats", "ratings", "empty", "fifty", "different"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Diff:
    if request.param == "different":
        own: Diff = request.getfixturevalue("different")
        return own
    folder = tmp_path_factory.mktemp(request.param)
    a = build_of(request.param, folder)
    other = {"ratings": "pairs"}.get(request.param, "plain")
    return diff(a, build_of(other, folder))


def test_causes_count_every_row_once(found: Diff) -> None:
    counted = Counter(found.rows.select("cause", "source", "change").rows())
    lines = frames.causes(found)
    assert {
        (line["cause"], line["source"], change): line[change]
        for line in lines.to_dicts()
        for change in ("entered", "left", "changed")
        if line[change]
    } == counted
    by_cause = Counter(found.rows["cause"].to_list())
    order = list(dict.fromkeys(lines["cause"].to_list()))
    assert [by_cause[cause] for cause in order] == sorted(by_cause.values(), reverse=True)


def test_composition_is_that_of_the_data_files(found: Diff) -> None:
    def rows(build: Build) -> Counter[str]:
        return Counter(build.kept().select("source").collect()["source"].to_list())

    before, after = rows(found.a), rows(found.b)
    lines = frames.composition(found).filter(measure="rows")
    assert lines["source"].to_list() == list(dict.fromkeys([*found.b.sources, *found.a.sources]))
    for line in lines.to_dicts():
        name = line["source"]
        assert (line["before"], line["after"]) == (before[name], after[name])
        assert line["difference"] == after[name] - before[name]
        assert line["share_before"] == pytest.approx(before[name] / max(before.total(), 1))
        assert line["share_after"] == pytest.approx(after[name] / max(after.total(), 1))


def test_funnel_has_the_counts_of_both(found: Diff) -> None:
    lines = {(line["source"], line["stage"]): line for line in frames.funnel(found).to_dicts()}
    for name, build in (("before", found.a), ("after", found.b)):
        there = {
            (line["source"], stage): count
            for line in build.funnel.to_dicts()
            for stage, count in line.items()
            if stage != "source"
        }
        assert {key: line[name] for key, line in lines.items() if line[name] is not None} == there
    assert all(line["difference"] == (line["after"] or 0) - (line["before"] or 0) for line in lines.values())
    stages = [stage for source, stage in lines if source == "total"]
    for build in (found.a, found.b):
        own = build.funnel.columns[1:]
        assert [stage for stage in stages if stage in own][-2:] == ["kept", "rows"]
        assert [stage for stage in stages if stage in build.steps] == [one for one in build.steps if one in own] or (
            found.a.steps != found.b.steps
        )


def test_scores_are_counted_between_the_same_edges(found: Diff) -> None:
    lines = frames.scores(found)
    pairs = {(one.step, one.name): (one, other) for one, other in frames.shared_scores(found)}
    for (step, name), own in lines.group_by("step", "score", maintain_order=True):
        for place, (side, build) in enumerate((("before", found.a), ("after", found.b))):
            one = pairs[str(step), str(name)][place]
            protected = [source["name"] for source in build.manifest["sources"] if source["protect"]]
            kept = build.lines_of(build.kind_of_step(one.step)).filter(~pl.col("source").is_in(protected)).collect()
            values = [float(value) for value in kept[one.column].drop_nulls()]
            counts = own[side].to_list()
            assert sum(counts) == len(values)
            for low, high, count, out in own.select("low", "high", side, f"outside_{side}").rows():
                inside = [value for value in values if low <= value < high or (value == high == own["high"][-1])]
                assert len(inside) == count
                limits = one.at_least, one.at_most
                for value in inside:
                    assert out == (
                        (limits[0] is not None and value < limits[0]) or (limits[1] is not None and value > limits[1])
                    )


def test_a_moved_bound_is_an_edge_on_both_sides(tmp_path: Path) -> None:
    builds = [
        built(tmp_path / f"{words}", source("a", chats(40)), steps=[shape(min_words=words, allow_large_drop=True)])
        for words in (5, 8)
    ]
    own = frames.scores(diff(builds[0], builds[1])).filter(score="words")
    assert {5.0, 8.0} <= set(own["low"])
    assert own["before"].to_list() == own["after"].to_list()
    assert own.filter("outside_before")["high"].max() == 5.0
    assert own.filter("outside_after")["high"].max() == 8.0


def test_every_kind_has_frames(tmp_path: Path) -> None:
    for kind in KINDS:
        if kind == "fifty":
            continue
        build = build_of(kind, tmp_path)
        same = diff(build, build)
        assert frames.causes(same).height == 0
        assert frames.composition(same)["difference"].abs().sum() == 0
        assert frames.funnel(same)["difference"].abs().sum() == 0
        scores = frames.scores(same)
        assert scores["before"].equals(scores["after"])
