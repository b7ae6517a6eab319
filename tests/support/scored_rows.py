"""Which rows a step scores, to tell how much of its work a build takes from an earlier one."""

from __future__ import annotations

from typing import Any

import pytest

from curate.rows.segments import Segments
from curate.steps.filters.shape import Shape


def rows_shape_sees(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that takes the number of rows of each call of `shape`, but for those without rows."""
    found: list[int] = []
    score = Shape.score

    def counting(self: Shape, segments: Segments) -> Any:  # noqa: ANN401
        found.extend([segments.rows] if segments.rows else [])
        return score(self, segments)

    monkeypatch.setattr(Shape, "score", counting)
    return found
