"""Rows of every layout go in, by every step, and come out to every trainer with all that they say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.bank import some_rows
from tests.support.chat_layouts import CHATS
from tests.support.judged_layouts import JUDGED
from tests.support.layout_build import as_read, build_rows, check_build, every_step, rows_of
from tests.support.layout_exports import check_exports
from tests.support.layouts import Layout
from tests.support.other_layouts import PAIRS

LAYOUTS: Final = (*CHATS, *PAIRS, *JUDGED)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_field_comes_through_every_step_to_every_trainer(layout: Layout, tmp_path: Path) -> None:
    raw = [layout.write(row, i) for i, row in enumerate(some_rows(layout.kind, layout.holds, 2))]
    assert len(raw) >= 20
    given = as_read(layout, raw)
    build = build_rows(layout, raw, tmp_path / "b", every_step(layout.kind))
    check_build(layout, given, rows_of(build))
    check_exports(build, tmp_path / "out")
