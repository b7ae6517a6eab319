"""Which source repeats which, and the rows that most others repeat: counts of the ledger, texts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from curate.errors import CallError
from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.report.dropped_rows import dropped_rows
from curate.report.duplicates import (
    CLOSEST,
    CLUSTERS,
    PAIRS,
    SOURCES,
    WITHIN,
    Cell,
    duplicate_lines,
    duplicates,
    matrix,
)
from curate.report.page import page
from curate.report.terminal_rows import show
from curate.result.build import Build
from curate.steps.dedup.dedup import dedup
from tests.report.conftest import LONG, chat, write
from tests.report.test_page import Reader

OVERLAP = {"source": pl.String, "kept_source": pl.String, "rows": pl.Int64, "share": pl.Float64}


def overlap(*lines: tuple[str, str, int, float]) -> pl.DataFrame:
    return pl.DataFrame(lines, schema=OVERLAP, orient="row")


def test_the_matrix_has_every_dropped_row(searched: Build, demo: Build) -> None:
    for build in (searched, demo):
        for step in ("exact_dedup", "dedup"):
            if step not in build.steps:
                continue
            found = duplicates(build, step)
            assert found is not None
            counted = {
                (source, kept): cell.rows
                for source, cells in found.matrix.rows
                for kept, cell in zip(found.matrix.columns, cells, strict=True)
                if cell is not None
            }
            dropped = build.dropped(step=step)
            expected = (
                dropped.with_columns(kept=pl.col("match").str.split("/").list.first()).group_by("source", "kept").len()
            )
            assert counted == {(source, kept): rows for source, kept, rows in expected.rows()}
            assert not found.matrix.left_out


def test_sources_are_in_the_order_of_the_mixture_and_strangers_last() -> None:
    found = matrix(overlap(("b", "against", 1, 0.1), ("b", "a", 2, 0.2), ("a", "b", 1, 0.1)), ["b", "a"])
    assert found.columns == ("b", "a", "against")
    assert found.rows == (("b", (None, Cell(2, 0.2), Cell(1, 0.1))), ("a", (Cell(1, 0.1), None, None)))


def test_a_matrix_of_many_sources_has_those_with_the_most_rows_and_counts_the_others() -> None:
    names = [f"s{n:03d}" for n in range(200)]
    lines = [(name, name, n + 1, 0.5) for n, name in enumerate(names)]
    lines += [(names[0], name, 5, 0.1) for name in names[1:]]  # few of each, the most of all
    found = matrix(overlap(*lines), names)
    assert [name for name, _ in found.rows] == [names[0], *names[-SOURCES + 1 :]]
    assert list(found.columns) == names[-SOURCES:]
    shown = sum(cell.rows for _, cells in found.rows for cell in cells if cell is not None)
    assert found.left_out == sum(rows for _, _, rows, _ in lines) - shown


@pytest.mark.parametrize(("share", "strength"), [(0.0, "0.000"), (0.01, "0.060"), (0.25, "0.300"), (1.0, "0.600")])
def test_heat_follows_the_share_and_leaves_the_text_readable(share: float, strength: str) -> None:
    assert Cell(1, share).style == f"background: rgba(76, 135, 207, {strength})"


def test_a_cluster_shows_the_row_that_stays_and_the_least_similar_dropped_row(searched: Build) -> None:
    found = duplicates(searched, "dedup")
    assert found is not None
    (cluster,) = found.clusters
    assert cluster.dropped == 8
    assert cluster.name == searched.clusters("dedup")["cluster"][0]
    assert cluster.low == pytest.approx(9 / 11)
    assert len(cluster.rows) == WITHIN
    assert cluster.survivor is not None
    assert cluster.survivor.fate == "kept, in the train split"
    said = [turn.text[0].text for row in cluster.rows for turn in row.turns if turn.role == "user"]
    assert said == [LONG.format(f"sail on day {row.id[-1]}") for row in cluster.rows]
    assert len(found.closest) == CLOSEST
    assert {row.survivor.name for row in found.closest if row.survivor} == {cluster.name}


def test_pairs_that_are_equal_are_no_clusters_and_not_close(searched: Build) -> None:
    found = duplicates(searched, "exact_dedup")
    assert found is not None
    assert (found.clusters, found.more, found.closest) == ((), 0, ())


def test_other_steps_and_steps_that_found_nothing_have_no_part(searched: Build, nasty: Build, pairs: Build) -> None:
    assert duplicates(searched, "decontaminate") is None
    assert duplicates(nasty, "refusals") is None
    assert duplicates(pairs, "shape") is None


def test_the_page_shows_matrix_clusters_and_the_closest(searched: Build) -> None:
    read = Reader(page(searched))
    assert read.text.count("Duplicates between sources") == 2
    assert "8 rows dropped as its duplicates, similarity 0.8182 · the 3 least similar" in read.text
    assert "the 5 dropped closest to the bound" in read.text
    assert "<u>3</u> boats." in read.text
    assert ("title", "two to one") in read.attributes


def test_the_page_of_many_clusters_stays_small(searched: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    line = searched.clusters("dedup").head(1).to_dicts()[0]
    keys = [(source, name) for source, name in searched.dropped("dedup").select("source", "id").rows()]
    many = [
        {**line, "cluster": f"one/{number}", "source": keys[k % 8][0], "id": keys[k % 8][1], "score": 0.9, "size": 1001}
        for number in range(50)
        for k in range(1000)
    ]
    monkeypatch.setattr("curate.report.duplicates.clusters", lambda *_: pl.DataFrame(many))
    found = duplicates(Build(searched.path), "dedup")
    assert found is not None
    assert [len(cluster.rows) for cluster in found.clusters] == [WITHIN] * CLUSTERS
    assert found.more == 50 - CLUSTERS


def lines_of(monkeypatch: pytest.MonkeyPatch, build: Build, *lines: tuple[str, str, int, float]) -> Sequence[str]:
    monkeypatch.setattr(Build, "overlap", lambda *_: overlap(*lines))
    return duplicate_lines(build, "dedup")


def test_lines_for_a_terminal_name_the_pairs_with_the_most_rows(
    searched: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lines_of(monkeypatch, searched, ("two", "one", 1200, 0.0001), ("one", "one", 5000, 0.9999)) == [
        "one: 5,000 rows (>99.9%) are duplicates within the source",
        "two: 1,200 rows (<0.1%) are duplicates of rows in one",
    ]
    many = [("two", f"s{n}", n + 1, 0.5) for n in range(PAIRS + 3)]
    lines = lines_of(monkeypatch, searched, *many)
    assert len(lines) == PAIRS + 1
    assert lines[-1] == "and 6 rows of 3 more pairs of sources"
    assert lines_of(monkeypatch, searched, *many[: PAIRS + 1])[-1] == "and 1 row of 1 more pair of sources"
    assert lines_of(monkeypatch, searched) == []


def test_a_step_that_is_not_there_is_reported(searched: Build) -> None:
    with pytest.raises(CallError, match="no step 'dedupe'; did you mean 'dedup'"):
        duplicate_lines(searched, "dedupe")


def test_a_duplicate_of_a_row_outside_the_build_says_so(tmp_path: Path) -> None:
    old = write(
        tmp_path / "old.jsonl", *(chat(f"old-{n}", f"Is this question {n} of the old ones?", "Yes.") for n in range(3))
    )
    new = write(
        tmp_path / "new.jsonl",
        *(chat(f"new-{n}", f"Is this question {n} of the old ones?", "No.") for n in range(2)),
        *(chat(f"own-{n}", f"Nobody asked number {n} before.", "No.") for n in range(9)),
    )
    step = dedup(on="prompt", against=files(old, format="messages"))
    build = Mixture("held", (Source("new", files(new, format="messages")),), (step,)).build(tmp_path / "out", threads=1)
    found = duplicates(build, "dedup")
    assert found is not None
    assert found.matrix.columns == ("against",)
    rows = dropped_rows(build)
    assert [(row.id, row.survivor and row.survivor.fate) for row in rows] == [
        ("new-0", "which the step compares with"),
        ("new-1", "which the step compares with"),
    ]
    assert "duplicate of against/old.jsonl/old-0, which the step compares with" in show(build)[0].plain
    assert duplicate_lines(build, "dedup") == ["new: 2 rows (18.2%) are duplicates of rows in against"]
