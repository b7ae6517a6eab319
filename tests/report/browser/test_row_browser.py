"""The browser of rows in Chromium: each filter, search, links and keys do what they say, and hostile text is text."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import Route

from curate.report.page import page
from curate.result.build import Build
from curate.result.push import without_texts
from tests.report.browser.conftest import NARROW, Open, Opened, Row, data_of
from tests.report.conftest import PHRASE


def name(row: Row) -> str:
    return f"{row['source']}/{row['id']}"


def link(row: Row) -> str:
    """Spell the permalink of a row."""
    return "#row=" + quote(name(row), safe="/!'()*~")


def words(row: Row) -> str:
    """Return what the search looks in, in small letters."""
    texts = [
        "".join(span if isinstance(span, str) else span[0] if isinstance(span, list) else "\n" for span in part["text"])
        for part in row["parts"]
        if "text" in part
    ]
    return "\n".join([row["id"], row["source"], row.get("match", ""), *texts]).lower()


def values(row: Row, what: str) -> list[str]:
    if what == "step":
        return [*row.get("edited", []), *([row["step"]] if "step" in row else [])]
    return [row[what]] if what in row else []


@pytest.fixture
def demo_page(demo: Build, opening: Open) -> tuple[Opened, list[Row]]:
    html = page(demo)
    return opening(html), data_of(html)["rows"]


def test_each_choice_finds_its_rows(demo_page: tuple[Opened, list[Row]]) -> None:
    opened, rows = demo_page
    assert opened.found == len(rows) > 200
    for what in ("source", "fate", "step", "reason"):
        for value in sorted({value for row in rows for value in values(row, what)}):
            opened.choose(what, value)
            expected = [row for row in rows if value in values(row, what)]
            assert opened.found == len(expected) > 0
            assert opened.listed() == [f"{link(row)}" for row in expected]
            shown = opened.page.locator(f".filters [name={what}] option:checked").inner_text()
            assert shown == f"{value} ({len(expected)})"
        opened.clear()
        assert opened.found == len(rows)


def test_ranges_and_search_narrow_what_choices_found(demo_page: tuple[Opened, list[Row]]) -> None:
    opened, rows = demo_page
    steps: list[tuple[str, str]] = [
        ("fate", "kept"),
        ("turns_from", "2"),
        ("turns_to", "4"),
        ("characters_from", "120"),
        ("characters_to", "600"),
        ("q", "THE "),
        ("source", "forum"),
    ]
    left = rows
    for what, value in steps:
        opened.choose(what, value)
        base, _, end = what.partition("_")
        left = [
            row
            for row in left
            if (what == "q" and "the" in words(row))
            or (end == "from" and row[base] >= int(value))
            or (end == "to" and row[base] <= int(value))
            or value in values(row, what)
        ]
        assert opened.found == len(left), what
    assert 0 < len(left) < len(rows) / 4
    state = opened.page.evaluate("location.hash")
    opened.go(state)
    assert opened.found == len(left)
    assert opened.title == name(left[0])
    opened.choose("q", "no row has these words")
    assert opened.page.locator(".rows-found").inner_text() == "No row has all of this."
    assert opened.page.evaluate("location.hash").startswith("#rows&q=no%20row")


def test_every_row_has_a_link_that_opens_it(nasty: Build, opening: Open) -> None:
    html = page(nasty)
    opened = opening(html)
    rows = data_of(html)["rows"]
    for row in rows:
        opened.page.evaluate("to => { location.hash = to; }", link(row))
        opened.wait()
        at = opened.page.locator(".rows-found a[aria-current]")
        assert at.get_attribute("href") == link(row)
    named = next(row for row in rows if row["id"] == "wide")
    opened.go(link(named))
    assert opened.title == name(named)
    assert opened.page.locator(".shown mark").first.inner_text() == PHRASE
    assert opened.page.locator("#rows").bounding_box()["y"] < 100  # type: ignore[index]


def test_a_link_opens_a_row_that_the_filters_hide(demo_page: tuple[Opened, list[Row]]) -> None:
    opened, rows = demo_page
    row = next(row for row in rows if row["fate"] == "dropped")
    opened.go(f"{link(row)}&fate=kept")
    assert opened.title == name(row)
    assert "The filters that are set leave this row out." in opened.page.locator(".shown").inner_text()
    assert opened.found == sum(row["fate"] == "kept" for row in rows)
    opened.go("#row=forum/nothing%E0%A4%A&source=%")
    assert opened.found == len(rows)
    opened.go("#row=forum/nothing")
    assert f"forum/nothing is not among the {len(rows)} rows" in opened.page.locator(".shown").inner_text()


def test_keys_move_search_and_help(demo_page: tuple[Opened, list[Row]]) -> None:
    opened, rows = demo_page
    press = opened.page.keyboard.press
    for key, at in (("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
        press(key)
        assert opened.title == name(rows[at])
    opened.page.locator(".rows-found a[aria-current]").focus()
    for key, at in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1)):
        press(key)
        assert opened.title == name(rows[at])
        assert opened.page.evaluate("document.activeElement.getAttribute('aria-current')") == "true"
    press("/")
    opened.page.keyboard.type("jk?")
    opened.wait()
    assert opened.page.locator("[name=q]").input_value() == "jk?"
    press("Escape")
    assert opened.page.locator("[name=q]").input_value() == ""
    press("Escape")
    press("?")
    assert opened.page.locator("dialog").is_visible()
    opened.page.locator("dialog input").uncheck()
    press("Escape")
    assert not opened.page.locator("dialog").is_visible()
    before = opened.title
    press("j")
    press("/")
    assert opened.title == before
    assert opened.page.evaluate("document.activeElement.name") != "q"


def test_rows_are_added_to_the_list_as_it_is_read(demo_page: tuple[Opened, list[Row]]) -> None:
    opened, rows = demo_page
    assert opened.page.locator(".rows-found a").count() < len(rows)
    opened.go(link(rows[-1]))
    assert opened.page.locator(".rows-found a").count() == len(rows)
    assert opened.listed() == [link(row) for row in rows]


def test_a_reason_links_to_its_rows(demo: Build, opening: Open) -> None:
    opened = opening(page(demo))
    opened.page.locator("a.browse-link").nth(0).click()
    opened.wait()
    chosen = {what: opened.page.locator(f"[name={what}]").input_value() for what in ("step", "reason")}
    first = demo.dropped(chosen["step"], chosen["reason"])
    assert opened.found == first.height > 0
    assert opened.page.evaluate("scrollY") > 100


def test_a_duplicate_is_beside_the_row_kept(demo: Build, opening: Open) -> None:
    opened = opening(page(demo), "#rows&step=exact_dedup")
    survivor = opened.page.locator(".shown .survivor")
    assert survivor.locator("h4").inner_text().startswith("kept in its place: ")
    assert survivor.locator(".turn").count() > 0
    kept = survivor.locator("h4").inner_text().removeprefix("kept in its place: ").partition(" ")[0]
    survivor.locator("a").click()
    opened.wait()
    assert opened.title == kept


def test_pairs_are_side_by_side_and_items_are_named(pairs: Build, searched: Build, opening: Open) -> None:
    opened = opening(page(pairs))
    columns = opened.page.locator(".shown .sides > section")
    assert [one.partition("\n")[0] for one in columns.all_inner_texts()] == ["chosen", "rejected"]
    left, right = (columns.nth(place).bounding_box() for place in (0, 1))
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    opened = opening(page(searched), "#rows&step=decontaminate")
    assert "Contains qu<i>z/" in opened.page.locator(".shown").inner_text()
    assert opened.page.locator(".shown mark").count() > 0


def test_hostile_texts_are_texts(nasty: Build, opening: Open) -> None:
    html = page(nasty)
    opened = opening(html)
    for row in data_of(html)["rows"]:
        opened.page.evaluate("to => { location.hash = to; }", link(row))
        opened.wait()
        own = "script, img, i, b, style, iframe, [onerror]"
        assert opened.page.locator(f".shown :is({own}), .rows-found :is({own})").count() == 0
    opened.go(f"#row={quote('first/<img src=x onerror=alert(1)>')}")
    assert "<script>alert(2)</script>" in opened.page.locator(".shown").inner_text()
    opened.go("#row=first/turned")
    text = opened.page.locator(".shown").inner_text()
    assert "U+202E" in text
    assert "\u202e" not in text
    assert opened.page.locator(".shown .unseen").first.get_attribute("title") == "RIGHT-TO-LEFT OVERRIDE"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_telephone(nasty: Build, pairs: Build, opening: Open, scheme: str) -> None:
    for build in (nasty, pairs):
        html = page(build)
        opened = opening(html, size=NARROW, scheme=scheme)
        for row in data_of(html)["rows"][:40]:
            opened.page.evaluate("to => { location.hash = to; }", link(row))
            width = opened.page.evaluate("document.documentElement.scrollWidth")
            assert width <= NARROW[0], name(row)


def test_a_page_that_was_published_says_that_it_has_no_rows(demo: Build, opening: Open) -> None:
    html = without_texts(page(demo), demo.path)
    opened = opening(html, live=False)
    assert "This page has no texts of rows" in opened.page.locator(".how").inner_text()
    assert not opened.page.locator(".filters").is_visible()
    assert not opened.page.locator("a.browse-link").first.is_visible()


def test_without_scripts_the_page_shows_what_it_always_did(demo: Build, opening: Open) -> None:
    opened = opening(page(demo), live=False, script=False)
    assert "open this page where scripts may run" in opened.page.locator("#browser .how").inner_text()
    assert not opened.page.locator(".filters").is_visible()
    assert opened.page.locator(".rows article").first.is_visible()


def test_the_policy_lets_nothing_in(demo: Build, opening: Open) -> None:
    opened = opening(page(demo))
    left: list[str] = []

    def leaves(route: Route) -> None:
        left.append(route.request.url)
        route.abort()

    opened.page.context.route("https://**", leaves)
    tried = opened.page.evaluate(
        """async () => {
            const script = document.createElement('script');
            script.textContent = 'window.ran = 1';
            document.body.append(script);
            const button = document.createElement('button');
            button.setAttribute('onclick', 'window.ran = 2');
            document.body.append(button);
            button.click();
            const asked = await fetch('https://example.org/').then(() => 'asked', () => 'refused');
            const image = new Image();
            const loaded = new Promise((done) => {
                image.onload = () => done('loaded');
                image.onerror = () => done('refused');
            });
            image.src = 'https://example.org/x.png';
            return [window.ran ?? 0, asked, await loaded];
        }"""
    )
    assert tried == [0, "refused", "refused"]
    assert len(opened.said) >= 4
    assert all("Content Security Policy" in line for line in opened.said)
    assert left == [], "refused before they leave the page"
    opened.said.clear()
    opened.requests.clear()


def test_a_notebook_cell_has_the_browser_in_a_frame(demo: Build, opening: Open) -> None:
    shown = demo.browse(step="exact_dedup", n=5)
    assert (shown.rows, shown.total) == (5, demo.dropped("exact_dedup").height)
    opened = opening(f"<!DOCTYPE html><title>cell</title>{shown._repr_html_()}", live=False)
    frame = opened.page.frame_locator("iframe")
    frame.locator(".browser.live").wait_for()
    assert frame.locator(".count").inner_text() == "5 rows"
    frame.locator(".rows-found a").nth(1).click()
    assert frame.locator(".rows-found a[aria-current]").count() == 1
    frame.locator("[name=q]").fill("no row has this")
    frame.locator(".rows-found .empty").wait_for()
