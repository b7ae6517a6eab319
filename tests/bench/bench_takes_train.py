"""Whether a take trains better: held-out loss of a small model on random, longest, diverse and all rows.

Real rows of T0, FLAN and Alpaca sets, 118,000 together, are sources of a mixture; `HELD` rows of each are held out, and
rows with their prompts left out. `Mixture.compare` takes `CURATE_BENCH_TOKENS` tokens at random, by `Longest` and by
`Diverse`; a Llama with random weights is trained on each for as many tokens (`CURATE_BENCH_STEPS`), and on all rows for
as many. Loss is of answers alone. It says the loss on held-out answers by source, means over the sources, and the least
and the most of the seeds (`CURATE_BENCH_SEEDS`). What a small model learns of so little is how texts are written, not
how to follow instructions: `CURATE_BENCH_SHAPE=large` trains one of a billion parameters on a GPU, on more tokens.

Needs the extra `curate[train]`. Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_takes_train.py -s`.
"""

from __future__ import annotations

import json
import os
import random
import statistics
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

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
from tests.bench.bench_diverse import real_rows
from tests.support.tiny_model import tiny_tokenizer

if TYPE_CHECKING:
    from curate.preflight.chat_template import ChatTokenizer

torch = pytest.importorskip("torch", reason="needs the extra curate[train]")
pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("default"), pytest.mark.timeout(14_400)]

LARGE: Final = os.environ.get("CURATE_BENCH_SHAPE") == "large"
BUDGET: Final = int(os.environ.get("CURATE_BENCH_TOKENS", "50_000_000" if LARGE else "300_000"))
STEPS: Final = int(os.environ.get("CURATE_BENCH_STEPS", "3_000" if LARGE else "400"))
SEEDS: Final = int(os.environ.get("CURATE_BENCH_SEEDS", "3"))
LIMIT: Final = 2_048 if LARGE else 256
BATCH: Final = 32 if LARGE else 16
HELD: Final = 60
RATE: Final = 3e-4 if LARGE else 2e-3
DEVICE: Final = "cuda" if LARGE else "cpu"
VOCABULARY: Final = 32_000 if LARGE else 1_000
SHAPE: Final = dict(
    zip(
        ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
        (2_048, 8_192, 16, 32, 8) if LARGE else (128, 256, 2, 4, 4),
        strict=True,
    )
)


Turns: TypeAlias = list[dict[str, str]]


def written(folder: Path, name: str, rows: list[Turns]) -> Path:
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


class TokenRow(NamedTuple):
    """Rows as tokens: their ids, and which of them are trained."""

    ids: list[int]
    answer: list[int]


def tokens_of(tokenizer: ChatTokenizer, turns: Turns) -> TokenRow:
    made: Any = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    return TokenRow(made["input_ids"], made["assistant_masks"])


def blocks(build: Build, tokenizer: ChatTokenizer, seed: int) -> tuple[Any, Any]:
    """Return the rows of a build in a random order, one after the other, cut into blocks: ids, and what is trained."""
    rows = [row["messages"] for row in build.kept().select("messages").collect().to_dicts()]
    random.Random(seed).shuffle(rows)
    ids: list[int] = []
    answer: list[int] = []
    for turns in rows:
        if len(ids) >= STEPS * BATCH * LIMIT:
            break
        one = tokens_of(tokenizer, turns)
        ids += one.ids
        answer += one.answer
    whole = len(ids) // LIMIT * LIMIT
    return tuple(torch.tensor(found[:whole]).reshape(-1, LIMIT) for found in (ids, answer))


def trained(model: Path, build: Build, seed: int) -> Any:  # noqa: ANN401  of transformers
    """Train the model on the rows of a build, over and over where they are few."""
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(model).to(DEVICE).train()
    ids, answer = blocks(build, chat_tokenizer(str(model)), seed)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    order = torch.cat([torch.randperm(len(ids)) for _ in range(-(-STEPS * BATCH // len(ids)))])
    for at in range(0, STEPS * BATCH, BATCH):
        own = order[at : at + BATCH]
        loss = loss_of(net, ids[own].to(DEVICE), answer[own].to(DEVICE)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return net.eval()


def loss_of(net: Any, ids: Any, answer: Any) -> Any:  # noqa: ANN401
    """Return the loss of each token of an answer."""
    with torch.autocast(DEVICE, torch.bfloat16, enabled=LARGE):
        logits = net(ids).logits[:, :-1].float().transpose(1, 2)
    return torch.nn.functional.cross_entropy(logits, ids[:, 1:], reduction="none")[answer[:, 1:] > 0]


def losses(net: Any, tokenizer: ChatTokenizer, held: dict[str, list[Turns]]) -> dict[str, float]:  # noqa: ANN401
    """Return by source the loss of a token of a held-out answer."""
    found = {}
    for source, rows in held.items():
        every = sorted((tokens_of(tokenizer, turns) for turns in rows), key=lambda one: len(one.ids))
        each = []
        for at in range(0, len(every), BATCH):  # tokens behind a row's end are seen by none of its own
            own = every[at : at + BATCH]
            padded = (
                torch.nn.utils.rnn.pad_sequence([torch.tensor(row[:LIMIT]) for row in part], batch_first=True).to(
                    DEVICE
                )
                for part in ([one.ids for one in own], [one.answer for one in own])
            )
            with torch.no_grad():
                each.append(loss_of(net, *padded))
        found[source] = float(torch.cat(each).mean())
    return found


def test_what_trains_better(real_data: Path, tmp_path: Path) -> None:
    rows: dict[str, list[Turns]] = defaultdict(list)
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
    found: dict[str, dict[str, list[float]]] = {}
    for seed, pool in enumerate(compared.pools):
        model = model_of(pool, tmp_path, seed)
        builds = {one.take: one.build for one in compared.builds if one.seed == seed} | {"all": pool}
        tokenizer = chat_tokenizer(str(model))
        for name, build in builds.items():
            torch.manual_seed(seed)
            for source, loss in losses(trained(model, build, seed), tokenizer, held).items():
                found.setdefault(name, {}).setdefault(source, []).append(loss)
    for name, by_source in found.items():
        means = [statistics.mean(each) for each in zip(*by_source.values(), strict=True)]
        print(f"{name:10} {statistics.mean(means):.3f} ({min(means):.3f} to {max(means):.3f})", end="  ")
        print(", ".join(f"{source} {statistics.mean(each):.2f}" for source, each in by_source.items()))
