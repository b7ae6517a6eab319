"""Texts cut around their hits: nothing is lost, nothing runs, nothing hides."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.report.templates import html, templates
from curate.result.browser.highlights import WHOLE, Hit, cut
from curate.text.unseen import UNSEEN, coded

LETTERS = st.sampled_from([*"ab \n<&", "é", "e\u0301", "你", "\U0001f600", "\u200d", "\U0001f3fd", "\u202e", "م"])
TEXTS = st.one_of(
    st.lists(LETTERS, max_size=60).map("".join),
    st.tuples(st.lists(LETTERS, min_size=1, max_size=30).map("".join), st.integers(1, 200)).map(lambda t: t[0] * t[1]),
)
SPANS = st.lists(st.tuples(st.integers(-5, 7000), st.integers(-5, 300), st.sampled_from("xyz")), max_size=12)


@given(TEXTS, SPANS)
def test_spans_are_the_text_and_what_is_left_out(text: str, spans: list[tuple[int, int, str]]) -> None:
    hits = [Hit(start, start + length, title) for start, length, title in spans]
    within = [hit for hit in hits if 0 <= hit.start < hit.end <= len(text)]
    place = seen = 0
    for span in cut(text, hits):
        if span.left_out:
            assert not span.text
            place += span.left_out
            seen += span.hits
            continue
        assert span.text == text[place : place + len(span.text)]
        for offset in range(place, place + len(span.text)):
            assert set(span.titles) == {hit.title for hit in within if hit.start <= offset < hit.end}
        place += len(span.text)
    assert place == len(text)
    assert len(text) > WHOLE or all(not span.left_out for span in cut(text, hits))


def test_a_long_text_shows_its_first_hits_and_counts_the_others() -> None:
    hits = [Hit(place, place + 4, "x") for place in range(1000, 21_000, 1000)]
    found = cut("word " * 5000, hits)
    assert sum(bool(span.titles) for span in found) == 6
    assert sum(span.hits for span in found) == 14
    assert "14 marks left out" in found[-1].gap


def test_a_long_hit_shows_both_its_ends() -> None:
    text = "a" * 1000 + "b" * 5000 + "c" * 1000
    marked = [span.text for span in cut(text, [Hit(1000, 6000, "x")]) if span.titles]
    assert [len(part) for part in marked] == [400, 400]


def test_a_cut_does_not_take_an_emoji_apart() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
    for shift in range(8):
        shown = [span.text for span in cut("." * shift + family * 400) if span.text]
        assert all(set(part.strip(".").split("\U0001f466")) <= {"", family[:-1]} for part in shown)


def test_edge_texts_survive(edge_texts: dict[str, str]) -> None:
    for text in edge_texts.values():
        found = cut(text, [Hit(0, 1, "<x>\u202e")])
        assert sum(len(span.text) + span.left_out for span in found) == len(text)
        shown = str(templates().get_template("rows.html.j2").module.spans(found))  # type: ignore[attr-defined]
        assert not UNSEEN.search(shown)
        assert not UNSEEN.search(coded(text))
        tags = set(re.findall(r"</?([a-z]+)", shown))
        assert tags <= {"mark", "span"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>", "&lt;script&gt;"),
        ("\"'&", "&#34;&#39;&amp;"),
        ("tab\tline\n", "tab\tline\n"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("❤\ufe0f", "❤\ufe0f"),
    ],
)
def test_html_shows_text_as_it_is(text: str, shown: str) -> None:
    assert str(html(text)) == shown


@pytest.mark.parametrize(
    "character", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u00ad", "\x1b", "\r", "\u2028", "\U000e0041"]
)
def test_html_names_what_is_not_seen(character: str) -> None:
    code = f"U+{ord(character):04X}"
    assert str(html(f"a{character}b")).count(code) == 1
    assert character not in html(character)
    assert coded(character) == f"[{code}]"
