"""Rows as vectors: against an oracle, on real texts, in any split and on any number of threads."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from curate.rows import shingles
from curate.rows.embeddings import PER_ROW, embed
from curate.rows.schema import BODIES
from curate.rows.segments import Segments, segments
from curate.text.embeddings.static_model import load_static_model
from tests.reference.embeddings import encode
from tests.support.tiny_embeddings import LAYOUTS, Layout, Tiny, tiny_embeddings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXTS = (
    "Rain falls on the sea, and the sea is salt.",
    "the sea",
    "sea the",
    "Unknown wörds fall, on the sea!",
    "nothing known here",
    "",
    " \n",
    "the " * 1000,
)
KNOWN = TEXTS[:2]


def batch(*texts: str) -> Segments:
    turns = [{"role": "user", "content": text} for text in texts]
    rows = [{"messages": [turn], "meta": "{}"} for turn in turns]
    return segments(pa.RecordBatch.from_pylist(rows, BODIES["conversation"]))


def expected(tiny: Tiny, *texts: str) -> np.ndarray:
    return encode(texts, tiny.tokenizer, tiny.vectors, tiny.unknown, tiny.weights, tiny.mapping)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_row_of_one_text_has_the_vector_of_the_text(tmp_path: Path, layout: Layout) -> None:
    tiny = tiny_embeddings(tmp_path, KNOWN, layout)
    found = embed(batch(*TEXTS), load_static_model(tmp_path))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(tiny, *TEXTS), atol=1e-6)
    some = layout == "wordllama"  # it has a vector for words that it does not know
    assert np.linalg.norm(found, axis=1).round(6).tolist() == [1, 1, 1, 1, some, 0, 0, 1]
    np.testing.assert_array_equal(found[1], embed(batch("sea the"), load_static_model(tmp_path))[0])


def test_a_row_is_the_mean_over_all_tokens_of_its_chosen_texts(tmp_path: Path) -> None:
    tiny = tiny_embeddings(tmp_path, KNOWN)
    turns = [("user", "Rain"), ("assistant", "falls on the sea"), ("user", "salt"), ("assistant", "is")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns], "meta": "{}"}
    body = pa.RecordBatch.from_pylist([row], BODIES["conversation"])
    model = load_static_model(tmp_path)
    np.testing.assert_allclose(embed(segments(body), model), expected(tiny, "Rain falls on the sea salt is"), atol=1e-6)
    np.testing.assert_allclose(embed(segments(body, "prompt"), model), expected(tiny, "Rain"), atol=1e-6)
    pair = {"prompt": [turns[0]], "chosen": [turns[1]], "rejected": [turns[3]]}
    body = pa.RecordBatch.from_pylist(
        [
            {side: [{"role": role, "content": text} for role, text in said] for side, said in pair.items()}
            | {"meta": "{}"}
        ],
        BODIES["preference"],
    )
    np.testing.assert_allclose(embed(segments(body), model), expected(tiny, "Rain falls on the sea is"), atol=1e-6)


def test_no_rows_and_no_segments(tmp_path: Path) -> None:
    tiny_embeddings(tmp_path, KNOWN)
    model = load_static_model(tmp_path)
    assert embed(batch(), model).shape == (0, 16)
    assert embed(Segments(3, ()), model).tolist() == [[0] * 16] * 3


def test_bytes_are_the_same_in_any_split_and_on_any_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_embeddings(tmp_path, KNOWN)
    model, texts = load_static_model(tmp_path), TEXTS * 20
    whole = embed(batch(*texts), model).tobytes()
    monkeypatch.setattr(shingles, "SLICE", 700)
    assert embed(batch(*texts), model).tobytes() == whole
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda at: embed(batch(*texts[at : at + 7]), model).tobytes(), range(0, len(texts), 7))
        assert b"".join(parts) == whole


def test_a_slice_has_few_rows_however_short_they_are() -> None:
    """Sums take 2 KB a row: a million empty rows in one slice would take 2 GB."""
    slices = list(shingles.row_slices(batch(*[""] * 10_000), PER_ROW))
    assert max(last - first for first, last in slices) <= shingles.SLICE // PER_ROW


def test_edge_texts(tmp_path: Path, edge_texts: dict[str, str]) -> None:
    tiny = tiny_embeddings(tmp_path, [text[:500] for text in edge_texts.values()])
    texts = [text[:10_000] for text in edge_texts.values()]
    np.testing.assert_allclose(embed(batch(*texts), load_static_model(tmp_path)), expected(tiny, *texts), atol=1e-6)


@pytest.mark.parametrize("name", ["lima", "alpaca_zh_demo"])
def test_real_texts(tmp_path: Path, real_file: Callable[[str], Path], name: str) -> None:
    rows = json.loads(real_file(f"sft/{name}.json").read_bytes())[:100]
    texts = [row["output"] for row in rows]
    tiny = tiny_embeddings(tmp_path, texts[:50], "quantized")
    np.testing.assert_allclose(embed(batch(*texts), load_static_model(tmp_path)), expected(tiny, *texts), atol=1e-6)
