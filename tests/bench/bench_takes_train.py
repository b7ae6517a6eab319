"""Whether a take trains better: held-out loss of a small model on random, longest, diverse and all rows.

Real rows of T0, FLAN and Alpaca sets, 118,000 together, are sources of a mixture; up to `HELD` rows of each are held
out, and rows with their prompts dropped. `Mixture.compare` takes `CURATE_BENCH_TOKENS` tokens at random, by `Longest`
and by `Diverse`; a Llama with random weights is trained on each, for as many steps and tokens, with the same order of
weights, and on all rows for as many. It says the loss on held-out answers by source, means over the sources, and the
least and the most of the seeds. A model of 2 million parameters says which rows teach it most of how texts are written,
not which teach a large model to follow instructions: `CURATE_BENCH_SHAPE=large` trains one of a billion on a GPU, with
more tokens.

Needs the extra `curate[train]`. Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_takes_train.py -s`.
`CURATE_BENCH_SEEDS` and `CURATE_BENCH_PASSES` (over the tokens of a take) set other numbers.
"""

from __future__ import annotations

import json
import os
import random
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from curate.io.inputs import files
from curate.mix.amounts import Tokens
from curate.mix.spec import Source
from curate.mix.takes.diverse import Diverse
from curate.mix.takes.ranked import Longest
from curate.mixture import Mixture
from curate.preflight.chat_template import chat_tokenizer
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.train import train
from tests.bench.bench_diverse import real_rows
from tests.support.tiny_model import tiny_tokenizer

torch = pytest.importorskip("torch", reason="needs the extra curate[train]")
pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("default"), pytest.mark.timeout(14_400)]

LARGE: Final = os.environ.get("CURATE_BENCH_SHAPE") == "large"
BUDGET: Final = int(os.environ.get("CURATE_BENCH_TOKENS", "50_000_000" if LARGE else "300_000"))
PASSES: Final = int(os.environ.get("CURATE_BENCH_PASSES", "2"))
SEEDS: Final = int(os.environ.get("CURATE_BENCH_SEEDS", "3"))
LIMIT: Final = 2_048 if LARGE else 256
BATCH: Final = 32 if LARGE else 16
HELD: Final = 60
VOCABULARY: Final = 32_000 if LARGE else 4_000
SHAPE: Final = dict(
    zip(
        ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
        (2_048, 8_192, 16, 32, 8) if LARGE else (128, 384, 4, 4, 4),
        strict=True,
    )
)


def written(folder: Path, name: str, rows: list[list[dict[str, str]]]) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(f"{json.dumps({'messages': turns})}\n" for turns in rows), "utf-8")
    return path


def model_of(build: Build, folder: Path, seed: int) -> Path:
    """Save a model with random weights that depend on the seed; its tokenizer is made from the rows of a build."""
    from transformers import LlamaConfig, LlamaForCausalLM

    out = folder / f"model-{seed}"
    tiny_tokenizer(build, out, VOCABULARY)
    tokenizer = chat_tokenizer(str(out), "tulu")
    tokenizer.save_pretrained(out)
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=LIMIT, tie_word_embeddings=True, **SHAPE)
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(out)
    return out


def losses(model: Path, held: dict[str, list[list[dict[str, str]]]]) -> dict[str, float]:
    """Return by source the loss of a token of a held-out answer."""
    from transformers import AutoModelForCausalLM

    tokenizer = chat_tokenizer(str(model))
    loaded = AutoModelForCausalLM.from_pretrained(model).eval().to("cuda" if LARGE else "cpu")
    found = {}
    for source, rows in held.items():
        every = [
            tokenizer.apply_chat_template(one, return_dict=True, return_assistant_tokens_mask=True) for one in rows
        ]
        every.sort(key=lambda made: len(made["input_ids"]))
        total, count = 0.0, 0
        for at in range(0, len(every), BATCH):
            ids, answers = (
                torch.nn.utils.rnn.pad_sequence(
                    [torch.tensor(made[name][:LIMIT]) for made in every[at : at + BATCH]], batch_first=True
                ).to(loaded.device)
                for name in ("input_ids", "assistant_masks")
            )  # tokens behind a row's end are seen by none of its own
            with torch.no_grad():
                logits = loaded(ids).logits[:, :-1].float().transpose(1, 2)
            each = torch.nn.functional.cross_entropy(logits, ids[:, 1:], reduction="none")[answers[:, 1:] > 0]
            total, count = total + float(each.sum()), count + len(each)
        found[source] = total / max(count, 1)
    return found


def test_what_trains_better(real_data: Path, tmp_path: Path) -> None:
    rows: dict[str, list[list[dict[str, str]]]] = defaultdict(list)
    for row in real_rows(real_data / "sft"):
        if row.ask.strip() and row.say.strip():
            turns = [{"role": "user", "content": row.ask}, {"role": "assistant", "content": row.say}]
            rows[row.source].append(turns)
    held = {}
    for source, own in rows.items():
        random.Random(0).shuffle(own)
        held[source], rows[source] = own[:HELD], own[HELD:]
    asked = {turns[0]["content"] for own in held.values() for turns in own}
    sources = [
        Source(name, files(written(tmp_path, name, [one for one in own if one[0]["content"] not in asked]), "messages"))
        for name, own in rows.items()
    ]
    mixture = Mixture("pool", sources, [exact_dedup()], weights="size", total=Tokens(1))
    takes = {"longest": Longest(on="all"), "diverse": Diverse()}
    compared = mixture.compare(takes, [Tokens(BUDGET)], tmp_path / "takes", seeds=SEEDS, quiet=True)
    print(f"\n{compared.summary.drop('size')}")
    settings = {
        "packing": True,
        "max_length": LIMIT,
        "max_steps": PASSES * BUDGET // (BATCH * LIMIT),
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": 1,
        "learning_rate": 3e-4 if LARGE else 2e-3,
        "save_strategy": "no",
        "eval_strategy": "no",
        "bf16": LARGE,
    }
    found: dict[str, dict[str, list[float]]] = {}
    for seed, pool in enumerate(compared.pools):
        model = model_of(pool, tmp_path, seed)
        builds = {one.take: one.build for one in compared.builds if one.seed == seed} | {"all": pool}
        for name, build in {"untrained": None, **builds}.items():
            out = model
            if build is not None:
                out = tmp_path / f"{name}-{seed}"
                train("sft", build, model=str(model), recipe="tulu2", out=out, settings=settings, max_lost=1)
            for source, loss in losses(out, held).items():
                found.setdefault(name, {}).setdefault(source, []).append(loss)
    for name, by_source in found.items():
        means = [statistics.mean(each) for each in zip(*by_source.values(), strict=True)]
        print(f"{name:10} {statistics.mean(means):.3f} ({min(means):.3f} to {max(means):.3f})", end="  ")
        print(", ".join(f"{source} {statistics.mean(each):.2f}" for source, each in by_source.items()))
