"""Moralising lines are counted once each, at most four of a group, and give the points that the file says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.steps.refusals.phrase_files import MORALISING, compiled, moralising_file
from curate.steps.refusals.phrase_hits import EARLY, LIMIT, MOST, LineCounts, count_lines, point_table, points_of, shown
from curate.text.phrases.matching import find
from tests.reference import phrases as reference

GROUPS = moralising_file()
LINES = [(number, line[0].text) for number, group in enumerate(GROUPS) for line in group.lines]
SENTENCES = st.sampled_from([text for _, text in LINES] + ["x" * EARLY, "Here is a recipe.", "你好", '"', "\n\n"])


def lines_in(texts: list[str | None]) -> LineCounts:
    text, lines = view(pa.array(texts, pa.string())), compiled("default", (MORALISING,), ()).automaton
    return count_lines(find(text, np.arange(len(texts), dtype=np.int32), lines), len(texts))


def counted(texts: list[str | None]) -> list[list[int]]:
    lines: list[list[int]] = lines_in(texts).lines.tolist()
    return lines


def definition(text: str) -> list[int]:
    """Search every phrase of the file by itself, with the reference search, and count distinct lines by group."""
    found = []
    for group in GROUPS:
        starts = [[hit[1] for hit in reference.find(text, line, words=True, loose=True)] for line in group.lines]
        found += [min(sum(bool(line) for line in starts), MOST)]
        found += [min(sum(any(start < EARLY for start in line) for line in starts), MOST)]
    return found


@settings(max_examples=20)
@given(texts=st.lists(st.lists(SENTENCES, max_size=9).map(". ".join), max_size=4))
def test_counts_are_as_defined(texts: list[str]) -> None:
    assert counted([*texts]) == [definition(text) for text in texts]


def test_every_line_matches_and_counts_for_its_group() -> None:
    found = counted([f"So {text}." for _, text in LINES])
    for (group, text), row in zip(LINES, found, strict=True):
        assert row[2 * group] >= 1, text
        assert row[2 * group + 1] >= 1, text


def test_points_are_those_of_the_file() -> None:
    assert point_table().points.tolist() == [points for group in GROUPS for points in (group.anywhere, group.opening)]
    said = ["Discriminatory.", "x" * EARLY + " Discriminatory.", "Discriminatory, discriminatory.", "", None]
    points = points_of(lines_in(said))
    rights = next(group for group in GROUPS if group.name == "rights")
    assert points.tolist() == [
        rights.anywhere + rights.opening,
        rights.anywhere,
        rights.anywhere + rights.opening,
        0,
        0,
    ]


def test_what_is_made_up_counts_against_it() -> None:
    counts = lines_in(
        ["He is fictional. It is a joke, in the movie.", "It is never acceptable to hit. Violence is wrong."]
    )
    points = points_of(counts)
    assert points[0] == 0
    assert 0 < points[1] < LIMIT
    assert not shown(counts, points).any()


def test_a_long_answer_does_not_moralise_by_its_length() -> None:
    text = "It is important to use butter. " * 500
    assert counted([text])[0] == definition(text)
    assert points_of(lines_in([text]))[0] < LIMIT
