"""A reward model of transformers as a judge: loaded once for each worker, and not at all where scores are kept."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import pytest

import curate as c
from tests.support.tiny_model import tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from curate.result.build import Build

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # transformers warns its own developers

JUDGE: Final = '''
"""A reward model judges answers."""

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

FOLDER = Path(__file__).with_name("reward")
LOADED = []


class Reward:
    model = FOLDER.name

    def __init__(self):
        LOADED.append(1)
        self.tokenizer = AutoTokenizer.from_pretrained(FOLDER)
        self.network = AutoModelForSequenceClassification.from_pretrained(FOLDER).eval()

    def __call__(self, rows):
        texts = ["\\n".join(turn["content"] or "" for turn in turns) for turns in rows["messages"].to_pylist()]
        with torch.inference_mode():
            given = self.tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
            return self.network(given["input_ids"], given["attention_mask"]).logits[:, 0].double().numpy().round(4)
'''


def reward_model(chats: Build, out: Path) -> None:
    """Save a Llama with random weights that says one number for a text."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    tokenizer = tiny_tokenizer(chats, out)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(out)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForSequenceClassification(config).save_pretrained(out)


def test_a_reward_model_judges(chats: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reward_model(chats, tmp_path / "reward")
    (tmp_path / "reward_judges.py").write_text(JUDGE)
    monkeypatch.syspath_prepend(tmp_path)
    given = c.Source("chats", c.frame(chats.kept("train").select("messages").collect()))

    def build(name: str, workers: int) -> Build:
        step = c.judge(
            "reward_judges:Reward",
            at_least=0.0,
            workers=workers,
            batch=8,
            cache=tmp_path / "judged",
            allow_large_drop=True,
        )
        return c.Mixture("judged", [given], [step]).build(tmp_path / name, quiet=True)

    first = build("first", workers=1)
    loaded = sys.modules["reward_judges"].LOADED
    scores = first.scores("judge")["value"]
    assert len(loaded) == 1
    assert scores.is_finite().all()
    assert scores.n_unique() > len(scores) // 2
    assert first.composition["rows"].sum() > 0
    assert build("second", workers=2).scores("judge")["value"].equals(scores)
    assert len(loaded) == 1, "no model is loaded where every score is kept"
