"""Static embedding models: every layout, what belongs together, and files that are broken."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.text.embeddings.static_model import NO_VECTOR, load_static_model
from tests.support.tiny_embeddings import LAYOUTS, Layout, tiny_embeddings

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ("The sea is salt, and the sky is blue.", "Rain falls on the sea.")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(tmp_path: Path, layout: Layout) -> None:
    tiny = tiny_embeddings(tmp_path, TEXTS, layout)
    model = load_static_model(tmp_path)
    assert model.dimensions == 16
    assert (model.vectors == tiny.vectors.astype(np.float32)).all()
    assert model.vectors.dtype == model.weight.dtype == np.float32
    tokens = np.arange(tiny.tokenizer.get_vocab_size())
    place = tokens.copy() if tiny.mapping is None else tiny.mapping.copy()
    place[tokens == tiny.unknown] = NO_VECTOR
    assert (model.place == place).all()
    assert (model.weight == (1 if tiny.weights is None else tiny.weights)).all()


def test_the_model_is_known_by_its_files(tmp_path: Path) -> None:
    tiny_embeddings(tmp_path, TEXTS)
    first = load_static_model(tmp_path)
    hashes = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in first.digests}
    assert first.digests == hashes
    assert first.digests.keys() == {"model.safetensors", "tokenizer.json"}
    assert load_static_model(str(tmp_path)) is first
    tiny_embeddings(tmp_path, TEXTS, seed=1)
    later = (tmp_path / "model.safetensors").stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "model.safetensors", ns=(later, later))
    assert load_static_model(tmp_path).digests["model.safetensors"] != first.digests["model.safetensors"]


def test_wordllama_keeps_its_unknown_token_and_the_last_vector_for_tokens_beyond(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tiny = tiny_embeddings(tmp_path, TEXTS, "wordllama")
    save_file({"embedding.weight": tiny.vectors[:4]}, tmp_path / "weights/l2_tiny_16.safetensors")
    assert load_static_model(tmp_path).place.tolist()[:6] == [0, 1, 2, 3, 3, 3]


def test_one_of_several_wordllama_models_is_named(tmp_path: Path) -> None:
    for dimensions in (16, 8):
        tiny_embeddings(tmp_path, TEXTS, "wordllama", dimensions)
    with pytest.raises(SourceNotFoundError, match=r"several models; name one .*l2_tiny_16.safetensors, l2_tiny_8"):
        load_static_model(tmp_path)
    assert load_static_model(tmp_path / "weights/l2_tiny_8.safetensors").dimensions == 8
    (tmp_path / "tokenizers/l2_tiny_tokenizer_config.json").unlink()
    with pytest.raises(SourceNotFoundError, match=r"has no tokenizer: there is no .*l2_tiny_tokenizer_config"):
        load_static_model(tmp_path / "weights/l2_tiny_8.safetensors")


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="there is no folder"):
        load_static_model(tmp_path / "none")
    with pytest.raises(SourceNotFoundError, match="there is no static embedding model in"):
        load_static_model(tmp_path)


def safetensors_of(kind: str) -> bytes:
    header = json.dumps({"embeddings": {"dtype": kind, "shape": [2, 1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 4


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("model.safetensors", b"", "that can be read"),
        ("model.safetensors", b"\xff" * 64, "that can be read"),
        ("model.safetensors", safetensors_of("BF16"), "bfloat16"),
        ("tokenizer.json", b"", "it is no tokenizer.json"),
        ("tokenizer.json", b"[]", "it is no tokenizer.json"),
        ("tokenizer.json", b'{"model": 1}', "it is no tokenizer.json"),
        ("tokenizer.json", b"\xff", "it is no tokenizer.json"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, file: str, content: bytes, what: str) -> None:
    tiny_embeddings(tmp_path, TEXTS)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(FormatError, match=f"{file} is no file of a static embedding model .*{what}"):
        load_static_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"embeddings": np.zeros((3, 4), np.float32)}, "it has 3 vectors, and its 14 tokens are not all among them"),
        ({"embeddings": np.zeros(14, np.float32)}, "no matrix called embeddings or embedding.weight"),
        ({"other": np.zeros((14, 4), np.float32)}, "arrays: other"),
        ({"embeddings": np.full((14, 4), np.nan, np.float32)}, "not finite"),
        ({"embeddings": np.full((14, 4), 1e300)}, "not finite"),
        ({"embeddings": np.zeros((2, 4), np.int8), "mapping": np.full(14, 2)}, "not all among them"),
        ({"embeddings": np.zeros((2, 4), np.int8), "mapping": np.full(14, -1)}, "not all among them"),
        ({"embeddings": np.zeros((2, 4), np.int8), "mapping": np.full(14, 0.5)}, "not all among them"),
        ({"embeddings": np.zeros((14, 4), np.int8), "mapping": np.arange(13)}, "are not those of the 14 tokens"),
        ({"embeddings": np.zeros((14, 4), np.int8), "weights": np.ones(15)}, "are not those of the 14 tokens"),
    ],
)
def test_arrays_that_do_not_belong_together(tmp_path: Path, change: dict[str, np.ndarray], what: str) -> None:
    from safetensors.numpy import save_file

    assert tiny_embeddings(tmp_path, TEXTS).tokenizer.get_vocab_size() == 14
    save_file(change, tmp_path / "model.safetensors")
    with pytest.raises(FormatError, match=what):
        load_static_model(tmp_path)


@pytest.mark.parametrize("package", ["safetensors", "tokenizers"])
def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    tiny_embeddings(tmp_path, TEXTS)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MixtureError, match=r"pip install 'curate\[embeddings\]'"):
        load_static_model(tmp_path)
