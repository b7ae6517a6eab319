"""Python text means what Python says, whatever the filter for warnings, and takes time by its length."""

from __future__ import annotations

import ast
import gc
import threading
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


def test_threads_that_parse_at_once_do_not_disturb_each_other() -> None:
    """While one thread collects garbage amid its tree, another parses: Python 3.11 mixes up their depths."""
    collections: list[threading.Thread] = []

    def meddle(phase: str, _: dict[str, int]) -> None:
        if phase == "start" and len(collections) < 8 and threading.current_thread() is threading.main_thread():
            collections.append(threading.Thread(target=value_of, args=("[[1]]",)))
            collections[-1].start()
            collections[-1].join(0.05)  # it waits for its turn, so this cannot wait for its end

    gc.callbacks.append(meddle)
    before = gc.get_threshold()
    gc.set_threshold(50)
    try:
        found = value_of(f"[{'[1, 2], ' * 500}]")
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(meddle)
    for each in collections:
        each.join()
    assert found == [[1, 2]] * 500


@pytest.mark.parametrize("text", ["(" * 5_000, "[" * 5_000, "-" * 5_000 + "1", "f" + "(1)" * 5_000, "1" + "+1" * 5_000])
def test_text_that_is_too_deep_leaves_later_text_alone(text: str) -> None:
    def deeper(calls: int) -> None:
        with suppress(*UNREADABLE):
            deeper(calls - 1) if calls else value_of(text)

    for calls in (0, 100, 500, 900):
        deeper(calls)
        assert value_of("[[1], {'a': [2]}]") == [[1], {"a": [2]}]


@pytest.mark.parametrize("snippet", ["'", '"', "\\'", "'\\", '"""', "r'", "a", "1", "#", "''", "{", "['", "-"])
def test_hostile_text_takes_time_by_its_length(snippet: str) -> None:
    start = time.perf_counter()
    with suppress(*UNREADABLE):
        value_of(snippet * 100_000)
    assert time.perf_counter() - start < 5
