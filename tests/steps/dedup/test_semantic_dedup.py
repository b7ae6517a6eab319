"""`dedup(semantic=...)` drops the rows that brute force drops, each for a row that is kept."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate as c
from curate.engine.manifest import canonical, fingerprint
from curate.errors import CallError, FormatError, MixtureError, SourceNotFoundError
from curate.rows.embeddings import embed
from curate.rows.segments import segments
from curate.steps.dedup import _vector_search as search
from curate.steps.dedup._keep import Keep
from curate.steps.dedup._vector_search import nearest_vectors
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.semantic_dedup import SemanticDedup
from curate.testing import check_step
from curate.text.embeddings.static_model import load_static_model
from tests.reference.semantic_dedup import Vector, cosine, survivors
from tests.support.group_resolve import asks, body, signed
from tests.support.tiny_embeddings import tiny_embeddings

WORDS = ("sea", "salt", "rain", "Rain", "falls", "sky", "blue")
TEXTS = st.lists(st.sampled_from([*WORDS, "unknown"]), max_size=6).map(" ".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few words in four dimensions, where similar texts are many."""
    return tiny_embeddings(tmp_path_factory.mktemp("model"), WORDS, dimensions=4).folder


def plain(vectors: np.ndarray) -> list[tuple[float, ...]]:
    return [tuple(vector) for vector in vectors.astype(np.float64).tolist()]


def nearest(vectors: np.ndarray, protected: int, threshold: float) -> dict[int, tuple[int, float]]:
    found = nearest_vectors(vectors.copy(), protected, threshold)
    return {row: (int(found.kept[row]), float(found.score[row])) for row in np.flatnonzero(found.kept >= 0).tolist()}


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("sizes", [(1, 1), (7, 3), (1024, 4096)])
def test_brute_force_drops_the_same_vectors(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int], threshold: float
) -> None:
    monkeypatch.setattr(search, "BLOCK", sizes[0])
    monkeypatch.setattr(search, "TILE", sizes[1])
    chance = np.random.default_rng(sizes[0])
    vectors = chance.normal(size=(150, 5))
    vectors[50:100] = vectors[chance.integers(0, 50, 50)] + chance.normal(size=(50, 5)) * 0.2
    vectors[100:120] = vectors[:20]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    chance.shuffle(vectors)
    for protected in (0, 40, 150):
        rows = [Vector(row, (row,), row < protected, each) for row, each in enumerate(plain(vectors))]
        expected = survivors(rows, threshold)
        found = nearest(vectors, protected, threshold)
        assert found.keys() == expected.keys()
        for row, (kept, score) in found.items():
            assert score == pytest.approx(expected[row][1], abs=1e-12)
            assert score == pytest.approx(cosine(rows[row].vector, rows[kept].vector), abs=1e-12)


def test_a_pair_at_the_threshold_is_found_however_products_round() -> None:
    """Candidates are those of float32 products with room for their error; float64 decides."""
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(300, 256)).astype(np.float32)
    vectors[150:] = vectors[:150] + chance.normal(size=(150, 256)).astype(np.float32) / 3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = [cosine(*pair) for pair in zip(plain(vectors[:150]), plain(vectors[150:]), strict=True)]
    for place in range(150):
        score = nearest(vectors[[place, 150 + place]], 0, exact[place] - 1e-15)
        assert score[1][1] == pytest.approx(exact[place], abs=1e-14)
        assert not nearest(vectors[[place, 150 + place]], 0, exact[place] + 1e-12)


def test_equal_vectors_have_the_score_1_and_none_has_more() -> None:
    chance = np.random.default_rng(1)
    vectors = chance.normal(size=(200, 32)).astype(np.float32)
    assert nearest(np.concatenate([vectors, vectors]), 0, 1.0) == {200 + k: (k, 1.0) for k in range(200)}


def test_of_equal_vectors_the_earliest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only protected rows can be equal and kept; they may be in one tile, or in several."""
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (9, 1))
    for tile in (1, 4, 4096):
        monkeypatch.setattr(search, "TILE", tile)
        assert nearest(vectors, 8, 0.9) == {8: (0, 1.0)}


def test_no_score_is_above_1() -> None:
    vectors = np.random.default_rng(2).normal(size=(200, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = nearest(np.concatenate([vectors, vectors * np.float32(1.0001)]), 200, 0.999)
    assert len(found) == 200
    assert max(score for _, score in found.values()) <= 1


@given(
    rows=st.lists(st.tuples(TEXTS, st.integers(0, 2), st.booleans()), max_size=14),
    chance=st.randoms(use_true_random=False),
    threshold=st.sampled_from([0.5, 0.9, 1.0]),
)
def test_priority_and_protection_are_those_of_dedup(
    folder: Path, rows: list[tuple[str, int, bool]], chance: random.Random, threshold: float
) -> None:
    step = dedup(threshold=threshold, semantic=folder)
    vectors = embed(segments(asks([text for text, _, _ in rows])), load_static_model(folder))
    wanted = [
        Vector(row, (source, row), protect, each)
        for row, ((_, source, protect), each) in enumerate(zip(rows, plain(vectors), strict=True))
    ]
    found = run(step, rows, list(range(len(rows))), 100)
    assert {row: kept for row, (kept, _) in found.items()} == near_enough(survivors(wanted, threshold), found, wanted)
    assert run(step, rows, chance.sample(range(len(rows)), len(rows)), chance.randint(1, 5)) == found


def near_enough(
    expected: dict[int, tuple[int, float]], found: dict[int, tuple[int, float]], rows: list[Vector]
) -> dict[int, int]:
    """Return the kept rows of the oracle, or those found where they are as near: sums round in another order."""
    return {
        row: found[row][0]
        if row in found and cosine(rows[row].vector, rows[found[row][0]].vector) == pytest.approx(score, abs=1e-12)
        else kept
        for row, (kept, score) in expected.items()
    }


def run(
    step: SemanticDedup, rows: list[tuple[str, int, bool]], order: list[int], batch: int
) -> dict[int, tuple[int, float]]:
    """Run rows of text, source and protection in this order and in batches of this size."""
    if not rows:
        return {}
    texts = [rows[row][0] for row in order]
    keys = signed(
        step,
        [asks(texts[start : start + batch]) for start in range(0, len(rows), batch)],
        row=np.array(order),
        rank=np.array(order, np.uint64),
        source=np.array([rows[row][1] for row in order]),
        protect=np.array([rows[row][2] for row in order]),
    )
    return keys.dropped(step)


@pytest.mark.parametrize(("keep", "left"), [("first", 0), ("longest", 2), ("shortest", 1)])
def test_the_row_to_keep(folder: Path, keep: Keep, left: int) -> None:
    step = dedup("prompt", keep=keep, semantic=folder)
    texts = ["sea salt.", "sea salt", "salt   unknown sea"]
    assert set(signed(step, [asks(texts)]).dropped(step)) == {0, 1, 2} - {left}


def test_templates_may_be_left_out(folder: Path) -> None:
    texts = [f"Rain falls. Rain falls: {word}" for word in ("sea", "salt", "sky")]
    assert len(
        signed(dedup(threshold=0.5, semantic=folder), [asks(texts)]).dropped(dedup(threshold=0.5, semantic=folder))
    )
    step = dedup(threshold=0.999, semantic=folder, ignore="Rain falls. Rain falls:")
    assert signed(step, [asks([*texts, "sea"])]).dropped(step) == {3: (0, 1.0)}


def test_both_answers_of_a_pair_are_refused(folder: Path) -> None:
    user, first, second = ({"role": "user", "content": text} for text in ("sea", "salt", "sky"))
    rows = [
        {"prompt": [user], "chosen": [chosen], "rejected": [rejected]}
        for chosen, rejected in ((first, second), (second, first))
    ]
    with pytest.raises(MixtureError, match="one vector for both answers of a pair is the same if they are swapped"):
        signed(dedup(semantic=folder), [body(rows, "preference")])
    assert not signed(dedup("chosen", semantic=folder), [body(rows, "preference")]).dropped(dedup(semantic=folder))
    step = dedup("prompt", semantic=folder)
    assert signed(step, [body(rows, "preference")]).dropped(step) == {1: (0, 1.0)}


def test_settings_that_make_no_sense(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match="compares no n-grams: leave out ngram and num_perm"):
        dedup(ngram=3, semantic=folder)  # type: ignore[call-overload]
    for threshold in (0, 1.1, float("nan")):
        with pytest.raises(MixtureError, match=r"dedup\(threshold=.*semantic=\.\.\.\)"):
            dedup(threshold=threshold, semantic=folder)
    with pytest.raises(SourceNotFoundError, match="there is no static embedding model"):
        dedup(semantic=tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "tokenizer.json").write_bytes(b"")
    with pytest.raises(FormatError, match="no file of a static embedding model"):
        dedup(semantic=tmp_path)
    step = dedup(keep="best_score", semantic=folder)
    keys = signed(step, [asks(["sea"])])
    with pytest.raises(MixtureError, match=r"dedup\(keep='best_score'\) needs rows with scores"):
        keys.dropped(step)


def test_laws(folder: Path) -> None:
    check_step(dedup("prompt", threshold=0.9, semantic=folder, allow_large_drop=True))


def test_without_the_option_the_step_is_declared_as_before() -> None:
    assert canonical(dedup("prompt")) == {
        "type": "Dedup",
        "version": 4,
        "on": "prompt",
        "allow_large_drop": False,
        "threshold": 0.8,
        "ngram": 5,
        "num_perm": 128,
        "keep": "first",
        "ignore": [],
        "others": [],
    }


def mixture(folder: Path, threshold: float = 0.95) -> c.Mixture:
    prompts = ["sea salt", "sky blue", "salt sea", "unknown words", "Rain falls", "other words"]
    chats = c.frame(pl.DataFrame({"id": list("abcdef"), "prompt": prompts, "completion": list(map(str, range(6)))}))
    return c.Mixture("tiny", [c.Source("chats", chats)], [c.dedup("prompt", threshold=threshold, semantic=folder)])


def test_the_ledger_explains_and_the_manifest_knows_the_model(folder: Path, tmp_path: Path) -> None:
    build = mixture(folder).build(tmp_path / "out", quiet=True)
    (line,) = build.dropped().select("step", "reason", "score", "bound", "match", "id").to_dicts()
    other = {"a": "c", "c": "a"}[line["id"]]
    assert line | {"score": round(line["score"], 6)} == {
        "step": "dedup",
        "reason": "semantic_duplicate",
        "score": 1.0,
        "bound": 0.95,
        "match": f"chats/{other}",
        "id": line["id"],
    }
    step: dict[str, Any] = build.manifest["steps"][0]
    assert step["holds"] == dict(load_static_model(folder).digests)
    assert str(folder) not in (tmp_path / "out" / "manifest.json").read_text()
    assert "semantic_duplicate" in (tmp_path / "out" / "report.html").read_text()
    assert build.clusters()["id"].to_list() == [line["id"]]


def test_the_path_does_not_count_and_the_model_does(folder: Path, tmp_path: Path) -> None:
    one, other = (tiny_embeddings(tmp_path / str(seed), WORDS, dimensions=4, seed=seed).folder for seed in (0, 1))
    assert fingerprint(mixture(folder)) == fingerprint(mixture(one)) == fingerprint(mixture(other))
    first = mixture(folder).build(tmp_path / "first", quiet=True)
    again = mixture(one).build(tmp_path / "again", quiet=True)
    assert (first.path / "manifest.json").read_bytes() == (again.path / "manifest.json").read_bytes()
    changed = mixture(other).build(tmp_path / "changed", quiet=True)
    assert changed.manifest["steps"][0]["holds"] != first.manifest["steps"][0]["holds"]


def test_a_threshold_moves_with_the_mixture(folder: Path, tmp_path: Path) -> None:
    build = mixture(folder, 0.2).build(tmp_path / "out", quiet=True)
    for threshold in (0.5, 0.95, 1.0):
        moved = build.recut(dedup=threshold)
        expected = mixture(folder, threshold).build(tmp_path / str(threshold), quiet=True)
        fates = moved.rows.sort("id").select("id", "fate", "reason", "match")
        assert fates.equals(expected.ledger.sort("id").select("id", "fate", "reason", "match").collect())
    with pytest.raises(CallError, match="does not hold all that 'dedup' decides by"):
        c.Build(build.path).recut(dedup=0.95)
