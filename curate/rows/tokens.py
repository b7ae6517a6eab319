"""Counts the tokens of a row: by a stated estimate, or exactly with a tokenizer of the user."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.kernels.buffers import strings
from curate.rows.segments import Part, Segments

if TYPE_CHECKING:
    import tokenizers

BYTES_PER_TOKEN = 4
TOKENS_PER_TURN = 4
"""The estimate: a token for every four bytes of UTF-8, rounded up, and four for the frame of each turn. English prose
has 4.2 to 4.8 bytes a token under today's byte-pair vocabularies, Chinese about 3, code about 3.5."""


@dataclass(frozen=True)
class Tokenizer:
    """A Hugging Face `tokenizer.json`, identified by its content. Needs the extra `curate[tokenizer]`.

    Args:
        path: the file, or a folder that contains it.
        per_turn: tokens added for the frame of each turn; text is counted without a chat template.

    Raises:
        MixtureError: the file does not exist.

    Example:
        >>> Tokenizer("models/none")
        Traceback (most recent call last):
        ...
        curate.errors.MixtureError: no tokenizer.json at models/none
    """

    path: str = field(repr=False, metadata={"fingerprint": False})
    per_turn: int = 0
    content: str = field(init=False)

    def __post_init__(self) -> None:
        place = Path(self.path)
        found = place / "tokenizer.json" if place.is_dir() else place
        if not found.is_file():
            raise MixtureError(f"no tokenizer.json at {self.path}")
        object.__setattr__(self, "path", str(found))
        object.__setattr__(self, "content", hashlib.sha256(found.read_bytes()).hexdigest())


def tokens(segments: Segments, tokenizer: Tokenizer | None = None) -> NDArray[np.int64]:
    """Return the tokens of each row over `segments`.

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> row = {"messages": [{"role": "user", "content": "four byte words"}], "meta": "{}"}
    >>> tokens(segments(pa.RecordBatch.from_pylist([row], BODIES["conversation"]))).tolist()
    [8]
    """
    total = np.zeros(segments.rows, np.int64)
    for part in segments.parts:
        total += np.bincount(part.row, part_tokens(part, tokenizer), minlength=segments.rows).astype(np.int64)
    return total


def part_tokens(part: Part, tokenizer: Tokenizer | None = None) -> NDArray[np.int64]:
    """Return the tokens of each segment of a part.

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> row = {"messages": [{"role": "user", "content": text} for text in ("Hi", "four byte words")], "meta": "{}"}
    >>> (part,) = segments(pa.RecordBatch.from_pylist([row], BODIES["conversation"])).parts
    >>> part_tokens(part).tolist()
    [5, 8]
    """
    return _estimate(part) if tokenizer is None else _count(part, tokenizer)


def _estimate(part: Part) -> NDArray[np.int64]:
    length = np.diff(part.text.offsets)[part.index].astype(np.int64)
    return (length + BYTES_PER_TOKEN - 1) // BYTES_PER_TOKEN + TOKENS_PER_TURN


def _count(part: Part, tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Count with the tokenizer; its batch call runs in Rust and releases the GIL."""
    texts: list[str] = strings(part.text.data, part.text.offsets).take(pa.array(part.index)).to_pylist()
    encodings = _load(tokenizer.path, tokenizer.content).encode_batch_fast(texts, add_special_tokens=False)
    return np.fromiter((len(encoding) for encoding in encodings), np.int64, len(texts)) + tokenizer.per_turn


@lru_cache(maxsize=4)
def _load(path: str, _content: str) -> tokenizers.Tokenizer:
    try:
        import tokenizers
    except ImportError as error:
        raise MixtureError("counting tokens exactly needs the extra: pip install 'curate[tokenizer]'") from error
    loaded: Any = tokenizers.Tokenizer.from_file(path)
    loaded.no_truncation()
    return loaded
