"""A tokenizer and a Llama of 100,000 parameters with random weights, made in the test; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from curate.cli.mixture_file import run_file

if TYPE_CHECKING:
    from curate.preflight.chat_template import ChatTokenizer
    from curate.result.build import Build

DEMO: Final = Path(__file__).parents[2] / "mixtures" / "demo.py"
READS: Final = 1024


def demo(name: str, out: Path) -> Build:
    """Build one of the mixtures of the demo."""
    mixture = next(one for one in vars(run_file(DEMO)).values() if getattr(one, "name", None) == name)
    return mixture.build(out, quiet=True)


def tiny_tokenizer(build: Build, out: Path, size: int = 600) -> ChatTokenizer:
    """Save and return a byte-level BPE of `size` tokens, trained on what a build says; it has no chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    turns = build.kept("train").select(pl.col("messages").explode().struct.field("content")).collect()
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<s>", "</s>"], initial_alphabet=letters)
    bare.train_from_iterator(turns.to_series(), trainer)
    ends = {"bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, **ends)
    tokenizer.save_pretrained(out)
    return tokenizer


def tiny_llama(tokenizer: ChatTokenizer, out: Path) -> Path:
    """Save a Llama with random weights beside its tokenizer, and return the folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=READS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
