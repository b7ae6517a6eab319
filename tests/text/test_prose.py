"""Prose is the words of a text: what is no language is left out, whatever surrounds it."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import strings, view
from curate.text.prose import MOST, prose


def found(*texts: str | None) -> list[str]:
    """Read texts with others after them, and as the last ones, of which no block is read."""
    index, results = np.arange(len(texts), dtype=np.int32), []
    for data in ([*texts, "x" * 200], texts):
        text, letters = prose(view(pa.array(data, pa.string())), index)
        result = strings(text.data, text.offsets)
        result.validate(full=True)
        results.append((result.to_pylist(), letters.tolist()))
        assert len(letters) == len(texts)
    assert results[0] == results[1]
    return results[0][0]


def letters(text: str) -> int:
    return int(prose(view(pa.array([text])), np.zeros(1, np.int32)).letters[0])


CASES = {
    "signs": ("One, two: (three)! 4.5 % six_seven", "One two three six seven"),
    "apostrophe": ("don't l'eau", "don't l'eau"),
    "past ASCII": ("Größe – naïve “ça” 你好。", "Größe – naïve “ça” 你好。"),
    "fence": ("before\n```python\nx = 1\n```\nafter", "before after"),
    "longer fence": ("a b\n````\n```\ncode\n```\n````\nc d", "a b c d"),
    "tildes": ("a b\n  ~~~\ncode ``` here\n  ~~~\nc d", "a b c d"),
    "fence left open": ("look:\n```js\nlet x\nlet y", "look "),
    "fence within a line": ("use ```x = 1``` here", "use here"),
    "no fence": ("so ~~~ what", "so what"),
    "inline": ("call `f(x)` and ``a ` b`` now", "call and now"),
    "lone backtick": ("it`s fine", "it s fine"),
    "backtick in another paragraph": ("a ` b\n\nc ` d", "a b c d"),
    "address": ("see https://example.org/a_b?c=d#e, or HTTP://X.y (www.a.com) end", "see or end"),
    "address before Chinese": ("见https://a.org/b。好的", "见 。好的"),
    "address within a word": ("xhttps://a.b", "xhttps a b"),
    "capitals": ("THIS IS LOUD, Sir", "this is loud sir"),
    "some capitals": ("NASA and ESA agreed", "NASA and ESA agreed"),
    "capitals past ASCII": ("ÉTÉ CHAUD", "ÉtÉ chaud"),
    "controls": ("a\0b\tc\x7fd\r\ne", "a b c d e"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_prose(name: str) -> None:
    text, expected = CASES[name]
    assert found(text)[0].strip() == expected.strip()


def test_letters() -> None:
    assert letters("don't 12 é e\u0301 ß") == 4 + 3
    assert letters("東京へ 가나 ไทย") == 2 * 3 + 2 + 2 * 3
    assert letters("🙂 — 。！") == 0


def test_at_most_so_much() -> None:
    for text in ("word " * 5000, "北" * 5000, "é" * 5000, "🙂" * 3000):
        assert MOST <= len(found(text)[0].encode()) < MOST + 4
    assert found("x " * MOST, "next")[1] == "next"


def test_nothing() -> None:
    assert found(None, "", "  ", "123", "`x`") == ["", "", " ", " ", " "]
    assert found() == []


def test_slices() -> None:
    texts = pa.array(["weg", "eins 1", "zwei", "weg"])[1:3]
    text, _ = prose(view(texts), np.array([1, 0, 1], np.int32))
    assert strings(text.data, text.offsets).to_pylist() == ["zwei", "eins ", "zwei"]


@given(st.text(st.sampled_from("ab1 .\n`~é北🙂htps:/w"), max_size=60))
def test_only_words_are_left(text: str) -> None:
    left = found(text)[0]
    assert re.fullmatch(r"(?: ?[ab'htpswéà北🙂]+)* ?", left)
    plain = re.sub(r"[^abhtpswé北🙂]", "", text)
    if "`" not in text and "~" not in text and "www." not in text and "://" not in text:
        assert left.replace(" ", "") == plain


PARTS = st.sampled_from(
    [
        *(
            "a",
            "I",
            "WE",
            "word",
            "don't",
            "who",
            "HTTP",
            "www",
            " ",
            "  ",
            ". ",
            "\n",
            "\n\n",
            "12",
            "é",
            "北京",
            "🙂",
            "h",
            "w",
        ),
        *("http://", "https://a.org/b ", "www.", "`", "``", "```", "\n```\n", "~~~\n", "`x y`", "x" * 63, "LOUD " * 12),
    ]
)


@given(st.lists(st.tuples(PARTS, st.integers(1, 30)), max_size=30))
def test_blocks_and_bytes_make_the_same_prose(parts: list[tuple[str, int]]) -> None:
    text = "".join(part * times for part, times in parts)
    found(text, text[1:], text * 3)


def test_addresses_between_blocks() -> None:
    for size in range(1, 130):
        assert found(f"{'a' * size} see http://a.org/b?c www.d.org.") == [f"{'a' * size} see "]


def test_edges(edge_text: str) -> None:
    left = found(edge_text)[0]
    assert found(edge_text, edge_text) == [left, left]
    assert len(left.encode()) <= min(len(edge_text.encode()), MOST + 3)
