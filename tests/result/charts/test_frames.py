"""Each frame of a chart against a slow count over the rows of a build, for builds of every kind of row."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError
from curate.result.build import Build
from curate.result.charts.charts import FRAMES
from curate.result.charts.scores import after, bin_edges
from tests.support.chart_builds import HOSTILE, KINDS, rated_rows

Named = Callable[[str], Build]


def lines(build: Build) -> list[dict[str, Any]]:
    return build.lines.collect().to_dicts()


@pytest.mark.parametrize("kind", KINDS)
def test_the_flow_ends_where_the_funnel_does(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    flow = build.chart.data("funnel")
    for number, line in enumerate(build.funnel.to_dicts()):
        source = None if number == build.funnel.height - 1 else line["source"]
        own = flow.filter(pl.col("source").eq_missing(pl.lit(source))).to_dicts()
        assert (own[0]["stage"], own[0]["left"]) == ("read", line["read"])
        assert (own[-1]["stage"], own[-1]["left"]) == ("kept", line["kept"])
        assert [stage["lost"] for stage in own if stage["stage"] not in {"read", "pairs", "kept"}] == [
            line[stage["stage"]] for stage in own if stage["stage"] not in {"read", "pairs", "kept"}
        ]
        for before, stage in pairwise(own):
            if stage["stage"] != "pairs":
                assert stage["left"] == before["left"] - stage["lost"]
            assert 0 <= stage["share"] <= before["share"] + 1e-12
        if not build.paired:
            assert own[-1]["share"] == pytest.approx(line["kept"] / line["read"])


def estimate(text: str | None) -> int:
    return math.ceil(len((text or "").encode()) / 4) + 4


def trained(row: dict[str, Any]) -> tuple[int, int]:
    """Return the tokens of a row, and those that are trained, of rows without reasoning and calls."""
    every = [
        turn for name in ("messages", "prompt", "chosen", "rejected", "completion") for turn in row.get(name) or ()
    ]
    answers = [turn for turn in row.get("messages") or () if turn["role"] == "assistant"]
    answers += [turn for name in ("chosen", "rejected", "completion") for turn in row.get(name) or ()]
    answers += row.get("completions") or []
    every += row.get("completions") or []
    return sum(estimate(turn["content"]) for turn in every), sum(estimate(turn["content"]) for turn in answers)


@pytest.mark.parametrize("kind", KINDS)
def test_composition_counts_what_the_data_files_hold(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in build.kept().collect().to_dicts():
        for place, count in enumerate((1, *trained(row))):
            counts[row["source"]][place] += count
    found = build.chart.data("composition")
    for place, measure in enumerate(("rows", "tokens", "trained tokens")):
        own = found.filter(measure=measure)
        assert own["source"].to_list() == build.sources
        assert own["count"].to_list() == [counts[source][place] for source in build.sources]
        whole = sum(own["count"])
        assert own["share"].to_list() == pytest.approx([count / whole if whole else 0 for count in own["count"]])
    asked = {one["name"]: one["plan"]["asked"] for one in build.manifest["sources"] if one["plan"]["unit"] == "rows"}
    assert dict(found.filter(measure="rows").select("source", "asked").rows()) == asked


def test_trained_tokens_are_scaled_to_what_a_tokenizer_counts(build_named: Named) -> None:
    build = build_named("chats")
    estimated = build.chart.data("composition").filter(measure="trained tokens")["count"]
    again = Build(build.path)
    again.manifest["tokens"] = "exact"
    again.composition = build.composition.with_columns(pl.col("tokens") * 3)
    scaled = again.chart.data("composition").filter(measure="trained tokens")
    assert scaled["count"].to_list() == [3 * count for count in estimated]
    assert scaled["estimated"].all()


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_those_of_kept_rows(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    sizes = defaultdict(list)
    for line in build.lines_of(build.kind).collect().to_dicts():
        if line["fate"] == "kept":
            sizes[line["source"]].append(line["tokens"])
    found = build.chart.data("lengths").to_dicts()
    assert [line["source"] for line in found] == [source for source in build.sources if source in sizes]
    for line in found:
        own = sorted(sizes[line["source"]])
        assert (line["rows"], line["shortest"], line["longest"]) == (len(own), own[0], own[-1])
        assert line["mean"] == pytest.approx(statistics.fmean(own))
        for name, share in (("p5", 0.05), ("median", 0.5), ("p95", 0.95)):
            assert line[name] == own[round(share * (len(own) - 1) + 1e-9)] or len(own) < 3 or line[name] in own


@pytest.mark.parametrize("kind", KINDS)
def test_histograms_count_every_score_once_on_its_side_of_the_limits(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    protected = {source["name"] for source in build.manifest["sources"] if source["protect"]}
    for (step, score), own in build.chart.data("scores").group_by("step", "score"):
        rows = build.lines_of(build.kind_of_step(str(step))).collect().to_dicts()
        values = [row[f"{step}.{score}"] for row in rows if row["source"] not in protected]
        values = [value for value in values if value is not None and not math.isnan(value)]
        at_least, at_most = own["at_least"][0], own["at_most"][0]
        outside = [
            (at_least is not None and value < at_least) or (at_most is not None and value > at_most) for value in values
        ]
        assert own["rows"].sum() == len(values)
        assert own.filter("outside")["rows"].sum() == sum(outside)
        for low, high, count in own.select("low", "high", "rows").iter_rows():
            inside = sum(low <= value < high for value in values)
            assert count == inside or (high == own["high"].max() and count == inside + values.count(high))
    declared = {(step["label"], bound["score"]) for step in build.manifest["steps"] for bound in step.get("bounds", ())}
    assert set(build.chart.data("scores").select("step", "score").rows()) <= declared


NUMBERS = st.lists(st.one_of(st.floats(-1e6, 1e6), st.integers(-5, 50).map(float)), min_size=1, max_size=60)


@given(NUMBERS, st.one_of(st.none(), st.floats(-1e6, 1e6)), st.one_of(st.none(), st.integers(-5, 50)))
def test_bins_hold_all_values_and_none_has_values_on_both_sides_of_a_limit(
    numbers: list[float], at_least: float | None, at_most: float | None
) -> None:
    values = np.array(numbers)
    limits = [limit for limit in (at_least, after(at_most)) if limit is not None]
    edges = bin_edges(values, limits)
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= 40
    assert np.histogram(values, edges)[0].sum() == len(values)
    for low, high in pairwise(edges):
        inside = values[(values >= low) & (values < high)]
        assert all(len({value < limit for value in inside}) <= 1 for limit in limits)


@pytest.mark.parametrize("kind", KINDS)
def test_filters_that_would_drop_the_same_rows(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    protected = {source["name"] for source in build.manifest["sources"] if source["protect"]}
    counts: Counter[tuple[str, ...]] = Counter()
    for kind_of_rows in build.kinds:
        steps = [step for step in build.manifest["steps"] if build.kind_of_step(step["label"]) == kind_of_rows]
        for row in build.lines_of(kind_of_rows).collect().to_dicts():
            hit = tuple(step["label"] for step in steps if row["source"] not in protected and is_outside(row, step))
            counts[hit] += 1
    del counts[()]
    found = {tuple(line["steps"]): line["rows"] for line in build.chart.data("agreement").to_dicts()}
    assert found == counts
    assert build.chart.data("agreement")["rows"].to_list() == sorted(counts.values(), reverse=True)


def is_outside(row: dict[str, Any], step: dict[str, Any]) -> bool:
    for bound in step.get("bounds", ()):
        value = row[f"{step['label']}.{bound['score']}"]
        low, high = bound["at_least"], bound["at_most"]
        if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
            return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_reasons_are_those_of_the_ledger(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    counts = Counter((row["step"], row["reason"], row["source"]) for row in lines(build) if row["fate"] == "dropped")
    found = build.chart.data("reasons")
    assert {(line["step"], line["reason"], line["source"]): line["rows"] for line in found.to_dicts()} == counts
    sizes = {of: Counter(build.lines_of(of).collect()["source"]) for of in build.kinds}
    for line in found.to_dicts():
        assert line["share"] == line["rows"] / sizes[build.kind_of_step(line["step"])][line["source"]]
    places = [build.steps.index(step) for step in found["step"]]
    assert places == sorted(places)


def test_findings_are_those_of_the_build_step_by_step(build_named: Named) -> None:
    build = build_named("chats")
    found = build.chart.data("contamination")
    assert found.drop("step").equals(build.contamination().cast(found.drop("step").schema))
    assert "quiz<b>" in found["eval"]
    overlap = build.chart.data("overlap")
    assert overlap["step"].unique().to_list() == ["exact_dedup"]
    assert sorted(overlap.select("source", "kept_source", "rows").rows()) == sorted(
        build.overlap().select("source", "kept_source", "rows").rows()
    )
    assert build.chart.data("languages").equals(build.languages)


@pytest.mark.parametrize("kind", ["pairs", "ratings"])
def test_lengths_and_margins_of_pairs(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    rows = build.kept().collect().to_dicts()
    gaps = [sum(estimate(turn["content"]) for turn in row["chosen"]) for row in rows]
    gaps = [
        gap - sum(estimate(turn["content"]) for turn in row["rejected"]) for gap, row in zip(gaps, rows, strict=True)
    ]
    found = build.chart.data("length_difference").to_dicts()
    assert sum(line["pairs"] for line in found) == len(gaps)
    for line in found:
        low, high = line["low"], line["high"]
        if high <= 0 and low < high:
            inside, mirrored = [low <= gap < high for gap in gaps], [-high < gap <= -low for gap in gaps]
        else:
            inside, mirrored = [low < gap <= high for gap in gaps], [-high <= gap < -low for gap in gaps]
        if low == high:
            inside = mirrored = [gap == 0 for gap in gaps]
        assert (line["pairs"], line["mirrored"]) == (sum(inside), sum(mirrored))
    margins = [row["chosen_score"] - row["rejected_score"] for row in rows]
    drawn = build.chart.data("margins")
    assert drawn["pairs"].sum() == len(margins)
    assert drawn["low"][0] == min(margins)
    assert sum(line["pairs"] for line in drawn.to_dicts() if line["high"] <= 1.5) == sum(
        one < max((line["high"] for line in drawn.to_dicts() if line["high"] <= 1.5), default=-9) for one in margins
    )


def test_lengths_by_label(build_named: Named) -> None:
    build = build_named("unpaired")
    sizes = defaultdict(list)
    for row in build.kept().collect().to_dicts():
        sizes[row["label"]].append(sum(estimate(turn["content"]) for turn in row["completion"]))
    found = build.chart.data("label_lengths").to_dicts()
    assert [line["label"] for line in found] == [True, False]
    for line in found:
        own = sizes[line["label"]]
        assert (line["rows"], line["shortest"], line["longest"]) == (len(own), min(own), max(own))
        assert line["mean"] == pytest.approx(statistics.fmean(own))


@pytest.mark.parametrize("kind", ["pairs", "ratings", "rated"])
def test_the_models_that_win(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    wins: Counter[str] = Counter()
    compared: Counter[str] = Counter()

    def count(one: str, won: float) -> None:
        wins[one] += won  # type: ignore[assignment]
        compared[one] += 1

    wrote = {(row["prompt"], one["content"]): one["model"] for row in rated_rows(40) for one in row["completions"]}
    for row in build.kept().collect().to_dicts():
        if row["source"] == "ratings" and kind == "ratings":
            for side, won in (("chosen", 1.0), ("rejected", 0.0)):
                count(wrote[row["prompt"][0]["content"], row[side][0]["content"]], won)
            continue
        if kind != "rated":
            meta, tie = json.loads(row["meta"]), row["chosen_score"] == row["rejected_score"]
            count(meta["chosen_model"], 0.5 if tie else 1.0)
            count(meta["rejected_model"], 0.5 if tie else 0.0)
            continue
        scored = [(each["model"], each["scores"][0]["value"]) for each in row["completions"]]
        for (one, mine), (other, its) in combinations(scored, 2):
            count(one, 0.5 if mine == its else float(mine > its))
            count(other, 0.5 if mine == its else float(its > mine))
    found = {line["model"]: line for line in build.chart.data("win_rate").to_dicts()}
    assert HOSTILE in found
    assert {name: (line["wins"], line["compared"]) for name, line in found.items()} == {
        name: (wins[name], compared[name]) for name in compared
    }
    assert all(line["win_rate"] == pytest.approx(wins[name] / compared[name]) for name, line in found.items())


@pytest.mark.parametrize("kind", KINDS)
def test_frames_have_the_same_columns_whether_there_is_something_to_show_or_not(build_named: Named, kind: str) -> None:
    charts, full = build_named(kind).chart, build_named("chats").chart
    for name in FRAMES:
        assert charts.data(name).columns
        if charts.data(name).height and full.data(name).height:
            assert charts.data(name).schema == full.data(name).schema


def test_what_is_not_there_is_said(build_named: Named) -> None:
    charts = build_named("plain").chart
    assert repr(charts) == "Charts(funnel, composition, lengths, answer_lengths)"
    with pytest.raises(CallError, match="there is no chart 'funel'; did you mean 'funnel'"):
        charts.data("funel")
    with pytest.raises(CallError, match="nothing to show as 'margins'; it has: funnel, composition, lengths"):
        charts.margins()
    with pytest.raises(CallError, match="this build has no step 'shape'"):
        charts.scores("shape")
    with pytest.raises(CallError, match="step 'exact_dedup' has no score with a bound; steps that have: language"):
        build_named("chats").chart.scores("exact_dedup")
