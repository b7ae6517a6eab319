"""A tokenizer of three words."""

from __future__ import annotations

from pathlib import Path


def words(folder: Path) -> None:
    """Save a tokenizer that knows three words."""
    import tokenizers

    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"one": 0, "two": 1, "?": 2}, unk_token="?"))  # noqa: S106
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    (folder / "words").mkdir()
    model.save(str(folder / "words" / "tokenizer.json"))
