"""A model on its way: the demo built, a tiny Llama trained on its conversations, then on its pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tiny_model import demo, tiny_llama, tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from curate.result.build import Build


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return demo("demo-sft", tmp_path_factory.mktemp("train") / "chats")


@pytest.fixture(scope="session")
def preferences(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return demo("demo-preferences", tmp_path_factory.mktemp("train") / "preferences")


@pytest.fixture(scope="session")
def model(chats: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights, without a chat template."""
    pytest.importorskip("trl", reason="needs the extra curate[train]")
    out = tmp_path_factory.mktemp("train") / "model"
    return tiny_llama(tiny_tokenizer(chats, out), out)
