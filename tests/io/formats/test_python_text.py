"""Python text means what Python says, whatever the filter for warnings, and takes time by its length."""

from __future__ import annotations

import ast
import time
import warnings
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.io.formats.python_text import UNREADABLE, lines_of, value_of

SNIPPETS = st.sampled_from(
    ["'", '"', "'''", '"""', "\\", "r", "u", "b", "f", "d", "1", "or", "#", "\n", " ", "(", ")", ",", "é"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.lists(SNIPPETS, max_size=12).map("".join))
def test_text_is_read_as_python_reads_it(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = ast.dump(ast.parse(text.strip()))
        except UNREADABLE:
            theirs = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            ours = ast.dump(ast.Module(lines_of(text), []))
        except UNREADABLE:
            return
    assert ours == theirs


@given(JSON)
def test_values_come_back(value: object) -> None:
    assert value_of(repr(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"{'pattern': '\d+\.\w', 'path': r'C:\new'}", {"pattern": r"\d+\.\w", "path": r"C:\new"}),
        (r"'\477\x41\u00e9\N{BULLET}'", "\u013fAé•"),
        ("# it's\n'a'", "a"),
        ("[-1, 2.5, (3,)]", [-1, 2.5, [3]]),
    ],
)
def test_known_values(text: str, value: object) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "f()",
        "1or 2",
        "{1: 2}",
        "{'a': 1, 'a': 2}",
        "{**{}}",
        "b'a'",
        "f'a'",
        "{1}",
        "1e999",
        "1j",
        "'a",
        "1\n2",
        "(" * 500,
        "'\\ud800",
    ],
)
def test_what_json_has_not_is_refused(text: str) -> None:
    with suppress(*UNREADABLE):
        raise AssertionError(f"{value_of(text)!r}")


@pytest.mark.parametrize("snippet", ["'", '"', "\\'", "'\\", '"""', "r'", "a", "1", "#", "''", "{", "['", "-"])
def test_hostile_text_takes_time_by_its_length(snippet: str) -> None:
    start = time.perf_counter()
    with suppress(*UNREADABLE):
        value_of(snippet * 100_000)
    assert time.perf_counter() - start < 5
