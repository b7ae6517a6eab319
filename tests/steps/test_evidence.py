"""Evidence is in one order, and lists the first hits of each row and reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curate.steps._evidence import SHOWN, sort_and_trim
from curate.steps.base import Evidence

Hit = tuple[int, int, int, int, int, int, str]
SMALL = st.integers(0, 2)
HITS = st.lists(st.tuples(SMALL, SMALL, SMALL, SMALL, st.integers(0, 30), st.integers(0, 30), st.sampled_from("ab")))
KINDS = (np.int32, np.int16, np.int32, np.int32, np.int32, np.int32)


def evidence(hits: list[Hit]) -> Evidence:
    columns: Any = [np.array([hit[place] for hit in hits], kind) for place, kind in enumerate(KINDS)]
    return Evidence._make([*columns, pa.array([hit[6] for hit in hits], pa.string())])


def definition(hits: list[Hit], shown: int | None) -> list[Hit]:
    """Take the hits of each row and reason in order of place, leave out those past the first few, and sort again."""
    by_place = sorted(hits, key=lambda hit: (hit[0], hit[2], hit[3], hit[4], hit[5]))
    seen: dict[tuple[int, int], int] = {}
    left = []
    for hit in by_place:
        seen[hit[:2]] = seen.get(hit[:2], 0) + 1
        if shown is None or seen[hit[:2]] <= shown:
            left.append(hit)
    return sorted(left, key=lambda hit: (hit[0], hit[2], hit[3], hit[4], hit[1], hit[5]))


@given(parts=st.lists(HITS, max_size=3), shown=st.sampled_from([None, 1, 2, SHOWN]))
def test_evidence_is_as_defined(parts: list[list[Hit]], shown: int | None) -> None:
    found = sort_and_trim(map(evidence, parts), shown)
    assert [column.dtype for column in found[:-1]] == [np.dtype(kind) for kind in KINDS]
    expected = definition([hit for part in parts for hit in part], shown)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
