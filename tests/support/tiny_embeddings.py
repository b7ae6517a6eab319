"""Folders of tiny static embedding models, made in the test: the layouts of model2vec, its relatives and wordllama."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer

Layout: TypeAlias = Literal["model2vec", "quantized", "sentence-transformers", "nested", "wordllama"]
LAYOUTS: Final[tuple[Layout, ...]] = ("model2vec", "quantized", "sentence-transformers", "nested", "wordllama")
UNKNOWN: Final = "[UNK]"


class Tiny(NamedTuple):
    """A model's folder, and what is in it; `unknown` is the token that has no vector."""

    folder: Path
    tokenizer: Tokenizer
    vectors: NDArray[np.floating]
    unknown: int | None = None
    weights: NDArray[np.float32] | None = None
    mapping: NDArray[np.int64] | None = None


def word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Return a tokenizer that knows the words of some texts, and byte for byte nothing else."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text)})
    known = {word: number for number, word in enumerate([UNKNOWN, *words])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def tiny_embeddings(
    folder: Path, texts: Iterable[str], layout: Layout = "model2vec", dimensions: int = 16, seed: int = 0
) -> Tiny:
    """Write a model with a random vector for each word of some texts; float16 where wordllama has it so."""
    from safetensors.numpy import save_file

    tokenizer = word_tokenizer(texts)
    size, random = tokenizer.get_vocab_size(), np.random.default_rng(seed)
    vectors: NDArray[np.floating] = random.normal(size=(size, dimensions)).astype(np.float32)
    name = "embeddings" if layout in {"model2vec", "quantized"} else "embedding.weight"
    arrays: dict[str, NDArray[np.generic]] = {name: vectors}
    made = Tiny(folder, tokenizer, vectors, unknown=0)
    files = folder / "model.safetensors", folder / "tokenizer.json"
    if layout == "quantized":
        weights, mapping = random.uniform(0.1, 2, size).astype(np.float32), random.integers(0, 5, size)
        made = made._replace(vectors=vectors[:5], weights=weights, mapping=mapping)
        arrays = {name: vectors[:5], "weights": weights, "mapping": mapping}
    elif layout == "nested":
        files = folder / "0_StaticEmbedding/model.safetensors", folder / "0_StaticEmbedding/tokenizer.json"
    elif layout == "wordllama":
        files = (
            folder / f"weights/l2_tiny_{dimensions}.safetensors",
            folder / "tokenizers/l2_tiny_tokenizer_config.json",
        )
        made = made._replace(vectors=vectors.astype(np.float16), unknown=None)
        arrays = {name: made.vectors}
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, files[0])
    tokenizer.enable_truncation(3)  # a model's own settings, which hold for searches
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(files[1]))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    (folder / "config.json").write_text(json.dumps({"normalize": True, "max_length": 3}))
    return made
