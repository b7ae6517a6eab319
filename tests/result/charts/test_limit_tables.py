"""Rows outside each limit at every stop: as a plain count has them, and as `recut` decides."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import curate as c
from curate.errors import CallError
from curate.result.bounds import Moved, argument, recut_steps
from curate.result.build import Build
from curate.result.cell_page import UNTRUSTED
from curate.result.charts.limit_tables import NEAR, STOPS, LimitTable, frame_of, limit_tables, rounded
from curate.result.charts.sliders import DATA_BYTES, limits_data
from curate.result.stored_rows import StoredRows
from curate.steps.base import Bound
from tests.support.build_data import built, chat, source
from tests.support.chart_builds import KINDS, REFUSAL, rated_rows
from tests.support.rated_data import of_rated

Named = Callable[[str], Build]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Limits on both sides, scores with fractions, whole ones and none, a protected source, a step of one source."""
    chance = random.Random(5)

    def rows(count: int, start: int) -> list[dict[str, object]]:
        return [
            chat(
                f"What of {i}?",
                REFUSAL if i % 11 == 0 else " ".join(chance.choices(("sea", "boat"), k=chance.randrange(1, 400))),
                reward=None if i % 13 == 0 else chance.gauss(0.5, 0.3),
            )
            for i in range(start, start + count)
        ]

    own = c.shape(min_characters=60, allow_large_drop=True)
    steps = [
        c.refusals(allow_large_drop=True),
        c.shape(on="response", min_words=20, max_words=300, allow_large_drop=True),
        c.score("meta.reward", at_least=0.1, at_most=0.9, allow_large_drop=True),
        c.exact_dedup(on="prompt"),
    ]
    return built(
        tmp_path_factory.mktemp("limited") / "build",
        source("a", rows(500, 0)),
        source("b", [*rows(200, 1000), {"messages": []}], steps=[own]),
        source("ours", rows(30, 2000), protect=True),
        steps=steps,
    )


def outside(build: Build, table: LimitTable, limit: float) -> tuple[int, int, dict[str, int]]:
    """Count rows outside a limit by the lines of the ledger: all, those that no other limit drops, and by source."""
    protected = [one["name"] for one in build.manifest["sources"] if one["protect"]]
    lines = build.lines_of(table.kind).filter(~pl.col("source").is_in(protected), pl.col("fate") != "quarantined")
    own, others = pl.lit(value=False), pl.lit(value=False)
    for step in build.manifest["steps"]:
        if build.kind_of_step(step["label"]) != table.kind:
            continue
        for place, bound in enumerate(step.get("bounds", ())):
            score = pl.col(f"{step['label']}.{bound['score']}").cast(pl.Float64).fill_nan(None)
            for side in ("at_least", "at_most"):
                mine = (step["label"], place, side) == (table.limit.step, table.limit.place, table.limit.side)
                value = limit if mine else bound[side]
                if value is None:
                    continue
                beyond = ((score < value) if side == "at_least" else (score > value)).fill_null(value=False)
                own, others = (beyond, others) if mine else (own, others | beyond)
    alone = lines.filter(own, ~others).group_by("source").len().collect()
    return lines.filter(own).collect().height, int(alone["len"].sum()), dict(alone.rows())


def agrees(build: Build, table: LimitTable, places: range | list[int]) -> None:
    for place in places:
        found = {name: int(rows[place]) for name, rows in zip(build.sources, table.sources, strict=True) if rows[place]}
        counted = (int(table.outside[place]), int(table.alone[place]), found)
        assert counted == outside(build, table, table.stops[place]), (table.limit, table.stops[place])


def test_counts_at_every_stop_are_those_of_the_ledger(limited: Build) -> None:
    tables = limit_tables(limited)
    assert [
        (one.limit.step, one.limit.bound.reason, one.limit.side) for one in tables if one.limit.step != "refusals"
    ] == [
        ("b:shape", "too_few_characters", "at_least"),
        ("shape", "too_few_words", "at_least"),
        ("shape", "too_many_words", "at_most"),
        ("score", "low_score", "at_least"),
        ("score", "high_score", "at_most"),
    ]
    for table in tables:
        assert table.stops == sorted(set(table.stops))
        assert table.stops[table.declared] == table.limit.declared
        agrees(limited, table, range(0, len(table.stops), max(len(table.stops) // 40, 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_counts_of_every_kind_of_build(build_named: Named, kind: str) -> None:
    build = build_named(kind)
    for table in limit_tables(build):
        agrees(build, table, [0, table.declared, len(table.stops) - 1])
        shown = build.chart.data("scores").filter(step=table.limit.step, score=table.limit.bound.score)
        assert shown.height > 1


def filtered(build: Build, moved: dict[str, Moved]) -> int:
    """Count the rows that the filters drop as `recut` has it."""
    steps = recut_steps(build, moved, None)
    return int((StoredRows.read(build, steps).filtered([step.bounds for step in steps]).place >= 0).sum())


def moved_to(table: LimitTable, limit: float) -> dict[str, Moved]:
    bound = table.limit.bound
    both = {"at_least": (limit, bound.at_most), "at_most": (bound.at_least, limit)}[table.limit.side]
    return {table.limit.step: {bound.reason: both}}


def test_what_would_leave_or_come_back_is_what_recut_decides(limited: Build) -> None:
    tables = limit_tables(limited)
    before = filtered(limited, {"shape": {}})
    for table in tables:
        for place in {0, len(table.stops) // 3, table.declared, len(table.stops) - 1}:
            after = filtered(limited, moved_to(table, table.stops[place]))
            assert after - before == table.alone[place] - table.alone[table.declared]
    few = next(one for one in tables if one.limit.bound.reason == "too_few_words")
    place = few.stops.index(50)
    found = limited.recut(moved_to(few, 50.0), compute=False).rows
    steps = [step["label"] for step in limited.manifest["steps"] if step["kind"] == "filter"]
    lines = limited.lines_of(limited.kind).collect()
    dropped = [rows.filter(pl.col("step").is_in(steps)).height for rows in (lines, found)]
    assert dropped[1] - dropped[0] == few.alone[place] - few.alone[few.declared] > 0


def test_counts_of_real_rows_are_those_of_recut(tmp_path: Path, real_file: Callable[[str], Path]) -> None:
    lima = c.Source("lima", c.files(real_file("sft/lima.json")))
    steps = [c.refusals(), c.shape(on="response", min_words=20, max_words=2000), c.repetition(allow_large_drop=True)]
    build = built(tmp_path / "build", lima, steps=steps)
    before = filtered(build, {"shape": {}})
    tables = limit_tables(build)
    assert len(tables) > 8
    for table in tables:
        agrees(build, table, [table.declared, len(table.stops) // 2])
        place = len(table.stops) // 2
        after = filtered(build, moved_to(table, table.stops[place]))
        assert after - before == table.alone[place] - table.alone[table.declared]


def test_stops_are_all_scores_or_some_two_hundred_with_round_ones(limited: Build) -> None:
    by_name = {(one.limit.step, one.limit.bound.reason): one for one in limit_tables(limited)}
    words = by_name["shape", "too_few_words"]
    assert (words.whole, words.every) == (True, False)
    assert STOPS / 2 < len(words.stops) < STOPS * 1.2
    assert {10, 20, 50, 100, 200} <= set(words.stops)
    distinct = np.unique(limited.scores("shape").filter(pl.col("source") != "ours")["words"].to_numpy())
    parted, at = np.searchsorted(distinct, words.stops), int(np.searchsorted(distinct, 20))
    assert set(range(at - NEAR, at + NEAR)) <= set(parted.tolist())
    refused = next(one for (step, _), one in by_name.items() if step == "refusals")
    assert refused.every
    fractions = by_name["score", min(reason for step, reason in by_name if step == "score")]
    assert not fractions.whole
    assert max(len(repr(stop)) for stop in fractions.stops) < 10
    assert len(limit_tables(limited, "shape", 20)[0].stops) < 50


def test_a_rounded_stop_parts_scores_as_the_score_does() -> None:
    chance = np.random.default_rng(3)
    for values in (chance.random(500), chance.normal(0, 1e5, 500), chance.random(50) * 1e-7, np.arange(-5.0, 60.0)):
        distinct = np.unique(values)
        stops = rounded(distinct)
        assert (np.searchsorted(distinct, stops, "right") == np.arange(1, len(distinct) + 1)).all()
        assert np.mean([len(repr(one)) for one in stops]) <= np.mean([len(repr(one)) for one in distinct])


def test_tables_fit_the_page_and_hold_no_markup(tmp_path: Path) -> None:
    chance = random.Random(1)
    many = [
        source(
            f"source-{i:02}",
            [chat(f"{i} {n}?", " ".join(chance.choices(("a", "sea"), k=chance.randrange(1, 900)))) for n in range(60)],
        )
        for i in range(50)
    ]
    sizes = {
        f"{side}_{what}": 500 if side == "max" else 5 for side in ("min", "max") for what in ("words", "characters")
    }
    steps = [c.shape(on=on, allow_large_drop=True, **sizes) for on in ("all", "response")]  # type: ignore[arg-type]
    build = built(tmp_path / "b", *many, steps=[*steps, c.repetition(min_words=5, allow_large_drop=True)])
    text = limits_data(build)
    assert len(text.encode()) <= DATA_BYTES
    assert not set("<>&") & set(text)
    found = json.loads(text)
    assert len(found["limits"]) == len(limit_tables(build)) > 8
    assert limits_data(Build(build.path)) == text


def test_what_to_write_for_a_moved_limit(limited: Build) -> None:
    found = {(one["step"], one["reason"], one["side"]): one for one in json.loads(limits_data(limited))["limits"]}
    words = found["shape", "too_few_words", "at_least"]
    assert words["setting"] == ["shape(min_words=", ")"]
    assert words["recut"] == ['build.recut(shape={"too_few_words": ', "})"]
    own = found["b:shape", "too_few_characters", "at_least"]
    assert own["recut"] == ['build.recut({"b:shape": {"too_few_characters": ', "}})"]
    for one in found.values():
        before, after = one["recut"]
        call = f"{before}{100}{after}".replace("build.recut(", "dict(")
        ((label, moved),) = eval(call).items()  # noqa: S307  our own
        assert recut_steps(limited, {label: moved}, None)


def test_rated_rows_before_a_pairing_cannot_be_recut(tmp_path: Path) -> None:
    early = [c.shape(max_words=200, allow_large_drop=True), c.binarize(allow_large_drop=True)]
    build = built(
        tmp_path / "b", source("ratings", of_rated(rated_rows(40)), steps=early), steps=[c.shape(min_words=9)]
    )
    found = {one["step"]: one for one in json.loads(limits_data(build))["limits"]}
    assert {step: one["recut"] is None for step, one in found.items()} == {"ratings:shape": True, "shape": False}
    for table in limit_tables(build):
        agrees(build, table, range(0, len(table.stops), 9))


def test_an_argument_is_the_only_one_of_its_value_or_of_its_name() -> None:
    bound = Bound("top_2gram", "top_2gram", at_most=0.6)
    assert argument({"version": 2, "top_2gram": 0.6, "top_3gram": 0.6}, bound, 0.6) == "top_2gram"
    assert argument({"version": 2, "x": 0.6, "y": 0.6}, bound, 0.6) == ""
    assert argument({"version": 2}, bound._replace(at_most=2), 2) == ""


def test_a_step_without_limits_says_which_have_them(limited: Build, build_named: Named) -> None:
    with pytest.raises(CallError, match=r"'exact_dedup' has no limit to move; steps that have: b:shape, refusals"):
        limited.what_if("exact_dedup")
    with pytest.raises(CallError, match="no step 'nothing'"):
        limited.what_if("nothing")
    assert not limit_tables(build_named("plain"))
    assert limits_data(build_named("plain")) == ""


def test_a_notebook_shows_sliders_and_a_terminal_numbers(limited: Build, tmp_path: Path) -> None:
    found = limited.what_if("shape")
    shown = found._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts" title="What if a limit moved"')
    assert shown.endswith(f'">{UNTRUSTED}</iframe>')
    assert found.save(tmp_path / "in" / "what.html").read_text("utf-8") == found.html
    said = repr(found).splitlines()
    assert said[1] == "too_few_words, at least"
    declared = found.data.filter("declared", reason="too_few_words")
    assert f"*         20 {declared['outside'][0]:>12,} {declared['alone'][0]:>12,}" in said
    assert found.data.columns == ["step", "reason", "score", "side", "limit", "declared", "outside", "alone"]
    assert found.data.equals(frame_of(limit_tables(limited, "shape")))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_few_columns_at_a_time_count_the_same(limited: Build, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = limited.ledger.filter(pl.col("fate") != "quarantined", pl.col("source") != "ours").collect().height
    monkeypatch.setattr("curate.result.charts.limit_tables.AT_ONCE", columns * 8 * rows)
    assert frame_of(limit_tables(limited)).equals(frame_of(limited.limit_tables))
    assert [one.limit for one in limit_tables(limited)] == [one.limit for one in limited.limit_tables]
