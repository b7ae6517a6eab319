"""A step's table is shown on the page, the card and the terminal, without the report knowing the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.report.finding_tables import SHOWN, finding_tables
from curate.report.page import page
from curate.report.run_card import card
from curate.report.terminal import findings
from curate.result.build import Build
from curate.rows.segments import Segments
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved
from tests.report.conftest import chat, write


@dataclass(frozen=True, kw_only=True)
class Inventory(Group):
    """Drops nothing, and lists every row."""

    name: ClassVar[str] = "inventory"
    findings: ClassVar[tuple[Finding, ...]] = (
        Finding("table", "All <rows>", table="all"),
        Finding("table", "Nothing", table="nothing"),
    )

    def sign(self, segments: Segments) -> GroupKeys:
        return GroupKeys({"one": np.ones(segments.rows, np.int64)})

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:
        del lists, totals
        table = keys.select("row", note=pl.lit("<b>here</b>")).sort("row")
        return Resolved(pl.DataFrame(schema=DROP_COLUMNS), tables={"all": table, "nothing": table.clear()})


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("listed")
    rows = write(folder / "rows.jsonl", *(chat(f"row-{n:02}", f"Question {n}?", "Yes.") for n in range(30)))
    source = Source("rows", files(rows, format="messages"))
    return Mixture("listed", (source,), (Inventory(),)).build(folder / "build", threads=1)


def test_the_first_rows_and_their_number_are_read(listed: Build) -> None:
    found, nothing = finding_tables(listed, "inventory")
    assert (found.title, found.count, found.columns) == ("All <rows>", 30, ("source", "id", "note"))
    assert [row[1] for row in found.rows] == [f"row-{n:02}" for n in range(SHOWN)]
    assert pl.read_parquet(listed.path / found.path).height == 30
    assert (nothing.count, nothing.rows) == (0, ())


def test_page_card_and_terminal_show_the_table(listed: Build) -> None:
    text = page(listed)
    assert "<h4>All &lt;rows&gt;</h4>" in text
    assert "30 rows, the first 20 shown; all are in <code>steps/inventory/all.parquet</code>" in text
    assert text.count("<td>&lt;b&gt;here&lt;/b&gt;</td>") == SHOWN
    assert "<b>here" not in text
    assert "- inventory: All \\<rows\\>: 30 rows, in steps/inventory/all.parquet" in card(listed)
    (shown,) = findings(listed)
    assert "inventory\n  All <rows>: 30 rows, in steps/inventory/all.parquet" in shown.plain
