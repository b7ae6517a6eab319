"""Sliders of limits in Chromium: moved by keys, by number and back, they count as the tables do, and recolour bars."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Locator

import curate as c
from curate.report.page import page
from curate.result.build import Build
from curate.result.charts.limit_tables import LimitTable, limit_tables
from curate.result.push import without_texts
from tests.report.browser.conftest import NARROW, WIDE, Open
from tests.support.build_data import built, chat, source


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Build:
    rows = [chat(f"Number {i}?", " ".join(["word"] * (1 + i % 90))) for i in range(400)]
    other = [chat(f"Other {i}?", " ".join(["word"] * (1 + i % 9))) for i in range(50)]
    sized = c.shape(on="response", min_words=5, max_words=60, allow_large_drop=True)
    steps = [sized, c.repetition(min_words=30, allow_large_drop=True)]
    return built(tmp_path_factory.mktemp("sliders") / "b", source("a", rows), source("b", other), steps=steps)


def slider(node: Locator, name: str) -> Locator:
    return node.locator(f'.limit-slider[aria-label="{name}"]')


def table_of(build: Build, reason: str) -> LimitTable:
    return next(one for one in limit_tables(build) if one.limit.bound.reason == reason)


def said(table: LimitTable, place: int) -> str:
    """Say the counts at a stop as the page does."""

    def alone(at: int) -> str:
        return f"{table.alone[at]:,}" if table.alone[at] else "none"

    now, more = table.declared, int(table.alone[place] - table.alone[table.declared])
    rows = f"{abs(more):,} row{'s' if abs(more) != 1 else ''}"
    would = f"{rows} would {'leave' if more > 0 else 'come back'}" if more else "no row would leave or come back"
    outside = f"{table.outside[place]:,} row{'s' if table.outside[place] != 1 else ''} outside"
    if place == now:
        return f"{outside}, {alone(place)} by this limit alone."
    was = f"{table.limit.declared:g}"
    own = f"{alone(place)} by this limit alone ({alone(now)} at {was})"
    return f"{outside} ({table.outside[now]:,} at {was}), {own}: {would}."


def bars(node: Locator) -> list[tuple[float, float, str]]:
    """Return from where to where each bar counts, and its colour; one that is partly outside is there in both."""
    every = "all => all.map((one) => [Number(one.dataset.low), Number(one.dataset.high), one.getAttribute('fill')])"
    found: list[tuple[float, float, str]] = [tuple(one) for one in node.locator("rect").evaluate_all(every)]
    return found


def coloured(node: Locator, least: float, most: float) -> None:
    """Hold the colours of bars of whole numbers against the limits."""
    kept, out = "var(--c-kept)", "var(--c-out)"
    colours: dict[tuple[float, float], list[str]] = {}
    for low, high, colour in bars(node):
        colours.setdefault((low, high), []).append(colour)
    for (low, high), found in colours.items():
        inside = [least <= value <= most for value in range(int(low), int(high))]
        assert found == ([kept] if all(inside) else [out, kept] if any(inside) else [out]), (low, high)


def test_keys_and_numbers_move_a_limit_and_back_restores_it(limited: Build, opening: Open) -> None:
    opened = opening(page(limited))
    few = table_of(limited, "too_few_words")
    node = slider(opened.page.locator("body"), "too_few_words, at least")
    chart = node.locator("xpath=ancestor::figure//*[local-name()='svg']")
    counts, ranged, box = node.locator("[role=status]"), node.locator("[type=range]"), node.locator("[type=number]")
    before = bars(chart), counts.inner_text()
    assert before[1] == said(few, few.declared)
    assert node.locator("button").is_hidden()
    ranged.focus()
    for moves in range(1, 4):
        opened.page.keyboard.press("ArrowRight")
        place = few.declared + moves
        assert counts.inner_text() == said(few, place)
        assert float(box.input_value()) == few.stops[place]
        assert ranged.get_attribute("aria-valuetext") == f"at least {few.stops[place]:g}"
        coloured(chart, few.stops[place], 60)
    assert node.locator(".write").inner_text().split() == [
        "shape(min_words=8)",
        'build.recut(shape={"too_few_words":',
        "8})",
    ]
    opened.page.keyboard.press("End")
    assert counts.inner_text() == said(few, len(few.stops) - 1)
    box.fill("2")
    box.press("Enter")
    assert counts.inner_text() == said(few, few.stops.index(2))
    box.press("ArrowUp")
    assert counts.inner_text() == said(few, few.stops.index(2) + 1)
    box.fill("")
    box.press("Enter")
    assert float(box.input_value()) == few.stops[few.stops.index(2) + 1]
    node.locator("summary").click()
    node.locator("tbody tr").first.wait_for()  # the browser tells that the table is open in a moment
    listed = node.locator("tbody tr").all_inner_texts()
    at = few.stops.index(2) + 1
    assert [re.split(r"\s+", one)[:3] for one in listed] == [
        [name, str(rows[few.declared]), str(rows[at])] for name, rows in zip(limited.sources, few.sources, strict=True)
    ]
    node.locator("button").click()
    assert (bars(chart), counts.inner_text()) == before
    assert ranged.evaluate("one => one === document.activeElement")
    assert node.locator("button").is_hidden()


def test_a_number_between_stops_goes_to_the_nearest_and_both_sides_move(limited: Build, opening: Open) -> None:
    found = limited.what_if("repetition")
    opened = opening(found.html, live=False)
    table = next(one for one in limit_tables(limited, "repetition") if not one.every)
    node = slider(opened.page.locator("body"), f"{table.limit.bound.reason}, at most")
    box, counts = node.locator("[type=number]"), node.locator("[role=status]")
    low, high = table.stops[1:3]
    box.fill(repr(low + (high - low) / 3))
    box.press("Enter")
    assert float(box.input_value()) == low
    assert counts.inner_text().startswith(f"Counts are known at {low:g}, the stop nearest to ")
    opened = opening(limited.what_if("shape").html, live=False)
    body = opened.page.locator("body")
    few, many = slider(body, "too_few_words, at least"), slider(body, "too_many_words, at most")
    for node, to in ((few, "10"), (many, "40")):
        node.locator("[type=number]").fill(to)
        node.locator("[type=number]").press("Enter")
    coloured(body.locator("svg[data-score=words]"), 10, 40)
    top = table_of(limited, "too_many_words")
    assert many.locator("[role=status]").inner_text() == said(top, top.stops.index(40))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(limited: Build, opening: Open, scheme: Literal["light", "dark"]) -> None:
    for html, live in ((page(limited), True), (limited.what_if("shape").html, False)):
        for size in (WIDE, NARROW):
            opened = opening(html, size=size, scheme=scheme, live=live)
            node = slider(opened.page.locator("body"), "too_few_words, at least")
            node.locator("[type=range]").focus()
            opened.page.keyboard.press("ArrowRight")
            node.locator("summary").click()
            assert opened.faults() == []
            assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_script_there_is_no_slider_and_without_texts_there_is(
    limited: Build, opening: Open, tmp_path: Path
) -> None:
    html = page(limited)
    assert opening(html, live=False, script=False).page.locator(".limit-slider").count() == 0
    opened = opening(without_texts(html, tmp_path), live=False)
    assert opened.page.locator(".limit-slider").count() == len(limit_tables(limited))


def test_a_cell_runs_its_sliders_in_a_frame(limited: Build, opening: Open) -> None:
    opened = opening(f"<!DOCTYPE html><title>cell</title>{limited.what_if('shape')._repr_html_()}", live=False)
    frame = opened.page.frame_locator("iframe")
    node = frame.locator('.limit-slider[aria-label="too_few_words, at least"]')
    node.locator("[type=range]").focus()
    opened.page.keyboard.press("ArrowRight")
    few = table_of(limited, "too_few_words")
    assert node.locator("[role=status]").inner_text() == said(few, few.declared + 1)
