"""A build of the demo, and a tokenizer trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tiny_model import demo, tiny_llama, tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from curate.result.build import Build


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return demo("demo-sft", tmp_path_factory.mktemp("preflight") / "chats")


@pytest.fixture(scope="session")
def preferences(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return demo("demo-preferences", tmp_path_factory.mktemp("preflight") / "preferences")


@pytest.fixture(scope="session")
def tokenizer(chats: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", reason="needs the extra curate[train]")
    out = tmp_path_factory.mktemp("preflight") / "tokenizer"
    tiny_tokenizer(chats, out)
    return out


@pytest.fixture(scope="session")
def model(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    return tiny_llama(AutoTokenizer.from_pretrained(tokenizer), tmp_path_factory.mktemp("preflight") / "model")
