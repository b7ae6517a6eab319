"""Facility location, its lists of neighbours, and clusters, against a few lines of Python that say what they should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.mix.takes import _clusters, _neighbours
from curate.mix.takes._clusters import nearest, spherical_kmeans
from curate.mix.takes._cosine import STEPS, margin
from curate.mix.takes._neighbours import LOW, Graph, neighbour_graph
from curate.mix.takes.facility import FacilityLocation
from curate.mix.takes.selection import Budget, Choice
from curate.mix.takes.stratified import Stratified
from curate.steps.vector_keys import signed_vectors
from curate.text.embeddings.pooling import unit_length
from tests.reference import facility as reference
from tests.support.choices import Lists, choose
from tests.support.tiny_embeddings import tiny_embeddings

ROW = st.tuples(*(st.integers(-2, 2) for _ in range(3)))


def unit(rows: Sequence[Sequence[float]] | NDArray[np.float64], dimensions: int = 3) -> NDArray[np.float32]:
    return unit_length(np.array(rows, np.float64).reshape(len(rows), dimensions))


def points(count: int, dimensions: int = 11, spread: float = 0.7) -> NDArray[np.float32]:
    """Return vectors around seven directions, the same at each call."""
    random = np.random.default_rng(count)
    centre = random.normal(size=(7, dimensions))
    return unit(centre[random.integers(0, 7, count)] + spread * random.normal(size=(count, dimensions)), dimensions)


def lists_of(vectors: NDArray[np.float32]) -> Lists:
    return Lists({"vector": signed_vectors(vectors).lists})


def tuples(vectors: NDArray[np.float32]) -> list[tuple[float, ...]]:
    return [tuple(row) for row in vectors.astype(np.float64).tolist()]


def chosen(
    vectors: NDArray[np.float32], budget: Budget, neighbors: int = 3, quality: Sequence[float] | None = None
) -> Choice:
    """Let facility location choose among rows of ten tokens each."""
    found = signed_vectors(vectors)
    columns = {"row": np.arange(len(vectors)), "tokens": np.full(len(vectors), 10), "hashed": found.hashed}
    keys = pl.DataFrame(columns if quality is None else columns | {"quality": np.array(quality, np.float64)})
    take = FacilityLocation(1, semantic="none", neighbors=neighbors, quality=None if quality is None else "words")
    return take.choose(keys, Lists({"vector": found.lists}), budget)


def entries(graph: Graph) -> set[tuple[int, int, int]]:
    """Return who represents whom, and how well."""
    by = np.repeat(np.arange(len(graph.start) - 1), np.diff(graph.start))
    return set(zip(by.tolist(), graph.row.tolist(), graph.cosine.tolist(), strict=True))


def covered(vectors: NDArray[np.float32], lines: NDArray[np.int64]) -> float:
    """Return the mean of the cosines of all rows to the nearest of those chosen, of all and not only neighbours."""
    return float(np.maximum((vectors @ vectors[lines].T).max(axis=1), 0).mean())


@given(st.lists(ROW, min_size=1, max_size=25), st.integers(1, 4), st.integers(0, 3))
def test_it_chooses_as_one_that_looks_at_every_row(rows: list[tuple[int, ...]], most: int, seed: int) -> None:
    vectors = unit(rows)
    factor = np.random.default_rng(seed).integers(0, 3, len(rows)).astype(np.float64).tolist() if seed else None
    found = chosen(vectors, Budget(rows=len(rows)), most, factor)
    known = np.flatnonzero(vectors.any(axis=1)).tolist()
    worth = factor or [1.0] * len(rows)
    expected = reference.locate([tuples(vectors)[i] for i in known], [worth[i] for i in known], most)
    assert [known[i] for i, _, _ in expected] == found.lines[: len(expected)].tolist()
    assert found.why["adds"].to_list()[: len(expected)] == [adds / reference.STEPS for _, adds, _ in expected]
    assert found.why["represents"].to_list()[: len(expected)] == [count for *_, count in expected]
    rest = found.lines[len(expected) :].tolist()
    assert rest == sorted(rest, key=lambda i: (i not in known, worth[i] <= 0 and i in known, i))
    assert found.why["adds"][len(expected) :].sum() == 0
    assert sorted(found.lines.tolist()) == list(range(len(rows)))


@pytest.mark.parametrize("block", [7, 2048])
@pytest.mark.parametrize("most", [1, 5, 400])
def test_lists_have_the_nearest_of_all_rows(monkeypatch: pytest.MonkeyPatch, block: int, most: int) -> None:
    monkeypatch.setattr(_neighbours, "BLOCK", block)
    vectors = np.unique(points(90), axis=0)
    graph = neighbour_graph(lists_of(vectors), np.arange(len(vectors)), most)
    rows = tuples(vectors)
    expected = {
        (i, j, reference.cosine(rows[i], rows[j]))
        for j, near in enumerate(reference.neighbours(rows, most))
        for i in near
    }
    assert entries(graph) == expected


@pytest.mark.parametrize("seed", range(3))
def test_what_another_machine_multiplies_changes_nothing(seed: int) -> None:
    """Products that are off by as much as float32 may be, of rows that differ by less, find the same neighbours."""
    random = np.random.default_rng(seed)
    vectors = unit(np.ones(256) + 3e-3 * random.normal(size=(120, 256)), 256)
    number, off = np.arange(120), 256 * 2.0**-24
    products = vectors @ vectors.T + random.uniform(-off, off, (120, 120)).astype(np.float32)
    lists = np.zeros((120, 4), np.int64)
    least = np.full(120, 1.0 / STEPS - margin(256), np.float32)
    _neighbours._enter(products, 0, 0, vectors, number, margin(256), least, lists)
    rows = tuples(vectors)
    assert [[LOW - (entry & LOW) for entry in own] for own in lists.tolist()] == reference.neighbours(rows, 4)
    expected = [max(range(9), key=lambda k: (reference.cosine(row, rows[k]), -k)) for row in rows]
    assert _clusters._verified(products[:, :9].copy(), vectors, vectors[:9], margin(256)).tolist() == expected


def test_cells_that_all_meet_give_the_lists_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = points(300)
    line = np.random.default_rng(0).permutation(300)[:250]
    expected = entries(neighbour_graph(lists_of(vectors), line, 6))
    for name, value in (("EXACT", 0), ("CELL", 20), ("BLOCK", 8), ("MEET", 1_000)):
        monkeypatch.setattr(_neighbours, name, value)
    assert entries(neighbour_graph(lists_of(vectors), line, 6)) == expected
    monkeypatch.setattr(_neighbours, "MEET", 5)
    fewer = entries(neighbour_graph(lists_of(vectors), line, 6))
    assert 0.7 < len(fewer & expected) / len(expected) < 1
    assert fewer == entries(neighbour_graph(lists_of(vectors), line, 6))


def test_a_choice_represents_more_than_a_random_sample() -> None:
    vectors, draw = points(600), np.random.default_rng(0)
    for count in (6, 30, 120):
        found = chosen(vectors, Budget(rows=count), neighbors=64)
        random = np.mean([covered(vectors, draw.permutation(600)[:count]) for _ in range(20)])
        assert 1 - covered(vectors, found.lines) < 0.85 * (1 - random)
        whole = chosen(vectors, Budget(rows=600), neighbors=64)
        assert whole.lines[:count].tolist() == found.lines.tolist()
        assert whole.why.head(count).equals(found.why)


def test_a_budget_of_tokens_is_used_up() -> None:
    found = chosen(points(50), Budget(tokens=95))
    assert len(found.lines) == 10


def test_copies_come_after_all_that_add_something_and_rows_without_a_vector_last() -> None:
    vectors = unit([[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
    found = chosen(vectors, Budget(rows=6))
    assert found.lines.tolist() == [1, 3, 2, 4, 0, 5]
    assert found.why["adds"].to_list() == [3.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert found.why["represents"].to_list() == [3, 1, 0, 0, 0, 0]
    assert found.why["covered"].to_list() == [0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    best = chosen(vectors, Budget(rows=6), quality=[9, 1, float("nan"), 1, float("inf"), -1])
    assert best.lines.tolist() == [4, 3, 1, 2, 0, 5]


@pytest.mark.parametrize("rows", [[], [[0, 0, 0]], [[1, 2, 0]], [[0, 0, 0]] * 4])
def test_few_rows(rows: list[list[float]]) -> None:
    found = chosen(unit(rows), Budget(rows=9))
    assert sorted(found.lines.tolist()) == list(range(len(rows)))
    assert np.isfinite(found.why.to_numpy()).all()


@given(st.lists(ROW, min_size=1, max_size=30), st.lists(ROW, min_size=1, max_size=6))
def test_each_row_belongs_to_the_nearest_centre(rows: list[tuple[int, ...]], centres: list[tuple[int, ...]]) -> None:
    vectors, centre = unit(rows), unit(centres)
    expected = [
        max(range(len(centre)), key=lambda k: (reference.cosine(row, tuples(centre)[k]), -k)) for row in tuples(vectors)
    ]
    assert nearest(vectors, centre).tolist() == expected


def test_clusters_are_around_the_directions_that_rows_have(monkeypatch: pytest.MonkeyPatch) -> None:
    directions, draw = unit(np.eye(5), 5), np.random.default_rng(0)
    of_row = draw.integers(0, 5, 400)
    vectors = unit(directions[of_row] + 0.1 * draw.normal(size=(400, 5)), 5)
    centre = spherical_kmeans(lists_of(vectors), np.arange(400), 5)
    found = nearest(vectors, centre)
    assert len(set(zip(of_row.tolist(), found.tolist(), strict=True))) == 5
    means = unit(np.array([vectors[found == k].astype(np.float64).sum(axis=0) for k in range(5)]), 5)
    assert centre.tolist() == means.tolist()
    monkeypatch.setattr(_clusters, "SAMPLE", 100)
    sampled = spherical_kmeans(lists_of(vectors), np.arange(400), 5)
    assert sampled.tolist() == spherical_kmeans(lists_of(vectors[:100]), np.arange(100), 5).tolist()


def test_there_are_no_more_clusters_than_distinct_vectors() -> None:
    vectors = unit([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert spherical_kmeans(lists_of(vectors), np.arange(4), 4).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_a_cluster_is_shown_with_its_words(tmp_path: Path) -> None:
    model = tiny_embeddings(tmp_path, ["bake bread now", "sort lists fast"], dimensions=32).folder
    chats = [["Bake bread now", "a"], ["Sort lists fast", "b"], ["...", "c"], ["bread bake, now", "a"], ["", "b"]]
    take = Stratified(9, by="cluster", semantic=model, clusters=2)
    found = choose(take, chats, Budget(rows=5))
    assert found.lines.tolist() == [0, 1, 2, 3, 4]
    assert found.why["group"].to_list() == [
        "1: bake, bread, now",
        "2: fast, lists, sort",
        "...",
        "1: bake, bread, now",
        "...",
    ]
    assert found.why["rows_of_group"].to_list() == [2, 1, 2, 2, 2]
    both = Stratified(9, by=["own.task", "cluster"], semantic=model, clusters=2)
    tasks = pa.array(["x", "x", "x", "y", "x"])
    found = choose(both, chats, Budget(rows=5), own__task=tasks)
    assert found.why["group"].to_list()[:3] == ["x | 1: bake, bread, now", "x | 2: fast, lists, sort", "x | ..."]
    assert found.lines.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["facility", "cluster"])
def test_no_rows_and_rows_without_words(tmp_path: Path, name: str) -> None:
    model = tiny_embeddings(tmp_path, ["some words"]).folder
    take = {
        "facility": FacilityLocation(3, semantic=model),
        "cluster": Stratified(3, by="cluster", semantic=model),
    }[name]
    assert choose(take, [], Budget(rows=3)).lines.tolist() == []
    assert choose(take, [["", ""], ["🙂", ""], ["", " "]], Budget(rows=3)).lines.tolist() == [0, 1, 2]
