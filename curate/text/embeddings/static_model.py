"""Static embedding models read from a folder: a matrix with a vector for each token, and the tokenizer it belongs to.

Layouts: model2vec 0.10 (`model.safetensors` with `embeddings` and, where the vocabulary is quantized, `weights` and
`mapping`), sentence-transformers' `StaticEmbedding` (`embedding.weight`, beside `tokenizer.json` or in
`0_StaticEmbedding/`), and wordllama 0.4 (`weights/NAME_DIM.safetensors`, `tokenizers/NAME_tokenizer_config.json`).
Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.kernels.buffers import Float32s, Int32s, frozen
from curate.kernels.load_once import load_once

if TYPE_CHECKING:
    import tokenizers

WEIGHTS: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
NESTED: Final = "0_StaticEmbedding"
NAMES: Final = ("embeddings", "embedding.weight")
"""What the matrix is called: by model2vec, and by sentence-transformers and wordllama."""
NO_VECTOR: Final = -1


class StaticModel(NamedTuple):
    """A static embedding model.

    Token `i` has the vector `vectors[place[i]] * weight[i]`, or none and does not count if `place[i]` is `NO_VECTOR`.
    `digests` has the sha256 of each file that the model is made of, by name.
    """

    vectors: Float32s
    place: Int32s
    weight: Float32s
    tokenizer: tokenizers.Tokenizer
    digests: Mapping[str, str]

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return self.vectors.shape[1]


class _Files(NamedTuple):
    """The files of a model; `unknown` says whether its unknown token has a vector, as in wordllama."""

    weights: Path
    tokenizer: Path
    unknown: bool


def load_static_model(path: str | os.PathLike[str]) -> StaticModel:
    """Read a static embedding model; the answer is kept until a file's size or time of change is another one.

    Vectors become float32. Needs the extra `curate[embeddings]`.

    Args:
        path: The folder of a model2vec or sentence-transformers model; the folder of the installed package wordllama,
            or of its cache; or, where that has several, one of its files of weights.

    Returns:
        The model.

    Raises:
        SourceNotFoundError: No such folder, or no model in it.
        FormatError: A file that cannot be read, or files that do not belong together.
        MixtureError: The extra is not installed.

    Example:
        >>> load_static_model("models/none")
        Traceback (most recent call last):
        ...
        curate.errors.SourceNotFoundError: there is no folder models/none; name the folder of a static embedding model
    """
    files = _find(Path(path))
    stats = [file.stat() for file in (files.weights, files.tokenizer)]
    changed = tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)
    return _load(_Files(files.weights.resolve(), files.tokenizer.resolve(), files.unknown), changed)


def _find(path: Path) -> _Files:
    if path.suffix == ".safetensors" and path.is_file():
        return _find_wordllama([path])
    if not path.is_dir():
        raise SourceNotFoundError(f"there is no folder {path}; name the folder of a static embedding model")
    for folder in (path, path / NESTED):
        if (folder / WEIGHTS).is_file() and (folder / TOKENIZER).is_file():
            return _Files(folder / WEIGHTS, folder / TOKENIZER, unknown=False)
    weights = sorted(file for file in (path / "weights").glob("*.safetensors") if "_binary" not in file.stem)
    if weights:
        return _find_wordllama(weights)
    raise SourceNotFoundError(
        f"there is no static embedding model in {path}: it has neither {WEIGHTS} with {TOKENIZER}, as models of "
        "model2vec have, nor weights/*.safetensors, as wordllama has"
    )


def _find_wordllama(weights: list[Path]) -> _Files:
    """Return the one file of weights, with the tokenizer that belongs to it: `NAME_256` has that of `NAME`."""
    if len(weights) > 1:
        names = ", ".join(file.name for file in weights)
        raise SourceNotFoundError(f"{weights[0].parent} has several models; name one of its files: {names}")
    (file,) = weights
    name = file.stem.removesuffix("_binary").rpartition("_")[0]
    tokenizer = file.parent.with_name("tokenizers") / f"{name}_tokenizer_config.json"
    if not tokenizer.is_file():
        raise SourceNotFoundError(f"the model {file} has no tokenizer: there is no {tokenizer}")
    return _Files(file, tokenizer, unknown=True)


@load_once(4)
def _load(files: _Files, _changed: tuple[tuple[int, int], ...]) -> StaticModel:
    arrays = _arrays(files.weights)
    tokenizer, unknown = _tokenizer(files.tokenizer)
    vectors = next((arrays[name] for name in NAMES if name in arrays), None)
    if vectors is None or vectors.ndim != 2 or not vectors.size:
        raise _broken(files.weights, f"it has no matrix called {' or '.join(NAMES)}; arrays: {', '.join(arrays)}")
    tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
    place = arrays.get("mapping", np.arange(tokens))
    weight = arrays.get("weights", np.ones(tokens))
    if place.shape != (tokens,) or weight.shape != (tokens,):
        raise _broken(files.weights, f"its mapping or weights are not those of the {tokens:,} tokens of its tokenizer")
    if files.unknown:
        place = np.minimum(place, len(vectors) - 1)
    if place.dtype.kind not in "iu" or place.min(initial=0) < 0 or place.max(initial=0) >= len(vectors):
        raise _broken(
            files.weights, f"it has {len(vectors):,} vectors, and its {tokens:,} tokens are not all among them"
        )
    if unknown is not None and not files.unknown:
        place = np.where(np.arange(tokens) == unknown, NO_VECTOR, place)
    with np.errstate(over="ignore"):
        found = [np.ascontiguousarray(array, np.float32) for array in (vectors, weight)]
    if not all(np.isfinite(array).all() for array in found):
        raise _broken(files.weights, "a number in it is not finite")
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (files.weights, files.tokenizer)}
    return StaticModel(frozen(found[0]), frozen(place.astype(np.int32)), frozen(found[1]), tokenizer, digests)


def _arrays(file: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise _extra() from error
    try:
        return dict(load_file(file))
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: bfloat16, which NumPy lacks
        raise _broken(file, str(error)) from None


def _tokenizer(file: Path) -> tuple[tokenizers.Tokenizer, int | None]:
    """Return the tokenizer, which neither truncates nor pads, and its unknown token."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise _extra() from error
    try:
        text = file.read_text("utf-8")
        model = json.loads(text)["model"]
        unknown, word = model.get("unk_id"), model.get("unk_token")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(file, f"it is no tokenizer.json ({error})") from None
    found = Tokenizer.from_str(text)
    found.no_truncation()
    found.no_padding()
    return found, unknown if word is None else found.token_to_id(word)


def _extra() -> MixtureError:
    return MixtureError("static embeddings need the extra: pip install 'curate[embeddings]'")


def _broken(file: Path, what: str) -> FormatError:
    return FormatError(f"{file} is no file of a static embedding model that can be read: {what}")
